/*
 * The steps of a spec: what a program has beyond user, limits and directory, or rather what it has not.
 *
 * sdsuper/system/sandbox.py makes them of the options and has their words; this takes them one after the other, phase
 * by phase. A step that cannot be taken ends the launch, or, when it is OPTIONAL, is reported and left out, with all
 * that would be wrong without it. A step that changes mounts is not taken outside a mount namespace of the launch's own,
 * whatever the spec says.
 */

#include "mounts.h"
#include "seccomp.h"

#include <linux/capability.h>

enum step_flag { OPTIONAL = 1, IF_THERE = 2, ALL_STEP_FLAGS = 3 };

/* In the order in which they are taken; the numbers are in sandbox.py, a test keeps them equal. */
enum code {
    OOM_SCORE = 1,          /* text: the number */
    IO_PRIORITY,            /* value: of ioprio_set(2) */
    CPU_AFFINITY,           /* text: the mask */
    SCHEDULER,              /* values: policy, priority */

    MOUNT_NAMESPACE,
    NETWORK_NAMESPACE,
    MOUNT,                  /* value: enum mounting; text: path, more */
    CAPABILITY_BOUNDS,      /* values: what may remain, whether capabilities outlive the change of user */

    CAPABILITIES,           /* values: permitted, ambient */

    DEATH_SIGNAL,           /* values: signal, pid of the parent */

    LANDLOCK_RULES,         /* value: 1 what is read is looked at, 2 what is written, 3 both */
    LANDLOCK_PATH,          /* value: as above; text: path */
    LANDLOCK_ENFORCE,
    SYSTEM_CALLS,           /* value: the preset */
    CODES,
};

/* The first value of MOUNT; the second is said with each. */
enum mounting { KEEP, PUT, READ_ONLY, INACCESSIBLE, TMPFS, WRITE, DIRECTORY, LINK, SEAL, TERMINALS };

enum phase { SURROUNDINGS = OOM_SCORE, PLACE = MOUNT_NAMESPACE, RIGHTS = CAPABILITIES, PARENT = DEATH_SIGNAL,
             REFUSALS = LANDLOCK_RULES, END = CODES };

/* Whether the steps are of this version's making: known, and in the order in which they will be looked for. */
static int steps_are_in_order(const struct launch *launch)
{
    uint32_t before = 0;
    if (launch->spec->steps > STEPS_MOST)
        return 0;
    for (uint32_t i = 0; i < launch->spec->steps; i++) {
        const struct step *step = &launch->step[i];
        if (step->code < before || step->code < OOM_SCORE || step->code >= CODES || step->flags & ~ALL_STEP_FLAGS)
            return 0;
        before = step->code;
    }
    return 1;
}

/* ---- surroundings ------------------------------------------------------------------------------------------------ */

static long write_to(const char *path, const char *text, size_t size)
{
    long fd = CALL4(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    long result = CALL3(write, fd, text, size);
    CALL1(close, fd);
    return result;
}

/* A network of its own, with nothing but a loopback that works. netdevice(7) */
static long own_network(void)
{
    struct { char name[16]; int16_t flags; char more[22]; } request = {.name = "lo", .flags = 1 /* IFF_UP */};
    long result = CALL1(unshare, 0x40000000 /* CLONE_NEWNET */);
    if (result < 0)
        return result;
    long fd = CALL3(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    result = CALL3(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
    CALL1(close, fd);
    return result;
}

/* ---- mounts ------------------------------------------------------------------------------------------------------ */

/* What follows the first string of a text of `bytes`, its NUL included; empty where nothing does. */
static const char *after(const char *text, uint32_t bytes)
{
    uint32_t at = 0;
    while (at + 1 < bytes && text[at] != '\0')
        at++;
    return at + 1 < bytes ? text + at + 1 : text + bytes - 1;
}

static long keep(struct launch *launch, uint64_t slot, const char *path)
{
    long tree = copy_of(path);
    if (tree >= 0)
        launch->kept[slot] = (int)tree;
    return tree;
}

static long mount_step(struct launch *launch, const struct step *step, const char *path)
{
    const char *more = after(path, step->bytes);
    size_t rest = (size_t)(path + step->bytes - more) - 1;      /* without the NUL */
    uint64_t value = step->value[1];
    switch ((enum mounting)step->value[0]) {
    case KEEP:              /* value: the slot */
    case PUT:
        if (value >= KEPT_MOST)
            return -EINVAL;
        if (step->value[0] == KEEP)
            return keep(launch, value, path);
        return launch->kept[value] < 0 ? 0 : put(launch->kept[value], path);
    case READ_ONLY:
        return read_only(path);
    case INACCESSIBLE:
        return inaccessible(path);
    case TMPFS:             /* value: 1 read-only; more: options */
        return tmpfs(path, more, value ? MOUNT_RDONLY : 0);
    case WRITE:             /* value: uid, gid in the upper half; more: the contents */
        return write_file(path, more, rest, value & 0xffffffff, value >> 32);
    case DIRECTORY:         /* value: the mode */
        return CALL3(mkdirat, AT_FDCWD, path, value);
    case LINK:              /* more: where it leads */
        return CALL3(symlinkat, more, AT_FDCWD, path);
    case SEAL:
        return seal(path);
    case TERMINALS:
        return terminals(path);
    }
    return -EINVAL;
}

/* ---- capabilities(7) --------------------------------------------------------------------------------------------- */

enum { CAP_BITS = 64, PR_CAPBSET_READ_ = 23, PR_CAPBSET_DROP_ = 24, PR_SET_KEEPCAPS_ = 8, PR_CAP_AMBIENT_ = 47 };
enum { AMBIENT_IS_SET = 1, AMBIENT_RAISE = 2, AMBIENT_CLEAR_ALL = 4, PR_SET_PDEATHSIG_ = 1, PR_GET_NO_NEW_PRIVS_ = 39 };

static int has(uint64_t set, int number)
{
    return (int)(set >> number & 1);
}

static long bound_capabilities(const struct step *step)
{
    for (int number = 0; number < CAP_BITS; number++) {
        if (has(step->value[0], number) || CALL2(prctl, PR_CAPBSET_READ_, number) <= 0)
            continue;       /* to remain, not there, or beyond what this kernel knows */
        long result = CALL2(prctl, PR_CAPBSET_DROP_, number);
        if (result < 0)
            return result;
    }
    return step->value[1] ? CALL2(prctl, PR_SET_KEEPCAPS_, 1) : 0;
}

static long read_capabilities(uint64_t *permitted, uint64_t *inheritable)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct half[2] = {{0}};
    long result = CALL2(capget, &head, half);
    *permitted = half[0].permitted | (uint64_t)half[1].permitted << 32;
    *inheritable = half[0].inheritable | (uint64_t)half[1].inheritable << 32;
    return result;
}

static long set_capabilities(const struct step *step)
{
    uint64_t permitted, inheritable, ambient = step->value[1];
    long result = read_capabilities(&permitted, &inheritable);
    if (result < 0)
        return result;
    permitted &= step->value[0];
    if (ambient & ~permitted)
        return -EPERM;
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct half[2] = {
        {(uint32_t)permitted, (uint32_t)permitted, (uint32_t)ambient},
        {(uint32_t)(permitted >> 32), (uint32_t)(permitted >> 32), (uint32_t)(ambient >> 32)},
    };
    result = CALL2(capset, &head, half);
    if (result >= 0)
        result = CALL5(prctl, PR_CAP_AMBIENT_, AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int number = 0; result >= 0 && number < CAP_BITS; number++)
        if (has(ambient, number))
            result = CALL5(prctl, PR_CAP_AMBIENT_, AMBIENT_RAISE, number, 0, 0);
    return result;
}

/* That nothing is there which was to be gone. */
static void verify_rights(struct launch *launch)
{
    uint64_t permitted, inheritable;
    if (launch->spec->flags & NO_NEW_PRIVS && CALL5(prctl, PR_GET_NO_NEW_PRIVS_, 0, 0, 0, 0) != 1)
        fail(launch, EPERM);
    for (int number = 0; launch->bounding != NULL && number < CAP_BITS; number++)
        if (!has(launch->bounding->value[0], number) && CALL2(prctl, PR_CAPBSET_READ_, number) > 0)
            fail(launch, EPERM);
    if (launch->ambient == NULL)
        return;
    const uint64_t *value = launch->ambient->value;
    must(launch, read_capabilities(&permitted, &inheritable));
    if (permitted & ~value[0] || inheritable != value[1])
        fail(launch, EPERM);
    for (int number = 0; number < CAP_BITS; number++)
        if ((CALL5(prctl, PR_CAP_AMBIENT_, AMBIENT_IS_SET, number, 0, 0) == 1) != has(value[1], number))
            fail(launch, EPERM);
}

/* Of no use when the parent has died before this was asked for. */
static long set_death_signal(const struct step *step)
{
    long result = CALL2(prctl, PR_SET_PDEATHSIG_, step->value[0]);
    if (result >= 0 && CALL1(getppid, 0) != (long)step->value[1])
        return -ESRCH;
    return result;
}

/* ---- landlock(7) ------------------------------------------------------------------------------------------------- */

/* LANDLOCK_ACCESS_FS_*: 0 execute, 1 write file, 2 read file, 3 read dir, 4-12 make and remove, then by ABI: 13 refer
 * (2), 14 truncate (3), 15 ioctl on devices (5). */
enum { READS = 1 << 0 | 1 << 2 | 1 << 3, WRITES = 0x1ff2, REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEV = 1 << 15 };
enum { FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | TRUNCATE | IOCTL_DEV };
enum { RULE_PATH_BENEATH = 1, VERSION = 1, READ = 1, WRITTEN = 2 };

static long landlock_rights(uint64_t what)
{
    long abi = CALL3(landlock_create_ruleset, NULL, 0, VERSION);
    if (abi < 0)
        return abi;
    long writes = WRITES | (abi >= 2 ? REFER : 0) | (abi >= 3 ? TRUNCATE : 0) | (abi >= 5 ? IOCTL_DEV : 0);
    return (what & READ ? READS : 0) | (what & WRITTEN ? writes : 0);
}

static long begin_rules(struct launch *launch, const struct step *step)
{
    long handled = landlock_rights(step->value[0]);
    if (handled < 0)
        return handled;
    uint64_t attributes[1] = {(uint64_t)handled};
    return launch->ruleset = (int)CALL3(landlock_create_ruleset, attributes, sizeof attributes, 0);
}

static long allow_path(const struct launch *launch, const struct step *step, const char *path)
{
    struct { uint64_t allowed; int32_t fd; } __attribute__((packed)) rule;
    struct statx seen;
    long fd = CALL4(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    long result = CALL5(statx, fd, "", EMPTY_PATH, STATX_TYPE, &seen);
    if (result >= 0) {
        rule.allowed = (uint64_t)landlock_rights(step->value[0]);
        if (!MODE_IS_DIRECTORY(seen.stx_mode))
            rule.allowed &= FILE_RIGHTS;
        rule.fd = (int32_t)fd;
        result = CALL4(landlock_add_rule, launch->ruleset, RULE_PATH_BENEATH, &rule, 0);
    }
    CALL1(close, fd);
    return result;
}

/* ---- one after the other ----------------------------------------------------------------------------------------- */

static long take_step(struct launch *launch, const struct step *step, const char *text)
{
    switch ((enum code)step->code) {
    case OOM_SCORE:
        return write_to("/proc/self/oom_score_adj", text, step->bytes - 1);
    case IO_PRIORITY:
        return CALL3(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, step->value[0]);
    case CPU_AFFINITY:
        return CALL3(sched_setaffinity, 0, step->bytes - 1, text);
    case SCHEDULER: {
        int32_t priority = (int32_t)step->value[1];
        return CALL3(sched_setscheduler, 0, step->value[0], &priority);
    }
    case MOUNT_NAMESPACE: {
        long result = own_mounts();
        if (result >= 0)
            launch->mounts = OWN_MOUNTS;
        return result;
    }
    case NETWORK_NAMESPACE:
        return own_network();
    case MOUNT:
        if (launch->mounts != OWN_MOUNTS)
            return launch->mounts == NO_MOUNTS ? 0 : -EINVAL;
        return mount_step(launch, step, text);
    case CAPABILITY_BOUNDS:
        return bound_capabilities(launch->bounding = step);
    case CAPABILITIES:
        return set_capabilities(launch->ambient = step);
    case DEATH_SIGNAL:
        return set_death_signal(step);
    case LANDLOCK_RULES:
        return begin_rules(launch, step);
    case LANDLOCK_PATH:
        return launch->ruleset < 0 ? 0 : allow_path(launch, step, text);
    case LANDLOCK_ENFORCE:
        return launch->ruleset < 0 ? 0 : CALL2(landlock_restrict_self, launch->ruleset, 0);
    case SYSTEM_CALLS:
        return filter_calls(step->value[0]);
    case CODES:
        break;
    }
    return -EINVAL;
}

/* What an optional step leaves behind that could not be taken. */
static void leave_out(struct launch *launch, const struct step *step, long error)
{
    /* Without the namespace, or without what was to be kept, nothing may be hidden. */
    if (step->code == MOUNT_NAMESPACE || (step->code == MOUNT && step->value[0] == KEEP))
        launch->mounts = NO_MOUNTS;
    if (step->code == CAPABILITY_BOUNDS)
        launch->bounding = NULL;
    if (step->code == CAPABILITIES)
        launch->ambient = NULL;
    launch->report.stage = LEAVING_OUT_STEP;
    tell(launch, error);
}

/* The steps from where the last call stopped to the phase `until`. */
static void take_steps(struct launch *launch, enum phase until)
{
    for (; launch->next_step < launch->spec->steps; launch->next_step++) {
        const struct step *step = &launch->step[launch->next_step];
        if (step->code >= until)
            break;
        launch->report.stage = TAKING_STEP;
        launch->report.detail = launch->next_step;
        long result = take_step(launch, step, launch->text[launch->next_step]);
        if (result >= 0 || (result == -ENOENT && step->flags & IF_THERE))
            continue;
        if (!(step->flags & OPTIONAL))
            fail(launch, -result);
        leave_out(launch, step, -result);
    }
    launch->report.detail = 0;
}
