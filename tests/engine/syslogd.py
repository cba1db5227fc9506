"""Servers for syslog over UDP, TCP and TLS, as threads of the test; each keeps what it gets."""

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MESSAGE = re.compile(rb"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) (\[(?:[^\]\\]|\\.)*\]|-) (.*)", re.DOTALL)


class Message:
    """One message of RFC 5424, taken apart."""

    def __init__(self, data: bytes) -> None:
        found = _MESSAGE.fullmatch(data)
        assert found is not None, data
        number, self.date, self.host, self.app, self.procid, self.msgid, fields, text = found.groups()
        self.facility, self.severity = divmod(int(number), 8)
        pairs = re.findall(rb'([a-z-]+)="((?:[^"\\]|\\.)*)"', fields)
        self.fields = {key.decode(): value.decode() for key, value in pairs}
        self.text = text.decode(errors="backslashreplace")


class Server:
    """Takes messages on a port, over `kind`: udp, tcp or tls. Reads only while `reads` is set."""

    def __init__(self, kind: str, port: int, context: ssl.SSLContext | None, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        if kind != "udp":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((host, port))
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.target = f"syslog @{kind}:{shown}:{self.port}"
        self.raw: list[bytes] = []
        self.reads, self._ends, self._context = threading.Event(), False, context
        self.reads.set()
        self._socket.settimeout(0.05)
        if kind != "udp":
            self._socket.listen()
        self._thread = threading.Thread(target=self._datagrams if kind == "udp" else self._connections)
        self._thread.start()

    @property
    def messages(self) -> list[Message]:
        return [Message(data) for data in tuple(self.raw)]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    def close(self) -> None:
        self._ends = True
        self.reads.set()
        self._thread.join()
        self._socket.close()

    def _datagrams(self) -> None:
        while not self._ends:
            try:
                self.raw.append(self._socket.recv(1 << 16))
            except TimeoutError:
                continue

    def _connections(self) -> None:
        while not self._ends:
            try:
                connection, _place = self._socket.accept()
            except TimeoutError:
                continue
            try:
                self._read(connection)
            except OSError:
                continue

    def _read(self, plain: socket.socket) -> None:
        plain.settimeout(5)
        with (self._context.wrap_socket(plain, server_side=True) if self._context else plain) as connection:
            connection.settimeout(0.05)
            data = b""
            while not self._ends:
                self.reads.wait()
                try:
                    more = connection.recv(1 << 16)
                except TimeoutError:
                    continue
                if not more:
                    return
                data += more
                at = 0
                while (blank := data.find(b" ", at, at + 12)) > 0:
                    end = blank + 1 + int(data[at:blank])
                    if len(data) < end:
                        break
                    self.raw.append(data[blank + 1:end])
                    at = end
                data = data[at:]


@contextmanager
def server(kind: str, port: int = 0, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
           ) -> Iterator[Server]:
    made = Server(kind, port, context, host)
    try:
        yield made
    finally:
        made.close()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port on which nobody listens."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Certificates:
    """An authority and what it signs, made with openssl(1)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")

    def sign(self, name: str, alternative: str) -> tuple[Path, Path]:
        """Certificate and key."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extensions").write_text(f"subjectAltName={alternative}\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def context(self, name: str, alternative: str, clients: bool = False) -> ssl.SSLContext:
        """For a server; with `clients` they must have a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(name, alternative))
        if clients:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _openssl(self, *args: str) -> None:
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)
