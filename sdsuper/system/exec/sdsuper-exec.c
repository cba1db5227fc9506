/*
 * sdsuper-exec: becomes a supervised program.
 *
 * The daemon starts it with posix_spawn: descriptors 0, 1 and 2 in their places, 3 a file with the spec, 4 the
 * report pipe, 5 what the program says on that it is ready, if it is to, in a process group of its own. It applies the spec in one straight line and executes the program. This is the only place
 * where privileges change. It promises: no memory but two mappings, no environment read, no descriptor of the
 * daemon's left open, and either the program runs or one report of a failure is written and the exit status is 127.
 *
 * The spec, in the machine's byte order; the strings each end with a NUL and the last one ends the file:
 *
 *     u32 magic          "SDX1"
 *     u32 size           bytes of the whole spec
 *     u64 tag            echoed in the report
 *     u32 flags          OWN_STDIN 1, SET_USER 2, SET_UMASK 4, SET_NICE 8, NO_NEW_PRIVS 16, GIVE_READY 32;
 *                        bits 8 to 15: the number that descriptor 5 is to have, with GIVE_READY; 3 or more, not 4
 *     u32 umask
 *     u32 uid
 *     u32 gid
 *     i32 nice
 *     u32 groups         supplementary groups that follow
 *     u32 rlimits        resource limits that follow
 *     u32 argc           1 at least
 *     u32 envc
 *     u32 steps          steps that follow
 *     u64 rlimit[][3]    number, soft, hard
 *     step[]             u32 code, flags, bytes, zero; u64 value[2]: see sandbox.h
 *     u32 group[]        ascending, none twice
 *     strings            cgroup.procs (empty: stay), directory (empty: stay), program, argv..., envp...
 *     texts              of the steps, each of its step's bytes, the last of which is a NUL
 *
 * The report is one write, smaller than PIPE_BUF, for all launches share the pipe:
 *
 *     u64 tag            0 when the spec was too broken to have one
 *     u32 pid
 *     u32 stage          enum stage
 *     u32 error          errno
 *     u32 detail         SETTING_RLIMIT: the limit's number; TAKING_STEP, LEAVING_OUT_STEP: the step's
 *
 * LEAVING_OUT_STEP is the one stage after which the launch goes on.
 *
 * On x86-64 it is built without a C library: half of a launch's time is the kernel mapping the image, and this one is
 * two pages of code and no data. The parts: kernel.h calls, launch.h the records, sandbox.h the steps, with mounts.h
 * and seccomp.h. They are one translation unit, for everything here is called from one place.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/signal.h>

#include "kernel.h"
#include "launch.h"
#include "sandbox.h"

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
    uint32_t ready = spec->flags >> READY_SHIFT & 0xFF;
    if (spec->flags & GIVE_READY ? ready < 3 || ready == REPORT_FD : ready != 0)
        fail(launch, EBADMSG);
    if (spec->size != size || spec->flags & ~(uint32_t)ALL_FLAGS || spec->rlimits > RLIMITS_MOST ||
        spec->groups > GROUPS_MOST || spec->steps > STEPS_MOST || spec->argc < 1 || spec->argc > size ||
        spec->envc > size)
        fail(launch, EBADMSG);

    const char *end = (const char *)spec + size;
    launch->step = (const struct step *)&spec->rlimit[spec->rlimits];
    launch->group = (const uint32_t *)&launch->step[spec->steps];
    size_t fixed = sizeof *spec + spec->rlimits * sizeof spec->rlimit[0] + spec->steps * sizeof *launch->step +
                   spec->groups * sizeof *launch->group;
    if (fixed > (size_t)size || !steps_are_in_order(launch))
        fail(launch, EBADMSG);
    const char *at = (const char *)spec + fixed;

    size_t pointers = (size_t)spec->argc + 1 + spec->envc + 1 + spec->steps;
    size_t kept = spec->steps ? KEPT_MOST : 0;
    const char **room = map(launch, pointers * sizeof *room + spec->groups * sizeof *launch->group +
                            kept * sizeof *launch->kept, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    launch->group_now = (uint32_t *)(room + pointers);
    launch->kept = (int *)(launch->group_now + spec->groups);
    for (size_t i = 0; i < kept; i++)
        launch->kept[i] = -1;
    launch->cgroup = take(launch, &at, end);
    launch->directory = take(launch, &at, end);
    launch->program = take(launch, &at, end);
    launch->argv = take_all(launch, room, spec->argc, &at, end);
    launch->envp = take_all(launch, room + spec->argc + 1, spec->envc, &at, end);
    launch->text = room + spec->argc + 1 + spec->envc + 1;
    for (uint32_t i = 0; i < spec->steps; i++) {
        uint32_t bytes = launch->step[i].bytes;
        if (bytes < 1 || bytes > (size_t)(end - at) || at[bytes - 1] != '\0')
            fail(launch, EBADMSG);
        launch->text[i] = at;
        at += bytes;
    }
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

/* Descriptor 5 gets the number that the program expects, and is closed where it has no business. */
static void place_ready(struct launch *launch)
{
    int number = (int)(launch->spec->flags >> READY_SHIFT & 0xFF);
    if ((launch->spec->flags & GIVE_READY) && number != READY_FD)
        must(launch, CALL3(dup3, READY_FD, number, 0));
    if (!(launch->spec->flags & GIVE_READY) || number != READY_FD)
        CALL1(close, READY_FD);             /* it may not be there */
}

static _Noreturn void run(void)
{
    struct launch launch = {.report.stage = READING_SPEC, .ruleset = -1};
    uint32_t *stage = &launch.report.stage;
    must(&launch, CALL3(fcntl, REPORT_FD, F_SETFD, FD_CLOEXEC));
    read_spec(&launch);
    uint32_t flags = launch.spec->flags;

    *stage = JOINING_CGROUP;
    join_cgroup(&launch);
    *stage = SETTING_NICE;
    if (flags & SET_NICE)
        must(&launch, CALL3(setpriority, 0 /* PRIO_PROCESS */, 0, launch.spec->nice));
    take_steps(&launch, PLACE);
    *stage = OPENING_STDIN;     /* this and mounts before the limits: a small nofile is the program's, not ours */
    if (flags & OWN_STDIN)
        open_stdin(&launch);
    take_steps(&launch, RIGHTS);
    *stage = SETTING_RLIMIT;
    set_rlimits(&launch);
    *stage = CHANGING_USER;
    if (flags & SET_USER)
        change_user(&launch);
    take_steps(&launch, PARENT);
    if (flags & SET_UMASK)
        CALL1(umask, launch.spec->umask);   /* cannot fail */
    *stage = CHANGING_DIRECTORY;
    if (*launch.directory != '\0')
        must(&launch, CALL1(chdir, launch.directory));
    take_steps(&launch, REFUSALS);
    *stage = SETTING_NO_NEW_PRIVS;
    if (flags & NO_NEW_PRIVS)
        must(&launch, CALL5(prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0));
    take_steps(&launch, END);
    *stage = VERIFYING_USER;
    if (flags & SET_USER)
        verify_user(&launch);
    *stage = VERIFYING_RIGHTS;
    verify_rights(&launch);
    *stage = CLOSING_DESCRIPTORS;
    must(&launch, CALL3(close_range, FIRST_FOREIGN_FD, ~0U, 0));
    place_ready(&launch);
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
