"""The Python client of sdsuper's control socket.

    with Client("/run/sdsuper/control.sock") as daemon:
        for process in daemon.call("List")["processes"]:
            print(process["group"], process["name"], process["state"])

One blocking connection, calls answered in order. Every method of `io.sdsuper.Control` is reached by `call`; a refusal
of the daemon is raised as `Refusal`, anything wrong with the connection as OSError. Must not: import more than json
and socket, for command-line tools are built on it and are started often.
"""

import json
import os
import socket
import sys

from sdsuper.control.interface import INTERFACE
from sdsuper.errors import FAULTS, Refusal, SdsuperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any  # `typing` costs two milliseconds, a tenth of a whole `status`


class ProtocolError(SdsuperError):
    """The other side does not speak this protocol, or refused the call itself (no such method, bad parameter, not
    allowed).
    """


class NotVarlink(ProtocolError):
    """What came is no reply at all: something else listens there."""


class Client:
    """A connection to one daemon. `timeout` is in seconds and holds for each single wait; None waits for ever. A call
    that was given up (timeout, Control-C) closes the connection: its reply must not be taken for another's.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = b""
        self._fds: list[int] = []
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and every descriptor that was received and not taken."""
        while self._fds:
            os.close(self._fds.pop())
        self._socket.close()

    def owner(self) -> int:
        """The uid of who has made the socket that this is connected to (SO_PEERCRED, unix(7))."""
        return int.from_bytes(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], sys.byteorder)

    def call(self, method: str, **parameters: "Any") -> "dict[str, Any]":
        """Call `method` (`List`, or `org.varlink.service.GetInfo`) and return the reply's parameters."""
        name = full_name(method)
        try:
            try:
                self._socket.sendall(encoded(name, parameters))
            except BrokenPipeError:
                pass        # a daemon that lets us do nothing says so at once and closes; that can be read all the same
            message = self._receive()
        except BaseException:
            self.close()
            raise
        return values_of(name, message)

    def open_log(self, name: str | None = None, channel: str = "stdout") -> tuple[int, str]:
        """A read-only descriptor of a log and its path; the caller closes it. Without a name: the daemon's own log."""
        path = self.call("OpenLog", name=name, channel=channel)["path"]
        if not self._fds:
            raise ProtocolError("OpenLog: the reply carries no descriptor")
        return self._fds.pop(0), path

    def subscribe(self, method: str = "Subscribe", **parameters: "Any") -> "Iterator[dict[str, Any]]":
        """Call a method that answers more than once, and yield each reply's parameters as it comes. The connection is
        for nothing else from then on. Ends with ConnectionError when the daemon closes it.
        """
        name = full_name(method)
        try:
            self._socket.sendall(encoded(name, parameters, more=True))
            while True:
                yield values_of(name, self._receive())
        finally:
            self.close()

    def _receive(self) -> bytes:
        while True:
            message, end, rest = self._buffer.partition(b"\0")
            if end:
                self._buffer = rest
                return message
            data, fds, _flags, _address = socket.recv_fds(self._socket, 1 << 18, 4)
            for fd in fds:
                os.set_inheritable(fd, False)
                self._fds.append(fd)
            if not data:
                raise ConnectionError("the daemon closed the connection")
            self._buffer += data


def full_name(method: str) -> str:
    """`io.sdsuper.Control.List` for `List`."""
    return method if "." in method else f"{INTERFACE}.{method}"


def encoded(name: str, parameters: "dict[str, Any]", more: bool = False) -> bytes:
    """A call as it goes over the wire; a parameter that is None is left out. `more`: for more than one reply."""
    sent = {key: value for key, value in parameters.items() if value is not None}
    return json.dumps({"method": name, "parameters": sent} | ({"more": True} if more else {})).encode() + b"\0"


def values_of(name: str, message: bytes) -> "dict[str, Any]":
    """The parameters of a reply without its NUL. Raises Refusal, ProtocolError, NotVarlink."""
    error, values = _decoded(name, message)
    if error == f"{INTERFACE}.Refused" and str(values.get("fault")) in FAULTS:
        raise Refusal(values["fault"], values.get("detail", ""))
    if error:
        raise ProtocolError(f"{name}: {error.rpartition('.')[2]} {' '.join(map(str, values.values()))}".rstrip())
    return values


def _decoded(name: str, message: bytes) -> "tuple[str, dict[str, Any]]":
    """The error's name (or nothing) and the parameters of a reply."""
    try:
        reply = json.loads(message)
        error, values = reply.get("error") or "", reply.get("parameters") or {}
    except (ValueError, AttributeError, RecursionError):
        error, values = None, None
    if not isinstance(error, str) or not isinstance(values, dict):
        raise NotVarlink(f"{name}: the answer is not Varlink")
    return error, values
