/* sdsuper.system._spawn: os.posix_spawn for sdsuper-exec, with one thing more: the child begins its life in a cgroup.
 *
 * Why it is here: a process that is moved into a cgroup (a write to cgroup.procs) waits for an RCU grace period whenever nobody
 * was moved shortly before, 7 ms in the median and 20 ms at worst on an idle machine. A child that clone3(2) makes
 * there waits for nothing, and there is no moment at which it is outside.
 *
 * Promises: the caller's memory is shared until the exec, as with vfork(2), so the cost does not grow with it; no signal handler
 * runs in the child; what the child does until then is setpgid, dup2 and execve, nothing else. Must not: know anything of
 * the spec. Sources: clone(2) (CLONE_INTO_CGROUP, since Linux 5.7), vfork(2), signal-safety(7).
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES_MOST 8
#define INTO_CGROUP 0x200000000ULL
#define VM 0x100ULL
#define VFORK 0x4000ULL

/* struct clone_args of linux/sched.h, which does not exist on every build machine in this size (CLONE_ARGS_SIZE_VER2). */
struct clone_request {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

struct birth {
    const char *path;
    int places[PLACES_MOST][2];
    int count;
    volatile int error;
};

static inline __attribute__((always_inline)) long clone3_here(struct clone_request *request, size_t size)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_clone3), "D"(request), "S"(size) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x0 __asm__("x0") = (long)request;
    register long x1 __asm__("x1") = (long)size;
    register long x8 __asm__("x8") = SYS_clone3;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x8) : "memory");
    return x0;
#else
    (void)request;
    (void)size;
    return -ENOSYS;
#endif
}

/* The child. A function of its own that never returns: the parent goes on in the frame below, which stays as it was. */
static __attribute__((noinline, noreturn)) void be_born(struct birth *birth)
{
    static char *const argv[] = {(char *)"sdsuper-exec", NULL};
    static char *const envp[] = {NULL};
    int i;

    if (setpgid(0, 0) == 0) {
        for (i = 0; i < birth->count; i++)
            if (dup2(birth->places[i][0], birth->places[i][1]) < 0)
                break;
        if (i == birth->count)
            execve(birth->path, argv, envp);
    }
    birth->error = errno;
    _exit(127);
}

/* With all signals blocked; they stay so in the child until sdsuper-exec resets them. */
static __attribute__((noinline)) long give_birth(struct birth *birth, int cgroup)
{
    struct clone_request request = {
        .flags = VM | VFORK | INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup,
    };
    long pid = clone3_here(&request, sizeof request);

    if (pid == 0)
        be_born(birth);
    return pid;
}

static PyObject *spawn(PyObject *module, PyObject *args)
{
    struct birth birth = {.error = 0};
    PyObject *path, *places;
    sigset_t all, before;
    int cgroup;
    long pid;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O!i:spawn", PyUnicode_FSConverter, &path, &PyList_Type, &places, &cgroup))
        return NULL;
    birth.path = PyBytes_AsString(path);
    for (Py_ssize_t i = 0; i < PyList_Size(places); i++) {
        PyObject *pair = PyList_GetItem(places, i);

        if (i == PLACES_MOST)
            PyErr_SetString(PyExc_ValueError, "too many descriptors");
        else if (!PyTuple_Check(pair))
            PyErr_SetString(PyExc_TypeError, "a descriptor and its number in the child expected");
        else if (PyArg_ParseTuple(pair, "ii", &birth.places[i][0], &birth.places[i][1]))
            continue;
        Py_DECREF(path);
        return NULL;
    }
    birth.count = (int)PyList_Size(places);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = give_birth(&birth, cgroup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_DECREF(path);
    if (pid < 0) {
        errno = (int)-pid;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (birth.error) {
        waitpid((pid_t)pid, NULL, 0);
        errno = birth.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(pid);
}

static PyMethodDef methods[] = {
    {"spawn", spawn, METH_VARARGS,
     "spawn(path, [(from, to), ...], cgroup) -> pid: run sdsuper-exec in a new process group and in the cgroup whose\n"
     "directory is the descriptor `cgroup`, with descriptors placed as by dup2. Raises OSError: ENOSYS or EPERM where\n"
     "clone3 may not be used."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "sdsuper.system._spawn", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__spawn(void)
{
    return PyModule_Create(&definition);
}
