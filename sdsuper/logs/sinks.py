"""Where output goes: a file with rotation, the daemon's own console.

Promises: a sink never raises and never blocks; what it cannot take is counted in `lost` and said, at most once a
minute. A log file that was deleted or moved is made anew before the next write. Must not: know programs or states.
"""

import errno
import os
import select
import socket
import stat
from collections.abc import Callable
from time import localtime, mktime, monotonic, time

from sdsuper.config.model import User
from sdsuper.logs import opening, rotate

Say = Callable[[str], None]

PENDING_BYTES = 16 << 20    # what waits for a console that nobody reads; drained output of programs that end adds up
COMPLAINT_PAUSE = 60.0      # seconds between two complaints of one sink
REOPEN_PAUSE = 1.0          # seconds between two tries to open a file that could not be opened
TURN_PAUSE = 60.0           # seconds between two tries to rotate a file that could not be rotated
#: The program goes on without its log when it is one of these; anything else is a mistake that its owner should see at
#: start.
BEARABLE = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO})


def _nothing(_sink: "FileSink") -> None:
    """Nobody wants to know."""


class Sink:
    """Common to all: the count of lost bytes and the restrained complaint. A `retired` sink has nobody left who would
    close it, only streams of processes that were left behind: it is open no longer than a write takes.
    """

    __slots__ = ("_quiet_until", "_say", "lost", "retired")

    def __init__(self, say: Say) -> None:
        self.lost, self._say, self._quiet_until = 0, say, 0.0
        self.retired = False

    def of_run(self, number: int) -> "Sink":
        """The sink as the run of that number is to have it; itself, where all runs are alike."""
        return self

    def begin(self, pid: int) -> None:
        """The run has a process."""

    def write(self, data: memoryview) -> None:
        """Take output."""
        raise NotImplementedError

    def end(self) -> None:
        """The writer has ended: nothing completes what is held back. Comes again where others held the pipe."""

    @property
    def full(self) -> bool:
        """Whether who writes should hold back, so that its program waits."""
        return False

    @property
    def console(self) -> "ConsoleSink | None":
        """The console that it leads to, if it does."""
        return None

    def park(self, resume: Callable[[], object]) -> None:
        """It is full: call once there is room again. A console has its own way (`ConsoleSink.on_full`)."""
        raise NotImplementedError

    def reopen(self) -> None:
        """The file behind it may have been moved away."""

    def retire(self) -> None:
        """No process has it any more."""
        self.retired = True
        self.close()

    def close(self) -> None:
        """No more writes."""

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        now = monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAINT_PAUSE
            self._say(f"{why}; {self.lost} bytes lost so far")


class FileSink(Sink):
    """A log file. `path` absolute; `user` does what must not be done as root; `mode` for a file that is made. See
    `keep` for rotation by time and compression; `on_rotated` is told when there is something to compress.
    """

    __slots__ = ("_begin", "_end", "_fd", "_identity", "_next_try", "_next_turn", "_size", "backups", "every",
                 "maxbytes", "mode", "on_rotated", "path", "suffix", "user")

    def __init__(self, path: str, maxbytes: int, backups: int, user: User | None, say: Say, mode: int = 0o644) -> None:
        super().__init__(say)
        self.path, self.maxbytes, self.backups, self.user, self.mode = path, maxbytes, backups, user, mode
        self._fd, self._size, self._identity, self._next_try = -1, 0, (0, 0), 0.0
        self.every, self.suffix = 0, ""
        self._next_turn = 0.0                   # when it is rotated for its size at the soonest
        self._begin = self._end = 0.0           # of the period that the file is for
        self.on_rotated: Callable[[FileSink], object] = _nothing

    def keep(self, maxbytes: int, backups: int, every: int, compress: str) -> None:
        """From now on rotate like this: at a size, at times (`LogConfig.every`), with a compression or without."""
        self.maxbytes, self.backups, self.suffix = maxbytes, backups, rotate.SUFFIXES.get(compress, "")
        if every != self.every:
            self.every = every
            self._new_period(time())

    def open(self) -> None:
        """Open, or make, the file. Raises OSError unless the reason is BEARABLE."""
        try:
            self._open()
        except OSError as error:
            if error.errno not in BEARABLE:
                raise
            self._next_try = monotonic() + REOPEN_PAUSE
            self._lose(0, f"cannot open {self.path}: {error.strerror}")

    def _open(self) -> None:
        if self._fd >= 0:
            return
        self._fd = opening.open_append(self.path, self.user, self.mode)
        facts = os.fstat(self._fd)
        self._size, self._identity = facts.st_size, (facts.st_dev, facts.st_ino)
        if self.every:
            now = time()
            self._new_period(min(facts.st_mtime, now) if facts.st_size else now)

    def write(self, data: memoryview) -> None:
        """Append, then rotate where it is due."""
        if not self._usable():
            self._lose(len(data), f"cannot open {self.path}")
            return
        if self.every and not self._begin <= (now := time()) < self._end:
            if now >= self._end and self._size:
                self._rotate()
            self._new_period(now)               # also of a clock that was set back, and of a rotation that failed
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError as error:
            self._lose(len(data) - written, f"cannot write to {self.path}: {error.strerror}")
        self._size += written
        if rotate.due(self._size, self.maxbytes) and monotonic() >= self._next_turn:
            self._rotate()
        if self.retired:
            self.close()

    def _usable(self) -> bool:
        """Have an open file that still is what the path names."""
        if self._fd >= 0:
            try:
                facts = os.lstat(self.path)
                if (facts.st_dev, facts.st_ino) == self._identity:
                    self._size = facts.st_size    # truncated (logrotate's copytruncate) or written by somebody
                    return True
            except OSError:
                pass
            self.close()
        elif monotonic() < self._next_try:
            return False
        try:
            self.open()
        except OSError as error:
            self._next_try = monotonic() + REOPEN_PAUSE
            self._lose(0, f"cannot open {self.path}: {error.strerror}")
        return self._fd >= 0

    def _new_period(self, since: float) -> None:
        if self.every:
            self._begin, self._end = since, mktime(rotate.boundary(self.every, localtime(since)))
            if self._end <= since:              # an hour that a change of the clock has left out
                self._end = since + self.every

    def _rotate(self) -> None:
        try:
            self._turn()
        except OSError as error:
            self._next_turn = monotonic() + TURN_PAUSE
            self._lose(0, f"cannot rotate {self.path}: {error.strerror}")

    def _turn(self) -> None:
        pairs = rotate.renames(os.path.basename(self.path), self.backups, self.suffix)
        if pairs:
            opening.rename_all(self.path, self.user, pairs)
            self.close()
            self.open()
            if self.suffix:
                self.on_rotated(self)
        else:
            os.ftruncate(self._fd, 0)
            self._size = 0

    def rotate(self) -> None:
        """Rotate now, unless there is nothing in it. Raises OSError."""
        in_use = self._fd >= 0
        if not in_use and not os.path.lexists(self.path):
            return
        self.reopen()
        self._open()
        if self._size:
            self._turn()
        if not in_use:
            self.close()

    def clear(self) -> None:
        """Remove the live file and make it anew; backups stay. Raises OSError."""
        in_use = self._fd >= 0
        opening.remove(self.path, self.user)
        self.close()
        self.open()
        if not in_use:
            self.close()

    def reopen(self) -> None:
        """Close and open by name; one that was not open stays so until its next write."""
        in_use = self._fd >= 0
        self.close()
        self._next_try = 0.0
        if in_use:
            self._usable()

    def close(self) -> None:
        """Let the descriptor go; the next write opens the file again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ConsoleSink(Sink):
    """The daemon's own stdout or stderr: `number` is that, `fd` may be a descriptor of our own. Never blocks it: what
    a slow reader does not take waits in `pending`, and who writes should hold back while there is any (see `full`).
    `on_full` is told when output begins to wait: whoever has the loop calls `flush` then as soon as `fd` is writable.
    """

    __slots__ = ("_owned", "_shared", "_socket", "fd", "number", "on_full", "pending")

    def __init__(self, fd: int, say: Say) -> None:
        super().__init__(say)
        self.pending = bytearray()
        self.on_full: Callable[[ConsoleSink], object] | None = None
        self.number = fd
        self._open()

    def renew(self) -> None:
        """The descriptor with the number that we were made for is another one now."""
        self.close()
        self.pending.clear()
        self._open()

    def _open(self) -> None:
        fd = self.fd = self.number
        self._owned = self._shared = False
        self._socket: socket.socket | None = None
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):         # the journal's, when systemd starts us
            self._socket = socket.socket(fileno=os.dup(fd))
            self.fd = self._socket.fileno()
        elif stat.S_ISFIFO(mode) or os.isatty(fd):
            # a description of our own: O_NONBLOCK on the shared one would change it for the shell, too
            try:
                self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
                self._owned = True
            except OSError:
                self._shared = True     # it blocks, so each write asks before

    @property
    def full(self) -> bool:
        """Whether output waits for the reader."""
        return bool(self.pending)

    @property
    def console(self) -> "ConsoleSink":
        """See `Sink.console`."""
        return self

    def write(self, data: memoryview) -> None:
        """Write now, or as soon as the reader lets us."""
        if self.pending:
            self.flush()
        rest = data if self.pending else data[self._try(data):]
        if len(self.pending) + len(rest) > PENDING_BYTES:
            self._lose(len(rest), "nobody reads the console")
        elif rest:
            begins = not self.pending
            self.pending += rest
            if begins and self.on_full is not None:
                self.on_full(self)

    def flush(self) -> None:
        """The descriptor is writable again."""
        with memoryview(self.pending) as waiting:
            done = self._try(waiting)
        del self.pending[:done]

    def flush_last(self, deadline: float) -> None:
        """The daemon ends: wait until the reader has taken all, or it is `deadline` (monotonic); the rest is lost."""
        writable = select.poll()
        writable.register(self.fd, select.POLLOUT)
        while self.pending and (left := deadline - monotonic()) > 0:
            if writable.poll(left * 1000):
                self.flush()
        if self.pending:
            self._lose(len(self.pending), "nobody reads the console")
            self.pending.clear()

    def _try(self, data: memoryview) -> int:
        done = 0
        try:
            while done < len(data):
                if self._socket is not None:
                    done += self._socket.send(data[done:], socket.MSG_DONTWAIT)
                elif self._shared:
                    if not _writable(self.fd):
                        return done
                    done += os.write(self.fd, data[done:done + select.PIPE_BUF])
                else:
                    done += os.write(self.fd, data[done:])
        except BlockingIOError:
            return done
        except OSError as error:
            self._lose(len(data) - done, f"cannot write to the console: {error.strerror}")
            return len(data)
        return done

    def close(self) -> None:
        """Give back what is ours."""
        if self._owned:
            os.close(self.fd)
            self._owned = False
        if self._socket is not None:
            self._socket.close()


def _writable(fd: int) -> bool:
    """Whether a write of PIPE_BUF bytes would not block now, or would fail at once."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
