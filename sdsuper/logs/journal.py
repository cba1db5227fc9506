"""The systemd journal: entries with fields, by journald's native protocol.

Promises: nothing here raises or blocks; entries arrive in order. While journald is slow, restarts or is away, they
wait, up to a limit for each sender and one for all, and what is beyond is counted as lost. Before that a stream is
`full`, so that its program waits for a journald that is merely slow; one that has not read for a while holds up nobody.
Nothing in a value becomes a field. Must not: know programs or states.

Source: "Native Journal Protocol" (https://systemd.io/JOURNAL_NATIVE_PROTOCOL), systemd.journal-fields(7). A datagram
is an entry: `NAME=value` and a newline for each field, or, for values with newlines, `NAME`, a newline, the length as
64 bits little-endian, the value and a newline. What does not fit into a datagram goes as a sealed memfd.
"""

import errno
import fcntl
import os
import select
import socket
import stat
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from struct import pack
from time import monotonic

from sdsuper.logs.pipes import WRITABLE, Loop
from sdsuper.logs.sinks import Say, Sink

SOCKET = "/run/systemd/journal/socket"
LONGEST = 48 * 1024             # bytes of a line in one entry; journald's own limit for services (LineMax=)
FULL_BYTES = 1 << 20            # what waits of one stream before its program waits, too
SHARE_BYTES = 4 << 20           # what waits of one stream at most
TOTAL_BYTES = 64 << 20          # what waits altogether
STALL_SECONDS = 10.0            # after so long without a sign of journald no program waits for it
RETRY_SECONDS = 0.5             # between two tries to reach a journald that is not there; then STALL_SECONDS
FLUSH_ENTRIES = 1000            # of those that wait, in one turn of the loop
#: A line that is told apart from the next entry: it was cut, or it had no newline at the end of the output.
CUT, UNFINISHED = b"SDSUPER_LINE_BREAK=line-max\n", b"SDSUPER_LINE_BREAK=eof\n"
SEVERITIES = {"critical": 2, "error": 3, "warn": 4, "info": 6, "debug": 7, "trace": 7, "blather": 7}
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)

Fields = Mapping[str, str]


def available(path: str = SOCKET) -> bool:
    """Whether there is a journald to talk to."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def is_journal(fd: int, stream: str | None) -> bool:
    """Whether a descriptor leads to the journal; `stream` is JOURNAL_STREAM as systemd.exec(5) has it."""
    facts = os.fstat(fd)
    return stream == f"{facts.st_dev}:{facts.st_ino}"


def encoded(fields: Iterable[tuple[str, str]]) -> bytes:
    """Fields as they are sent. Names are ours: capitals and underscores."""
    found = []
    for name, text in fields:
        value = text.encode(errors="backslashreplace")
        if b"\n" in value:
            found.append(b"%s\n%s%s\n" % (name.encode(), pack("<Q", len(value)), value))
        else:
            found.append(b"%s=%s\n" % (name.encode(), value))
    return b"".join(found)


class Share(Sink):
    """Who sends entries: how many bytes of them are `waiting`, how many were lost."""

    __slots__ = ("say", "waiting")

    def __init__(self, say: Say) -> None:
        super().__init__(say)
        self.say, self.waiting = say, 0

    def lose(self, count: int, why: str) -> None:
        """So many bytes of output will not arrive."""
        self._lose(count, why)


class Journal:
    """The one connection to journald, which all entries of the daemon take."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path, self._trouble = path, ""
        self._socket: socket.socket | None = None
        self._queue: deque[tuple[bytes, int, Share]] = deque()
        self._bytes = 0
        self._loop: Loop | None = None
        self._armed, self._watched = False, -1
        self._progress = 0.0                # when an entry that had to wait was taken, or the first began to wait
        self._parked: list[Callable[[], object]] = []
        self._stall_watched = False

    @property
    def waits(self) -> bool:
        """Whether entries have not been sent yet."""
        return bool(self._queue)

    def attend(self, loop: Loop) -> None:
        """From now on `loop` says when what waits can go on."""
        self._loop = loop
        self._arm()

    def send(self, entry: bytes, count: int, share: Share) -> None:
        """Send an entry, now or as soon as it can be. `count` is what is lost with it: bytes of output."""
        if not self._queue and self._try(entry, count, share):
            return
        size = len(entry)
        if share.waiting + size > SHARE_BYTES or self._bytes + size > TOTAL_BYTES:
            share.lose(count, f"the journal takes no more ({self.path}: {self._trouble})")
            return
        if not self._queue:
            self._progress = monotonic()
        self._queue.append((entry, count, share))
        share.waiting += size
        self._bytes += size
        self._arm()

    def _try(self, entry: bytes, count: int, share: Share) -> bool:
        """Send it. False: it has to wait."""
        for _again in (True, False):        # the socket may be another one since the last entry
            try:
                if self._socket is None:
                    self._connect()
                assert self._socket is not None
                try:
                    self._socket.send(entry)
                except OSError as error:
                    if error.errno not in _TOO_LARGE:
                        raise
                    return self._send_file(self._socket, entry, count, share)
                return True
            except BlockingIOError as error:
                self._trouble = f"it does not read: {error.strerror}"
                return False
            except OSError as error:
                self._trouble = error.strerror or "?"
                self._disconnect()
        return False

    def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.connect(self.path)

    @staticmethod
    def _send_file(through: socket.socket, entry: bytes, count: int, share: Share) -> bool:
        """Send it as a file of its own in memory, which nobody can change any more."""
        try:
            fd = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:            # it would stand in the way of all others for ever
            share.lose(count, f"cannot send a large entry to the journal: {error.strerror}")
            return True
        try:
            rest = memoryview(entry)
            while rest:
                rest = rest[os.write(fd, rest):]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            through.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pack("i", fd))])
        finally:
            os.close(fd)
        return True

    # ---- what waits -----------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._loop is None or self._armed or not self._queue:
            return
        self._armed = True
        if self._socket is not None:        # connected, so the kernel knows when the receiver has room
            self._watched = self._socket.fileno()
            self._loop.watch(self._watched, WRITABLE, lambda _events: self._go_on())
        else:
            soon = monotonic() < self._progress + STALL_SECONDS
            self._loop.soon(RETRY_SECONDS if soon else STALL_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._disarm()
        self.flush()
        self._arm()
        self._release()

    @property
    def reads(self) -> bool:
        """Whether journald can be expected to take what waits before long."""
        return self._socket is not None and self._loop is not None and monotonic() < self._progress + STALL_SECONDS

    def park(self, resume: Callable[[], object]) -> None:
        """Call as soon as something has been taken, or journald has not read for STALL_SECONDS."""
        assert self._loop is not None       # see `reads`
        self._parked.append(resume)
        self._watch_for_a_stall()

    def _watch_for_a_stall(self) -> None:
        if self._loop is not None and self._parked and not self._stall_watched:
            self._stall_watched = True
            self._loop.soon(max(self._progress + STALL_SECONDS - monotonic(), 0.0), self._look_for_a_stall)

    def _look_for_a_stall(self) -> None:
        self._stall_watched = False
        if self.reads:
            self._watch_for_a_stall()       # something has been taken since
        else:
            self._release()

    def _release(self) -> None:
        """Let everybody look again who waits; the loop gives each a turn."""
        parked, self._parked = self._parked, []
        for resume in parked:
            if self._loop is not None:
                self._loop.soon(0, resume, bulk=True)

    def _disarm(self) -> None:
        self._armed = False
        if self._watched >= 0 and self._loop is not None:
            self._loop.unwatch(self._watched)
            self._watched = -1

    def flush(self) -> None:
        """Send what waits, as far as it goes and no more than a turn should take."""
        for _number in range(min(FLUSH_ENTRIES, len(self._queue))):
            entry, count, share = self._queue[0]
            if not self._try(entry, count, share):
                return
            self._forget_first()
            self._progress = monotonic()

    def _forget_first(self) -> None:
        entry, _count, share = self._queue.popleft()
        share.waiting -= len(entry)
        self._bytes -= len(entry)

    def flush_last(self, deadline: float) -> None:
        """The daemon ends: wait until all is sent, or it is `deadline` (monotonic); the rest is lost."""
        self._disarm()
        self._loop = None
        while self._queue and (left := deadline - monotonic()) > 0:
            self.flush()
            if self._queue and self._socket is None:
                break                       # nobody is there
            if self._queue:
                writable = select.poll()
                assert self._socket is not None
                writable.register(self._socket, select.POLLOUT)
                writable.poll(left * 1000)
        while self._queue:
            _entry, count, share = self._queue[0]
            self._forget_first()
            share.lose(count, f"the journal takes no more ({self.path}: {self._trouble})")
        self._disconnect()

    def _disconnect(self) -> None:
        self._disarm()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class JournalSink(Share):
    """One stream of one process: each run writes lines of its own. `severity` 0 to 7 is that of a line that does not
    begin with one of its own, `<3>` (sd-daemon(3)); `fields` are those of every line.
    """

    __slots__ = ("fields", "journal", "severity")

    def __init__(self, journal: Journal, severity: int, fields: bytes, say: Say) -> None:
        super().__init__(say)
        self.journal, self.severity, self.fields = journal, severity, fields

    def of_run(self, number: int) -> "RunLines":
        """See `Sink.of_run`."""
        return RunLines(self, number)


class RunLines(Sink):
    """What one run writes on one stream, an entry a line. A line beyond LONGEST is cut, and all pieces but the last say
    so. Empty lines are left out.
    """

    __slots__ = ("_journal", "_part", "_severity", "_sink", "_tail", "_usual")

    def __init__(self, sink: JournalSink, number: int) -> None:
        super().__init__(sink.say)
        self._sink, self._journal = sink, sink.journal
        self._usual, self._part = b"%d" % sink.severity, b""
        self._severity = b""            # of a line that has been cut: the next piece is the same line
        self._tail = b"\n%sSDSUPER_RUN=%d\nMESSAGE=" % (sink.fields, number)

    def begin(self, pid: int) -> None:
        """See `Sink.begin`."""
        self._tail = b"\nSYSLOG_PID=%d%s" % (pid, self._tail)

    def write(self, data: memoryview) -> None:
        """Send the complete lines and keep the rest until it is complete."""
        *lines, rest = (self._part + data).split(b"\n")
        for line in lines:
            self._send(self._cut(line), b"")
            self._severity = b""
        self._part = self._cut(rest)

    @property
    def full(self) -> bool:
        """See `Sink.full`."""
        return self._sink.waiting > FULL_BYTES and self._journal.reads

    def park(self, resume: Callable[[], object]) -> None:
        """See `Sink.park`."""
        self._journal.park(resume)

    def end(self) -> None:
        """The stream has ended: the last line has no newline."""
        self._send(self._part, UNFINISHED)
        self._part = self._severity = b""

    def _cut(self, line: bytes) -> bytes:
        """Send a line from its beginning until no more than LONGEST bytes are left, which are returned."""
        while len(line) > LONGEST:
            self._send(line[:LONGEST], CUT)
            line = line[LONGEST:]
        return line

    def _send(self, line: bytes, more: bytes) -> None:
        severity = self._severity or self._usual
        if line[:1] == b"<" and line[2:3] == b">" and line[1:2] in b"01234567" and not self._severity:
            severity, line = line[1:2], line[3:]
        if more is CUT:
            self._severity = severity
        if line:
            entry = b"%sPRIORITY=%s%s%s\n" % (more, severity, self._tail, line)
            self._journal.send(entry, len(line) + 1, self._sink)


class JournalEntries(Share):
    """The daemon's own log in the journal: `fields` are those of every entry."""

    __slots__ = ("_fields", "_journal")

    def __init__(self, journal: Journal, fields: Iterable[tuple[str, str]], say: Say) -> None:
        super().__init__(say)
        self._journal, self._fields = journal, encoded(fields)

    def add(self, level: str, text: str, fields: Fields) -> None:
        """One entry; `level` is one of logs/main.py's."""
        entry = b"PRIORITY=%d\n%s%s" % (SEVERITIES[level], self._fields, encoded((*fields.items(), ("MESSAGE", text))))
        self._journal.send(entry, len(text) + 1, self)
