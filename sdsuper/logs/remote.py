"""Lines on their way to syslog servers: the queue to the process that sends them (sdsuper/relay).

Promises: nothing here raises or blocks; lines of one server arrive there in order. What waits is bounded, and what is
beyond is lost, counted, said, and told to the server itself with the next message. When the process dies, what it had
is lost at most, and counted. Must not: look up a name, or know TLS.
"""

import socket
from collections import deque
from collections.abc import Callable
from os import uname
from select import EPOLLIN, EPOLLOUT, POLLOUT, poll
from time import monotonic, time

from sdsuper.logs.forms import rfc3339
from sdsuper.logs.journal import SEVERITIES, Fields
from sdsuper.logs.messages import DONE, LONGEST, frame, head, message, whole
from sdsuper.logs.pipes import Loop
from sdsuper.logs.sinks import Say, Sink

WAITING_BYTES = 4 << 20         # for one server, in the daemon
PIECE_BYTES = 64 << 10          # what is handed over at once
STUCK_SECONDS = 60.0            # in which the process has to take something: it reads whatever the servers do
_GONE = "the process that sends to syslog servers has ended"


class Server:
    """What is known of one: bytes that wait here, messages `handed` to the process and `done` there, messages lost of
    which it has not been told.
    """

    __slots__ = ("address", "done", "handed", "lost", "untold", "waiting")

    def __init__(self, address: str) -> None:
        self.address = address.encode()
        self.waiting = self.handed = self.done = self.untold = self.lost = 0


class Relay:
    """The connection to the process. `wanted` is called when something waits and there is none, `stuck` when it has
    not taken anything for long.
    """

    def __init__(self) -> None:
        self.wanted: Callable[[], object] = lambda: None
        self.stuck: Callable[[], object] = lambda: None
        self.said: Callable[[str], object] = lambda _text: None
        self._servers: dict[str, Server] = {}
        self._queue: deque[tuple[Server, bytes, int]] = deque()      # frames of so many messages
        self._first = 0                 # bytes of the first that are sent
        self._socket: socket.socket | None = None
        self._loop: Loop | None = None
        self._blocked = False
        self._sent, self._looks = 0, False      # bytes in all; whether there will be a look at that number
        self._read = b""

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._queue)

    @property
    def pending(self) -> int:
        """How many messages are not done with."""
        return sum(server.handed - server.done for server in self._servers.values()) + sum(
            count for _server, _data, count in self._queue)

    def send(self, address: str, messages: list[bytes]) -> list[bytes]:
        """Hand over messages for a server; returns those that there is no room for."""
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = Server(address)
        data, count = bytearray(), 0
        lost: list[bytes] = []
        for each in messages:
            if server.waiting + len(data) + len(each) > WAITING_BYTES:
                lost.append(each)
                server.untold += 1
                continue
            data += frame(server.address, each, server.untold)
            server.untold = 0
            count += 1
            if len(data) >= PIECE_BYTES:
                self._put(server, data, count)
                data, count = bytearray(), 0
        if count:
            self._put(server, data, count)
        server.lost += len(lost)
        return lost

    def _put(self, server: Server, data: bytearray, count: int) -> None:
        self._queue.append((server, bytes(data), count))
        server.waiting += len(data)
        if self._socket is None:
            self.wanted()
        elif not self._blocked:
            self._flush()

    # ---- the process ----------------------------------------------------------------------------------------------

    def connect(self, loop: Loop, ours: socket.socket, settings: bytes) -> None:
        """There is a process now; `settings` are the first it gets."""
        ours.setblocking(False)
        self._socket, self._loop, self._blocked, self._read = ours, loop, False, b""
        self._queue.appendleft((Server(""), frame(b"", settings), 0))
        loop.watch(ours.fileno(), EPOLLIN, self._ready)
        self._flush()

    def disconnect(self) -> None:
        """It is no more: what it had is lost."""
        if self._socket is None:
            return
        if self._loop is not None:
            self._loop.unwatch(self._socket.fileno())
        while self._learn():
            pass                        # what it had said before it ended
        self._socket.close()
        self._socket = None
        while self._queue and (self._first or not self._queue[0][0].address):
            self._forget_first()        # some of its messages have arrived, and none shall arrive twice
        for server in self._servers.values():
            if (lost := server.handed - server.done) > 0:
                server.untold += lost
                server.lost += lost
                self.said(f"{server.address.decode()}: {lost} messages are lost at most, for {_GONE}")
            server.handed = server.done = 0

    def finish(self, deadline: float) -> None:
        """Nothing more will come: hand over what waits until `deadline` (monotonic); then the process may end."""
        self._flush()
        while self._socket is not None and self._queue and (left := deadline - monotonic()) > 0:
            writable = poll()
            writable.register(self._socket, POLLOUT)
            writable.poll(left * 1000)
            self._flush()
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_WR)

    def _ready(self, events: int) -> None:
        if events & EPOLLOUT:
            self._flush()
        if events & ~EPOLLOUT and self._socket is not None:
            self._take()

    def _flush(self) -> None:
        while self._queue and self._socket is not None:
            server, data, count = self._queue[0]
            try:
                sent = self._socket.send(memoryview(data)[self._first:])
            except BlockingIOError:
                break
            except OSError:
                self.disconnect()
                return
            if not self._first:
                server.handed += count
            self._first += sent
            self._sent += sent
            if self._first == len(data):
                self._forget_first()
        if self._loop is not None and self._socket is not None and self._blocked != bool(self._queue):
            self._blocked = bool(self._queue)
            self._loop.rearm(self._socket.fileno(), EPOLLIN | EPOLLOUT if self._blocked else EPOLLIN)
            self._look_later()

    def _look_later(self) -> None:
        if self._loop is not None and self._blocked and not self._looks:
            self._looks, sent = True, self._sent
            self._loop.soon(STUCK_SECONDS, lambda: self._look(sent))

    def _look(self, sent: int) -> None:
        self._looks = False
        if self._socket is not None and self._blocked and self._sent == sent:
            self.stuck()
        else:
            self._look_later()

    def _forget_first(self) -> None:
        server, data, _count = self._queue.popleft()
        server.waiting -= len(data)
        self._first = 0

    def _take(self) -> None:
        if self._learn() is False:
            self.disconnect()

    def _learn(self) -> bool | None:
        """Read what it says it is done with. None: there is nothing yet; False: it has ended."""
        assert self._socket is not None
        try:
            found = self._socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            found = b""
        self._read += found
        while len(self._read) >= DONE.size:
            done, length = DONE.unpack_from(self._read)
            end = DONE.size + length
            if len(self._read) < end:
                break
            server = self._servers.get(self._read[DONE.size:end].decode())
            if server is not None:
                server.done += done
            self._read = self._read[end:]
        return bool(found)


class RemoteSink(Sink):
    """One stream of one process to one server: each run writes lines of its own."""

    __slots__ = ("address", "app", "facility", "fields", "relay", "severity", "stream")

    def __init__(self, relay: Relay, address: str, facility: int, severity: int, app: str, stream: str,
                 fields: dict[str, str], say: Say) -> None:
        super().__init__(say)
        self.relay, self.address, self.facility, self.severity = relay, address, facility, severity
        self.app, self.stream, self.fields = app, stream, fields

    def of_run(self, number: int) -> "RemoteLines":
        """See `Sink.of_run`."""
        return RemoteLines(self, number)

    def send(self, messages: list[bytes]) -> None:
        """Hand them over."""
        if messages and (lost := self.relay.send(self.address, messages)):
            # from the end of the structured data on it is output, and a newline
            self._lose(sum(len(each) - each.find(b"] ") - 1 for each in lost), f"{self.address} takes no more")


class RemoteLines(Sink):
    """What one run writes on one stream, a message a line. A line beyond LONGEST is cut, and all pieces but the last
    say so. Empty lines are left out.
    """

    __slots__ = ("_number", "_part", "_sink", "_tails")

    def __init__(self, sink: RemoteSink, number: int) -> None:
        super().__init__(lambda _text: None)
        self._sink, self._number, self._part = sink, number, b""
        self.begin(0)

    def begin(self, pid: int) -> None:
        """See `Sink.begin`."""
        sink, host, number = self._sink, uname().nodename, str(self._number)
        self._tails = {why: head(host, sink.app, str(pid or "-"), sink.stream, {
            **sink.fields, "run": number, **({"break": why} if why else {})}) for why in ("", "line-max", "eof")}

    def write(self, data: memoryview) -> None:
        """Send the complete lines and keep the rest until it is complete."""
        *lines, rest = (self._part + data).split(b"\n")
        date = rfc3339(time(), 6)
        found: list[bytes] = []
        for line in lines:
            if line := self._pieces(line, date, found):
                found.append(self._message(line, date, ""))
        self._part = self._pieces(rest, date, found)
        self._sink.send(found)

    def end(self) -> None:
        """The stream has ended: the last line has no newline."""
        if self._part:
            self._sink.send([self._message(self._part, rfc3339(time(), 6), "eof")])
            self._part = b""

    def _pieces(self, line: bytes, date: str, found: list[bytes]) -> bytes:
        while len(line) > LONGEST:
            end = whole(line, LONGEST)
            found.append(self._message(line[:end], date, "line-max"))
            line = line[end:]
        return line

    def _message(self, line: bytes, date: str, why: str) -> bytes:
        return message(self._sink.facility, self._sink.severity, date, self._tails[why], line)


class RemoteEntries(Sink):
    """The daemon's own log on a server: a message a line of it, with the level as severity and its fields as data."""

    def __init__(self, relay: Relay, address: str, facility: int, app: str, pid: int, fields: dict[str, str],
                 say: Say) -> None:
        super().__init__(say)
        self._relay, self._address, self._facility, self._app = relay, address, facility, app
        self._pid, self._fields = pid, fields

    def add(self, level: str, text: str, fields: Fields) -> None:
        """One entry; `level` is one of logs/main.py's, `fields` are the journal's."""
        more = {key.removeprefix("SDSUPER_").lower().replace("_", "-"): value for key, value in fields.items()
                if key.startswith("SDSUPER_")}
        tail = head(uname().nodename, self._app, str(self._pid), fields.get("MESSAGE_ID", ""),
                    {**self._fields, **more})
        date = rfc3339(time(), 6)
        found = [message(self._facility, SEVERITIES[level], date, tail, line[:LONGEST])
                 for line in text.encode(errors="backslashreplace").split(b"\n") if line]
        if lost := self._relay.send(self._address, found):
            self._lose(sum(map(len, lost)), f"{self._address} takes no more")
