/*
 * sdsuper-exec: becomes a supervised program.
 *
 * The daemon starts it with posix_spawn: descriptors 0, 1 and 2 in their places, 3 a file with the spec, 4 the
 * report pipe, in a process group of its own. It applies the spec in one straight line and executes the program. This is the only place
 * where privileges change. It promises: no memory but two mappings, no environment read, no descriptor of the
 * daemon's left open, and either the program runs or one report is written and the exit status is 127.
 *
 * The spec, in the machine's byte order; the strings each end with a NUL and the last one ends the file:
 *
 *     u32 magic          "SDX1"
 *     u32 size           bytes of the whole spec
 *     u64 tag            echoed in the report
 *     u32 flags          OWN_STDIN 1, SET_USER 2, SET_UMASK 4, SET_NICE 8, NO_NEW_PRIVS 16
 *     u32 umask
 *     u32 uid
 *     u32 gid
 *     i32 nice
 *     u32 groups         supplementary groups that follow
 *     u32 rlimits        resource limits that follow
 *     u32 argc           1 at least
 *     u32 envc
 *     u32 zero
 *     u64 rlimit[][3]    number, soft, hard
 *     u32 group[]        ascending, none twice
 *     strings            cgroup.procs (empty: stay), directory (empty: stay), program, argv..., envp...
 *
 * The report is one write, smaller than PIPE_BUF, for all launches share the pipe:
 *
 *     u64 tag            0 when the spec was too broken to have one
 *     u32 pid
 *     u32 stage          enum stage
 *     u32 error          errno
 *     u32 detail         SETTING_RLIMIT: the limit's number
 *
 * On x86-64 it is built without a C library: half of a launch's time is the kernel mapping the image, and this one is a
 * page of code and no data. Elsewhere, and for the sanitizers (SDSUPER_EXEC_LIBC), libc is only its way into the kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#if !defined(__x86_64__) && !defined(SDSUPER_EXEC_LIBC)
#define SDSUPER_EXEC_LIBC
#endif

enum { SPEC_FD = 3, REPORT_FD = 4, FIRST_FOREIGN_FD = 5 };
enum { MAGIC = 0x31584453, SPEC_MOST_BYTES = 1 << 28, RLIMITS_MOST = 16, GROUPS_MOST = 65536, SIGNALS = 64 };
enum { OWN_STDIN = 1, SET_USER = 2, SET_UMASK = 4, SET_NICE = 8, NO_NEW_PRIVS = 16, ALL_FLAGS = 31 };

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
};

struct spec {
    uint32_t magic, size;
    uint64_t tag;
    uint32_t flags, umask, uid, gid;
    int32_t nice;
    uint32_t groups, rlimits, argc, envc, zero;
    uint64_t rlimit[][3];
};

struct report {
    uint64_t tag;
    uint32_t pid, stage, error, detail;
};

/* What is being launched. The pointers lead into the mapped spec and into one anonymous mapping. */
struct launch {
    struct report report;
    const struct spec *spec;
    const uint32_t *group;
    const char *cgroup, *directory, *program;
    const char **argv, **envp;
    uint32_t *group_now;
};

_Static_assert(sizeof(struct spec) == 56 && offsetof(struct spec, rlimit) == 56, "the daemon packs 56 bytes");
_Static_assert(sizeof(struct report) == 24 && sizeof(struct report) <= PIPE_BUF, "the daemon unpacks 24 bytes");

/* ---- the kernel: a result, or minus errno ------------------------------------------------------------------------ */

#ifdef SDSUPER_EXEC_LIBC
#include <unistd.h>

static long kernel(long number, long a, long b, long c, long d, long e, long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}
#else
static inline long kernel(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#endif

#define CALL1(name, a) kernel(SYS_##name, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(name, a, b) kernel(SYS_##name, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(name, a, b, c) kernel(SYS_##name, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(name, a, b, c, d) kernel(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL5(name, a, b, c, d, e) kernel(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static _Noreturn void leave(void)
{
    for (;;)
        CALL1(exit_group, 127);
}

static _Noreturn void fail(struct launch *launch, long error)
{
    launch->report.pid = (uint32_t)CALL1(getpid, 0);
    launch->report.error = (uint32_t)error;
    /* The write end blocks: a daemon that is behind makes us wait, it does not lose the report. */
    while (CALL3(write, REPORT_FD, &launch->report, sizeof launch->report) == -EINTR)
        ;
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

/* ---- the spec ---------------------------------------------------------------------------------------------------- */

/* Takes the string at *at, which must end before `end`. */
static const char *take(struct launch *launch, const char **at, const char *end)
{
    const char *start = *at;
    for (const char *byte = start; byte < end; byte++)
        if (*byte == '\0') {
            *at = byte + 1;
            return start;
        }
    fail(launch, EBADMSG);
}

static const char **take_all(struct launch *launch, const char **room, uint32_t count, const char **at, const char *end)
{
    for (uint32_t i = 0; i < count; i++)
        room[i] = take(launch, at, end);
    room[count] = NULL;
    return room;
}

static void read_spec(struct launch *launch)
{
    long size = must(launch, CALL3(lseek, SPEC_FD, 0, 2 /* SEEK_END */));
    if (size < (long)sizeof(struct spec) || size > SPEC_MOST_BYTES)
        fail(launch, EBADMSG);
    const struct spec *spec = map(launch, (size_t)size, PROT_READ, MAP_PRIVATE, SPEC_FD);
    must(launch, CALL1(close, SPEC_FD));
    if (spec->magic != MAGIC)
        fail(launch, EPROTO);
    launch->spec = spec;
    launch->report.tag = spec->tag;
    if (spec->size != size || spec->flags & ~(uint32_t)ALL_FLAGS || spec->rlimits > RLIMITS_MOST ||
        spec->groups > GROUPS_MOST || spec->argc < 1 || spec->argc > size || spec->envc > size)
        fail(launch, EBADMSG);

    const char *end = (const char *)spec + size;
    launch->group = (const uint32_t *)&spec->rlimit[spec->rlimits];
    size_t fixed = sizeof *spec + spec->rlimits * sizeof spec->rlimit[0] + spec->groups * sizeof *launch->group;
    if (fixed > (size_t)size)
        fail(launch, EBADMSG);
    const char *at = (const char *)spec + fixed;

    size_t pointers = (size_t)spec->argc + 1 + spec->envc + 1;
    const char **room = map(launch, pointers * sizeof *room + spec->groups * sizeof *launch->group,
                            PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    launch->group_now = (uint32_t *)(room + pointers);
    launch->cgroup = take(launch, &at, end);
    launch->directory = take(launch, &at, end);
    launch->program = take(launch, &at, end);
    launch->argv = take_all(launch, room, spec->argc, &at, end);
    launch->envp = take_all(launch, room + spec->argc + 1, spec->envc, &at, end);
    if (at != end)
        fail(launch, EBADMSG);
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

/* Writing 0 moves the writer, so nothing the program does happens outside its cgroup. */
static void join_cgroup(struct launch *launch)
{
    if (*launch->cgroup == '\0')
        return;
    long fd = must(launch, CALL4(openat, AT_FDCWD, launch->cgroup, O_WRONLY | O_CLOEXEC, 0));
    must(launch, CALL3(write, fd, "0", 1));
    must(launch, CALL1(close, fd));
}

/*
 * A pipe whose only end is opened for both directions: never at its end, since its reader could write, and no descriptor
 * in the daemon, which writes by way of /proc/PID/fd/0.
 */
static void open_stdin(struct launch *launch)
{
    static const char decimal[] = "0123456789";
    char path[] = "/proc/self/fd/0000000000";
    char *digits = path + sizeof "/proc/self/fd/" - 1;
    int ends[2];
    must(launch, CALL2(pipe2, ends, O_CLOEXEC));
    int shift = 0;
    for (int rest = ends[0]; rest >= 10; rest /= 10)
        shift++;
    digits[shift + 1] = '\0';
    for (int rest = ends[0]; shift >= 0; rest /= 10)
        digits[shift--] = decimal[rest % 10];
    long both = must(launch, CALL4(openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
    must(launch, CALL3(dup3, both, 0, 0));
}

static void set_rlimits(struct launch *launch)
{
    for (uint32_t i = 0; i < launch->spec->rlimits; i++) {
        launch->report.detail = (uint32_t)launch->spec->rlimit[i][0];
        must(launch, CALL4(prlimit64, 0, launch->spec->rlimit[i][0], &launch->spec->rlimit[i][1], NULL));
    }
    launch->report.detail = 0;
}

static void change_user(struct launch *launch)
{
    const struct spec *spec = launch->spec;
    if (spec->flags & OWN_STDIN)
        must(launch, CALL3(fchown, 0, spec->uid, spec->gid));   /* or the program could not open /dev/stdin */
    must(launch, CALL2(setgroups, spec->groups, launch->group));
    must(launch, CALL3(setresgid, spec->gid, spec->gid, spec->gid));
    must(launch, CALL3(setresuid, spec->uid, spec->uid, spec->uid));
}

/* The kernel keeps groups ascending, as the spec has them. */
static void verify_user(struct launch *launch)
{
    const struct spec *spec = launch->spec;
    uint32_t uid[3], gid[3];
    must(launch, CALL3(getresuid, &uid[0], &uid[1], &uid[2]));
    must(launch, CALL3(getresgid, &gid[0], &gid[1], &gid[2]));
    for (int i = 0; i < 3; i++)
        if (uid[i] != spec->uid || gid[i] != spec->gid)
            fail(launch, EPERM);
    long groups = CALL2(getgroups, spec->groups, launch->group_now);
    if (groups != spec->groups)
        fail(launch, EPERM);
    for (long i = 0; i < groups; i++)
        if (launch->group_now[i] != launch->group[i])
            fail(launch, EPERM);
}

/* What the daemon ignores, its children must not: execve resets handlers but keeps SIG_IGN. */
static void reset_signals(struct launch *launch)
{
    uint64_t none = 0, action[4] = {0};
    for (int number = 1; number <= SIGNALS; number++)
        if (number != SIGKILL && number != SIGSTOP)
            must(launch, CALL4(rt_sigaction, number, action, NULL, sizeof none));
    must(launch, CALL4(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none));
}

static _Noreturn void run(void)
{
    struct launch launch = {.report.stage = READING_SPEC};
    uint32_t *stage = &launch.report.stage;
    must(&launch, CALL3(fcntl, REPORT_FD, F_SETFD, FD_CLOEXEC));
    read_spec(&launch);
    uint32_t flags = launch.spec->flags;

    *stage = JOINING_CGROUP;
    join_cgroup(&launch);
    *stage = SETTING_NICE;
    if (flags & SET_NICE)
        must(&launch, CALL3(setpriority, 0 /* PRIO_PROCESS */, 0, launch.spec->nice));
    *stage = OPENING_STDIN;     /* before the limits: a small nofile is the program's, not ours */
    if (flags & OWN_STDIN)
        open_stdin(&launch);
    *stage = SETTING_RLIMIT;
    set_rlimits(&launch);
    *stage = CHANGING_USER;
    if (flags & SET_USER)
        change_user(&launch);
    if (flags & SET_UMASK)
        CALL1(umask, launch.spec->umask);   /* cannot fail */
    *stage = CHANGING_DIRECTORY;
    if (*launch.directory != '\0')
        must(&launch, CALL1(chdir, launch.directory));
    *stage = SETTING_NO_NEW_PRIVS;
    if (flags & NO_NEW_PRIVS)
        must(&launch, CALL5(prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0));
    *stage = VERIFYING_USER;
    if (flags & SET_USER)
        verify_user(&launch);
    *stage = CLOSING_DESCRIPTORS;
    must(&launch, CALL3(close_range, FIRST_FOREIGN_FD, ~0U, 0));
    *stage = RESETTING_SIGNALS;
    reset_signals(&launch);
    *stage = EXECUTING;
    must(&launch, CALL3(execve, launch.program, launch.argv, launch.envp));
    leave();
}

/* ---- the entry --------------------------------------------------------------------------------------------------- */

#ifdef SDSUPER_EXEC_LIBC
int main(void)
{
    run();
}
#else
uintptr_t __stack_chk_guard;

_Noreturn void __stack_chk_fail(void)
{
    leave();
}

/* `stack` is what the kernel leaves: argc, argv, envp, then the auxiliary vector, whose AT_RANDOM (25) feeds the guard. */
__attribute__((used, optimize("no-stack-protector"))) static _Noreturn void enter(const uintptr_t *stack)
{
    const uintptr_t *word = stack + 1 + stack[0] + 1;
    while (*word != 0)
        word++;
    for (word++; word[0] != 0; word += 2)
        if (word[0] == 25)
            __stack_chk_guard = *(const uintptr_t *)word[1] & ~(uintptr_t)0xff;
    run();
}

__asm__(".globl _start\n"
        "_start:\n\t"
        "endbr64\n\t"
        "xor %ebp, %ebp\n\t"
        "mov %rsp, %rdi\n\t"
        "and $-16, %rsp\n\t"
        "call enter\n\t"
        "ud2\n");
#endif
