/*
 * The view that a program has of the file system, in a mount namespace of its own.
 *
 * Each function takes one step and returns 0 or more, or minus errno. None is called before the namespace is there
 * (sandbox.h sees to that), so nothing here can change what anybody else sees. Sources: mount_namespaces(7), mount(2),
 * open_tree(2), move_mount(2), mount_setattr(2), tmpfs(5).
 */

#include <linux/stat.h>

#define MODE_IS_DIRECTORY(mode) (((mode) & 0170000) == 0040000)

enum { BIND_RECURSIVE = 0x8000, EMPTY_PATH = 0x1000 };              /* AT_RECURSIVE, AT_EMPTY_PATH */
enum { TREE_CLONE = 1, TREE_CLOEXEC = O_CLOEXEC };                  /* OPEN_TREE_* */
enum { MOVE_FROM_FD = 0x04, MOVE_FOLLOWS = 0x10 };                  /* MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS */
enum { ATTR_RDONLY = 1, ATTR_NODEV = 4, ATTR_NOEXEC = 8 };          /* MOUNT_ATTR_* */
enum { MOUNT_RDONLY = 1, MOUNT_NOSUID = 2, MOUNT_NODEV = 4, MOUNT_NOEXEC = 8 };
enum { MOUNT_REC = 1 << 14, MOUNT_SLAVE = 1 << 19 };

struct mount_attributes {
    uint64_t set, clear, propagation, userns_fd;
};

/* From now on what others mount is seen here, and what is mounted here is seen by nobody else. */
static long own_mounts(void)
{
    long result = CALL1(unshare, 0x00020000 /* CLONE_NEWNS */);
    return result < 0 ? result : CALL5(mount, NULL, "/", NULL, MOUNT_REC | MOUNT_SLAVE, NULL);
}

/* A copy of what is at a path with everything mounted below it, not yet visible anywhere. */
static long copy_of(const char *path)
{
    return CALL3(open_tree, AT_FDCWD, path, TREE_CLONE | TREE_CLOEXEC | BIND_RECURSIVE);
}

static long put(long tree, const char *path)
{
    long result = CALL5(move_mount, tree, "", AT_FDCWD, path, MOVE_FROM_FD | MOVE_FOLLOWS);
    CALL1(close, tree);
    return result;
}

static long put_changed(long tree, const char *path, uint64_t attributes)
{
    struct mount_attributes change = {.set = attributes};
    if (tree < 0)
        return tree;
    long result = CALL5(mount_setattr, tree, "", EMPTY_PATH | BIND_RECURSIVE, &change, sizeof change);
    if (result < 0) {
        CALL1(close, tree);
        return result;
    }
    return put(tree, path);
}

/* Read-only with everything below it; what had been read-only stays so. */
static long read_only(const char *path)
{
    struct mount_attributes change = {.set = ATTR_RDONLY};
    if (path[0] == '/' && path[1] == '\0')      /* nothing can be put on it, and everybody's root already is here */
        return CALL5(mount_setattr, AT_FDCWD, path, BIND_RECURSIVE, &change, sizeof change);
    return put_changed(copy_of(path), path, ATTR_RDONLY);
}

static long tmpfs(const char *path, const char *options, uint64_t flags)
{
    return CALL5(mount, "tmpfs", path, "tmpfs", flags | MOUNT_NOSUID | MOUNT_NODEV, options);
}

/* Pseudo-terminals of its own. */
static long terminals(const char *path)
{
    return CALL5(mount, "devpts", path, "devpts", MOUNT_NOSUID | MOUNT_NOEXEC, "newinstance,ptmxmode=0666,mode=620");
}

/* A directory becomes empty and closed; anything else a device that may not be opened, not even by root. */
static long inaccessible(const char *path)
{
    struct statx seen;
    long result = CALL5(statx, AT_FDCWD, path, 0, STATX_TYPE, &seen);
    if (result < 0)
        return result;
    if (MODE_IS_DIRECTORY(seen.stx_mode))
        return tmpfs(path, "mode=0,nr_inodes=2", MOUNT_RDONLY | MOUNT_NOEXEC);
    return put_changed(copy_of("/dev/null"), path, ATTR_RDONLY | ATTR_NODEV | ATTR_NOEXEC);
}

/* What was made here is complete: nobody writes to it any more. */
static long seal(const char *path)
{
    struct mount_attributes change = {.set = ATTR_RDONLY | ATTR_NOEXEC};
    return CALL5(mount_setattr, AT_FDCWD, path, 0, &change, sizeof change);
}

/* A new file with these contents, or an empty one as a place to put something on. */
static long write_file(const char *path, const char *data, size_t size, uint64_t uid, uint64_t gid)
{
    long fd = CALL4(openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0)
        return fd;
    long result = 0;
    for (size_t done = 0; result >= 0 && done < size; done += (size_t)result)
        result = CALL3(write, fd, data + done, size - done);
    if (result >= 0)
        result = CALL3(fchown, fd, uid, gid);
    CALL1(close, fd);
    return result;
}
