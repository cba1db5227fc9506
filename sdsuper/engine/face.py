"""The HTTP face: a process of its own that answers on the sockets which the daemon has bound.

Promises: the sockets are open as long as the daemon lives; the face is started by the first connection, may end when it
is idle, and is started again when somebody connects, after a pause when it failed: until then connections wait in the
backlog. It has no rights but its own connection to the daemon (descriptor 0, control.interface `OpenFace`). Must not:
read what clients send.
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from time import monotonic, sleep

from sdsuper.config.model import Server, SupervisordConfig, User
from sdsuper.control.interface import Level
from sdsuper.control.server import Call
from sdsuper.control.server import Server as ControlServer
from sdsuper.core.vocabulary import Exit
from sdsuper.engine.supervise import Engine
from sdsuper.errors import StartError
from sdsuper.system import sockets
from sdsuper.system.loop import EPOLLIN
from sdsuper.system.process import SAME_AS_STDOUT, Launch

FAILED_SECONDS = 10.0             # a face that ends earlier and not by itself has failed
PAUSE, PAUSE_MOST = 1.0, 30.0     # seconds after a failure, doubled by each one in a row
END_SECONDS = 2.0                 # for the face to end with the daemon
NICE = 10                         # supervision comes first, however many clients ask
LINE_BYTES = 2000                 # of what it says, in one line of the log
#: Of a face that is nobody: a process may take over another one (ptrace(2), pidfd_getfd(2)) if all their ids are equal,
#: and many things are nobody. No account has it: systemd's table of ids leaves 60578 to 61183 free.
NOBODYS_GID = 61001
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


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
        self._user = _alone(settings.api_user) if os.geteuid() == 0 else None
        self._pid, self._started, self._failures = 0, 0.0, 0
        self._said = b""
        self._closing = False
        #: why no HTTP socket is open, though there should be some
        self.trouble = _why_not(self._user) if os.geteuid() == 0 and listeners else ""
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
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            until = monotonic() + END_SECONDS
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                if monotonic() > until:
                    os.kill(self._pid, signal.SIGKILL)
                    os.waitpid(self._pid, 0)
                    break
                sleep(0.005)
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
        if self._pid or self._closing:
            return
        self._stop_waiting()
        made: list[int] = []
        try:
            made += [end.detach() for end in socket.socketpair()]
            made += os.pipe2(os.O_CLOEXEC)
            ours, theirs, reader, writer = made
            os.set_blocking(reader, False)
            self._pid = self._engine.launch(Launch(
                0, sys.executable, (sys.executable, "-P", "-m", "sdsuper.api"), _environment(), directory="/",
                user=self._user, stdin=theirs,
                stdout=writer, stderr=SAME_AS_STDOUT, no_new_privs=True, nice=NICE), self._ended)
        except OSError as error:
            self._fail(f"cannot be started: {error.strerror}")
        else:
            self._started = monotonic()
            self._control.adopt(socket.socket(fileno=ours), Level.FACE)
            self._engine.loop.watch(reader, EPOLLIN, lambda _events: self._listen(reader))
            self._engine.log.write("debug", f"the HTTP face has started (pid {self._pid})")
            made = [theirs, writer]
        finally:
            for fd in made:
                os.close(fd)
            self._engine.log.flush()

    def _ended(self, exit: Exit) -> None:
        self._pid = 0
        if exit.code != 0:
            if monotonic() - self._started >= FAILED_SECONDS:
                self._failures = 0
            self._fail(f"ended unexpectedly ({exit})")
            return
        self._failures = 0
        self._engine.log.write("debug", "the HTTP face has ended, for it was idle")
        if self._settings.api_idle == 0:        # somebody has ended it
            self._engine.loop.soon(PAUSE, self._start)
        else:
            self._wait()

    def _fail(self, why: str) -> None:
        pause = min(PAUSE * 2 ** self._failures, PAUSE_MOST)
        self._failures += 1
        self._engine.log.write("error", f"the HTTP face {why}; connections wait {pause:g} seconds for the next one")
        self._engine.loop.soon(pause, self._start if self._settings.api_idle == 0 else self._wait)

    def _listen(self, reader: int) -> None:
        """What it says is for the log."""
        try:
            data = os.read(reader, 65536)
        except BlockingIOError:
            return
        *lines, self._said = (self._said + data).split(b"\n")
        if not data or len(self._said) > LINE_BYTES:
            lines.append(self._said)
            self._said = b""
        for line in lines:
            if line:
                self._engine.log.write("info", "http: " + line[:LINE_BYTES].decode(errors="backslashreplace"))
        self._engine.log.flush()
        if not data:
            self._engine.loop.unwatch(reader)
            os.close(reader)


def _alone(user: User | None) -> User | None:
    """The account in its own group alone."""
    if user is None:
        return None
    gid = NOBODYS_GID if user.name == "nobody" else user.gid
    return user._replace(gid=gid, groups=(gid,))


def _environment() -> dict[str, str]:
    """Little of the daemon's own: who can look into the face shall find nothing there."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "PYTHONPATH": os.path.dirname(_package())}


def _package() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _why_not(user: User | None) -> str:
    """Why an account cannot run the face from where it is installed; empty when it can."""
    if user is None:
        return "HTTP stays closed: it needs an account without privileges, api_user"
    for path in (_package(), sys.executable, os.path.realpath(sys.executable)):
        step = path
        while True:
            facts = os.stat(step)
            shift = 6 if facts.st_uid == user.uid else 3 if facts.st_gid == user.gid else 0
            needed = 5 if step == os.path.dirname(_package()) else 1        # where Python looks for us it lists
            if facts.st_mode >> shift & needed != needed:
                return (f"HTTP stays closed: api_user {user.name} cannot read {path}, for {step} has the mode "
                        f"{facts.st_mode & 0o7777:04o}")
            if step == "/":
                break
            step = os.path.dirname(step)
    return ""
