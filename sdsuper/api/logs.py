"""Log files as the daemon hands them out: parts of them for XML-RPC, and their news for who follows them.

Promises: reads with pread, a slice at a time, others are answered in between; never more than was asked for; bytes that
are no UTF-8 become U+FFFD in text, and pass unchanged where bytes are asked for. Must not: open anything by its path.
"""

import asyncio
import codecs
import os
from collections.abc import AsyncIterator
from email.utils import formatdate

from sdsuper.api.daemon import Daemon
from sdsuper.errors import Refusal

SLICE_BYTES = 64 * 1024
AT_ONCE_BYTES = 256 * 1024      # what is read as one piece of text
FOLLOW_BYTES = 1024             # from where following begins, before the end
FOLLOW_SECONDS = 0.1
REOPEN_SECONDS = 1.0            # until the daemon is asked again for the successor of a log that is gone


class Span:
    """Bytes `start` to `end` of an open log, read when they are sent. The descriptor is its own."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd, self._start, self._end = fd, start, end

    def close(self) -> None:
        """Let the log go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = close         # a reply may be given up before it is sent

    async def text(self) -> AsyncIterator[str]:
        """Its text in parts."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        position = self._start
        while position < self._end:
            data = os.pread(self._fd, min(SLICE_BYTES, self._end - position), position)
            if not data:                    # it has become shorter
                break
            position += len(data)
            yield decoder.decode(data)
            await asyncio.sleep(0)
        yield decoder.decode(b"", True)


def span(fd: int, offset: int, length: int) -> tuple[int, int]:
    """What `readLog(offset, length)` means, as first and last position. Raises Refusal BAD_ARGUMENTS.

    Supervisor's rules: a negative offset counts from the end and wants length 0; length 0 is all that follows.
    """
    if (offset < 0 and length != 0) or (offset >= 0 and length < 0):
        raise Refusal("BAD_ARGUMENTS")
    size = os.fstat(fd).st_size
    if offset < 0:
        return max(0, size + offset), size
    return offset, max(offset, size if length == 0 else min(size, offset + length))


def tail_span(size: int, offset: int, length: int) -> tuple[int, int, bool]:
    """What `tailProcessLog(offset, length)` means for a log of `size` bytes: first and last position, and the overflow.

    Supervisor's rules: the last `length` bytes, wherever `offset` is; nothing when it is at or beyond the end.
    """
    overflow = size > offset + length
    start = size - 1 if overflow else offset
    if start + length > size:
        if start > size - 1:
            length = 0
        start = size - length
    start, length = max(0, start), max(0, length)
    return start, min(size, start + length), overflow


async def read(fd: int, start: int, end: int) -> "str | Span":
    """That part of a log: text, or what is read later when it is long. Takes the descriptor over."""
    part = Span(fd, start, end)
    if end - start > AT_ONCE_BYTES:
        return part
    try:
        return "".join([piece async for piece in part.text()])
    finally:
        part.close()


class Follower:
    """A log from FOLLOW_BYTES before its end, and what comes to it, for ever.

    A descriptor follows its file through a rename, so a rotation shows as a changed link below /proc/self/fd: what is
    left of the old file is read, then the daemon is asked for the new one.
    """

    def __init__(self, daemon: Daemon, name: str | None, channel: str, fd: int) -> None:
        self._daemon, self._name, self._channel, self._fd = daemon, name, channel, fd
        self._link = _link(fd)
        facts = os.fstat(fd)
        self._offset = max(0, facts.st_size - FOLLOW_BYTES)
        self.modified = formatdate(facts.st_mtime, usegmt=True)

    def close(self) -> None:
        """Let the log go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def news(self) -> AsyncIterator[bytes]:
        """The bytes as they come."""
        try:
            while True:
                moved = _link(self._fd) != self._link
                if os.fstat(self._fd).st_size < self._offset:
                    self._offset = 0
                    yield b"==> File truncated <==\n"
                while data := os.pread(self._fd, SLICE_BYTES, self._offset):
                    self._offset += len(data)
                    yield data
                if not moved:
                    await asyncio.sleep(FOLLOW_SECONDS)
                elif not await self._reopen():
                    await asyncio.sleep(REOPEN_SECONDS)
        finally:
            self.close()

    async def _reopen(self) -> bool:
        """Take the file that is at the log's place now, if it is another one and the old one is read to its end."""
        try:
            fd = await self._daemon.open_log(self._name, self._channel)
        except Refusal:
            return False
        if os.path.sameopenfile(fd, self._fd) or os.fstat(self._fd).st_size > self._offset:
            os.close(fd)
            return False
        self.close()
        self._fd, self._link, self._offset = fd, _link(fd), 0
        return True


def _link(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
