"""Children: make them, signal them, reap them, write to them.

Promises: a child is made by os.posix_spawn of `sdsuper-exec` (where it is to be born in a cgroup: by our own twin of
posix_spawn, exec/spawn.c), at a cost that does not grow with the daemon's memory; it leads a process group of its own
before `spawn` returns; what goes wrong after that arrives as a Report. Must not: decide anything, or run Python code in
a child.

The daemon keeps descriptors 0 to 9 for this: 0, 1 and 2 as they were given, 3 to 9 taken by placeholders, so that
whatever a child is given has a number of 10 or more and the placing of one never overwrites another. Sources:
posix_spawn(3), memfd_create(2), proc_pid_fd(5), pipe(7), prctl(2) PR_SET_CHILD_SUBREAPER.

The layout of the spec for `sdsuper-exec`, and of its report, is at the top of exec/sdsuper-exec.c.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from errno import EAGAIN, EINVAL, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSYS, EPERM, EPIPE
from stat import S_IMODE, S_ISDIR, S_ISFIFO
from struct import Struct
from typing import NamedTuple

from sdsuper.config.model import User
from sdsuper.errors import SpawnError
from sdsuper.system.limits import NAMES
from sdsuper.system.sandbox import Steps

SpawnInto = Callable[[str, list[tuple[int, int]], int], int]
spawn_into: SpawnInto | None
try:
    from sdsuper.system._spawn import spawn as spawn_into
except ImportError:             # built without it: sdsuper-exec joins the cgroup itself, which may wait for the kernel
    spawn_into = None

FIRST_FD = 10
SAME_AS_STDOUT = -1

_MAGIC = 0x31584453
_OWN_STDIN, _SET_USER, _SET_UMASK, _SET_NICE, _NO_NEW_PRIVS, _GIVE_READY = 1, 2, 4, 8, 16, 32
_HEAD = Struct("=IIQIIIIiIIIII")
_RLIMIT = Struct("=QQQ")
_REPORT = Struct("=QIIII")
_INFINITY = (1 << 64) - 1
_REPORTS_MOST = 1024
_MFD_NOEXEC_SEAL = 0x0008

#: What sdsuper-exec was doing, by the stage number of its report.
STAGES = (
    "reading the spec", "joining the cgroup", "setting nice", "opening stdin", "setting the limit", "changing user",
    "changing directory", "setting no new privs", "verifying the user", "closing descriptors", "resetting signals",
    "executing", "taking step", "leaving out step", "verifying rights",
)
LEFT_OUT = STAGES[13]       # the one after which the child goes on


class NotFound(SpawnError):
    """The command is not there; a client gets the fault NO_FILE for it, and NOT_EXECUTABLE for any other SpawnError."""


class Launch(NamedTuple):
    """One child to make.

    `environment` is a mapping, or what `environment_block` made of one. `rlimits` are (number, soft, hard), -1 is
    infinity. `cgroup` is a directory of a cgroup2 file system. Descriptors: `stdin` None gives the child a pipe of
    its own that never ends, `stdout` and `stderr` None give /dev/null, `stderr` SAME_AS_STDOUT what stdout got. Each
    is FIRST_FD or more, or already has the number that it shall have in the child.
    """

    tag: int
    path: str
    argv: Sequence[str]
    environment: Mapping[str, str] | bytes = b""
    directory: str | None = None
    umask: int | None = None
    user: User | None = None
    nice: int | None = None
    rlimits: tuple[tuple[int, int, int], ...] = ()
    cgroup: str | None = None
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    no_new_privs: bool = False       # prctl(2) PR_SET_NO_NEW_PRIVS: nothing it executes gains rights
    steps: Steps = Steps()           # what more is to be done, in their order
    ready: tuple[int, int] | None = None    # a descriptor more, and its number in the child: 3, or 5 to 255


class Report(NamedTuple):
    """Why a child could not become its program; it has ended with status 127 or soon will. `error` is an errno."""

    tag: int
    pid: int
    stage: str
    error: int
    detail: int


def environment_block(environment: Mapping[str, str]) -> bytes:
    """The environment as sdsuper-exec takes it: `name=value` and a NUL each. Blocks may be joined, names must not
    repeat."""
    return _strings([f"{name}={value}" for name, value in environment.items()])


class Launcher:
    """Makes children by way of sdsuper-exec. Holds three descriptors: the report pipe and /dev/null."""

    def __init__(self, path: str | None = None) -> None:
        """`path` of sdsuper-exec; by default the one that was installed with this package. Raises OSError without
        one."""
        self._path = path or os.path.join(os.path.dirname(__file__), "exec", "sdsuper-exec")
        if not os.access(self._path, os.X_OK):
            raise OSError(ENOENT, "not there or not executable", self._path)
        self._placeholders = reserve_low_fds()
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.report_fd, self._report_write = os.pipe()
        os.set_blocking(self.report_fd, False)
        self._own_user = (os.geteuid(), os.getegid())
        self._born = spawn_into
        try:
            os.close(os.memfd_create("sdsuper", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL))
            self._memfd_flags = os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL
        except OSError as problem:      # before Linux 6.3
            if problem.errno != EINVAL:
                raise
            self._memfd_flags = os.MFD_CLOEXEC

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._null, self.report_fd, self._report_write, *self._placeholders):
            os.close(fd)
        self._placeholders.clear()

    def spawn(self, launch: Launch) -> int:
        """Make a child and return its pid. Raises OSError: out of processes (EAGAIN), memory or descriptors.

        Raises ValueError for a NUL in one of the strings. The child is alone in its process group already.
        """
        if launch.cgroup is not None and self._born is not None:
            pid = self._spawn_born(launch, launch.cgroup, self._born)
            if pid is not None:
                return pid
        spec = self._written(launch)
        try:
            placing = [(os.POSIX_SPAWN_DUP2, fd, target) for fd, target in self._places(launch, spec)]
            return os.posix_spawn(self._path, ("sdsuper-exec",), {}, file_actions=placing, setpgroup=0)
        except OSError as problem:
            if problem.errno in (EAGAIN, ENOMEM):
                problem.filename = None         # the file is there, only the process is not
            raise
        finally:
            os.close(spec)

    def _spawn_born(self, launch: Launch, cgroup: str, spawn: SpawnInto) -> int | None:
        """A child that is born in its cgroup, or None: then sdsuper-exec joins it, or reports why that cannot be."""
        try:
            directory = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            spec = self._written(launch._replace(cgroup=None))
            try:
                return spawn(self._path, self._places(launch, spec), directory)
            finally:
                os.close(spec)
        except OSError as problem:
            if problem.errno in (EAGAIN, EMFILE, ENFILE, ENOMEM):
                raise
            if problem.errno in (ENOSYS, EPERM, EINVAL):
                self._born = None       # before Linux 5.7, or a container's filter
            return None
        finally:
            os.close(directory)

    def _written(self, launch: Launch) -> int:
        """A memfd with the spec."""
        text = self._spec(launch)
        spec = os.memfd_create("sdsuper", self._memfd_flags)
        try:
            os.write(spec, text)
        except OSError:
            os.close(spec)
            raise
        return spec

    def _places(self, launch: Launch, spec: int) -> list[tuple[int, int]]:
        """(descriptor, number in the child)."""
        stdout = self._null if launch.stdout is None else launch.stdout
        stderr = self._null if launch.stderr is None else launch.stderr
        places = [(stdout, 1), (stdout if stderr == SAME_AS_STDOUT else stderr, 2), (spec, 3), (self._report_write, 4)]
        if launch.stdin is not None:
            places.append((launch.stdin, 0))
        if launch.ready is not None:
            places.append((launch.ready[0], 5))
        return places

    def reports(self) -> list[Report]:
        """The reports that have come in, oldest first. To be looked at before an exit of the same child is judged."""
        try:
            data = os.read(self.report_fd, _REPORT.size * _REPORTS_MOST)
        except BlockingIOError:
            return []
        return [Report(tag, pid, STAGES[stage] if stage < len(STAGES) else f"stage {stage}", error, detail)
                for tag, pid, stage, error, detail in _REPORT.iter_unpack(data)]

    def _spec(self, launch: Launch) -> bytes:
        tag, path, argv, environment, directory, umask, user, nice, rlimits, cgroup, stdin = launch[:11]
        flags = _OWN_STDIN if stdin is None else 0
        uid = gid = 0
        groups: list[int] = []
        # An unprivileged daemon may run programs as itself, though it cannot set groups.
        if user is not None and (self._own_user[0] == 0 or self._own_user != (user.uid, user.gid)):
            flags |= _SET_USER
            uid, gid, groups = user.uid, user.gid, sorted(set(user.groups))
        if umask is not None:
            flags |= _SET_UMASK
        if nice is not None:
            flags |= _SET_NICE
        if launch.no_new_privs:
            flags |= _NO_NEW_PRIVS
        if launch.ready is not None:
            flags |= _GIVE_READY | launch.ready[1] << 8
        if not isinstance(environment, bytes):
            environment = environment_block(environment)
        fixed = b"".join([_RLIMIT.pack(number, soft & _INFINITY, hard & _INFINITY) for number, soft, hard in rlimits])
        records, texts = launch.steps.packed() if launch.steps else (b"", b"")
        fixed += records
        if groups:
            fixed += Struct(f"={len(groups)}I").pack(*groups)
        strings = _strings((f"{cgroup}/cgroup.procs" if cgroup else "", directory or "", path, *argv))
        size = _HEAD.size + len(fixed) + len(strings) + len(environment) + len(texts)
        head = _HEAD.pack(_MAGIC, size, tag, flags, umask or 0, uid, gid, nice or 0, len(groups), len(rlimits),
                          len(argv), environment.count(b"\0"), len(launch.steps))
        return b"".join((head, fixed, strings, environment, texts))


def describe(report: Report, launch: Launch) -> str:
    """The report in words: `changing directory to /srv/web: Permission denied`."""
    if report.stage in STAGES[12:14] and report.detail < len(launch.steps):
        return f"{launch.steps[report.detail].words}: {os.strerror(report.error)}"
    user = launch.user.name if launch.user else ""
    asked = [f"{soft}:{hard}" for number, soft, hard in launch.rlimits if number == report.detail]
    what = {
        "joining the cgroup": launch.cgroup,
        "setting nice": f"to {launch.nice}",
        "setting the limit": f"{NAMES.get(report.detail)} to {''.join(asked).replace('-1', 'infinity')}",
        "changing user": f"to {user}",
        "verifying the user": user,
        "changing directory": f"to {launch.directory}",
        "executing": launch.path,
    }.get(report.stage)
    return f"{report.stage}{f' {what}' if what else ''}: {os.strerror(report.error)}"


# ---- commands -----------------------------------------------------------------------------------------------------

def resolve_command(argv0: str, search_path: str | None) -> str:
    """The file that a command names, found as Supervisor 4.3.0 finds it, in its words when it is not usable.

    `search_path` is PATH of the child's environment, None or empty without one. A name with a slash is taken as it
    is; else the first directory that has the name counts, usable or not. Raises NotFound, or SpawnError for what is
    there but cannot be run.
    """
    found = argv0
    mode = None
    if "/" in argv0:
        mode = _mode(argv0)
    else:
        for directory in (search_path or "/bin:/usr/bin:/usr/local/bin").split(":"):
            candidate = os.path.join(directory, argv0)
            mode = _mode(candidate)
            if mode is not None:
                found = candidate
                break
    if mode is None:
        raise NotFound(f"can't find command {found!r}")
    if S_ISDIR(mode):
        raise SpawnError(f"command at {found!r} is a directory")
    if not S_IMODE(mode) & 0o111:
        raise SpawnError(f"command at {found!r} is not executable")
    if not os.access(found, os.X_OK):
        raise SpawnError(f"no permission to run command {found!r}")
    return found


# ---- the living ---------------------------------------------------------------------------------------------------

def reap(most: int = 1000) -> list[tuple[int, int]]:
    """Take the ended children, `most` of them at a time: (pid, status of waitpid(2)) in the kernel's order."""
    ended: list[tuple[int, int]] = []
    while len(ended) < most:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        ended.append((pid, status))
    return ended


def open_stdin(pid: int) -> int:
    """A descriptor that writes to a child's stdin and never blocks; the caller closes it.

    Raises OSError: EPIPE when its stdin is not (or no more) a pipe, ENOENT when it is closed or the child gone, EACCES
    where the daemon may not look into the child (a container without CAP_SYS_PTRACE and a child of another user).

    The child decides what its descriptor 0 is. It is looked at without being opened first, so that no device, no
    named FIFO and no file of the child's choice is written to by a privileged daemon.
    """
    name = f"/proc/{pid}/fd/0"
    look = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        seen = os.fstat(look)
        if not S_ISFIFO(seen.st_mode) or seen.st_dev != _pipe_device():
            raise BrokenPipeError(EPIPE, "is not a pipe", name)
        return os.open(f"/proc/self/fd/{look}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(look)


# ---- the daemon itself --------------------------------------------------------------------------------------------

def reserve_low_fds() -> list[int]:
    """Make sure that descriptors 0 to 9 are taken: 0, 1, 2 by /dev/null where closed, the rest by placeholders.

    To be called before anything else is opened. Returns the placeholders that this call made.
    """
    made: list[int] = []
    while True:
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if fd >= FIRST_FD:
            os.close(fd)
            return made
        if fd <= 2:
            os.set_inheritable(fd, True)
        else:
            made.append(fd)


def is_child(pid: int) -> bool:
    """Whether a process is a child of ours, so that we hear of its end."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return False
    return int(text[text.rindex(b")") + 2:].split()[1]) == os.getpid()     # the name before may have blanks


def become_subreaper() -> None:
    """Let orphaned descendants become our children, not those of PID 1. Raises OSError.

    Needed only where no cgroup holds a program's processes together. ctypes costs 3 ms and 1 MB and has the one
    honest way to prctl(2) from Python; that is why it is imported here.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(36, 1, 0, 0, 0) != 0:     # PR_SET_CHILD_SUBREAPER
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


# ---- small parts --------------------------------------------------------------------------------------------------

def _strings(texts: Sequence[str]) -> bytes:
    if not texts:
        return b""
    block = os.fsencode("\0".join(texts)) + b"\0"
    if block.count(b"\0") != len(texts):
        raise ValueError("embedded null byte")
    return block


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None


def _pipe_device() -> int:
    """The device number of the kernel's anonymous pipes."""
    ends = os.pipe()
    try:
        return os.fstat(ends[0]).st_dev
    finally:
        os.close(ends[0])
        os.close(ends[1])
