"""The life of the face: it takes over the listening sockets, accepts, and ends when it is not needed.

Promises: a connection that was accepted is answered: the face ends for being idle only in a moment without one, and
what waits in the backlog is left to the next face; one more connection than allowed waits there, too. When the daemon
has ended, or on SIGTERM, it ends as soon as what was asked is answered. Must not: bind anything.
"""

import asyncio
import logging
import os
import signal
import socket
import struct
import sys
from typing import NamedTuple

from uvicorn.server import ServerState

from sdsuper.api import guard
from sdsuper.api.app import make_app
from sdsuper.api.daemon import Daemon, Gone
from sdsuper.api.passwords import Passwords
from sdsuper.api.transport import Connections, HttpConnection, Peer, settings

TCP_CONNECTIONS, UNIX_CONNECTIONS = 64, 128
PEER_CONNECTIONS = 56       # of one address
ACCEPT_AT_ONCE = 16
ACCEPT_PAUSE = 0.5          # seconds; when there is no descriptor for a client
LAST_SECONDS = 1.0          # for the last answers; the daemon waits twice as long for the end of its face


class Place(NamedTuple):
    """One listening socket."""

    number: int
    socket: socket.socket
    unix: bool


class Face:
    """All listeners of one daemon."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._places: list[Place] = []
        self._open = {True: 0, False: 0}        # connections, by whether they are of unix sockets
        self._paused: set[int] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._idle_seconds = 0
        self._connections = Connections()
        self._state = ServerState()

    async def run(self, first: socket.socket) -> None:
        """Serve until there is no need any more."""
        self._loop.add_signal_handler(signal.SIGTERM, self._finish)
        daemon = Daemon(first, self._finish)
        try:
            values, fds = await daemon.open_face()
            passwords = Passwords([_pair(listener) for listener in values["listeners"]])
            app = guard.Guard(make_app(daemon, values["body_bytes"]), passwords, values["allowed_hosts"])
            self._config = settings(app)
            self._idle_seconds = values["idle_seconds"]
            for number, fd in enumerate(fds):
                listener = socket.socket(fileno=fd)
                listener.setblocking(False)
                self._places.append(Place(number, listener, listener.family == socket.AF_UNIX))
                self._resume(self._places[-1])
            self._rest()
            await self._end
            daemon.close()              # nobody waits for it any more
            await self._last_answers()
            passwords.close()
        finally:
            logging.disable()           # uvicorn takes the end of what is under way for an error
            for place in self._places:
                self._loop.remove_reader(place.socket)
                place.socket.close()
            for connection in list(self._connections.all):
                if connection.transport is not None:
                    connection.transport.abort()
            daemon.close()

    async def _last_answers(self) -> None:
        """Let what was asked be answered: a client that has ended the daemon shall hear of it."""
        for place in self._places:
            self._loop.remove_reader(place.socket)
        until = self._loop.time() + LAST_SECONDS
        while any(connection.answering for connection in self._connections.all) and self._loop.time() < until:
            await asyncio.sleep(0.005)

    def _finish(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    # ---- accepting ------------------------------------------------------------------------------------------------

    def _accept(self, place: Place) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if not self._room(place.unix):
                self._pause(place)
                return
            try:
                peer, address = place.socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:             # no descriptor for it now; it would be announced without end
                self._pause(place)
                self._loop.call_later(ACCEPT_PAUSE, self._resume, place)
                return
            self._take(place, peer, address)

    def _room(self, unix: bool) -> bool:
        most = UNIX_CONNECTIONS if unix else TCP_CONNECTIONS
        if self._open[unix] < most:
            return True
        idle = self._connections.idle_longest(lambda peer: peer.unix == unix)
        if idle is not None:
            idle.transport.close()      # there is room when it has ended
        return False

    def _peer_room(self, name: str) -> bool:
        if sum(other.peer.name == name for other in self._connections.all) < PEER_CONNECTIONS:
            return True
        idle = self._connections.idle_longest(lambda peer: peer.name == name)
        if idle is None:
            return False
        idle.transport.close()
        return True

    def _take(self, place: Place, peer: socket.socket, address: object) -> None:
        peer.setblocking(False)
        if place.unix:
            _pid, uid, _gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            name = f"uid {uid}"
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            name = guard.peer_name(address[0]) if isinstance(address, tuple) else ""
            if not self._peer_room(name):
                peer.close()            # the rest is for others
                return
        self._open[place.unix] += 1
        self._rest()
        self._loop.create_task(self._begin(peer, Peer(place.number, place.unix, name)))

    async def _begin(self, accepted: socket.socket, peer: Peer) -> None:
        connection = HttpConnection(self._config, self._state, peer, self._connections.timed, self._ended)
        self._connections.all.add(connection)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()
            self._ended(connection)

    def _ended(self, connection: HttpConnection) -> None:
        if connection not in self._connections.all:
            return
        self._connections.all.discard(connection)
        unix = connection.peer.unix
        self._open[unix] -= 1
        for place in self._places:
            if place.unix == unix:
                self._resume(place)
        self._rest()

    def _pause(self, place: Place) -> None:
        self._paused.add(place.number)
        self._loop.remove_reader(place.socket)

    def _resume(self, place: Place) -> None:
        self._paused.discard(place.number)
        if place.socket.fileno() >= 0 and not self._end.done():
            self._loop.add_reader(place.socket, self._accept, place)

    # ---- idleness -------------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """See whether anybody is connected."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._idle_seconds and not any(self._open.values()):
            self._idle = self._loop.call_later(self._idle_seconds, self._finish)


def _pair(listener: dict[str, str]) -> tuple[str, str] | None:
    user, password = listener.get("username"), listener.get("password")
    return None if user is None and password is None else (user or "", password or "")


def main() -> int:
    """Serve what the daemon at descriptor 0 has to serve. Returns the exit status."""
    logging.basicConfig(format="%(message)s", level=logging.ERROR, stream=sys.stderr)
    try:
        first = socket.socket(fileno=os.dup(0))
        first.getpeername()
    except OSError:
        print("sdsuper-api is started by the daemon: descriptor 0 must be its socket", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(first))
    except Gone:
        pass
    return 0


async def _serve(first: socket.socket) -> None:
    await Face().run(first)
