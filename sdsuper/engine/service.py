"""The daemon as a service of systemd: ready, reloading, stopping, alive, and in a line how it goes.

Promises: READY once, when the first order has been worked through; a status that a person can use, at most once a
second; a sign of life only from the loop, and only if supervision goes on; more time while it starts or stops, as long
as it does. Without NOTIFY_SOCKET nothing of it happens. Must not: hold up the daemon when nobody reads. Sources:
sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from collections.abc import Mapping
from time import monotonic, monotonic_ns
from typing import Protocol

from sdsuper.core.roster import Roster, Slot, display_name
from sdsuper.core.vocabulary import Publish, State
from sdsuper.logs.main import MainLog
from sdsuper.system.loop import Loop

STATUS_PAUSE = 1.0            # seconds between two statuses
MORE_TIME_EVERY = 3.0         # seconds between two requests for more time
MORE_TIME = 30                # seconds that are asked for: systemd may be late, too
NAMED_MOST = 5                # processes named in a status
_ILL = (State.FATAL, State.BACKOFF, State.UNKNOWN)


class Notifier(Protocol):
    """sdnotify.SystemdNotifier."""

    def notify(self, state: str) -> None:
        """Send lines NAME=value."""


class Service:
    """What systemd is told. `trouble` is why nothing is, though somebody listens."""

    def __init__(self, loop: Loop, log: MainLog, roster: Roster, environment: Mapping[str, str], pid: int) -> None:
        self._loop, self._log, self._roster = loop, log, roster
        self._notifier = self._find(environment)
        self._ready = False
        self._status, self._refused, self._ending = "", "", ""
        self._status_waits = False
        self._watchdog = _watchdog_seconds(environment, pid) if self._notifier is not None else 0.0
        self._next_sign = monotonic()
        if self._notifier is not None:
            self._ask_for_time()
        if self._watchdog:
            self._sign()

    def _find(self, environment: Mapping[str, str]) -> Notifier | None:
        if not environment.get("NOTIFY_SOCKET"):
            return None
        try:
            from sdnotify import SystemdNotifier  # only where somebody listens
        except ImportError:
            self._log.write("error", "NOTIFY_SOCKET is set, but the Python package sdnotify is not there")
            return None
        notifier: Notifier = SystemdNotifier()
        channel = getattr(notifier, "socket", None)
        if channel is not None:
            channel.setblocking(False)
        return notifier

    def _tell(self, *lines: str) -> None:
        if self._notifier is not None:
            self._notifier.notify("\n".join(lines))     # an error is no error: sd_notify(3) has no answer either

    # ---- its life -------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The first order has been worked through."""
        self._ready = True
        self._status = self._words()
        self._tell("READY=1", f"STATUS={self._status}")

    def reloading(self) -> None:
        """A configuration is read and made so."""
        if self._ready and not self._ending:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def reloaded(self, refused: str = "") -> None:
        """It is so, or was refused for that reason."""
        self._refused = refused.partition("\n")[0]
        if self._ready and not self._ending:
            self.ready()

    def stopping(self, waiting: list[str]) -> None:
        """The daemon ends, and still waits for these."""
        first, self._ending = not self._ending, f"stopping, waiting for {_some(waiting)}" if waiting else "stopping"
        lines = ["STOPPING=1"] if first else []
        self._tell(*lines, f"STATUS={self._ending}", f"EXTEND_TIMEOUT_USEC={MORE_TIME * 1_000_000}")

    def _ask_for_time(self) -> None:
        if not self._ready:
            self._tell(f"EXTEND_TIMEOUT_USEC={MORE_TIME * 1_000_000}")
            self._loop.soon(MORE_TIME_EVERY, self._ask_for_time)

    # ---- status ---------------------------------------------------------------------------------------------------

    def heard(self, _slot: Slot, _change: Publish) -> None:
        """A state has changed."""
        if self._notifier is not None and not self._status_waits:
            self._status_waits = True
            self._loop.soon(STATUS_PAUSE, self._tell_status)

    def _tell_status(self) -> None:
        self._status_waits = False
        words = self._words()
        if words != self._status and self._ready and not self._ending:
            self._status = words
            self._tell(f"STATUS={words}")

    def _words(self) -> str:
        """`41/42 running; web: FATAL`."""
        running = total = 0
        ill = []
        for slot in self._roster:
            total += 1
            state = slot.process.state
            running += state is State.RUNNING
            if state in _ILL:
                ill.append(f"{display_name(slot.group, slot.config.name)}: {state.name}")
        parts = [f"{running}/{total} running"]
        if ill:
            parts.append(_some(ill))
        if self._refused:
            parts.append(f"the newest configuration was refused: {self._refused}")
        return _line("; ".join(parts))

    # ---- watchdog -------------------------------------------------------------------------------------------------

    def _sign(self) -> None:
        """A sign of life, from the loop itself."""
        now = monotonic()
        late = now - self._next_sign
        self._next_sign = now + self._watchdog / 2
        self._loop.soon(self._watchdog / 2, self._sign)
        if late > self._watchdog / 4:
            self._log.write("warn", f"the daemon was held up for {late:.1f} seconds")
        overdue = self._roster.next_deadline()
        if overdue is not None and now - overdue > self._watchdog:
            # the loop turns, but nobody attends to the processes: another daemon will
            self._log.write("critical", f"what was to be done {now - overdue:.0f} seconds ago is not done; no sign of "
                                        "life for the watchdog")
        else:
            self._tell("WATCHDOG=1")
        self._log.flush()


def _watchdog_seconds(environment: Mapping[str, str], pid: int) -> float:
    """How long we may be silent; 0: for ever."""
    microseconds, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    return int(microseconds) / 1e6 if microseconds.isdigit() and whose == str(pid) else 0.0


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED_MOST
    return _line(", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else ""))


def _line(text: str) -> str:
    """On one line, whatever is in the names: another line would be another message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
