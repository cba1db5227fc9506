#!/usr/bin/python3
"""Tries what a program can still do: one line for each operation, `allowed` or `denied ERRNO`, in a stable order.

Run as a program of the daemon, below a unit or in a sandbox, it shows what that takes away; the lines are compared with
a file. Each operation is tried in a process of its own, so that one which is killed is told as `killed SIGNAL`. None of
them changes the machine where it is allowed: times and names are set to what they are, what is made is removed, and
calls that could do harm have arguments that are refused later than rights are looked at.

    probe.py [--marker FILE] [--only WORD]

The marker is a file of the machine that a program should or should not see (default /tmp/probe-marker). Needs nothing
but Python; x86-64 and aarch64. Sources: the manual pages of the calls.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import sys
import termios
import time
from collections.abc import Callable, Iterator

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
#: x86-64, aarch64 (-1: has none)
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chroot": (161, 51),
    "clock_settime": (227, 112), "clone3": (435, 435), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "fsopen": (430, 430), "init_module": (175, 105), "io_uring_setup": (425, 425), "ioperm": (173, -1),
    "iopl": (172, -1), "kcmp": (312, 272), "kexec_load": (246, 104), "keyctl": (250, 219), "mount": (165, 40),
    "open_by_handle_at": (304, 265), "perf_event_open": (298, 241), "personality": (135, 92),
    "pivot_root": (155, 41), "process_vm_readv": (310, 270), "ptrace": (101, 117), "quotactl": (179, 60),
    "reboot": (169, 142), "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vhangup": (153, 58),
}
DENIALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS, errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.ENXIO,
           errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ENOENT}
Probe = Callable[[], object]


def call(name: str, *arguments: object) -> int:
    """A system call by number. Raises OSError."""
    number = NUMBERS[name][0 if X86 else 1]
    if number < 0:
        raise OSError(errno.ENOSYS, name)
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *[
        argument if isinstance(argument, bytes | ctypes.Array | ctypes.Structure) else ctypes.c_long(int(argument))
        for argument in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def tried(name: str, *arguments: object) -> Probe:
    """The call as a probe."""
    return lambda: call(name, *arguments)


def made(directory: str) -> Probe:
    """Make a file in a directory, and remove it."""
    def probe() -> None:
        path = f"{directory}/.probe-{os.getpid()}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(path)
    return probe


def listed(directory: str) -> Probe:
    """See something in a directory."""
    def probe() -> None:
        if not os.listdir(directory):
            raise OSError(errno.ENXIO, "empty")
    return probe


def opened(path: str, flags: int) -> Probe:
    """Open a file and read or write nothing."""
    return lambda: os.close(os.open(path, flags | os.O_CLOEXEC))


def rewritten(path: str) -> Probe:
    """Write into a file of the kernel what is in it."""
    def probe() -> None:
        with open(path, "r+b", buffering=0) as file:
            text = file.read(4096)
            file.seek(0)
            file.write(text)
    return probe


def family(number: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> Probe:
    return lambda: socket.socket(number, kind, protocol).close()


# ---- operations that take more than a line ------------------------------------------------------------------------

def disk() -> None:
    """Read from the first disk that there is."""
    for name in sorted(os.listdir("/sys/block")):
        if name.startswith(("vd", "sd", "nvme", "xvd")):
            fd = os.open(f"/dev/{name}", os.O_RDONLY)
            os.read(fd, 512)
            os.close(fd)
            return
    raise OSError(errno.ENOENT, "no disk")


def node() -> None:
    for directory in ("/tmp", "/dev/shm"):
        path = f"{directory}/.probe-{os.getpid()}"
        try:
            os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 0))
        except FileNotFoundError:
            continue
        os.unlink(path)
        return


def set_user_id() -> None:
    path = f"/dev/shm/.probe-{os.getpid()}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    try:
        os.fchmod(fd, 0o4700)
    finally:
        os.close(fd)
        os.unlink(path)


def gained() -> None:
    """Whether a set-user-ID program would gain anything: what no_new_privs takes away."""
    if LIBC.prctl(39, 0, 0, 0, 0) == 1:
        raise OSError(errno.EPERM, "no_new_privs")


def clock() -> None:
    if LIBC.clock_settime(0, ctypes.byref((ctypes.c_long * 2)(int(time.time()), time.time_ns() % 10**9))) < 0:
        raise OSError(ctypes.get_errno(), "clock_settime")


def trace() -> None:
    """Attach to a child of one's own."""
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    try:
        call("ptrace", 16, child, 0, 0)
        os.waitpid(child, 0)
        call("ptrace", 17, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def peek() -> None:
    """Read memory of the parent."""
    place = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(place), 8)
    call("process_vm_readv", os.getppid(), vector, 1, vector, 1, 0)


def clone_user() -> None:
    """A user namespace by clone."""
    number = 56 if X86 else 220
    result = LIBC.syscall(ctypes.c_long(number), ctypes.c_long(0x10000000 | signal.SIGCHLD), *[ctypes.c_long(0)] * 4)
    if result < 0:
        raise OSError(ctypes.get_errno(), "clone")
    if result == 0:
        os._exit(0)
    os.waitpid(result, 0)


def low_port() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 87))


def outside() -> None:
    """Reach beyond the loopback, whether somebody answers or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))


def loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
        pass


def typed() -> None:
    """Type into a terminal of one's own."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    master, slave = os.openpty()
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    finally:
        os.close(master)
        os.close(slave)


def written_and_run() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        pass


def cgroup_below() -> None:
    with open("/proc/self/cgroup", encoding="ascii") as file:
        own = next(line.strip()[3:] for line in file if line.startswith("0::"))
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(f"{top}{own}/cgroup.procs"):
            path = f"{top}{own}/probe-{os.getpid()}"
            os.mkdir(path)
            os.rmdir(path)
            return
    raise OSError(errno.EACCES, "not seen")


def other_architecture() -> None:
    """A call of 32-bit code, from a page of it."""
    if not X86:
        raise OSError(errno.ENOSYS, "none")
    # mov eax, 20 (getpid); int 0x80; ret
    code = bytes.fromhex("b814000000cd80c3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result = run()
    if result < 0:
        raise OSError(-result, "int 0x80")


def raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except ValueError:          # what Python makes of EPERM here
        raise OSError(errno.EPERM, "setrlimit") from None


def locked() -> None:
    if LIBC.mlock(ctypes.create_string_buffer(4096), 4096) < 0:
        raise OSError(ctypes.get_errno(), "mlock")


def less_killable() -> None:
    with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
        score = int(file.read())
        file.seek(0)
        file.write(str(max(score - 1, -1000)))


def mounted(kind: str) -> Probe:
    def probe() -> None:
        if kind == "tmpfs":
            call("mount", b"none\0", b"/mnt\0", b"tmpfs\0", 0, 0)
        else:
            call("mount", b"/usr\0", b"/mnt\0", 0, 4096, 0)
        call("umount2", b"/mnt\0", 2)
    return probe


def probes(marker: str) -> Iterator[tuple[str, Probe, tuple[int, ...]]]:
    """(name, what is tried, errors that come after rights were looked at)."""
    exists = (errno.ENOENT,)
    bad = (errno.EINVAL, errno.EFAULT, errno.ENOEXEC, errno.ESRCH, errno.EBADF, errno.EOPNOTSUPP)
    for directory in ("/usr", "/etc", "/boot", "/var/lib", "/var/log", "/tmp", "/var/tmp", "/run", "/dev/shm", "/home",
                      "/root", "/opt"):
        yield f"write {directory}", made(directory), ()
    for directory in ("/home", "/root", "/run/user"):
        yield f"list {directory}", listed(directory), ()
    yield "see the marker", lambda: os.stat(marker), ()
    yield "read /etc/shadow", opened("/etc/shadow", os.O_RDONLY), ()
    yield "write /dev/null", opened("/dev/null", os.O_WRONLY), ()
    yield "terminal", lambda: [os.close(fd) for fd in os.openpty()], ()
    yield "read /dev/kmsg", opened("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK), ()
    yield "read /dev/mem", opened("/dev/mem", os.O_RDONLY), ()
    yield "read a disk", disk, ()
    yield "make a device", node, ()
    yield "make a set-user-ID file", set_user_id, ()
    yield "gain rights by exec", gained, ()

    yield "write a sysctl", rewritten("/proc/sys/kernel/panic"), ()
    yield "write /sys", rewritten("/sys/kernel/mm/transparent_hugepage/defrag"), (errno.EINVAL,)
    yield "open sysrq-trigger", opened("/proc/sysrq-trigger", os.O_WRONLY), ()
    yield "own cgroup", cgroup_below, ()
    yield "read the kernel's log", tried("syslog", 10, 0, 0), bad
    yield "load a module", tried("init_module", b"x", 1, b"\0"), bad
    yield "remove a module", tried("delete_module", b"probe_none\0", 0), exists
    yield "load a kernel", tried("kexec_load", 0, 0, 0, 0), bad
    yield "reboot", tried("reboot", 0xFEE1DEAD, 672274793, 0x11111111, 0), bad
    yield "swap", tried("swapon", b"/none\0", 0), exists
    yield "quota", tried("quotactl", 0x800002 << 8, b"/none\0", 0, 0), (*bad, *exists)
    yield "accounting", tried("acct", b"/none\0"), exists
    yield "set the clock", clock, ()
    yield "settimeofday", tried("settimeofday", 0, 0), bad
    yield "set the host name", tried("sethostname", os.uname().nodename.encode(), len(os.uname().nodename)), ()
    yield "ports of the processor", tried("iopl", 3), ()
    yield "bpf", tried("bpf", 0, 0, 0), bad
    yield "perf", tried("perf_event_open", 0, -1, -1, -1, 0), bad
    yield "user faults", tried("userfaultfd", 0), bad
    yield "keys", tried("keyctl", 0, -3, 0), (errno.ENOKEY,)
    yield "io_uring", tried("io_uring_setup", 0, 0), bad
    yield "fanotify", tried("fanotify_init", 0, 0), bad
    yield "personality", tried("personality", 0x0040000), ()
    yield "vhangup", tried("vhangup"), ()
    yield "32-bit calls", other_architecture, ()
    yield "write and execute memory", written_and_run, ()

    for name, flag in (("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000), ("uts", 0x4000000),
                       ("ipc", 0x8000000), ("user", 0x10000000), ("cgroup", 0x2000000)):
        yield f"namespace {name}", tried("unshare", flag), ()
    yield "user namespace by clone", clone_user, ()
    yield "clone3", tried("clone3", 0, 0), bad
    yield "enter a namespace", tried("setns", -1, 0), bad
    yield "mount a tmpfs", mounted("tmpfs"), ()
    yield "bind mount", mounted("bind"), ()
    yield "open a file system", tried("fsopen", b"tmpfs\0", 0), ()
    yield "chroot", tried("chroot", b"/\0"), ()
    yield "pivot_root", tried("pivot_root", b"/none\0", b"/none\0"), exists
    yield "open by handle", tried("open_by_handle_at", -1, 0, 0), bad

    yield "trace a child", trace, ()
    yield "read the parent's memory", peek, bad
    yield "kcmp", tried("kcmp", os.getpid(), os.getpid(), 1, 0, 0), bad
    yield "signal pid 1", lambda: os.kill(1, 0), ()
    yield "see pid 1's environment", opened("/proc/1/environ", os.O_RDONLY), exists
    yield "see pid 1's files", lambda: os.listdir("/proc/1/root/"), ()
    yield "become another user", lambda: (os.setgroups([65534]), os.setresuid(65534, 65534, 65534)), ()
    yield "nice -5", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5), ()
    yield "real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), ()
    yield "raise a limit", raised, ()
    yield "lock memory", locked, ()
    yield "be killed later", less_killable, ()

    for name, number, kind in (("unix", 1, 1), ("inet", 2, 1), ("inet6", 10, 1), ("netlink", 16, 3), ("packet", 17, 3),
                               ("alg", 38, 5), ("vsock", 40, 1)):
        yield f"socket {name}", family(number, kind), ()
    yield "raw socket", family(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), ()
    yield "port below 1024", low_port, (errno.EADDRINUSE,)
    yield "loopback", loopback, ()
    yield "network outside", outside, ()
    yield "type into a terminal", typed, (errno.EIO,)       # switched off on the whole machine


def outcome(probe: Probe, later: tuple[int, ...]) -> str:
    """What becomes of it in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(20)
        try:
            probe()
            text = "allowed"
        except OSError as error:
            number = error.errno or 0
            if number in later:
                text = "allowed"
            else:
                name = errno.errorcode.get(number, str(number))
                text = f"denied {name}" if number in DENIALS else f"failed {name}"
        except BaseException as error:
            text = f"failed {type(error).__name__}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 100).decode()
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return text or f"killed {signal.Signals(-status).name if status < 0 else status}"


def main(words: list[str]) -> int:
    """Try them all, or those with a word in their name."""
    given = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or set(given) - {"--marker", "--only"}:
        sys.stderr.write("usage: probe.py [--marker FILE] [--only WORD]\n")
        return 2
    for name, probe, later in probes(given.get("--marker", "/tmp/probe-marker")):
        if given.get("--only", "") in name:
            sys.stdout.write(f"{name:<26} {outcome(probe, later)}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
