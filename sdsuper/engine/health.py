"""Checks of programs: each is made when core/health.py says so, and what has come of it goes into the core.

Promises: of one check there is one at a time, of all checks no more than `checks_at_once`; a check ends with its run,
at the latest; what it could not find out because of us, or of a program that is frozen, counts for nothing. Must not:
decide when a result is bad enough, or ask anybody itself (probes.py does).
"""

from collections import deque
from functools import partial
from time import monotonic

from sdsuper.config.health import UNCHECKED, ActionKind, Check, CheckKind
from sdsuper.config.health_values import first_word
from sdsuper.core import health
from sdsuper.core import policy as rules
from sdsuper.core.health import Finding
from sdsuper.core.slot import Key, Slot, display_name
from sdsuper.core.starting import UNASKED
from sdsuper.core.vocabulary import Checked, Faulty, Publish, Ready, State, Stop, signal_name
from sdsuper.engine.errands import Errand, ErrandResult
from sdsuper.engine.probes import Probes, Question
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run
from sdsuper.system.loop import Timer

ACTION_SECONDS = 60.0       # that a command after a verdict may take
LINES = 3                   # of a command's output that the log has when it has led to a bad verdict
_OF_RUNNING = (CheckKind.READY, CheckKind.LIVE)
#: What checks of these kinds are called in the log.
_NAMES = {CheckKind.STARTUP: "startup check", CheckKind.READY: "ready check", CheckKind.LIVE: "liveness check"}


class Course:
    """One check of one run, from its first time to its last."""

    __slots__ = ("began", "check", "job", "kind", "over", "progress", "run", "slot", "timer", "told")

    def __init__(self, slot: Slot, run: int, kind: CheckKind, check: Check, now: float) -> None:
        self.slot, self.run, self.kind, self.check = slot, run, kind, check
        self.progress = health.first(check, now, _chance(slot, kind, now))
        self.job: Errand | Question | None = None
        self.timer: Timer | None = None
        self.began, self.over, self.told = 0.0, False, ""

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.slot.config.name}: {_NAMES[self.kind]}"


class Checks:
    """The checks of one daemon. `probes` asks; `at_once` is how many may be under way."""

    def __init__(self, engine: Engine, probes: Probes, at_once: int) -> None:
        self._engine, self._probes, self._at_once = engine, probes, at_once
        self._courses: dict[Key, dict[CheckKind, Course]] = {}
        self._findings: dict[Key, dict[str, Finding]] = {}      # by who has found it
        self._queue: deque[Course] = deque()
        self._active = 0
        self._acting: set[tuple[Key, str]] = set()              # what was named to be run and is not over yet
        self._comparing = False
        engine.making.givers.append(self._give)
        engine.making.ends.append(lambda run: self._forget(run.slot.key, run.number))
        engine.listeners.append(self._heard)
        engine.group_listeners.append(self._group_changed)

    # ---- when there are any ---------------------------------------------------------------------------------------

    def _give(self, run: Run, _environment: dict[str, str], _given: dict[str, int]) -> None:
        self._forget(run.slot.key)
        startup = run.slot.config.health.startup
        if startup is not None:
            self._begin(run.slot, run.number, CheckKind.STARTUP, startup)

    def _heard(self, slot: Slot, change: Publish) -> None:
        if change.from_state in (State.STARTING, State.RUNNING):
            self._forget(slot.key, slot.process.run if change.state is State.RUNNING else None)
        if change.state is State.RUNNING is slot.process.state and slot.config.health != UNCHECKED:
            if slot.config.health.ready is not None:
                self._findings[slot.key] = {CheckKind.READY.value: Finding(False, UNASKED)}
            for kind in _OF_RUNNING:
                check = self._wanted(slot, kind)
                if check is not None:
                    self._begin(slot, slot.process.run, kind, check)

    def _wanted(self, slot: Slot, kind: CheckKind) -> Check | None:
        """The check of that kind that a process has in the state that it is in."""
        config, state = slot.config.health, slot.process.state
        if kind is CheckKind.STARTUP:
            return config.startup if state is State.STARTING and self._engine.run(slot) is not None else None
        return {CheckKind.READY: config.ready, CheckKind.LIVE: config.live}[kind] if state is State.RUNNING else None

    def _group_changed(self, _name: str, _what: str) -> None:
        """The options follow the news."""
        if not self._comparing:
            self._comparing = True
            self._engine.loop.soon(0, self._compare)

    def _compare(self) -> None:
        """Make it so that the checks are those of the options as they are now."""
        self._comparing = False
        for slot in tuple(self._engine.roster):
            there = self._courses.get(slot.key, {})
            if slot.config.health == UNCHECKED and not there:
                continue
            for kind in CheckKind:
                check, course = self._wanted(slot, kind), there.get(kind)
                if course is not None and course.check != check:
                    self._drop(course)
                    if check is None:
                        self._findings.get(slot.key, {}).pop(kind.value, None)
                if check is not None and (course is None or course.over):
                    self._begin(slot, slot.process.run, kind, check)
                elif check is None and course is not None and kind is CheckKind.STARTUP:
                    self._start_without(slot)
            self._report(slot)

    def _start_without(self, slot: Slot) -> None:
        if slot.process.state is State.STARTING and not rules.awaited(slot.config):
            self._engine.submit(slot, Ready(slot.process.run, "nothing is checked any more"))

    def _begin(self, slot: Slot, run: int, kind: CheckKind, check: Check) -> None:
        course = Course(slot, run, kind, check, monotonic())
        self._courses.setdefault(slot.key, {})[kind] = course
        self._arm(course)

    def _forget(self, key: Key, run: int | None = None) -> None:
        """Nothing is to be found out any more; with `run`, of that run alone."""
        courses = self._courses.get(key)
        for course in tuple(courses.values()) if courses else ():
            if run is None or course.run == run:
                self._drop(course)
        self._findings.pop(key, None)

    def _drop(self, course: Course) -> None:
        course.over = True
        if course.timer is not None:
            course.timer.cancel()
        if course.job is not None:
            course.job.cancel()
        courses = self._courses.get(course.slot.key, {})
        if courses.get(course.kind) is course:
            del courses[course.kind]
            if not courses:
                del self._courses[course.slot.key]

    # ---- asking ---------------------------------------------------------------------------------------------------

    def _arm(self, course: Course) -> None:
        course.timer = self._engine.loop.at(course.progress.due, lambda: self._due(course))

    def _due(self, course: Course) -> None:
        course.timer = None
        if self._frozen(course):
            now = monotonic()
            course.progress = health.skipped(course.check, course.progress, now, _chance(course.slot, course.kind, now))
            self._arm(course)
        else:
            self._queue.append(course)
            self._take_turns()

    def _frozen(self, course: Course) -> bool:
        return self._engine.resources.frozen(course.slot.key)

    def _take_turns(self) -> None:
        while self._active < self._at_once and self._queue:
            course = self._queue.popleft()
            if course.over:
                continue
            self._active += 1
            course.began = monotonic()
            course.job = self._probes.run(course.slot, course.check.text, course.check.timeout,
                                          partial(self._done, course), _environment(course.slot, course.kind.value))

    def _done(self, course: Course, result: ErrandResult) -> None:
        self._active -= 1
        self._take_turns()
        course.job = None
        if course.over:
            return
        now, log = monotonic(), self._engine.log
        chance = _chance(course.slot, course.kind, now)
        reached = False
        if self._frozen(course):
            course.progress = health.skipped(course.check, course.progress, now, chance)
        elif result.lack:
            course.progress = health.untold(course.check, course.progress, now)
            if result.reason != course.told:
                course.told = result.reason
                log.write("error", f"{course.name} cannot be made: {result.reason}")
        else:
            course.told = ""
            course.progress, reached = health.judged(course.check, course.progress, result.ok, course.began, now,
                                                     chance, self._acts(course))
            if not result.ok and log.takes("debug"):
                log.write("debug", f"{course.name}: {result.reason}")
        self._arm(course)
        if reached:
            self._follow(course, result)
        elif not result.ok and not result.lack:
            self._still(course, result.reason)
        log.flush()

    def _acts(self, course: Course) -> bool:
        return course.kind is CheckKind.LIVE and course.slot.config.health.ill.kind is not ActionKind.NONE

    # ---- what follows ---------------------------------------------------------------------------------------------

    def _follow(self, course: Course, result: ErrandResult) -> None:
        """A threshold has been reached."""
        slot, run, reason = course.slot, course.run, result.reason
        for line in result.output.splitlines()[-LINES:] if reason else ():
            self._engine.log.write("warn", f"{course.name}: {line}")
        if course.kind is CheckKind.STARTUP:
            self._drop(course)
            self._engine.submit(slot, Ready(run, "startup check") if result.ok else
                                Faulty(run, f"{_in_a_row(course)}: {reason}"))
            return
        self.found(slot, run, course.kind.value, Finding(result.ok, reason))
        if course.kind is CheckKind.LIVE and result.ok and slot.config.health.well:
            self._run(slot, slot.config.health.well, "it is well")
        elif course.kind is CheckKind.LIVE and not result.ok:
            self.act(slot, run, f"{_in_a_row(course)}: {reason}")

    def _still(self, course: Course, reason: str) -> None:
        """It is as bad as it was, perhaps for another reason."""
        before = self._findings.get(course.slot.key, {}).get(course.kind.value)
        if before is not None and not before.well:
            self.found(course.slot, course.run, course.kind.value, Finding(False, reason))

    def found(self, slot: Slot, run: int, who: str, finding: Finding) -> None:
        """Somebody who looks at a run has come to a verdict."""
        if slot.process.run == run and slot.process.state is State.RUNNING:
            self._findings.setdefault(slot.key, {})[who] = finding
            self._report(slot)

    def forget_finding(self, slot: Slot, run: int, who: str) -> None:
        """Somebody does not look at a run any more."""
        if slot.process.run == run and self._findings.get(slot.key, {}).pop(who, None) is not None:
            self._report(slot)

    def _report(self, slot: Slot) -> None:
        process, found = slot.process, self._findings.get(slot.key, {})
        if process.state is not State.RUNNING:
            return
        ready = [finding for who, finding in found.items() if who == CheckKind.READY.value]
        healthy = [finding for who, finding in found.items() if who != CheckKind.READY.value]
        is_healthy, is_ready, reason = health.summary(healthy, ready)
        if (is_healthy, is_ready, reason) != (process.healthy, process.ready, process.trouble):
            self._engine.submit(slot, Checked(process.run, is_healthy, reason, is_ready))

    def act(self, slot: Slot, run: int, reason: str) -> None:
        """A run is not well: do what its options say."""
        action, process = slot.config.health.ill, slot.process
        if process.run != run or process.state is not State.RUNNING:
            return
        if action.kind is ActionKind.RESTART:
            self._engine.submit(slot, Faulty(run, reason))
        elif action.kind is ActionKind.STOP:
            self._engine.log.write("warn", f"stopping {display_name(*slot.key)}: {reason}")
            self._engine.submit(slot, Stop())
        elif action.kind is ActionKind.RUN:
            self._run(slot, action.text, reason)
        elif action.kind is ActionKind.SIGNAL:
            self._engine.log.write("warn", f"sending {signal_name(action.signal)} to {display_name(*slot.key)}: "
                                           f"{reason}")
            try:
                self._engine.signal_process(slot, action.signal)
            except OSError as error:
                self._engine.log.write("error", f"{display_name(*slot.key)}: {error.strerror}")

    def _run(self, slot: Slot, text: str, reason: str) -> None:
        """Run what the options name, unless it still runs: they must not pile up and leave no room for checks."""
        name, log, what = display_name(*slot.key), self._engine.log, (slot.key, text)
        if what in self._acting:
            log.write("info", f"{name}: {first_word(text)} still runs: {reason}")
            return
        self._acting.add(what)
        log.write("info", f"{name}: running {first_word(text)}: {reason}")

        def ended(result: ErrandResult) -> None:
            self._acting.discard(what)
            if not result.ok:
                log.write("error", f"{name}: what was run because of its health has failed: {result.reason}")
                log.flush()

        environment = _environment(slot, CheckKind.LIVE.value) | {"SDSUPER_REASON": reason.replace("\0", "")}
        self._probes.run(slot, text, ACTION_SECONDS, ended, environment)


def _in_a_row(course: Course) -> str:
    times = course.check.failures
    return f"{_NAMES[course.kind]} failed" + (f" {times} times in a row" if times > 1 else "")


def _chance(slot: Slot, kind: CheckKind, now: float) -> float:
    return rules.chance(slot.config, slot.process, now + len(kind.value))


def _environment(slot: Slot, what: str) -> dict[str, str]:
    """What a command is told."""
    return {"SDSUPER_CHECK": what, "SDSUPER_RUN": str(slot.process.run), "SDSUPER_PID": str(slot.process.pid)}
