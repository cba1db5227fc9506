"""What happens in the daemon, as events for whoever subscribes to them.

Promises: each happening is told once, in order, output before the end of the run that wrote it; where nobody
subscribes it costs a look into a dictionary, and the clock is not watched. Must not: know who listens or how
(listeners.py).
"""

from time import time

from sdsuper.config.model import LogConfig
from sdsuper.config.reload import captured
from sdsuper.control.server import Call
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Publish, PublishHealth
from sdsuper.engine.listeners import Listeners
from sdsuper.engine.supervise import GROUP_ADDED, GROUP_REMOVED, GROUP_RENEWED, Engine
from sdsuper.engine.trees import Run
from sdsuper.errors import Refusal
from sdsuper.events import catalogue
from sdsuper.logs.capture import Capture
from sdsuper.logs.main import MainLog
from sdsuper.logs.pipes import Tap
from sdsuper.system.loop import Timer

#: The longest sleep between two looks at the clock, in seconds: it may be set while nothing else wakes us.
LONGEST_SLEEP = 60.0


class Announcements:
    """The daemon's events. `listeners` are told of them."""

    def __init__(self, engine: Engine, listeners: Listeners) -> None:
        self._engine, self._listeners = engine, listeners
        self._slices: dict[int, int] = {}          # period of a subscribed tick -> the slice we are in
        self._timer: Timer | None = None
        listeners.subscriptions.changed = self._set_clock
        engine.group_listeners.append(self._group_heard)
        engine.making.taps.append(self._tap)
        engine.health_listeners.append(self._health_heard)

    def state_heard(self, slot: Slot, change: Publish) -> None:
        """A change of state was published."""
        name = catalogue.STATES[change.state]
        if self._listeners.wants(name):
            self._listeners.publish(name, catalogue.of_state(slot.config.name, slot.group, change))
        self._listeners.state_heard(slot, change)

    def _health_heard(self, slot: Slot, change: PublishHealth) -> None:
        if self._listeners.wants(catalogue.HEALTH):
            self._listeners.publish(catalogue.HEALTH, catalogue.of_health(slot.config.name, slot.group,
                                                                          slot.process.pid, change))

    def running(self) -> None:
        """The daemon has begun."""
        self._listeners.publish(catalogue.RUNNING, "")

    def stopping(self) -> None:
        """The daemon ends."""
        self._listeners.publish(catalogue.STOPPING, "")

    def send(self, call: Call) -> None:
        """The command SendEvent."""
        kind, data = call.parameters["type"], call.parameters["data"]
        for name, text in (("type", kind), ("data", data)):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise Refusal("BAD_ARGUMENTS", f"{name}: a lone surrogate is no character") from None
        self._listeners.publish(catalogue.REMOTE, catalogue.of_remote(kind, data))
        call.reply({})

    def subscribe(self, call: Call) -> None:
        """The command Subscribe."""
        self._listeners.subscriptions.subscribe(call)

    def _group_heard(self, name: str, what: str) -> None:
        if what in (GROUP_REMOVED, GROUP_RENEWED):
            self._listeners.publish(catalogue.GROUP_REMOVED, catalogue.of_group(name))
        if what in (GROUP_ADDED, GROUP_RENEWED):
            self._listeners.publish(catalogue.GROUP_ADDED, catalogue.of_group(name))
        self._set_clock()

    # ---- output ---------------------------------------------------------------------------------------------------

    def _tap(self, run: Run, channel: str) -> Tap | None:
        """Who sees a stream before its log: a listener's words, or messages and PROCESS_LOG events. None: it is not
        read for our sake.
        """
        life = self._listeners.life(run)
        if life is not None and channel == "stdout":
            return life
        config = run.slot.config
        if channel == "stderr" and config.redirect_stderr:
            return None
        return Output(self._listeners, self._engine.log, run, channel) if captured(_options(run, channel)) else None

    # ---- ticks ----------------------------------------------------------------------------------------------------

    def _set_clock(self) -> None:
        """Watch the clock for the ticks that anybody wants, from the present slice on."""
        wanted = [period for period, name in catalogue.TICKS.items() if self._listeners.wants(name)]
        if wanted == list(self._slices):
            return
        now = time()
        self._slices = {period: self._slices.get(period, _slice(period, now)) for period in wanted}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wanted:
            self._sleep(now)

    def _sleep(self, now: float) -> None:
        rest = min(_slice(period, now) + period - now for period in self._slices)
        self._timer = self._engine.loop.soon(min(rest, LONGEST_SLEEP), self._tick)

    def _tick(self) -> None:
        now = time()
        for period, before in self._slices.items():
            present = _slice(period, now)
            if present != before:
                self._slices[period] = present
                self._listeners.publish(catalogue.TICKS[period], catalogue.of_tick(present))
        self._sleep(now)
        self._engine.log.flush()


class Output:
    """One stream of one run: takes messages out of it and tells of the rest. Options that change hold at once."""

    prompt = False
    __slots__ = ("_capture", "_channel", "_listeners", "_log", "_run")

    def __init__(self, listeners: Listeners, log: MainLog, run: Run, channel: str) -> None:
        self._listeners, self._log, self._run, self._channel = listeners, log, run, channel
        self._capture: Capture | None = None

    def feed(self, data: memoryview) -> memoryview:
        """Returns what is for the log."""
        config, capture = _options(self._run, self._channel), self._capture
        if config.capture_maxbytes:
            if capture is None:
                capture = self._capture = Capture()
            pieces = capture.feed(bytes(data), config.capture_maxbytes)
        elif capture is not None:                  # a reload has ended it
            pieces, self._capture = [(False, capture.end() + data)], None
        else:
            self._tell(data)
            return data
        for is_message, piece in pieces:
            if is_message:
                self._tell_message(piece)
            else:
                self._tell(piece)
        return memoryview(b"".join(piece for is_message, piece in pieces if not is_message))

    def end(self) -> bytes:
        """What had the look of a message, but was not finished."""
        rest = b"" if self._capture is None else self._capture.end()
        if rest:
            self._tell(rest)
        return rest

    def _tell(self, data: bytes | memoryview) -> None:
        """PROCESS_LOG, one for each piece that was read."""
        name, run = catalogue.LOGS[self._channel], self._run
        if _options(run, self._channel).events_enabled and self._listeners.wants(name):
            self._listeners.publish(name, catalogue.of_log(run.slot.config.name, run.slot.group, run.pid,
                                                           self._channel, bytes(data)))
            self._log.flush()

    def _tell_message(self, data: bytes) -> None:
        """PROCESS_COMMUNICATION."""
        name, run = catalogue.MESSAGES[self._channel], self._run
        if self._listeners.wants(name):
            self._listeners.publish(name, catalogue.of_message(run.slot.config.name, run.slot.group, run.pid, data))
            self._log.flush()


def _options(run: Run, channel: str) -> LogConfig:
    return run.slot.config.stdout if channel == "stdout" else run.slot.config.stderr


def _slice(period: int, now: float) -> int:
    """The beginning of the period that `now` is in, as Supervisor reckons it."""
    return int(now - now % period)
