"""XML-RPC over one kept connection to `http://host:port` or to the unix socket of `unix:///path`.

Promises: an answer is read with bounds and without entities or DTDs; whatever a server says that is no answer becomes
an error with the server's URL, never with a password. Must not: know any method.

Sources: http://xmlrpc.com/spec.md; Supervisor's server for what it sends where the specification is silent.
"""

import re
import socket
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, Unmarshaller, dumps
from xmlrpc.client import ProtocolError as HttpError

from defusedxml.xmlrpc import DefusedExpatParser

from sdsuper.client import ProtocolError
from sdsuper.errors import FAULTS, Refusal

#: The largest answer that is read: a log of which all was asked for, or some ten thousand processes.
ANSWER_BYTES = 64 << 20
#: supervisorctl names this address whatever the server's is, and scripts know its error line.
_CALLED = "127.0.0.1/RPC2"
_NAMES = {code: name for name, code in FAULTS.items()}
# Supervisor writes control characters of a log as they are, which XML forbids: they travel through the parser as
# characters that nobody uses.
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f]")
_STAND_IN = 0x10FF00
_RESTORE = {_STAND_IN + code: code for code in range(32)}


class Server:
    """Where a server is and who asks. Raises ValueError for a URL that has no usable host or port."""

    def __init__(self, url: str, username: str | None, password: str | None) -> None:
        self.url = url
        parts = urlsplit(url)
        self.address: str | tuple[str, int] = url.removeprefix("unix://")
        self.host = "localhost"
        if parts.scheme == "http":
            self.address = (parts.hostname or "", parts.port or 80)
            self.host = parts.netloc
        self.headers = {}
        if username is not None and password is not None:
            pair = f"{username}:{password}".encode("utf-8", "surrogateescape")
            self.headers["Authorization"] = "Basic " + b64encode(pair).decode()

    def connect(self) -> socket.socket:
        """A new connection. Raises OSError."""
        if isinstance(self.address, tuple):
            return socket.create_connection(self.address)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self.address)
        except OSError:
            connection.close()
            raise
        return connection


class _Connection(HTTPConnection):
    def __init__(self, server: Server) -> None:
        super().__init__("localhost")
        self._server = server

    def connect(self) -> None:
        self.sock = self._server.connect()


class Rpc:
    """Calls of one server, one after the other. It connects with the first one."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection = _Connection(server)

    def call(self, method: str, *parameters: Any) -> Any:
        """The value that `method` returns.

        Raises Refusal for a fault of Supervisor's, xmlrpc.client.Fault for another one, OSError for the connection,
        xmlrpc.client.ProtocolError for an HTTP status that is not 200, and ProtocolError for all that is no answer.
        """
        try:
            # a parser would take a bare carriage return for a line's end
            body = dumps(parameters, method).encode().replace(b"\r", b"&#13;")
        except UnicodeEncodeError:
            raise ProtocolError(f"{method}: what is not UTF-8 cannot be sent to {self.server.url}") from None
        try:
            data = self._post(body)
        except HTTPException as error:
            self.close()
            if isinstance(error, OSError):
                raise       # the server closed the connection
            said = ascii(str(error))[:80]
            raise ProtocolError(f"{self.server.url}: what answers there does not speak HTTP: {said}") from error
        except BaseException:
            self.close()    # what is left of this answer must not be taken for another's
            raise
        return self._value(data)

    def call_all(self, *methods: str) -> list[Any]:
        """The values of several methods without parameters, in one call. Raises as `call` does, for the first one."""
        values = self.call("system.multicall", [{"methodName": method, "params": []} for method in methods])
        for value in values:
            if isinstance(value, dict) and "faultCode" in value:
                raise _refusal(Fault(value["faultCode"], value["faultString"]))
        return list(values)

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        self._connection.close()

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "text/xml", "Accept": "text/xml", "User-Agent": "sdsuper", "Host": self.server.host}
        self._connection.request("POST", "/RPC2", body, headers | self.server.headers)
        response = self._connection.getresponse()
        self._check(response)
        data = response.read(ANSWER_BYTES + 1)
        if len(data) > ANSWER_BYTES:
            raise ProtocolError(f"{self.server.url}: the answer has more than {ANSWER_BYTES >> 20} MiB, ask for less")
        if response.length:
            raise ProtocolError(f"{self.server.url}: the answer is cut off")
        return data

    def _check(self, response: HTTPResponse) -> None:
        if response.status == 200:
            return
        location = response.getheader("Location")
        if 300 <= response.status < 400 and location:
            raise ProtocolError(f"{self.server.url}: the server sends us to {location!a}, which is not followed")
        raise HttpError(_CALLED, response.status, response.reason, {})

    def _value(self, data: bytes) -> Any:
        if _CONTROL.search(data):
            data = _CONTROL.sub(lambda match: chr(_STAND_IN + match[0][0]).encode(), data)
        target = Unmarshaller()
        parser = DefusedExpatParser(target, forbid_dtd=True)
        try:
            parser.feed(data.replace(b"\r", b"&#13;"))
            parser.close()
            return target.close()[0]
        except Fault as fault:
            raise _refusal(fault) from None
        except Exception as error:  # a parser and its target fail in many ways
            raise ProtocolError(f"{self.server.url}: the answer is not XML-RPC: {ascii(str(error))[:80]}") from error


def restored(text: str) -> bytes:
    """Text of a log, with the control characters that it had."""
    return text.translate(_RESTORE).encode("utf-8", "surrogatepass")


def _refusal(fault: Fault) -> Exception:
    name = _NAMES.get(fault.faultCode)
    if name is None:
        return fault
    return Refusal(name, str(fault.faultString).removeprefix(name).removeprefix(": "))
