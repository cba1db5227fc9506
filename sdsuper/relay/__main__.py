"""`python -m sdsuper.relay`: sends what the daemon hands over on descriptor 0 to syslog servers, as long as it lives.

Promises: reads at once, whatever the servers do; what has no room is counted; ends when the daemon has, after a last
try to send what it has. Must not: read files of anybody but the system's certificates.
"""

import ctypes
import os
import signal
import socket
import ssl
import sys
from json import loads
from time import monotonic

from sdsuper.logs.messages import FRAME
from sdsuper.relay.server import Done, Server

END_SECONDS = 2.0           # for what is left when the daemon ends
_PR_SET_DUMPABLE = 4


def main() -> int:
    """Work until the daemon closes its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)       # systemd sends it to all of a unit; there are last lines to come
    daemon = socket.socket(fileno=0)
    frames = Frames(daemon)
    first = frames.read()
    if first is None:
        return 0
    settings = loads(first[2])
    context = tls(settings)
    # others of the same account shall not look into this process (prctl(2)); after the key, which is read by /proc
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    done = Done(daemon)
    servers: dict[bytes, Server] = {}
    while (frame := frames.read()) is not None:
        address, lost, message = frame
        server = servers.get(address)
        if server is None:
            server = servers[address] = Server(address, context, settings, done)
        server.put(message, lost)
    until = monotonic() + END_SECONDS
    for server in servers.values():
        server.finish()
    for server in servers.values():
        server.join(max(until - monotonic(), 0.0))
    for server in servers.values():
        server.say_lost()
    sys.stdout.flush()
    os._exit(0)             # threads that still wait for a server do not matter


class Frames:
    """Frames as they come (logs/messages.py)."""

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon, self._read, self._at = daemon, b"", 0

    def read(self) -> tuple[bytes, int, bytes] | None:
        """The next one: address, number of messages lost before it, message. None: there will be no more."""
        while True:
            begin = self._at + FRAME.size
            if len(self._read) >= begin:
                size, lost, length = FRAME.unpack_from(self._read, self._at)
                middle, end = begin + length, begin + length + size
                if len(self._read) >= end:
                    self._at = end
                    return self._read[begin:middle], lost, self._read[middle:end]
            try:
                data = self._daemon.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                return None
            self._read = self._read[self._at:] + data
            self._at = 0


def tls(settings: dict[str, str]) -> ssl.SSLContext | str:
    """How to speak TLS, or why that is not possible. RFC 5425: certificates are checked, and the names in them."""
    if settings.get("trouble"):
        return settings["trouble"]
    try:
        context = ssl.create_default_context(cadata=settings.get("ca") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.get("cert"):
            fd = os.memfd_create("identity", os.MFD_CLOEXEC)
            try:
                os.write(fd, f"{settings['cert']}\n{settings['key']}\n".encode())
                context.load_cert_chain(f"/proc/self/fd/{fd}", password=_no_password)
            finally:
                os.close(fd)
    except (OSError, ValueError) as error:
        return f"cannot use the certificates: {error}"
    return context


def _no_password() -> str:
    raise ValueError("syslog_key has a password")


if __name__ == "__main__":
    sys.exit(main())
