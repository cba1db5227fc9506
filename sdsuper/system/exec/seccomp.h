/*
 * System calls that a program does not need: each answers EPERM, none kills.
 *
 * The filter looks at the architecture (calls of another one, and x32, are all refused, for their numbers mean other
 * things) and at the number. Making namespaces by clone is told by its flags; clone3 keeps its flags in memory, where no
 * filter can look, so it answers ENOSYS, and libraries go back to clone. Sources: seccomp(2), bpf of linux/filter.h.
 */

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

enum { SECCOMP_STANDARD = 1, SECCOMP_STRICT = 2 };
enum { X32_BIT = 0x40000000, NEW_NAMESPACES = 0x7e020000 };
enum { FILTER_MOST = 250 };     /* a jump is 8 bits wide */

/* Administration of the machine, and reaching into other processes. */
static const uint16_t refused_standard[] = {
    SYS_acct, SYS_add_key, SYS_bpf, SYS_clock_adjtime, SYS_clock_settime, SYS_delete_module, SYS_finit_module,
    SYS_init_module, SYS_kcmp, SYS_kexec_load, SYS_keyctl, SYS_mount, SYS_open_by_handle_at, SYS_perf_event_open,
    SYS_pivot_root, SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_reboot,
    SYS_request_key, SYS_setdomainname, SYS_sethostname, SYS_setns, SYS_settimeofday, SYS_swapoff, SYS_swapon,
    SYS_syslog, SYS_umount2, SYS_unshare, SYS_userfaultfd, SYS_vhangup,
    SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_mount_setattr, SYS_move_mount, SYS_open_tree,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_lookup_dcookie
    SYS_lookup_dcookie,
#endif
#ifdef SYS_nfsservctl
    SYS_nfsservctl,
#endif
#ifdef SYS_quotactl_fd
    SYS_quotactl_fd,
#endif
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
#ifdef SYS_create_module
    SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS__sysctl, SYS_uselib, SYS_ustat, SYS_sysfs,
#endif
};

/* What is seldom needed and often the way into the kernel. */
static const uint16_t refused_strict[] = {
    SYS_adjtimex, SYS_chroot, SYS_fanotify_init, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup,
    SYS_mbind, SYS_migrate_pages, SYS_move_pages, SYS_name_to_handle_at, SYS_personality, SYS_set_mempolicy,
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
#ifdef SYS_modify_ldt
    SYS_modify_ldt,
#endif
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
_Static_assert(COUNT_OF(refused_standard) + COUNT_OF(refused_strict) + 32 < FILTER_MOST, "jumps would be too wide");

struct program {
    uint16_t length;
    struct sock_filter code[FILTER_MOST];
};

/* One instruction; a jump to 255 is one to the refusal, whose place is known at the end. */
static void add(struct program *program, uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
    program->code[program->length++] = (struct sock_filter){code, yes, no, value};
}

enum { LOAD = BPF_LD | BPF_W | BPF_ABS, IS = BPF_JMP | BPF_JEQ | BPF_K, HAS = BPF_JMP | BPF_JSET | BPF_K };
enum { AT_LEAST = BPF_JMP | BPF_JGE | BPF_K, ANSWER = BPF_RET | BPF_K, REFUSE = 255 };

static void add_all(struct program *program, const uint16_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(program, IS, numbers[i], REFUSE, 0);
}

/* Where the lower half of an argument is. */
static uint32_t argument(unsigned number)
{
    uint32_t half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    return (uint32_t)offsetof(struct seccomp_data, args) + number * 8 + half;
}

static void add_strict(struct program *program)
{
    add_all(program, refused_strict, COUNT_OF(refused_strict));
    add(program, IS, SYS_socket, 0, 6);         /* families: unix, inet, inet6, netlink */
    add(program, LOAD, argument(0), 0, 0);
    add(program, IS, 1, 3, 0);
    add(program, IS, 2, 2, 0);
    add(program, IS, 10, 1, 0);
    add(program, IS, 16, 0, REFUSE);
    add(program, ANSWER, SECCOMP_RET_ALLOW, 0, 0);
    add(program, IS, SYS_ioctl, 0, 4);          /* typing into a terminal: TIOCSTI, TIOCLINUX */
    add(program, LOAD, argument(1), 0, 0);
    add(program, IS, 0x5412, REFUSE, 0);
    add(program, IS, 0x541c, REFUSE, 0);
    add(program, ANSWER, SECCOMP_RET_ALLOW, 0, 0);
}

/* Needs no_new_privs or CAP_SYS_ADMIN. */
static long filter_calls(uint64_t preset)
{
#ifdef OUR_ARCHITECTURE
    struct program program;
    program.length = 0;
    add(&program, LOAD, offsetof(struct seccomp_data, arch), 0, 0);
    add(&program, IS, OUR_ARCHITECTURE, 0, REFUSE);
    add(&program, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
#ifdef __x86_64__
    add(&program, AT_LEAST, X32_BIT, REFUSE, 0);
#endif
    add_all(&program, refused_standard, COUNT_OF(refused_standard));
    add(&program, IS, SYS_clone3, 0, 1);
    add(&program, ANSWER, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
    add(&program, IS, SYS_clone, 0, 3);
    add(&program, LOAD, argument(0), 0, 0);
    add(&program, HAS, NEW_NAMESPACES, REFUSE, 0);
    add(&program, ANSWER, SECCOMP_RET_ALLOW, 0, 0);
    if (preset == SECCOMP_STRICT)
        add_strict(&program);
    add(&program, ANSWER, SECCOMP_RET_ALLOW, 0, 0);
    uint16_t refusal = program.length;
    add(&program, ANSWER, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    for (uint16_t at = 0; at < refusal; at++) {
        struct sock_filter *code = &program.code[at];
        uint8_t distance = (uint8_t)(refusal - at - 1);
        if (code->jt == REFUSE)
            code->jt = distance;
        if (code->jf == REFUSE)
            code->jf = distance;
    }
    struct sock_fprog whole = {program.length, program.code};
    return CALL3(seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole);
#else
    (void)preset;
    return -EOPNOTSUPP;
#endif
}
