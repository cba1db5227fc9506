"""The Varlink server of the control socket: framing, parameters, permissions. No command is carried out here.

Promises: a caller is who the kernel says (SO_PEERCRED, taken when it connected); a message is checked against the
interface before anybody sees it; a client that sends too much, too slowly or never reads is cut off and costs nobody
else anything. Must not: block, or know what a command does.

Sources: https://varlink.org/Method-Call, unix(7). Limits are constants below.
"""

import errno
import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from sdsuper import VERSION
from sdsuper.control.interface import DESCRIPTION, INTERFACE, LEVELS, Level
from sdsuper.control.schema import Schema, parse
from sdsuper.errors import Refusal, StartError
from sdsuper.system import sockets
from sdsuper.system.loop import EPOLLIN, EPOLLOUT, Loop, Timer

MESSAGE_BYTES = 256 * 1024        # one call
CONNECTIONS = 256                 # at once; one more is closed as it comes
RESERVED = 32                     # of them, for root and the owner alone
ACCEPT_PAUSE = 0.5                # seconds; when there is no descriptor for a client
MESSAGE_SECONDS = 10.0            # from a message's first byte to its last
REPLY_SECONDS = 30.0              # for the reader to take something of what waits for it
STREAM_BYTES = 1024 * 1024        # of a stream that may wait for its reader
SO_PEERGROUPS = 59                # unix(7); not in Python's socket module
SERVICE = "org.varlink.service"

Values = dict[str, Any]


class Call:
    """One call of one client. It is answered once, now or later, by `reply` or `refuse`; where the client wants `more`,
    also by any number of `send` and then by nothing, until it goes.
    """

    __slots__ = ("_connection", "_oneway", "level", "method", "more", "parameters", "uid")

    def __init__(self, connection: "Connection", method: str, parameters: Values, oneway: bool, more: bool) -> None:
        self._connection, self.method, self.parameters, self._oneway = connection, method, parameters, oneway
        self.level, self.uid, self.more = connection.level, connection.uid, more

    def send(self, parameters: Values) -> bool:
        """One of many answers; False, and nothing is sent, while too much waits for the reader."""
        return self._connection.stream(_encoded({"parameters": parameters, "continues": True}))

    def when_gone(self, call: Callable[[], object]) -> None:
        """Call once the client of a stream has gone."""
        self._connection.gone = call

    def reply(self, parameters: Values, *fds: int) -> None:
        """Answer; the descriptors go with it and stay the caller's to close."""
        self._connection.answer(_encoded({"parameters": parameters}), fds, self._oneway)

    def reply_text(self, parameters: str) -> None:
        """Answer with JSON that has been made already."""
        self._connection.answer(f'{{"parameters":{parameters}}}'.encode(), (), self._oneway)

    def refuse(self, refusal: Refusal) -> None:
        """Say no."""
        self.error(f"{INTERFACE}.Refused", {"fault": refusal.fault, "code": refusal.code, "detail": refusal.detail})

    def error(self, name: str, parameters: Values) -> None:
        """Answer with a Varlink error."""
        self._connection.answer(_encoded({"error": name, "parameters": parameters}), (), self._oneway)


def _encoded(message: Values) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


class Connection:
    """One client. Calls are taken one after another: the next one when the last is answered."""

    def __init__(self, server: "Server", peer: socket.socket, level: Level) -> None:
        self._server, self._socket, self.level = server, peer, level
        self.uid = credentials(peer)[1]
        self._in, self._out = bytearray(), bytearray()
        self._fds: list[int] = []
        self._busy = False
        self._deadline: Timer | None = None
        self.gone: Callable[[], object] = lambda: None
        server.loop.watch(peer.fileno(), EPOLLIN, self._ready)

    def close(self) -> None:
        """End it; a reply that is still to come goes nowhere."""
        if self._socket.fileno() >= 0:
            self._server.loop.unwatch(self._socket.fileno())
            self._socket.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        self._limit(None)
        self._server.drop(self)
        gone, self.gone = self.gone, lambda: None
        gone()

    def _ready(self, events: int) -> None:
        try:
            if events & EPOLLOUT:
                self._send()
            elif not self._receive():
                self.close()
        except OSError:
            self.close()

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        self._in += data
        self._take()
        return len(self._in) <= MESSAGE_BYTES

    def _take(self) -> None:
        """Handle one complete message, unless a call is under way or a reply has not been read."""
        if self._busy or self._out or self._socket.fileno() < 0:
            return
        end = self._in.find(b"\0")
        if end >= 0:
            message = bytes(self._in[:end])
            del self._in[:end + 1]
            self._limit(None)
            self._busy = True
            self._server.dispatch(self, message)
        elif self._in and self._deadline is None:
            self._limit(MESSAGE_SECONDS)

    def answer(self, message: bytes, fds: Sequence[int], oneway: bool) -> None:
        """Send a reply and go on with the next call."""
        self._busy = False
        if self._socket.fileno() < 0:
            return
        try:
            if not oneway:
                self._out += message
                self._out.append(0)
                for fd in fds:
                    self._fds.append(os.dup(fd))        # one by one: where it fails, `close` knows of those before
            self._send()
        except OSError:
            self.close()

    def stream(self, message: bytes) -> bool:
        """Send one of many replies, if there is room for it; the call goes on."""
        if self._socket.fileno() < 0:
            return True
        if len(self._out) + len(message) > STREAM_BYTES:
            return False
        self._out += message
        self._out.append(0)
        if len(self._out) == len(message) + 1:      # else it waits for the reader, who is given no more time for it
            self._server.loop.soon(0, self._begin)
        return True

    def _begin(self) -> None:
        """In a turn of its own: what is sent may end the connection, which nobody who tells something expects."""
        if self._socket.fileno() >= 0 and self._out:
            self._ready(EPOLLOUT)

    def _send(self) -> None:
        try:
            if self._fds:
                sent = socket.send_fds(self._socket, [self._out], self._fds)
                for fd in self._fds:
                    os.close(fd)
                self._fds = []
            else:
                sent = self._socket.send(self._out)
            del self._out[:sent]
        except BlockingIOError:
            pass
        # until it has read its reply, no more is taken from it
        self._server.loop.rearm(self._socket.fileno(), EPOLLOUT if self._out else EPOLLIN)
        self._limit(REPLY_SECONDS if self._out else None)
        if self._in and not self._out:
            self._server.loop.soon(0, self._take)       # not now: others have their turn first

    def _limit(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._server.loop.soon(seconds, self.close)


class Server:
    """Takes connections of a socket that `listen` made at `path`, and hands checked calls to `handle`."""

    def __init__(self, loop: Loop, path: str, listener: socket.socket, group: int | None,
                 handle: Callable[[Call], object], remains: bool = False) -> None:
        """`remains`: the socket is systemd's, and stays when the server is closed."""
        self.loop, self._path, self._group, self._handle = loop, path, group, handle
        self.connections: set[Connection] = set()
        self._adopted: set[Connection] = set()
        self._schema: Schema | None = None
        self._listener = listener
        self._identity = None if remains else sockets.identity(path)
        loop.watch(self._listener.fileno(), EPOLLIN, self._accept)

    def close(self) -> None:
        """Stop listening, end all connections, remove the socket if it is still ours."""
        self.loop.unwatch(self._listener.fileno())
        self._listener.close()
        for connection in (*self.connections, *self._adopted):
            connection.close()
        sockets.remove(self._path, self._identity)

    def _accept(self, _events: int) -> None:
        try:
            peer, _address = self._listener.accept()
        except OSError as error:
            if error.errno != errno.ECONNABORTED:       # no descriptor for it now; it would be announced without end
                self.loop.rearm(self._listener.fileno(), 0)
                self.loop.soon(ACCEPT_PAUSE, self._accept_again)
            return
        peer.setblocking(False)
        level = level_of(peer, self._group)
        room = CONNECTIONS - (0 if level is Level.ADMIN else RESERVED)
        if level is Level.NOTHING or len(self.connections) >= room:
            if level is Level.NOTHING:
                _tell_denied(peer)
            peer.close()
            return
        self.connections.add(Connection(self, peer, level))

    def adopt(self, peer: socket.socket, level: Level) -> None:
        """Serve the other end of a pair as well; it counts among nobody's connections."""
        peer.setblocking(False)
        self._adopted.add(Connection(self, peer, level))

    def drop(self, connection: Connection) -> None:
        """Forget one that has ended."""
        self.connections.discard(connection)
        self._adopted.discard(connection)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self.loop.rearm(self._listener.fileno(), EPOLLIN)

    # ---- calls ----------------------------------------------------------------------------------------------------

    def dispatch(self, connection: Connection, message: bytes) -> None:
        """Check one message and hand it on."""
        try:
            decoded = json.loads(message)
            method, parameters = decoded["method"], decoded.get("parameters") or {}
            if not isinstance(method, str) or not isinstance(parameters, dict):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            connection.close()          # it does not speak the protocol
            return
        call = Call(connection, method, parameters, decoded.get("oneway") is True, decoded.get("more") is True)
        interface, _dot, name = method.rpartition(".")
        if interface == SERVICE:
            self._introspect(call, name)
        elif interface != INTERFACE:
            call.error(f"{SERVICE}.InterfaceNotFound", {"interface": interface})
        elif name not in LEVELS:
            call.error(f"{SERVICE}.MethodNotFound", {"method": method})
        elif call.level < LEVELS[name]:
            call.error(f"{SERVICE}.PermissionDenied", {})
        else:
            wrong = self.schema.check(name, parameters)
            if wrong is not None:
                call.error(f"{SERVICE}.InvalidParameter", {"parameter": wrong})
                return
            call.method = name
            self._handle(call)

    @property
    def schema(self) -> Schema:
        """The interface, parsed when the first client calls."""
        if self._schema is None:
            self._schema = parse(DESCRIPTION)
        return self._schema

    def _introspect(self, call: Call, name: str) -> None:
        if name == "GetInfo":
            call.reply({"vendor": "sdsuper", "product": "sdsuperd", "version": VERSION, "url": "https://varlink.org",
                        "interfaces": [SERVICE, INTERFACE]})
        elif name == "GetInterfaceDescription":
            wanted = call.parameters.get("interface")
            if not isinstance(wanted, str):
                call.error(f"{SERVICE}.InvalidParameter", {"parameter": "interface"})
            elif wanted == INTERFACE:
                call.reply({"description": DESCRIPTION})
            elif wanted == SERVICE:
                call.reply({"description": SERVICE_DESCRIPTION})
            else:
                call.error(f"{SERVICE}.InterfaceNotFound", {"interface": wanted})
        else:
            call.error(f"{SERVICE}.MethodNotFound", {"method": call.method})


def credentials(peer: socket.socket) -> tuple[int, int, int]:
    """pid, uid and gid of the process at the other end, as it was when it connected (unix(7))."""
    pid, uid, gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid


def level_of(peer: socket.socket, group: int | None) -> Level:
    """What the process at the other end may do."""
    pid, uid, gid = credentials(peer)
    if uid in (0, os.geteuid()) and pid > 0:       # pid 0: from another pid namespace, nobody we could know
        return Level.ADMIN
    if group is None:
        return Level.NOTHING
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)      # the most that Python takes
    except OSError:
        raw = b""                       # of somebody in more than 256 groups the primary one counts
    return Level.OPERATE if group in (gid, *struct.unpack(f"{len(raw) // 4}I", raw)) else Level.NOTHING


def _tell_denied(peer: socket.socket) -> None:
    """Answer before being asked: whoever may do nothing should at least know why nobody listens."""
    try:
        peer.send(json.dumps({"error": f"{SERVICE}.PermissionDenied", "parameters": {}}).encode() + b"\0")
    except OSError:
        pass                            # it has gone already


def listen(path: str, group: int | None, passed: sockets.Passed = sockets.NONE_PASSED) -> socket.socket:
    """A listening socket at `path`, for its owner alone or also for a group, or the one that systemd has opened there.
    Raises StartError.
    """
    found = passed.unix(path)
    if found is not None:
        return found
    make_directory(path, os.geteuid(), os.getegid())
    try:
        return sockets.listen_unix(path, 0o600 if group is None else 0o660, gid=-1 if group is None else group)
    except sockets.InUse:
        raise StartError(f"cannot listen on {path}: another sdsuper answers there; stop it first, or set "
                         "control_socket") from None
    except PermissionError as error:
        if error.filename is not None:
            raise StartError(f"cannot listen on {path}: not root, and no member of the group {group} "
                             "that control_group names") from None
        raise StartError(f"cannot listen on {path}: {error.strerror}") from None
    except OSError as error:
        raise StartError(f"cannot listen on {path}: {error.strerror or error}") from None


def make_directory(path: str, uid: int, gid: int) -> None:
    """Make the directory of the socket `path` when it is missing, one level, 0755 whatever the umask, for that owner.

    One that is there stays as it is. Root calls it before it becomes somebody who may not. Raises StartError.
    """
    folder = os.path.dirname(path)
    if os.path.isdir(folder):
        return
    before = os.umask(0o022)
    try:
        os.mkdir(folder, 0o755)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, uid, gid)
            os.fchmod(fd, 0o755)        # without the set-group-ID bit of the directory above
        finally:
            os.close(fd)
    except OSError as error:
        raise StartError(f"cannot listen on {path}: cannot make {folder}: {error.strerror}") from None
    finally:
        os.umask(before)


SERVICE_DESCRIPTION = """\
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
"""
