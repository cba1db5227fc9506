"""One syslog server and the thread that sends to it.

Promises: messages are sent in order, and none is dropped while there is room for those that wait. While a server is
away it is tried again, at first soon, then each half minute. How many messages were lost is told to it before the next
one, and said once a minute. Must not: let another server wait.

Sources: RFC 5426 (UDP: a datagram is a message), RFC 6587 section 3.4.1 (TCP: octet counting), RFC 5425 (TLS).
"""

import socket
import ssl
import sys
import threading
from collections import deque
from errno import EMSGSIZE
from time import monotonic, time

from sdsuper.logs.forms import rfc3339
from sdsuper.logs.messages import DONE, head, message

QUEUE_BYTES = 8 << 20       # what waits for a server
CONNECT_SECONDS = 10.0
SEND_SECONDS = 30.0         # for a server that takes nothing; then it is connected to anew
PAUSE, PAUSE_MOST = 0.5, 30.0
DONE_SECONDS = 0.25         # between two times that the daemon is told what is done with
SAY_SECONDS = 60.0
BATCH_BYTES = 64 << 10      # messages that are sent as one piece
_SYSLOG, _WARNING = 5, 4


class Done:
    """Tells the daemon how many messages are done with."""

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon, self._lock = daemon, threading.Lock()

    def tell(self, address: bytes, count: int) -> None:
        """So many more of a server."""
        with self._lock:
            try:
                self._daemon.sendall(DONE.pack(count, len(address)) + address)
            except OSError:
                pass                # the daemon has ended


class Server:
    """One of them. `put` and `finish` are for the reading thread; everything else is its own thread's."""

    def __init__(self, address: bytes, context: ssl.SSLContext | str, settings: dict[str, str], done: Done) -> None:
        self.name = address.decode()
        self._kind, _, place = self.name.partition(":")
        host, _, port = place.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._address, self._context, self._done = address, context, done
        self._head = head(socket.gethostname(), settings["identifier"], settings["pid"], "lost", {})
        self._changed = threading.Condition()
        self._queue: deque[tuple[bytes, int]] = deque()     # message, and 1 if it is of the daemon's, 0 if it is ours
        self._bytes = self._lost = self._lost_in_all = self._said = 0
        self._finishing = self._away = self._complained = False
        self._good = 0                                      # pieces sent since the last failure
        self._refused = 0                                   # how often: with UDP another address has its turn
        self._quiet_until, self._pause = 0.0, PAUSE
        self._socket: socket.socket | None = None
        self._count, self._told = 0, 0.0                    # done with and not told; when it was told last
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    # ---- the reading thread ---------------------------------------------------------------------------------------

    def put(self, text: bytes, lost: int) -> None:
        """One more message; so many before it did not even come here."""
        with self._changed:
            self._lost += lost              # the server has to hear of them, the log has already
            if self._bytes + len(text) > QUEUE_BYTES:
                self._lose(1)
                self._count += 1
            else:
                if self._lost:
                    self._queue.append((self._about_lost(), 0))
                    self._lost = 0
                self._queue.append((text, 1))
                self._bytes += len(text)
            self._changed.notify()

    def finish(self) -> None:
        """No more will come: what cannot be sent now is lost."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait so long for the last one to be sent."""
        self._thread.join(seconds)

    def say_lost(self) -> None:
        """Say what was lost in the end; then it is done with, and the daemon need not say it, too."""
        with self._changed:
            waiting = sum(ours for _text, ours in self._queue)
            left = self._lost_in_all + waiting
            self._lost_in_all = 0
            self._count += waiting
            self._tell(0.0)
        if left > self._said:
            self._say(f"{left - self._said} messages are lost in the end", 0.0)

    def _lose(self, count: int) -> None:
        self._lost += count
        self._lost_in_all += count

    def _about_lost(self) -> bytes:
        return message(_SYSLOG, _WARNING, rfc3339(time(), 6), self._head, b"%d messages were lost" % self._lost)

    # ---- its own thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while batch := self._next():
            try:
                if self._socket is None:
                    self._connect()
                self._send(batch)
            except (OSError, ValueError) as error:
                if not self._failed(error):
                    return
                continue
            self._good += 1
            if self._away and (self._good > 1 or self._kind != "udp"):     # a refused datagram shows with the next one
                self._away, self._pause = False, PAUSE
                if self._complained:
                    self._complained = False
                    self._say("is reached again", 0.0)
            with self._changed:
                self._forget(len(batch))
                self._tell()

    def _next(self) -> list[bytes]:
        """The messages to send next, at least one; none: it is over."""
        with self._changed:
            while not self._queue:
                if self._finishing:
                    self._tell(0.0)
                    self._part()
                    return []
                self._tell()
                self._changed.wait(DONE_SECONDS if self._count else None)
            batch: list[bytes] = []
            size = 0
            for text, _ours in self._queue:
                size += len(text)
                if batch and (self._kind == "udp" or size > BATCH_BYTES):
                    break
                batch.append(text)
            return batch

    def _forget(self, count: int) -> None:
        for _number in range(count):
            text, ours = self._queue.popleft()
            self._bytes -= len(text) * ours
            self._count += ours

    def _tell(self, pause: float = DONE_SECONDS) -> None:
        if self._count and monotonic() >= self._told + pause:
            self._done.tell(self._address, self._count)
            self._count, self._told = 0, monotonic()

    def _connect(self) -> None:
        if self._kind == "udp":
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _name, place = found[self._refused % len(found)]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(place)
            return
        if self._kind == "tls" and isinstance(self._context, str):
            raise ValueError(self._context)
        made = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._kind == "tls":
                assert isinstance(self._context, ssl.SSLContext)
                made = self._context.wrap_socket(made, server_hostname=self._host)
            made.settimeout(SEND_SECONDS)
        except BaseException:
            made.close()
            raise
        self._socket = made

    def _send(self, batch: list[bytes]) -> None:
        assert self._socket is not None
        if self._kind == "udp":
            self._socket.send(batch[0])
            return
        self._look()
        self._socket.sendall(b"".join(b"%d %s" % (len(text), text) for text in batch))

    def _look(self) -> None:
        """Whether the server has closed the connection since; what it says otherwise is nothing to us."""
        assert self._socket is not None
        self._socket.settimeout(0)
        try:
            while self._socket.recv(4096):
                pass
            raise ConnectionResetError("the server has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            self._socket.settimeout(SEND_SECONDS)

    def _failed(self, error: Exception) -> bool:
        """Wait before the next try. False: there is none."""
        connected, self._good = self._socket is not None, 0
        self._close()
        if isinstance(error, OSError) and error.errno == EMSGSIZE:   # it will never fit into a datagram
            with self._changed:
                self._forget(1)
                self._lose(1)
            return True
        self._refused += 1
        if connected and self._kind == "udp" and isinstance(error, ConnectionRefusedError):
            with self._changed:
                self._lose(1)                                       # the one before
        elif connected and not self._away and isinstance(error, ConnectionResetError):
            self._pause = 0.0               # it was restarted, perhaps; try at once
        self._away = True
        self._complained |= self._say(f"cannot be reached: {_reason(error)}; messages wait")
        with self._changed:
            if self._pause:
                self._changed.wait_for(lambda: self._finishing, self._pause)
            self._pause = min(max(self._pause * 2, PAUSE), PAUSE_MOST)
            return not self._finishing

    def _part(self) -> None:
        """Close it in order: with TLS that is said (RFC 5425 section 4.4)."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(0)
            try:
                self._socket.unwrap()
            except (OSError, ValueError):
                pass                    # the answer is not waited for
        self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, text: str, pause: float = SAY_SECONDS) -> bool:
        """A line for the daemon's log; one of a kind that comes again and again once a minute. Whether it was said."""
        now = monotonic()
        if pause and now < self._quiet_until:
            return False
        if pause:
            self._quiet_until = now + pause
        if self._lost_in_all > self._said:
            text += f"; {self._lost_in_all - self._said} messages are lost"
            self._said = self._lost_in_all
        print(f"{self.name}: {text}", flush=True, file=sys.stdout)
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
