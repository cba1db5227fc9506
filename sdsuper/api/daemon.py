"""The face's connections to the daemon: the calls of sdsuper.client, for asyncio.

Promises: a quick call never waits behind one that takes long; at most WAITING_MOST of the latter are under way at a
time, the others wait their turn; descriptors that a reply carries belong to the caller. Must not: know what a method
does.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from sdsuper.client import encoded, full_name, values_of
from sdsuper.errors import Refusal, SdsuperError

WAITING_MOST = 32
MESSAGE_BYTES = 256 * 1024      # the longest call that the daemon takes
_CHUNK = 1 << 18
_FDS = 64                       # descriptors of one reply; a configuration has few listeners

Values = dict[str, Any]


class Gone(ConnectionError):
    """The daemon has ended, or has ended this connection."""


class Connection:
    """One connection: a connected unix socket, whose calls are answered one after the other. `gone` is called when the
    daemon ends it.
    """

    def __init__(self, peer: socket.socket, gone: Callable[[], object]) -> None:
        peer.setblocking(False)
        self._socket, self._gone = peer, gone
        self._turn = asyncio.Lock()
        self._pieces: list[bytes] = []
        self._fds: list[int] = []
        self._waiting: asyncio.Future[bytes] | None = None
        asyncio.get_running_loop().add_reader(peer, self._ready)

    def close(self) -> None:
        """End it, with what was received and not taken."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Gone("the daemon has ended"))
        while self._fds:
            os.close(self._fds.pop())

    async def call(self, method: str, **parameters: Any) -> tuple[Values, list[int]]:
        """The reply's parameters and descriptors. Raises Refusal, ProtocolError, Gone.

        A call that is cancelled once it was sent ends the connection: its reply must not be taken for another's.
        """
        name = full_name(method)
        message = encoded(name, parameters)
        if len(message) > MESSAGE_BYTES:
            raise Refusal("BAD_ARGUMENTS", f"{len(message)} bytes are too many for one call")
        async with self._turn:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            try:
                if self._socket.fileno() < 0:
                    raise Gone("the daemon has ended")
                await loop.sock_sendall(self._socket, message)
                reply = await self._waiting
            except (OSError, asyncio.CancelledError) as error:
                self.close()
                if isinstance(error, OSError):
                    raise Gone("the daemon has ended") from error
                raise
            finally:
                self._waiting = None
            fds, self._fds = self._fds, []
            try:
                return values_of(name, reply), fds
            except SdsuperError:
                drop(fds)
                raise

    def _ready(self) -> None:
        try:
            data, fds, _flags, _address = socket.recv_fds(self._socket, _CHUNK, _FDS)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        for fd in fds:
            os.set_inheritable(fd, False)
        self._fds += fds
        waiting = self._waiting
        if not data or waiting is None:         # nobody asked: it has ended, or does not speak the protocol
            self.close()
            if waiting is not None and not waiting.done():
                waiting.set_exception(Gone("the daemon has ended"))
            self._gone()
            return
        self._pieces.append(data)
        if data.endswith(b"\0") and not waiting.done():
            reply = b"".join(self._pieces)[:-1]
            self._pieces = []
            waiting.set_result(reply)


def drop(fds: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)


class Daemon:
    """The daemon that started the face over `first`. `call` is for what it answers at once, `wait` for what may last.

    `gone` is called when it has ended.
    """

    def __init__(self, first: socket.socket, gone: Callable[[], object]) -> None:
        self._gone = gone
        self._first = Connection(first, gone)
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(WAITING_MOST)

    def close(self) -> None:
        """End all connections."""
        for connection in (self._first, *self._free):
            connection.close()

    async def call(self, method: str, **parameters: Any) -> Values:
        """A quick call. Raises Refusal, ProtocolError, Gone."""
        values, fds = await self._quick(method, parameters)
        drop(fds)
        return values

    async def open_face(self) -> tuple[Values, list[int]]:
        """What there is to serve, and the sockets."""
        return await self._quick("OpenFace", {})

    async def open_log(self, name: str | None, channel: str) -> int:
        """A read-only descriptor of a log, which the caller closes; without a name of the daemon's own."""
        return await self._descriptor("OpenLog", name=name, channel=channel)

    async def open_conf(self, name: str) -> int:
        """The same of the file that a program lets clients read."""
        return await self._descriptor("OpenConf", name=name)

    async def wait(self, method: str, **parameters: Any) -> Values:
        """A call that may take long. When it is cancelled, what was asked for happens all the same."""
        async with self._room:
            if self._free:
                connection = self._free.pop()
            else:
                fd = await self._descriptor("OpenConnection")
                connection = Connection(socket.socket(fileno=fd), self._gone)
            try:
                values, fds = await connection.call(method, **parameters)
                drop(fds)
            except (Gone, asyncio.CancelledError):
                connection.close()
                raise
            except BaseException:
                self._free.append(connection)
                raise
            self._free.append(connection)
            return values

    async def _descriptor(self, method: str, **parameters: Any) -> int:
        _values, fds = await self._quick(method, parameters)
        if len(fds) != 1:
            drop(fds)
            raise Refusal("FAILED", "no descriptor is free for it")
        return fds[0]

    async def _quick(self, method: str, parameters: Values) -> tuple[Values, list[int]]:
        # in a task of its own: a client that leaves must not cost everybody the connection
        task = asyncio.create_task(self._first.call(method, **parameters))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_forget)
            raise


def _forget(task: "asyncio.Task[tuple[Values, list[int]]]") -> None:
    if not task.cancelled() and task.exception() is None:
        drop(task.result()[1])
