/*
 * The kernel's calls: a result, or minus errno. On x86-64 without a C library; elsewhere, and for the sanitizers
 * (SDSUPER_EXEC_LIBC), libc is only the way into the kernel.
 */

#include <errno.h>
#include <sys/syscall.h>

#if !defined(__x86_64__) && !defined(SDSUPER_EXEC_LIBC)
#define SDSUPER_EXEC_LIBC
#endif

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
