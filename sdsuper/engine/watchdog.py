"""The watchdog: programs that have to say again and again that they are alive.

Promises: a RUNNING program is let be as long as `WATCHDOG=1` comes in time; a frozen one, and one that has been thawed
since, has its whole time. Must not: believe anybody (readiness.py does), or decide what follows (its options do).
Sources: sd_notify(3), sd_watchdog_enabled(3).
"""

import signal
from time import monotonic

from sdsuper.config.health import ActionKind
from sdsuper.core.health import Finding
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Publish, State
from sdsuper.engine.health import Checks
from sdsuper.engine.readiness import Readiness
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run
from sdsuper.system.loop import Timer

_MOST = 10**12      # microseconds that a program may ask for
LEAST = 1.0         # seconds; what is less would keep the daemon busy
QUIET = 60.0        # seconds after an action where no liveness check says how many (its initial delay)


class _Dog:
    """The watchdog of one run. `last` is when it has heard something, or has barked; `barks` and `acts` are when that
    may be again.
    """

    __slots__ = ("acts", "barks", "last", "seconds", "timer")

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, 0.0
        self.barks = self.acts = 0.0
        self.timer: Timer | None = None         # only while the run is RUNNING


class Watchdog:
    """Those of one daemon."""

    def __init__(self, engine: Engine, checks: Checks, readiness: Readiness) -> None:
        self._engine, self._checks = engine, checks
        self._dogs: dict[Run, _Dog] = {}
        engine.making.givers.append(self._give)
        engine.making.ends.append(self._end)
        engine.listeners.append(self._heard)
        engine.group_listeners.append(self._group_changed)
        engine.resources.thawed.append(self._thawed)
        readiness.heard.append(self._told)

    def _give(self, run: Run, environment: dict[str, str], _given: dict[str, int]) -> None:
        seconds = run.slot.config.health.watchdog
        if seconds:
            environment["WATCHDOG_USEC"] = str(int(seconds * 1e6))
            self._dogs[run] = _Dog(seconds)

    def _group_changed(self, _name: str, _what: str) -> None:
        """After a reload; it is told before it is so."""
        if self._dogs:
            self._engine.loop.soon(0, self._drop_unwanted)

    def _drop_unwanted(self) -> None:
        for run in [run for run in self._dogs if not run.slot.config.health.watchdog]:
            self._end(run)
            self._checks.forget_finding(run.slot, run.number, "watchdog")

    def _thawed(self, run: Run) -> None:
        dog = self._dogs.get(run)
        if dog is not None and dog.timer is not None:
            dog.last = monotonic()
            self._arm(run, dog)

    def _end(self, run: Run) -> None:
        dog = self._dogs.pop(run, None)
        if dog is not None and dog.timer is not None:
            dog.timer.cancel()

    def _heard(self, slot: Slot, change: Publish) -> None:
        if not self._dogs or change.state not in (State.RUNNING, State.STOPPING):
            return
        run = self._engine.run(slot)
        dog = self._dogs.get(run) if run is not None else None
        if run is None or dog is None:
            return
        if change.state is State.RUNNING:
            dog.last = monotonic()
            self._arm(run, dog)
        elif dog.timer is not None:
            dog.timer.cancel()
            dog.timer = None

    def _arm(self, run: Run, dog: _Dog) -> None:
        if dog.timer is not None:
            dog.timer.cancel()
        dog.timer = self._engine.loop.at(max(dog.last + dog.seconds, dog.barks), lambda: self._due(run, dog))

    def _told(self, run: Run, fields: dict[str, str]) -> None:
        """A notification that is believed."""
        dog = self._dogs.get(run)
        if dog is None:
            return
        word, wanted = fields.get("WATCHDOG"), fields.get("WATCHDOG_USEC", "")
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 13 and 0 < int(wanted) <= _MOST:
            dog.seconds, dog.last = max(int(wanted) / 1e6, LEAST), monotonic()
            if dog.timer is not None:
                self._arm(run, dog)
        if word == "1":
            dog.last = monotonic()
            if dog.timer is not None:
                self._checks.found(run.slot, run.number, "watchdog", Finding(True))
        elif word == "trigger" and dog.timer is not None and monotonic() >= dog.barks:
            self._bark(run, dog, "the program has called the watchdog")

    def _due(self, run: Run, dog: _Dog) -> None:
        now = monotonic()
        if self._engine.resources.frozen(run.slot.key):
            dog.last = now
        if max(dog.last + dog.seconds, dog.barks) > now:
            self._arm(run, dog)
        else:
            self._bark(run, dog, f"no sign of life for {dog.seconds:g} seconds (watchdog)")

    def _bark(self, run: Run, dog: _Dog, reason: str) -> None:
        config, now = run.slot.config.health, monotonic()
        dog.last, dog.barks = now, now + max(dog.seconds, LEAST)
        self._arm(run, dog)
        self._checks.found(run.slot, run.number, "watchdog", Finding(False, reason))
        if now < dog.acts:
            return
        if config.ill.kind not in (ActionKind.RESTART, ActionKind.STOP):
            dog.acts = now + (config.live.initial_delay if config.live else QUIET)
        else:
            try:
                self._engine.signal_process(run.slot, signal.SIGABRT)       # who hangs shall leave a trace of where
            except OSError:
                pass                                                        # it has just ended
        self._checks.act(run.slot, run.number, reason)
        self._engine.log.flush()
