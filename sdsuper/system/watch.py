"""inotify: directories are watched, and whoever has an interest in one hears what happens in it.

Promises: several that watch one directory share one watch of the kernel; nothing is opened or imported before the first
one; a lost event is told as an overflow; where inotify cannot be had or cannot see, `add` says so and the caller has to
look by itself. A turn of the loop takes a limited number of events. Must not: read a directory, or decide what counts.

Sources: inotify(7), statfs(2), proc_pid_mountinfo(5). The system calls are pyinotify's; its own reading of events takes
all of them at once, which may hold the loop for as long as it likes, so they are read here.
"""

import os
from collections.abc import Callable
from errno import EMFILE, ENFILE, ENOSPC, ENOSYS
from struct import Struct
from typing import Any

from sdsuper.system.loop import EPOLLIN, Loop

IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
IN_ATTRIB, IN_DELETE_SELF, IN_MOVE_SELF = 0x4, 0x400, 0x800
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED, IN_ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000
_IN_ONLYDIR, _IN_EXCL_UNLINK = 0x1000000, 0x4000000
_MASK = (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF
         | IN_MOVE_SELF | _IN_ONLYDIR | _IN_EXCL_UNLINK)

_HEAD = Struct("=iIII")
_READ_BYTES = 16384         # some 500 events
_WORDS = {ENOSPC: "no more directories can be watched (raise fs.inotify.max_user_watches)",
          EMFILE: "no more inotify instances can be had (raise fs.inotify.max_user_instances)",
          ENFILE: "too many open files in the system", ENOSYS: "pyinotify cannot be used"}

#: What others change on a file system like this, inotify does not see.
_BLIND = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse", "virtiofs", "ceph", "afs", "lustre", "gfs2",
                    "ocfs2", "vboxsf", "vmhgfs", "prl_fs", "coda", "orangefs", "beegfs", "autofs"))

#: (mask, name of an entry, empty where the directory itself is meant)
Call = Callable[[int, str], object]


class Watch:
    """One's interest in one directory."""

    __slots__ = ("call", "wd")

    def __init__(self, wd: int, call: Call) -> None:
        self.wd, self.call = wd, call


class Watches:
    """All watched directories of one daemon. `say` hears once of each reason why some are not watched. `inotify`
    False: it is not used.
    """

    def __init__(self, loop: Loop, say: Callable[[str], object], inotify: bool = True) -> None:
        self._loop, self._say, self._inotify = loop, say, inotify
        self._fd = -1
        self._kernel: Any = None
        self._by_wd: dict[int, list[Watch]] = {}
        self._said: set[str] = set()
        self._blind: dict[int, bool] = {}           # device number -> whether events are missing there
        #: who hears that events were lost
        self.on_overflow: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        """Watches of the kernel."""
        return len(self._by_wd)

    def add(self, path: str, call: Call) -> Watch | None:
        """Watch a directory; None: it has to be looked at by its user. Raises FileNotFoundError, NotADirectoryError."""
        if self.blind(os.stat(path).st_dev) or not self._inotify:
            return None
        try:
            if self._fd < 0:
                self._open()
            wd: int = self._kernel.inotify_add_watch(self._fd, path, _MASK)
            number = self._kernel.get_errno() if wd < 0 else 0
        except (OSError, UnicodeEncodeError) as error:          # pyinotify takes no names outside of the locale
            wd, number = -1, getattr(error, "errno", None) or ENOSYS
        if wd < 0:
            if number in (2, 20):       # ENOENT, ENOTDIR
                raise OSError(number, os.strerror(number), path)
            self._trouble(_WORDS.get(number, f"{path} cannot be watched: {os.strerror(number)}"))
            self._close_unused()
            return None
        watch = Watch(wd, call)
        self._by_wd.setdefault(wd, []).append(watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """It is of no interest any more."""
        users = self._by_wd.get(watch.wd)
        if users is None or watch not in users:
            return                      # the directory is gone
        users.remove(watch)
        if not users:
            del self._by_wd[watch.wd]
            self._kernel.inotify_rm_watch(self._fd, watch.wd)
            self._close_unused()

    def blind(self, device: int) -> bool:
        """Whether changes may go unseen on a file system, by its device number."""
        if device not in self._blind:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
                for line in table:
                    before, _, after = line.partition(" - ")
                    major, _, minor = before.split(" ")[2].partition(":")
                    kind = after.split(" ")[0]
                    self._blind[os.makedev(int(major), int(minor))] = (
                        kind in _BLIND or kind.startswith("fuse."))
            self._blind.setdefault(device, False)       # a part of a btrfs, which has a number of its own
        return self._blind[device]

    def take(self) -> bool:
        """Tell what has happened by now, as much as one read gives; whether that was anything."""
        if self._fd < 0:
            return False
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        at = 0
        while at < len(data):
            wd, mask, _cookie, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            if mask & IN_Q_OVERFLOW:
                self.on_overflow()
                continue
            name = os.fsdecode(data[at - length:at].rstrip(b"\0"))
            for watch in tuple(self._by_wd.get(wd, ())):
                watch.call(mask, name)
            if mask & IN_IGNORED:
                self._by_wd.pop(wd, None)
            if mask & IN_UNMOUNT:
                self._blind.clear()             # its device number may be another's soon
        return True

    def close(self) -> None:
        """Give the descriptor back; the watches with it."""
        self._by_wd.clear()
        self._close_unused()

    def _open(self) -> None:
        """Raises OSError."""
        try:
            import pyinotify  # dear, and few watch files
        except ImportError as error:        # not installed, or without pyasyncore since Python 3.12
            self._trouble(f"{_WORDS[ENOSYS]}: {error}")
            raise OSError(ENOSYS, str(error)) from None
        if self._kernel is None:
            self._kernel = pyinotify.INotifyWrapper.create()
        fd: int = self._kernel.inotify_init()
        if fd < 0:
            raise OSError(self._kernel.get_errno(), "inotify")
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop.watch(fd, EPOLLIN, lambda _events: self.take(), bulk=True)

    def _close_unused(self) -> None:
        if self._fd >= 0 and not self._by_wd:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _trouble(self, text: str) -> None:
        if text not in self._said and not any(text in said for said in self._said):
            self._said.add(text)
            self._say(text)
