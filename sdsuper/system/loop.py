"""The event loop: one thread, epoll, callbacks, deadlines.

Promises: no tick; with nothing due and nothing readable it sleeps for ever. Signals arrive as calls between
callbacks, never inside one, and before the descriptors of the same turn. Times are time.monotonic() seconds. What a
callback raises goes to `on_error`, and the loop goes on. Must not: know what the callbacks do.

Sources: epoll(7), signal.set_wakeup_fd of Python's documentation. Moving output is `bulk` work: of it a turn does two
pieces, after everything else, so that a flood of output cannot keep a client or a dead child waiting.
"""

import os
import signal
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, epoll
from time import monotonic

__all__ = ["EPOLLERR", "EPOLLHUP", "EPOLLIN", "EPOLLONESHOT", "EPOLLOUT", "EPOLLPRI", "Loop", "Timer"]

EVENTS_A_TURN = 64
BULK_A_TURN = 2


class Timer:
    """A call at a time. `cancel` forgets it; it is then dropped when its time comes."""

    __slots__ = ("bulk", "call", "when")

    def __init__(self, when: float, call: Callable[[], object], bulk: bool) -> None:
        self.when, self.bulk = when, bulk
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Never call."""
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        return self.when < other.when


class Loop:
    """See the module. Descriptors are watched level-triggered unless EPOLLONESHOT is given."""

    def __init__(self) -> None:
        self._epoll = epoll()
        self._calls: dict[int, Callable[[int], object]] = {}
        self._bulk_fds: set[int] = set()
        self._bulk: deque[Callable[[], object]] = deque()
        self._timers: list[Timer] = []
        self._signals: dict[int, Callable[[], object]] = {}
        self._running = False
        self.on_error: Callable[[Exception], object] = _raise
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._wake_read, EPOLLIN)
        self._before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def close(self) -> None:
        """Give the descriptors and the signals back."""
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(self._before)
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # ---- what to wait for -----------------------------------------------------------------------------------------

    def watch(self, fd: int, events: int, call: Callable[[int], object], bulk: bool = False) -> None:
        """Call `call(events)` when the descriptor is ready. Raises PermissionError for plain files: they are always
        ready.
        """
        self._epoll.register(fd, events)
        self._calls[fd] = call
        if bulk:
            self._bulk_fds.add(fd)

    def rearm(self, fd: int, events: int) -> None:
        """Change what a watched descriptor waits for; arms a one-shot again."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; to be called before it is closed."""
        if self._calls.pop(fd, None) is not None:
            self._bulk_fds.discard(fd)
            self._epoll.unregister(fd)

    def on_signal(self, number: int, call: Callable[[], object]) -> None:
        """Call `call()` once for one or more arrivals of a signal."""
        self._signals[number] = call
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call()` once it is `when`."""
        timer = Timer(when, call, False)
        heappush(self._timers, timer)
        return timer

    def soon(self, seconds: float, call: Callable[[], object], bulk: bool = False) -> Timer:
        """Call `call()` in so many seconds."""
        timer = Timer(monotonic() + seconds, call, bulk)
        heappush(self._timers, timer)
        return timer

    # ---- running --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `stop` is called."""
        self._running = True
        while self._running:
            self.turn()

    def stop(self) -> None:
        """Let `run` return after the present callback's turn."""
        self._running = False

    def turn(self, wait: bool = True) -> None:
        """One round: wait for something (or only look), call for it, then for the deadlines that have passed."""
        ready = self._epoll.poll(self._timeout() if wait and not self._bulk else 0, EVENTS_A_TURN)
        for fd, _events in ready:
            if fd == self._wake_read:
                self._take_signals()
        for fd, events in ready:
            if fd in self._bulk_fds:
                self._bulk.append(partial(self._ready, fd, self._calls[fd], events))
            elif fd in self._calls:
                self._guarded(partial(self._ready, fd, self._calls[fd], events))
        if self._timers:
            self._take_timers()
        for _ in range(min(BULK_A_TURN, len(self._bulk))):
            self._guarded(self._bulk.popleft())

    def _ready(self, fd: int, call: Callable[[int], object], events: int) -> None:
        if self._calls.get(fd) is call:      # else an earlier call has removed it; the number may have a new owner
            call(events)

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0].call is None:
            heappop(self._timers)
        return max(self._timers[0].when - monotonic(), 0) if self._timers else None

    def _take_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0].when <= now:
            timer = heappop(self._timers)
            if timer.call is None:
                continue
            if timer.bulk:
                self._bulk.append(timer.call)
            else:
                self._guarded(timer.call)

    def _take_signals(self) -> None:
        try:
            arrived = set(os.read(self._wake_read, 4096))
        except BlockingIOError:
            return
        # deaths first: whoever reacts to another signal shall see the children as they are
        for number in sorted(arrived, key=lambda n: n != signal.SIGCHLD):
            if number in self._signals:
                self._guarded(self._signals[number])

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.on_error(error)


def _raise(error: Exception) -> None:
    raise error


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the wake-up descriptor to be written; what is to be done is done in the loop."""
