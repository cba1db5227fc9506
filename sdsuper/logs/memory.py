"""The newest output in the daemon's memory (Go's `memory`).

Promises: BYTES and LINES at most are handed out, and no more than twice as much is kept; nothing is ever lost that is
among the newest. Must not: write anywhere.
"""

import os

from sdsuper.logs.sinks import Say, Sink

BYTES = 64 * 1024
LINES = 1000


class MemorySink(Sink):
    """One stream of one process, over all its runs."""

    __slots__ = ("_kept",)

    def __init__(self, say: Say) -> None:
        super().__init__(say)
        self._kept = bytearray()

    def write(self, data: memoryview) -> None:
        """Keep it, and forget what is older than the newest."""
        self._kept += data[-BYTES - 1:]         # one more tells whether a line is cut
        if len(self._kept) > 2 * BYTES:
            del self._kept[:-BYTES - 1]

    def newest(self) -> bytes:
        """What is kept. A line of which the beginning is gone is left out if there is another."""
        data = bytes(self._kept[-BYTES:])
        if len(self._kept) > BYTES and self._kept[-BYTES - 1] != 10 and 0 <= (end := data.find(b"\n")) < len(data) - 1:
            data = data[end + 1:]
        lines = data.split(b"\n")
        return b"\n".join(lines[-LINES - (not lines[-1]):])

    def open_copy(self) -> int:
        """A descriptor to read it from, as it is now. Raises OSError."""
        fd = os.memfd_create("log", os.MFD_CLOEXEC)
        rest, position = memoryview(self.newest()), 0
        while position < len(rest):
            position += os.pwrite(fd, rest[position:], position)
        return fd

    def clear(self) -> None:
        """Forget it all."""
        self._kept.clear()
