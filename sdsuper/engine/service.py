"""The daemon as a service of systemd: ready, reloading, stopping, alive, and in a line how it goes.

Promises: READY when the first order has been worked through, and what else changes how systemd sees the daemon, arrive
however busy systemd is; a status that a person can use, at most once a second; a sign of life only from the loop, and
only if supervision goes on; more time while it starts, reloads or stops, no longer than the programs' options explain.
Without NOTIFY_SOCKET nothing of it happens. Must not: wait for systemd. Sources: sd_notify(3), sd_watchdog_enabled(3),
systemd.service(5).
"""

from collections.abc import Mapping
from socket import socket
from time import monotonic, monotonic_ns

from sdsuper.core.roster import Roster
from sdsuper.core.slot import Slot, display_name
from sdsuper.core.vocabulary import Publish, State
from sdsuper.logs.main import MainLog
from sdsuper.system.loop import Loop

STATUS_PAUSE = 1.0            # seconds between two statuses
STATUS_BYTES = 400            # systemd takes 4096 bytes a message, and forgets a longer one
MORE_TIME_EVERY = 3.0         # seconds between two requests for more time
MORE_TIME = 30                # seconds that are asked for: systemd may be late, too
START_MOST = 900.0            # seconds after the start for which more time is asked for
MARGIN = 30.0                 # seconds that a stop may take beyond what the programs' options say
AGAIN = 0.1                   # seconds until what systemd could not take is sent again
NAMED_MOST = 5                # processes named in a status
WATCHDOG_MOST = 10**12        # microseconds; more is no watchdog
_ILL = (State.FATAL, State.BACKOFF, State.UNKNOWN)


class Service:
    """What systemd is told."""

    def __init__(self, loop: Loop, log: MainLog, roster: Roster, environment: Mapping[str, str], pid: int) -> None:
        self._loop, self._log, self._roster = loop, log, roster
        self._socket = self._connect(environment)
        self._owed: list[bytes] = []            # what systemd has to hear, in order
        self._ready, self._reloads, self._ending = False, 0, False
        self._status, self._refused = "", ""
        self._status_waits = self._asking = False
        self._more_time_until = monotonic() + START_MOST
        self._watchdog = _watchdog_seconds(environment, pid) if self._socket is not None else 0.0
        self._next_sign = monotonic()
        self._ask_for_time()
        if self._watchdog:
            self._sign()

    def _connect(self, environment: Mapping[str, str]) -> socket | None:
        if not environment.get("NOTIFY_SOCKET"):
            return None
        try:
            from sdnotify import SystemdNotifier  # only where somebody listens
        except ImportError:
            self._log.write("error", "NOTIFY_SOCKET is set, but the Python package sdnotify is not there")
            return None
        # its notify() sends Latin-1, and forgets what that has not and what does not fit: we take the way there alone
        channel: socket | None = SystemdNotifier().socket
        if channel is not None:
            channel.setblocking(False)
        return channel

    def _must_tell(self, *lines: str) -> None:
        """Something that changes how systemd sees us: sent again until it is taken."""
        if self._socket is not None:
            self._owed.append("\n".join(lines).encode(errors="replace"))
            if len(self._owed) == 1:
                self._send_owed()

    def _send_owed(self) -> None:
        while self._owed:
            if not self._send(self._owed[0]):
                self._loop.soon(AGAIN, self._send_owed)
                return
            del self._owed[0]

    def _tell(self, *lines: str) -> None:
        """Something that is said again before long."""
        if not self._owed:
            self._send("\n".join(lines).encode(errors="replace"))

    def _send(self, message: bytes) -> bool:
        """False: systemd's queue is full."""
        if self._socket is not None:
            try:
                self._socket.send(message)
            except BlockingIOError:
                return False
            except OSError as error:            # nobody is there any more
                self._log.write("warn", f"cannot tell systemd: {error.strerror}")
        return True

    # ---- its life -------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The first order has been worked through."""
        if not self._ending:
            self._ready = True
            self._tell_status()
            self._must_tell("READY=1")

    def reloading(self, seconds: float) -> None:
        """A configuration is read and made so, which may take that long."""
        if self._ready and not self._ending:
            self._reloads += 1
            self._more_time_until = monotonic() + seconds + MARGIN
            self._must_tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
            self._ask_for_time()

    def reloaded(self, refused: str = "") -> None:
        """It is so, or was refused for that reason."""
        self._refused = refused.partition("\n")[0]
        self._reloads = max(self._reloads - 1, 0)
        if self._ready:
            self.ready()

    def stopping(self, waiting: list[str], seconds: float) -> None:
        """The daemon ends, which may take that long, and still waits for these."""
        if not self._ending:
            self._ending = True
            self._more_time_until = monotonic() + seconds + MARGIN
            self._must_tell("STOPPING=1")
            self._ask_for_time()
        self._tell(f"STATUS={_cut(f'stopping, waiting for {_some(waiting)}' if waiting else 'stopping')}")

    def _ask_for_time(self) -> None:
        """As long as something is under way that has not taken longer than it may."""
        if self._socket is None:
            return                  # nobody is asked, and nobody is woken up for it
        left = self._more_time_until - monotonic()
        if left > 0 and (self._ending or self._reloads or not self._ready):
            self._tell(f"EXTEND_TIMEOUT_USEC={int(min(left, MORE_TIME) * 1_000_000)}")
            if not self._asking:
                self._asking = True
                self._loop.soon(MORE_TIME_EVERY, self._ask_again)

    def _ask_again(self) -> None:
        self._asking = False
        self._ask_for_time()

    # ---- status ---------------------------------------------------------------------------------------------------

    def heard(self, _slot: Slot, _change: Publish) -> None:
        """A state has changed."""
        if self._socket is not None and not self._status_waits:
            self._status_waits = True
            self._loop.soon(STATUS_PAUSE, self._tell_news)

    def _tell_news(self) -> None:
        self._status_waits = False
        if self._ready and not self._ending and self._words() != self._status:
            self._tell_status()

    def _tell_status(self) -> None:
        self._status = self._words()
        self._tell(f"STATUS={self._status}")

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
        return _cut("; ".join(parts))

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
    text, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and whose == str(pid)):
        return 0.0
    microseconds = int(text)
    return microseconds / 1e6 if microseconds <= WATCHDOG_MOST else 0.0


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED_MOST
    return ", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


def _cut(text: str) -> str:
    """On one line, for another line would be another message, and no longer than it may be."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    data = line.encode(errors="replace")
    return line if len(data) <= STATUS_BYTES else f"{data[:STATUS_BYTES].decode(errors='ignore')} …"
