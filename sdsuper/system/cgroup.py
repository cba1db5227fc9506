"""cgroups: one for each run of a program, so that nothing it starts can get away.

Promises: works in any writable cgroup2 tree, with or without controllers; never touches a cgroup that it did not
make, and what a program makes inside its own is its own to lose. Must not: decide when something is killed, or wait.

The tree is `sdsuper-IDENTIFIER-XXXXXXXX` in the daemon's own cgroup. XXXXXXXX is a checksum of the path that makes
the daemon the only one of its kind (its locked pidfile), so the name is the same after a restart, and a daemon that
died leaves its programs where the next one looks. Inside, each run has `GROUP:PROCESS.RUN`.

A cgroup that has processes cannot have controllers enabled for those inside it. So where there are controllers, and the
cgroup is the daemon's to divide (systemd's Delegate=, or a container without systemd) and nobody else is in it, the
daemon moves into the leaf `daemon` of its tree. Memory and number of processes are then counted for every run; the
other controllers are enabled when a limit needs them. Sources: Documentation/admin-guide/cgroup-v2.rst of Linux,
proc_pid_mountinfo(5), systemd.resource-control(5) and systemd's CGROUP_DELEGATION document.
"""

import os
from binascii import crc32
from collections.abc import Iterable
from errno import EBUSY, EEXIST, ENODEV, ENOENT, ENOTEMPTY, EOPNOTSUPP

from sdsuper.config.model import User
from sdsuper.errors import StartError

_NAME_MOST_BYTES = 200
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@-")
_SIGKILL = 9
_OWN_LEAF = "/daemon"       # where the daemon is itself, if it has to leave the cgroup above its tree
COUNTED = ("memory", "pids")
CONTROLLERS = (*COUNTED, "cpu", "io", "cpuset")


class CgroupTree:
    """The directory in which the runs' cgroups are made. `directory` is its path; made by `find`.

    The methods below `create` take the directory of one run's cgroup. One that is gone has no processes.
    """

    def __init__(self, directory: str, user: User | None = None, own: bool = False) -> None:
        """Make the directory, or take it over with what is in it; let `user` work in it after privileges were dropped.

        `own`: its name is this daemon's alone, so that an earlier life of the daemon must have made it. Raises OSError,
        and StartError where it is no usable cgroup.
        """
        self.directory, self._own = directory, own
        self._enabled: set[str] = set()
        self._made = _make(directory)
        try:
            kind = _read(f"{directory}/cgroup.type").strip()
            _read(f"{directory}/cgroup.events")
        except OSError:
            self.discard()
            raise StartError(f"cgroup {directory}: not in a cgroup2 file system") from None
        if kind != "domain":
            self.discard()
            raise StartError(f"cgroup {directory}: of type '{kind}', 'domain' expected")
        if own and _divisible(os.path.dirname(directory)):
            self._move_in()
            _enable(os.path.dirname(directory), CONTROLLERS)
        if user is not None and user.uid != os.geteuid():
            self._give_to(user)
        self.enable(COUNTED)

    @classmethod
    def find(cls, setting: str, identifier: str, instance: str, user: User | None = None) -> "CgroupTree | None":
        """The tree for `setting`: `auto` (None when there is no writable one), `off` (None), or the directory to use.

        `instance` is the path whose lock makes this daemon unique, `user` whom the daemon will become. Raises
        StartError when a directory was named and is of no use.
        """
        if setting == "off":
            return None
        if setting != "auto":
            try:
                return cls(setting.rstrip("/"), user)
            except OSError as problem:
                raise StartError(f"cgroup {setting}: {problem.strerror}") from None
        name = _file_name(f"sdsuper-{identifier}-{crc32(os.fsencode(instance)):08x}")
        for own in own_directories(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup")):
            # A process may be moved by whoever may write where the old and the new cgroup meet, which is here.
            if os.access(f"{own}/cgroup.procs", os.W_OK):
                try:
                    return cls(f"{own}/{name}", user, True)
                except (OSError, StartError):
                    continue
        return None

    def enable(self, controllers: Iterable[str]) -> set[str]:
        """Enable controllers for the runs; returns those that cannot be had here."""
        wanted = set(controllers)
        if not wanted <= self._enabled:
            self._enabled = _enable(self.directory, wanted)
        return wanted - self._enabled

    def set(self, path: str, file: str, value: str) -> None:
        """Write one of a run's files, `memory.max`. Raises OSError; nobody can be in a cgroup that is gone."""
        try:
            _write(f"{path}/{file}", value)
        except OSError as problem:
            if problem.errno not in (ENOENT, ENODEV) or os.path.isdir(path):
                raise

    def get(self, path: str, file: str) -> str:
        """One of a run's files as text, empty where it is not there."""
        return _text(path, file)

    def open(self, path: str, file: str) -> int:
        """A descriptor of one of a run's files, which becomes ready for EPOLLPRI at each change where the kernel tells
        of any; the caller closes it. Raises OSError.
        """
        return os.open(f"{path}/{file}", os.O_RDONLY | os.O_CLOEXEC)

    def leftovers(self) -> list[str]:
        """The runs' cgroups that still hold processes: after `find`, those of a daemon that died. The empty ones are
        removed."""
        return [path for path in _children(self.directory)
                if not path.endswith(_OWN_LEAF) and not self.remove(path)]

    def create(self, name: str) -> str:
        """Make the cgroup of a run and return its directory. Raises OSError.

        Characters that a cgroup's name cannot have are replaced and long names cut, both with a checksum. Where the
        directory is there and in use, `~1`, `~2` … is added: two runs never share one.
        """
        path = f"{self.directory}/{_file_name(name)}"
        try:
            os.mkdir(path)
            return path
        except FileExistsError:
            pass
        for number in range(1000):
            chosen = f"{path}~{number}" if number else path
            if not os.path.isdir(chosen) or self.remove(chosen):
                try:
                    os.mkdir(chosen)
                    return chosen
                except FileExistsError:
                    continue
        raise OSError(EEXIST, os.strerror(EEXIST), path)

    def close(self) -> None:
        """Remove the tree if it is the daemon's own and nobody is left in it."""
        if not self.leftovers() and (self._made or self._own):
            self._remove_tree()

    def discard(self) -> None:
        """The daemon does not start after all: remove what `__init__` has made, and nothing of another daemon's."""
        if self._made:
            self._remove_tree()

    def _remove_tree(self) -> None:
        try:
            self.remove(self.directory)
        except PermissionError:
            pass    # privileges were dropped: the directory above is not ours, and we are in the tree ourselves

    def remove(self, path: str) -> bool:
        """Remove a cgroup and the empty ones inside it. False: processes are still there. Raises OSError for anything
        else."""
        try:
            os.rmdir(path)
            return True
        except OSError as problem:
            if problem.errno == ENOENT:
                return True
            if problem.errno not in (EBUSY, ENOTEMPTY):
                raise
        inside = _children(path)
        if not inside or not all(self.remove(child) for child in inside):
            return False
        return self.remove(path)

    def kill(self, path: str) -> None:
        """SIGKILL everything in a cgroup and in those inside it, forks in flight included. Returns before they are
        gone.

        Before Linux 5.14 there is no cgroup.kill: then it is frozen, and each process signalled by its number; the
        frozen ones die of it too. Raises OSError.
        """
        try:
            _write(f"{path}/cgroup.kill", "1")
        except OSError as problem:
            if problem.errno == ENODEV or not os.path.isdir(path):
                return
            if problem.errno != ENOENT:
                raise
            self.kill_each(path)

    def kill_each(self, path: str) -> None:
        """SIGKILL by process number under a freeze, for kernels without cgroup.kill."""
        self.freeze(path, True)
        for _ in range(2):      # freezing takes a moment, in which one more fork may happen
            for pid in _pids(path):
                try:
                    os.kill(pid, _SIGKILL)
                except ProcessLookupError:
                    continue
        self.freeze(path, False)

    def freeze(self, path: str, frozen: bool) -> None:
        """Stop everything in a cgroup from running, or let it run on. Takes effect a moment later. Raises OSError."""
        _write(f"{path}/cgroup.freeze", "1" if frozen else "0")

    def count(self, path: str) -> int:
        """How many processes are in a cgroup and in those inside it, zombies not counted."""
        return len(_pids(path))

    def pids(self, path: str) -> list[int]:
        """The processes in a cgroup and in those inside it."""
        return _pids(path)

    def holds(self, path: str, pid: int) -> bool:
        """Whether a process is in a cgroup, or in one inside it."""
        return pid in _pids(path)

    def populated_fd(self, path: str) -> int:
        """A descriptor that becomes ready for EPOLLPRI when the last process leaves, or the first comes. Raises
        OSError.

        It counts as ready until `populated` has read it once: ask first, then wait. The caller closes it.
        """
        return self.open(path, "cgroup.events")

    def populated(self, fd: int) -> bool:
        """Whether a process is in the cgroup or in one inside it, by a descriptor of `populated_fd`."""
        try:
            return b"populated 1" in os.pread(fd, 512, 0)
        except OSError as problem:
            if problem.errno == ENODEV:     # removed meanwhile
                return False
            raise

    def _give_to(self, user: User) -> None:
        """Hand the tree over, and move into a leaf of it: from outside an unprivileged daemon could move nobody in."""
        leaf = self._move_in()
        for name in ("", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"):
            os.chown(self.directory + name, user.uid, user.gid)
            os.chown(leaf + name, user.uid, user.gid)


    def _move_in(self) -> str:
        """Move the daemon into the leaf."""
        leaf = self.directory + _OWN_LEAF
        _make(leaf)
        _write(f"{leaf}/cgroup.procs", str(os.getpid()))
        return leaf


def own_directories(mountinfo: str, membership: str) -> list[str]:
    """Where this process's cgroup is seen: one directory for each cgroup2 mount that shows it.

    The arguments are the texts of /proc/self/mountinfo and /proc/self/cgroup. A mount may show a part of the
    hierarchy only, and a process outside of its cgroup namespace's root has a path that begins with `/..`.
    """
    path = next((line[3:] for line in membership.splitlines() if line.startswith("0::")), None)
    if path is None or path.startswith("/.."):
        return []
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if not after.startswith("cgroup2 "):
            continue
        root, point = before.split(" ")[3:5]
        root, point = _unescape(root).rstrip("/"), _unescape(point)
        if path == root or path.startswith(f"{root}/"):
            found.append((point + path[len(root):]).rstrip("/"))
    return found


# ---- controllers --------------------------------------------------------------------------------------------------

def _divisible(directory: str) -> bool:
    """Whether a cgroup has controllers, is ours to divide, and holds nobody but us."""
    if not _words(directory, "cgroup.controllers"):
        return False
    if _words(directory, "cgroup.procs") != [str(os.getpid())]:
        return False
    if not os.path.isdir("/run/systemd/system"):
        return True
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(directory, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _enable(directory: str, controllers: Iterable[str]) -> set[str]:
    """Enable for the cgroups inside a directory what it has itself; all that is enabled then."""
    there = set(_words(directory, "cgroup.controllers"))
    for name in controllers:
        if name in there:
            try:
                _write(f"{directory}/cgroup.subtree_control", f"+{name}")
            except OSError:
                continue        # processes are in the directory itself, or it is not ours
    return set(_words(directory, "cgroup.subtree_control"))


def _words(directory: str, file: str) -> list[str]:
    return _text(directory, file).split()


def _text(directory: str, file: str) -> str:
    """A file of a cgroup, empty where it is not there."""
    try:
        return _read(f"{directory}/{file}").rstrip("\n")
    except OSError:
        return ""


# ---- small parts --------------------------------------------------------------------------------------------------

def _pids(path: str) -> list[int]:
    try:
        found = [int(word) for word in _read(f"{path}/cgroup.procs").split()]
    except OSError as problem:
        if problem.errno not in (ENOENT, ENODEV, EOPNOTSUPP):   # the last: threads of a process further up
            raise
        found = []
    for child in _children(path):
        found += _pids(child)
    return found


def _make(directory: str) -> bool:
    try:
        os.mkdir(directory)
        return True
    except FileExistsError:
        return False


def _file_name(name: str) -> str:
    plain = "".join([char if char in _PLAIN else "_" for char in name])
    if plain == name and len(plain) <= _NAME_MOST_BYTES:
        return name
    return f"{plain[:_NAME_MOST_BYTES]}-{crc32(os.fsencode(name)):08x}"


def _children(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    first, *rest = field.split("\\")
    return first + "".join([chr(int(part[:3], 8)) + part[3:] for part in rest])


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return os.fsdecode(b"".join(parts))
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
