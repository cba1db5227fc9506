"""One HTTP connection: uvicorn's protocol, with limits in time and size around it.

Promises: a head is checked (heads.py) before it is parsed; a head has HEAD_SECONDS from its first byte, a body
BODY_SECONDS from its head, a reader STALL_SECONDS to take something of what waits for it; who breaks that is cut off.
An answer given before its request was read is not lost: what still comes is thrown away for a while. Must not: know
what is served.
"""

import asyncio
import fcntl
import inspect
import sys
import termios
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sdsuper.api import heads

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
STALL_SECONDS = 60.0
LINGER_SECONDS = 3.0            # for what a refused client still sends
LINGER_BYTES = 8 << 20
IDLE_SECONDS = 3600             # between two requests; superlance keeps a connection between its ticks
HELD_BYTES = 64 * 1024          # of further requests, while one is being answered

#: uvicorn's protocol wants this since 0.18
_MORE: dict[str, Any] = {"app_state": {}} if "app_state" in inspect.signature(H11Protocol.__init__).parameters else {}


class Peer(NamedTuple):
    """Who is at the other end."""

    listener: int               # by which of the listeners it came
    unix: bool
    name: str                   # what its guesses of passwords are counted by: `uid 1000`, `192.0.2.1`


def settings(app: Any) -> Config:
    """uvicorn's configuration: nothing that we do ourselves."""
    config = Config(app, interface="asgi3", http=H11Protocol, ws="none", lifespan="off", log_config=None,
                    log_level="error", access_log=False, proxy_headers=False, server_header=False, date_header=False,
                    timeout_keep_alive=IDLE_SECONDS)
    config.load()
    return config


class HttpConnection(H11Protocol):      # type: ignore[misc]    # some versions of uvicorn have no types
    """A connection from its first byte to its last. `timed` is called when it begins to be watched, `ended` once."""

    def __init__(self, config: Config, state: ServerState, peer: Peer, timed: Callable[[], object],
                 ended: Callable[["HttpConnection"], object]) -> None:
        super().__init__(config=config, server_state=state, **_MORE)
        self.peer = peer
        self._timed, self._ended = timed, ended
        self._serve = config.loaded_app
        self.app: Any = self._with_peer
        self._head = bytearray()
        self._deadline: float | None = None
        self._missing = 0                       # bytes of the body that are to come
        self._lingering = 0
        self._waiting_bytes, self._progress = 0, 0.0
        self.idle_since: float | None = None

    async def _with_peer(self, scope: Any, receive: Any, send: Any) -> None:
        scope["peer"] = self.peer
        await self._serve(scope, receive, send)

    # ---- what comes -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The connection begins; its first request is expected at once."""
        super().connection_made(transport)
        self._progress = self.loop.time()
        self._limit(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()     # its timer would hold all of this for IDLE_SECONDS
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        """Heads are gathered here; a body goes on as it comes."""
        if self._lingering:
            self._lingering += len(data)
            if self._lingering > LINGER_BYTES:
                self.transport.abort()
        elif self.conn.their_state is h11.SEND_BODY:
            self._take_body(data)
        else:
            self._head += data
            if self.conn.their_state is h11.IDLE:
                self._take()
            elif len(self._head) > HELD_BYTES:
                self.transport.abort()

    def _take(self) -> None:
        """Hand one complete head on, unless a request is under way."""
        while self._head.startswith(b"\r\n"):       # RFC 9112, 2.2; supervisorctl sends one too many
            del self._head[:2]
        if not self._head or self.transport.is_closing():
            return
        end = heads.split(self._head)
        if end < 0:
            status = heads.early(self._head)
            if status:
                self.refuse(status)
            elif self._deadline is None:
                self._limit(HEAD_SECONDS)
            return
        head = bytes(self._head[:end])
        status = heads.wrong(head)
        if status:
            self.refuse(status)
            return
        head = heads.quoted(head)
        rest = bytes(self._head[end:])
        self._head.clear()
        self._missing = heads.body_bytes(head)
        self.idle_since = None
        super().data_received(head)
        if self.conn.their_state is h11.SEND_BODY:
            self._limit(BODY_SECONDS)
        else:
            self._watch()
        if rest:
            self.data_received(rest)

    def _take_body(self, data: bytes) -> None:
        data, rest = data[:self._missing], data[self._missing:]
        self._missing -= len(data)
        super().data_received(data)
        if self.conn.their_state is h11.SEND_BODY:
            return
        self._watch()
        if rest:
            self.data_received(rest)

    def on_response_complete(self) -> None:
        """An answer is out, perhaps before its request was read."""
        unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if unread:
            self._linger()
        elif self.conn.their_state is h11.IDLE:
            self.idle_since = self.loop.time()
            self._take()

    def refuse(self, status: int) -> None:
        """Answer what is not even a request, and end."""
        phrase = HTTPStatus(status).phrase
        text = f"{phrase}\n"
        self.transport.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                             f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        self._linger()

    def send_400_response(self, *_: object) -> None:
        """uvicorn's own answer to what it cannot parse; replaced, for it would fail in the middle of an answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.refuse(400)

    def _linger(self) -> None:
        """Say that nothing more comes, and throw away what the client still sends: closing now could take the answer
        from it (RFC 9112, 9.6).
        """
        self._lingering = 1
        self.transport.write_eof()
        self._limit(LINGER_SECONDS)
        self.flow.resume_reading()

    @property
    def answering(self) -> bool:
        """Whether a POST is under way or its answer not sent yet. A log that is followed would be so for ever."""
        if self.cycle is None or self.cycle.scope["method"] != "POST" or self.transport.is_closing():
            return False
        return not self.cycle.response_complete or self.transport.get_write_buffer_size() > 0

    # ---- time -----------------------------------------------------------------------------------------------------

    def resume_writing(self) -> None:
        """The reader has taken something."""
        super().resume_writing()
        self._progress = self.loop.time()

    def _limit(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds
        self._timed()

    def _watch(self) -> None:
        """The request is complete: from now on the reader is watched."""
        self._deadline = None
        self._progress = self.loop.time()
        self._timed()

    def look(self, now: float) -> bool:
        """Cut it off if it is too late; whether there is something to look at again."""
        if self.transport is None:      # accepted a moment ago
            return True
        waiting = self.transport.get_write_buffer_size() + _unread(self.transport.get_extra_info("socket"))
        if waiting < self._waiting_bytes or not waiting:
            self._progress = now
        self._waiting_bytes = waiting
        late = self._deadline is not None and now > self._deadline
        if late or now - self._progress > STALL_SECONDS:
            self.transport.abort()
            return False
        busy = self.cycle is not None and not self.cycle.response_complete
        return self._deadline is not None or waiting > 0 or busy


def _unread(peer: Any) -> int:
    """Bytes that the kernel has for the reader, unix(7), tcp(7): it takes megabytes before we notice a slow one."""
    if peer.fileno() < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Connections:
    """All connections: how many there are, and who is too slow."""

    LOOK_SECONDS = 1.0

    def __init__(self) -> None:
        self.all: set[HttpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def timed(self) -> None:
        """Some connection is to be watched."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        busy = [connection.look(now) for connection in list(self.all)]
        if any(busy):
            self.timed()

    def idle_longest(self, among: Callable[[Peer], bool]) -> HttpConnection | None:
        """The connection among those of such peers that has been without a request for longest, if any is."""
        idle = [c for c in self.all if among(c.peer) and c.idle_since is not None and not c.transport.is_closing()]
        return min(idle, key=lambda c: c.idle_since or 0.0, default=None)
