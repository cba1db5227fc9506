"""HTTP as the tests speak it: over unix sockets, with passwords, and raw."""

import base64
import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy, Transport

from tests.engine.conftest import Daemon, Start

Address = str | int     # the path of a unix socket, or a port on 127.0.0.1


def connect(address: Address, timeout: float = 20.0) -> socket.socket:
    """A connected socket."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout)
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(timeout)
    peer.connect(address)
    return peer


class Connection(http.client.HTTPConnection):
    """HTTP to an address."""

    def __init__(self, address: Address) -> None:
        super().__init__("127.0.0.1" if isinstance(address, int) else "localhost",
                         address if isinstance(address, int) else None, timeout=30)
        self.address = address

    def connect(self) -> None:
        self.sock = connect(self.address, 30)


class Direct(Transport):
    """xmlrpc.client's way to an address."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        if self._connection[1] is None:
            self._connection = "", Connection(self.address)
        made = self._connection[1]
        assert made is not None
        return made


def proxy(address: Address) -> Any:
    """XML-RPC; use it with `with`."""
    return ServerProxy("http://localhost", transport=Direct(address))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def basic(user: str, password: str) -> dict[str, str]:
    """The header that says who one is."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Reply:
    """Status, headers and body of an answer."""

    def __init__(self, found: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = found.status, found.headers, found.read()

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:200]!r}>"


def ask(address: Address, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None) -> Reply:
    """One request on a connection of its own."""
    connection = Connection(address)
    try:
        connection.request(method, path, body, dict(headers or {}))
        return Reply(connection.getresponse())
    finally:
        connection.close()


def raw(address: Address, *data: bytes, timeout: float = 20.0) -> bytes:
    """Send bytes as they are, and take everything until the other side closes."""
    with connect(address, timeout) as peer:
        try:
            for piece in data:
                peer.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        found = b""
        while True:
            try:
                more = peer.recv(65536)
            except ConnectionResetError:
                return found
            if not more:
                return found
            found += more


def call(name: str, params: str = "") -> bytes:
    """The body of a call."""
    return f"<?xml version='1.0'?><methodCall><methodName>{name}</methodName>{params}</methodCall>".encode()


class Served:
    """A daemon with its HTTP addresses."""

    def __init__(self, daemon: Daemon, path: str, port: int) -> None:
        self.daemon, self.path, self.port = daemon, path, port

    @property
    def face(self) -> int:
        """The pid of the HTTP face, which must run."""
        children = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text().split()
        (found,) = [pid for pid in children if b"sdsuper.api" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return int(found)


def serve(start: Start, programs: str = "", options: str = "username=user\npassword=secret\n", main: Any = None,
          place: str = "") -> Served:
    """A daemon with an open unix socket, and a port with a password."""
    port = free_port()
    daemon = start(f"[unix_http_server]\nfile={{dir}}/http.sock\n[inet_http_server]\nport=127.0.0.1:{port}\n{options}"
                   + programs, main=main, place=place)
    return Served(daemon, str(daemon.directory / "http.sock"), port)
