"""The local syslog, as syslog(3) writes to it.

Promises: a line is a message; nothing here raises or blocks, and what /dev/log cannot take is counted as lost. Must
not: know programs or states.
"""

import socket
from time import strftime

from sdsuper.logs.sinks import Say, Sink


class SyslogSink(Sink):
    """The local syslog, a line a message, identified as the program. `pid` 0: unknown.

    Wire format: RFC 3164 as syslog(3) writes it to /dev/log. `priority` is facility * 8 + severity.
    """

    __slots__ = ("_ident", "_part", "_priority", "_socket", "pid")

    PATH = "/dev/log"
    LONGEST = 8192      # bytes a message; a longer line is sent in pieces

    def __init__(self, ident: str, priority: int, say: Say) -> None:
        super().__init__(say)
        self._ident, self._priority, self.pid = ident, priority, 0
        self._part = b""
        self._socket: socket.socket | None = None

    def begin(self, pid: int) -> None:
        """Lines are to name it."""
        self.pid = pid

    def write(self, data: memoryview) -> None:
        """Send the complete lines and keep the rest until it is complete."""
        *lines, rest = (self._part + data).split(b"\n")
        for line in lines:
            self._send_pieces(line, 0)
        self._part = self._send_pieces(rest, self.LONGEST)
        if self.retired:
            self.close()

    def end(self) -> None:
        """The stream has ended: the last line has no newline."""
        self._part = self._send_pieces(self._part, 0)
        if self.retired:
            self.close()

    def _send_pieces(self, line: bytes, most: int) -> bytes:
        """Send a line from its beginning until no more than `most` bytes are left, which are returned."""
        while len(line) > most:
            self._send(line[:self.LONGEST])
            line = line[self.LONGEST:]
        return line

    def _send(self, line: bytes) -> None:
        who = f"{self._ident}[{self.pid}]" if self.pid else self._ident
        head = f"<{self._priority}>{strftime('%b %e %H:%M:%S')} {who}: ".encode()
        for again in (True, False):     # the syslog daemon may have been restarted since the last message
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    self._socket.connect(self.PATH)
                self._socket.send(head + line)
                return
            except OSError as error:
                self.close()
                if not again or isinstance(error, BlockingIOError):
                    self._lose(len(line) + 1, f"cannot write to {self.PATH}: {error.strerror}")
                    return

    def reopen(self) -> None:
        """Connect anew."""
        self.close()

    def close(self) -> None:
        """Disconnect; the next message connects again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
