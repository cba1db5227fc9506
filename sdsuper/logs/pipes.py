"""Reading what programs write, fairly, and handing it to sinks.

Promises: every byte that a program writes reaches each of its sinks or is counted there as lost; a flood on one pipe
starves nobody (one read of at most 256 KiB a turn); nothing is held back from a reader for longer than a millisecond.
Must not: look at states, or wait for the end of a pipe (a grandchild may hold it for ever).

The economy, measured in bench/: one buffer for all reads, so nothing is allocated; a program that writes line by line
is left alone for a millisecond after each read, so that its pipe fills and one read takes what would have been fifty;
the pipe of a program that fills it is made larger once, since an unprivileged user's pipe memory is limited
(pipe(7)).
"""

import os
from collections.abc import Callable, Sequence
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial
from typing import Protocol

from sdsuper.logs.ansi import AnsiStripper
from sdsuper.logs.sinks import ConsoleSink, Sink

READ_BYTES = 256 * 1024
FILLING_BYTES = 32 * 1024          # a read of this much says that the pipe fills up: half of the 64 KiB of pipe2(2)
LARGE_PIPE_BYTES = 1024 * 1024     # fs.pipe-max-size, the most an unprivileged process may ask for
BUSY_BYTES = 128 * 1024            # a read of less than this means: let the pipe fill
DRAIN_DELAY = 0.001
DRAIN_BYTES = 4 * LARGE_PIPE_BYTES # at a child's end, against a grandchild that floods the pipe

READABLE = 0x001 | (1 << 30)       # EPOLLIN | EPOLLONESHOT
WRITABLE = 0x004 | (1 << 30)       # EPOLLOUT | EPOLLONESHOT


class Loop(Protocol):
    """What is needed of the event loop (system/loop.py)."""

    def watch(self, fd: int, events: int, call: Callable[[int], object], bulk: bool = False) -> None:
        """Call when ready."""

    def rearm(self, fd: int, events: int) -> None:
        """Arm a one-shot again."""

    def unwatch(self, fd: int) -> None:
        """Forget."""

    def soon(self, seconds: float, call: Callable[[], object], bulk: bool = False) -> object:
        """Call later."""


class Tap(Protocol):
    """Who sees what a stream brings before its sinks do. `prompt`: somebody waits for what comes of it, so each piece
    is taken at once instead of letting the pipe fill.
    """

    @property
    def prompt(self) -> bool:
        """See above."""

    def feed(self, data: memoryview) -> memoryview:
        """Take output, which is only valid during the call; returns what the sinks are to have of it."""

    def end(self) -> bytes:
        """The writer has ended; returns what was held back for the sinks."""


class Stream:
    """One pipe of one run. `fd` is -1 once it has ended."""

    __slots__ = ("_large", "fd", "on_end", "sinks", "strip", "tap")

    def __init__(self, fd: int, sinks: Sequence[Sink], strip: bool, on_end: Callable[["Stream"], object],
                 tap: Tap | None = None) -> None:
        self.fd, self.sinks, self.on_end, self.tap = fd, sinks, on_end, tap
        self.strip = AnsiStripper() if strip else None
        self._large = False

    @property
    def prompt(self) -> bool:
        """Whether it is not to wait for more."""
        return self.tap is not None and self.tap.prompt

    def write(self, data: memoryview) -> None:
        """Hand output to whom it is for."""
        if self.tap is not None:
            data = self.tap.feed(data)
        if data:
            for sink in self.sinks:
                sink.write(data)

    def finish(self) -> None:
        """The writer has ended: nothing follows that would have made a whole of what is held back, here or by a sink.
        """
        if self.strip is not None and (rest := self.strip.end()):
            self.write(memoryview(rest))
        if self.tap is not None and (rest := self.tap.end()):
            for sink in self.sinks:
                sink.write(memoryview(rest))
        for sink in self.sinks:
            sink.end()

    def enlarge(self) -> bool:
        """Ask for a larger pipe, once. False: it is as large as it can be."""
        if self._large:
            return False
        try:
            fcntl(self.fd, F_SETPIPE_SZ, LARGE_PIPE_BYTES)
            self._large = True
        except OSError:
            pass          # the user's share of pipe memory is used up; it is read without delay then
        return True


class Pump:
    """Moves output of all streams, as the loop says that there is some."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._held: dict[int, list[Stream]] = {}

    def add(self, stream: Stream) -> None:
        """Begin to read."""
        for sink in stream.sinks:
            if sink.console is not None:
                self.attend(sink.console)
        self._loop.watch(stream.fd, READABLE, lambda _events: self._move(stream), bulk=not stream.prompt)

    def drain(self, stream: Stream) -> None:
        """Take all that is in the pipe now: the writer has ended. The stream stays open while others hold the pipe;
        what they write begins a line of its own.
        """
        taken = 0
        while stream.fd >= 0 and taken < DRAIN_BYTES:
            count = self._read(stream)
            if count <= 0:
                break
            taken += count
        stream.finish()

    def end(self, stream: Stream) -> None:
        """Close the pipe; what is still in it is lost."""
        if stream.fd < 0:
            return
        self._loop.unwatch(stream.fd)
        os.close(stream.fd)
        stream.fd = -1
        stream.finish()
        stream.on_end(stream)

    def _move(self, stream: Stream) -> None:
        if stream.fd < 0 or self._hold(stream):
            return
        count = self._read(stream)
        if stream.fd < 0 or self._hold(stream):
            return
        if count == 0 or count >= BUSY_BYTES or stream.prompt or (count >= FILLING_BYTES and stream.enlarge()):
            self._loop.rearm(stream.fd, READABLE)
        else:
            self._loop.soon(DRAIN_DELAY, lambda: self._move(stream), bulk=True)

    def _read(self, stream: Stream) -> int:
        """One read, one write a sink. Returns the bytes, 0 for nothing there, -1 for the end (the stream is closed
        then).
        """
        try:
            count = os.readv(stream.fd, (self._buffer,))
        except BlockingIOError:
            return 0
        if count == 0:
            self.end(stream)
            return -1
        data = self._view[:count]
        if stream.strip is not None:
            data = memoryview(stream.strip.feed(bytes(data)))
        stream.write(data)
        return count

    # ---- a console that is slower than the program ----------------------------------------------------------------

    def attend(self, sink: ConsoleSink) -> None:
        """See to it that what waits for a console is sent, whether or not a stream leads to it."""
        sink.on_full = self._await
        if sink.full:
            self._await(sink)

    def _await(self, sink: ConsoleSink) -> None:
        if sink.fd not in self._held:
            self._held[sink.fd] = []
            self._loop.watch(sink.fd, WRITABLE, partial(self._flush, sink))

    def _hold(self, stream: Stream) -> bool:
        """Whether the stream has to wait for a console's reader, or for journald; its program then waits, too."""
        for sink in stream.sinks:
            if sink.full:
                if sink.console is not None:
                    self._held[sink.console.fd].append(stream)
                else:
                    sink.park(lambda: self._move(stream))
                return True
        return False

    def _flush(self, sink: ConsoleSink, _events: int) -> None:
        sink.flush()
        if sink.full:
            self._loop.rearm(sink.fd, WRITABLE)
            return
        self._loop.unwatch(sink.fd)
        held = self._held.pop(sink.fd)
        for stream in (*held[1:], *held[:1]):          # who filled the console comes last
            self._move(stream)
