/*
 * What is being launched, and how that ends early: one report. The format of the spec is told in sdsuper-exec.c.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { SPEC_FD = 3, REPORT_FD = 4, READY_FD = 5, FIRST_FOREIGN_FD = 6 };
enum { MAGIC = 0x31584453, SPEC_MOST_BYTES = 1 << 28, RLIMITS_MOST = 16, GROUPS_MOST = 65536, SIGNALS = 64 };
enum { STEPS_MOST = 512, KEPT_MOST = 128 };
enum { OWN_STDIN = 1, SET_USER = 2, SET_UMASK = 4, SET_NICE = 8, NO_NEW_PRIVS = 16, GIVE_READY = 32 };
enum { READY_SHIFT = 8, ALL_FLAGS = 63 | 0xFF << READY_SHIFT };

/* The texts are in sdsuper/system/process.py; a test keeps the two lists equal. */
enum stage {
    READING_SPEC,
    JOINING_CGROUP,
    SETTING_NICE,
    OPENING_STDIN,
    SETTING_RLIMIT,
    CHANGING_USER,
    CHANGING_DIRECTORY,
    SETTING_NO_NEW_PRIVS,
    VERIFYING_USER,
    CLOSING_DESCRIPTORS,
    RESETTING_SIGNALS,
    EXECUTING,
    TAKING_STEP,
    LEAVING_OUT_STEP,
    VERIFYING_RIGHTS,
};

/* One thing more than every program has; see sandbox.h. */
struct step {
    uint32_t code, flags, bytes, zero;
    uint64_t value[2];
};

struct spec {
    uint32_t magic, size;
    uint64_t tag;
    uint32_t flags, umask, uid, gid;
    int32_t nice;
    uint32_t groups, rlimits, argc, envc, steps;
    uint64_t rlimit[][3];
};

struct report {
    uint64_t tag;
    uint32_t pid, stage, error, detail;
};

/* The pointers lead into the mapped spec and into one anonymous mapping. */
struct launch {
    struct report report;
    const struct spec *spec;
    const uint32_t *group;
    const struct step *step;
    const char *cgroup, *directory, *program;
    const char **argv, **envp, **text;      /* text: of each step */
    uint32_t *group_now;
    uint32_t next_step;
    enum { SHARED_MOUNTS, OWN_MOUNTS, NO_MOUNTS } mounts;   /* NO_MOUNTS: left out, and all that would follow */
    int ruleset, *kept;                     /* descriptors, -1: none */
    const struct step *bounding, *ambient;  /* taken, to be verified */
};

_Static_assert(sizeof(struct spec) == 56 && offsetof(struct spec, rlimit) == 56, "the daemon packs 56 bytes");
_Static_assert(sizeof(struct step) == 32, "the daemon packs 32 bytes");
_Static_assert(sizeof(struct report) == 24 && sizeof(struct report) <= PIPE_BUF, "the daemon unpacks 24 bytes");

static _Noreturn void leave(void)
{
    for (;;)
        CALL1(exit_group, 127);
}

static void tell(struct launch *launch, long error)
{
    launch->report.pid = (uint32_t)CALL1(getpid, 0);
    launch->report.error = (uint32_t)error;
    /* The write end blocks: a daemon that is behind makes us wait, it does not lose the report. */
    while (CALL3(write, REPORT_FD, &launch->report, sizeof launch->report) == -EINTR)
        ;
}

static _Noreturn void fail(struct launch *launch, long error)
{
    tell(launch, error);
    leave();
}

static long must(struct launch *launch, long result)
{
    if (result < 0)
        fail(launch, -result);
    return result;
}

static void *map(struct launch *launch, size_t size, int protection, int flags, int fd)
{
    return (void *)must(launch, kernel(SYS_mmap, 0, (long)size, protection, flags, fd, 0));
}
