"""The pidfile: says who the daemon is, and that there is only one.

Promises: locked as long as the daemon lives; what is there is never followed anywhere else (no symbolic link) and
never written unless it is a plain file. Sources: fcntl(2), open file description locks: they need a descriptor open
for writing, so that nobody who may only read the file can keep the daemon from starting, and they are kept over a
fork.
"""

import fcntl
import os
import stat
from struct import pack

from sdsuper.errors import StartError

FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Pidfile:
    """Opened and locked. Raises StartError: another daemon has it, or it is not what a pidfile should be.

    `trouble` is why it could not be made for another reason (a read-only or full disk): the daemon goes on without.
    """

    def __init__(self, path: str) -> None:
        self._path, self._fd, self.trouble = path, -1, ""
        try:
            fd = os.open(path, FLAGS, 0o644)
        except OSError as error:
            if os.path.islink(path):
                raise StartError(f"pidfile {path} is a symbolic link") from None
            self.trouble = f"could not write pidfile {path}: {error.strerror}"
            return
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise StartError(f"pidfile {path} is not a regular file")
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except BlockingIOError:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise StartError(f"pidfile {path} is locked: another daemon runs with it (pid {holder})") from None
        self._fd = fd

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
        ours = os.fstat(self._fd)
        try:
            there = os.lstat(self._path)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                os.unlink(self._path)
        except OSError:
            pass                        # somebody else has removed it
        os.close(self._fd)
        self._fd = -1
