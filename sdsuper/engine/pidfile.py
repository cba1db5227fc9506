"""The pidfile: says who the daemon is, and that there is only one.

Promises: locked as long as the daemon lives; what is there is never followed anywhere else (no symbolic link, no
second name) and never written unless it is a plain file of root or of the daemon's user. Sources: fcntl(2), open file
description locks: they need a descriptor open for writing, so that nobody who may only read the file can keep the
daemon from starting, and they are kept over a fork.
"""

import fcntl
import os
import stat
from struct import pack

from sdsuper.errors import StartError

FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
TRIES_MOST = 10                   # a daemon that ends takes its pidfile away between our open and our lock


class Pidfile:
    """Opened and locked. Raises StartError: another daemon has it, or it is not what a pidfile should be.

    `trouble` is why it could not be made for another reason (a read-only or full disk): the daemon goes on without.
    """

    def __init__(self, path: str) -> None:
        self._path, self._fd, self.trouble = path, -1, ""
        for _ in range(TRIES_MOST):
            try:
                fd = os.open(path, FLAGS, 0o644)
            except OSError as error:
                if os.path.islink(path):
                    raise StartError(f"pidfile {path} is a symbolic link") from None
                self.trouble = f"could not write pidfile {path}: {error.strerror}"
                return
            try:
                _check(fd, path)
                _lock(fd, path)
                if _is_at(fd, path):
                    self._fd = fd
                    return
            finally:
                if self._fd < 0:
                    os.close(fd)
        raise StartError(f"pidfile {path} is replaced again and again: other daemons start and end with it")

    def write(self) -> None:
        """Say who we are. What goes wrong is in `trouble`."""
        if self._fd < 0:
            return
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.trouble = f"could not write pidfile {self._path}: {error.strerror}"

    def remove(self) -> None:
        """The daemon ends: remove the file if it still is ours, and let the lock go."""
        if self._fd < 0:
            return
        try:
            if _is_at(self._fd, self._path):
                os.unlink(self._path)
        except OSError:
            pass                        # somebody else has removed it
        os.close(self._fd)
        self._fd = -1


def _check(fd: int, path: str) -> None:
    """Raises StartError for what somebody else has put there: to have it written, or to hold the lock himself."""
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise StartError(f"pidfile {path} is not a regular file")
    if facts.st_uid not in (0, os.geteuid()):
        raise StartError(f"pidfile {path} belongs to another user (uid {facts.st_uid})")
    if facts.st_nlink > 1:              # none: it was removed just now, and is opened again
        raise StartError(f"pidfile {path} has more than one name")


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        raise StartError(f"pidfile {path} is locked: another daemon runs with it (pid {holder})") from None


def _is_at(fd: int, path: str) -> bool:
    """Whether the open file is the one that has the name."""
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(fd))
