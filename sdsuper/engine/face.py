"""The HTTP face: a process of its own that answers on the sockets which the daemon has bound.

Promises: the sockets are open as long as the daemon lives; the face is started by the first connection, may end when it
is idle, and is started again when somebody connects, after a pause when it failed: until then connections wait in the
backlog. It has no rights but its own connection to the daemon (descriptor 0, control.interface `OpenFace`). Must not:
read what clients send.
"""

import os
import socket
from collections.abc import Sequence

from sdsuper.config.model import Server, SupervisordConfig, User
from sdsuper.control.interface import Level
from sdsuper.control.server import Call
from sdsuper.control.server import Server as ControlServer
from sdsuper.engine.companion import PAUSE, Companion, alone, why_not
from sdsuper.engine.supervise import Engine
from sdsuper.errors import StartError
from sdsuper.system import sockets
from sdsuper.system.loop import EPOLLIN

END_SECONDS = 2.0                 # for the face to end with the daemon
#: Of a face that is nobody (see `alone`), for many things are. No account has it: systemd's table of ids
#: leaves 60578 to 61183 free.
NOBODYS_GID = 61001


class Listener:
    """One bound socket and the section it belongs to."""

    def __init__(self, server: Server, passed: sockets.Passed) -> None:
        """Bind it, unless systemd has. Raises StartError."""
        self.server = server
        self._identity: tuple[int, int] | None = None
        try:
            found = (passed.tcp(server.host or "", server.port or 0) if server.file is None
                     else passed.unix(server.file))
            if found is not None:
                self.socket = found
            elif server.file is not None:
                self.socket = sockets.listen_unix(server.file, server.chmod, *server.chown)
                self._identity = sockets.identity(server.file)
            else:
                self.socket = sockets.listen_tcp(server.host or "", server.port or 0)
        except sockets.InUse:
            raise StartError("Another program is already listening on a port that one of our HTTP servers is "
                             f"configured to use: {server.url} of [{server.section}] at {server.where}.  Shut this "
                             "program down first before starting supervisord.") from None
        except OSError as error:
            what = f"cannot open {server.url} of [{server.section}] at {server.where}: {error.strerror or error}"
            if isinstance(error, PermissionError) and error.filename is not None:
                what += " (may not give it to the owner that chown names)"
            raise StartError(what) from None

    def close(self) -> None:
        """Stop listening; a unix socket is removed if it is still ours, and not systemd's."""
        self.socket.close()
        if self.server.file is not None:
            sockets.remove(self.server.file, self._identity)


def bind(servers: Sequence[Server], passed: sockets.Passed) -> list[Listener]:
    """Bind all that may be opened, or take what systemd has bound. Raises StartError, with none of them left open."""
    made: list[Listener] = []
    try:
        for server in servers:
            if not server.closed:
                made.append(Listener(server, passed))
    except StartError:
        for listener in made:
            listener.close()
        raise
    return made


class Face:
    """The face of one daemon. `OpenFace` and `OpenConnection` of the control interface are its methods."""

    def __init__(self, engine: Engine, control: ControlServer, listeners: list[Listener], settings: SupervisordConfig,
                 ) -> None:
        self._engine, self._control, self._listeners, self._settings = engine, control, listeners, settings
        user = _alone(settings.api_user) if os.geteuid() == 0 else None
        self._companion = Companion(engine, "sdsuper.api", user, "the HTTP face", "http", "info", "connections",
                                    lambda ours: control.adopt(ours, Level.FACE), self._ended)
        self._closing = False
        why = why_not(user) if os.geteuid() == 0 and listeners else ""
        #: why no HTTP socket is open, though there should be some
        self.trouble = why and f"HTTP stays closed: {why}"
        if self.trouble:
            self._close_listeners()
        elif settings.api_idle == 0 and listeners:
            self._engine.loop.soon(0, self._start)
        else:
            self._wait()

    # ---- calls of the face ----------------------------------------------------------------------------------------

    def open_face(self, call: Call) -> None:
        """What it is to serve, with the sockets."""
        servers = [listener.server for listener in self._listeners]
        fields = [{"section": server.section, "file": server.file, "host": server.host, "port": server.port,
                   "username": server.username, "password": server.password} for server in servers]
        for values in fields:
            for name in [name for name, value in values.items() if value is None]:
                del values[name]
        call.reply({"listeners": fields, "idle_seconds": self._settings.api_idle,
                    "body_bytes": self._settings.api_body_maxbytes,
                    "allowed_hosts": sorted({host for server in servers for host in server.allowed_hosts})},
                   *(listener.socket.fileno() for listener in self._listeners))

    def open_connection(self, call: Call) -> None:
        """One more connection, for a call that may take long."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._control.adopt(ours, Level.FACE)
            call.reply({}, theirs.fileno())

    # ---- its life -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The daemon ends: the face with it, and the sockets are gone."""
        self._closing = True
        if self._companion.pid:
            self._companion.end(END_SECONDS)
        else:
            self._stop_waiting()
        self._close_listeners()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _wait(self) -> None:
        """For the first connection."""
        if not self._closing:
            for listener in self._listeners:
                self._engine.loop.watch(listener.socket.fileno(), EPOLLIN, lambda _events: self._start())

    def _stop_waiting(self) -> None:
        for listener in self._listeners:
            self._engine.loop.unwatch(listener.socket.fileno())

    def _start(self) -> None:
        if not self._companion.pid and not self._closing:
            self._stop_waiting()
            self._companion.start()

    def _ended(self, pause: float) -> None:
        if self._settings.api_idle == 0:        # somebody has ended it, or it has failed
            self._engine.loop.soon(pause or PAUSE, self._start)
        elif pause:
            self._engine.loop.soon(pause, self._wait)
        else:
            self._wait()


def _alone(user: User | None) -> User | None:
    return None if user is None else alone(user, NOBODYS_GID if user.name == "nobody" else user.gid)
