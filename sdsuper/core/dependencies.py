"""Who waits for whom: what each process depends on, and what follows when that changes. PURE.

Promises: a process that waits is told as soon as it may go on; one whose dependency goes down is treated as its
`depends_lost` says; a process that is to stop waits for those of its dependents that stop, too. Where nobody depends on
anybody none of this costs anything. Must not: know the clock, act, or change a record: it answers with inputs.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from sdsuper.config.lifecycle import Condition, Lost, Need, Unmet
from sdsuper.core import policy as rules
from sdsuper.core.slot import Key, Slot, display_name
from sdsuper.core.vocabulary import (
    RESTING_STATES,
    Blocked,
    Cleared,
    Goal,
    Input,
    Phase,
    Process,
    Start,
    State,
    Stop,
    Stuck,
)

Inputs = list[tuple[Slot, Input]]
Needs = Mapping[Key, Sequence[Need]]


class Standing(Enum):
    """How it is with something that is waited for."""

    MET = "met"
    COMING = "coming"      # it is up, or on its way
    DOWN = "down"          # it is not, and will not be by itself


def standing(slot: Slot, process: Process, condition: Condition) -> Standing:
    """How a process with this record is with a condition."""
    if _met(slot, process, condition):
        return Standing.MET
    leaving = process.state is State.STOPPING and process.goal is Goal.DOWN
    return Standing.DOWN if leaving or process.state in RESTING_STATES else Standing.COMING


def _met(slot: Slot, process: Process, condition: Condition) -> bool:
    if condition is Condition.COMPLETED:
        exit = process.exit
        return process.state is State.EXITED and exit is not None and rules.expected(slot.config, exit)
    if condition is Condition.STARTED and process.state is State.STARTING:
        return process.pid > 0
    if process.state is not State.RUNNING:
        return False
    if condition is Condition.STARTED:
        return True
    return process.ready is not False and (condition is Condition.READY or process.healthy is not False)


class Dependencies:
    """The needs of all processes, by name; the processes are looked up in `slots` each time."""

    def __init__(self, slots: Mapping[Key, Slot]) -> None:
        self._slots = slots
        self._needs: Needs = {}
        self._dependents: dict[Key, list[Key]] = {}
        #: stops that wait for dependents to go first
        self._held: dict[Key, Stop] = {}

    def __bool__(self) -> bool:
        return bool(self._dependents)

    def renew(self) -> None:
        """The set of processes, or what they depend on, has changed."""
        self._dependents = {}
        self._needs = _without_circles({key: slot.config.depends.needs for key, slot in self._slots.items()
                                        if slot.config.depends.needs})
        for key, needs in self._needs.items():
            for needed in dict.fromkeys((need.group, need.process) for need in needs):
                self._dependents.setdefault(needed, []).append(key)

    def needs(self, slot: Slot) -> Sequence[Need]:
        """What a process depends on."""
        return self._needs.get(slot.key, ())

    def dependents(self, key: Key) -> list[Slot]:
        """The processes that name this one."""
        found = (self._slots.get(one) for one in self._dependents.get(key, ()))
        return [slot for slot in found if slot is not None]

    def unmet(self, slot: Slot) -> list[Need]:
        """What a process still waits for, or what it has lost; wishes among it as long as they may come true."""
        return [need for need in self.needs(slot) if self._standing(need) is not Standing.MET]

    def _standing(self, need: Need) -> Standing:
        key = (need.group, need.process)
        slot = self._slots.get(key)
        how = Standing.DOWN if slot is None else standing(slot, slot.process, need.condition)
        if key in self._held and need.condition is not Condition.COMPLETED:
            # what is about to stop is as good as down: nobody should start because of it any more
            how = Standing.COMING if self._held[key].again else Standing.DOWN
        return Standing.MET if need.optional and how is Standing.DOWN else how

    # ---- starting -------------------------------------------------------------------------------------------------

    def pull(self, slot: Slot) -> Inputs:
        """Somebody wants a process up, and it waits: what it depends on and is down is started as well."""
        found: Inputs = []
        for need in self.needs(slot):
            other = self._slots.get((need.group, need.process))
            if other is None or other.process.state is State.UNKNOWN:
                continue
            if other.key in self._held or standing(other, other.process, need.condition) is Standing.DOWN:
                found.append((other, Start()))
        return found

    def look(self, slot: Slot) -> Inputs:
        """Whether a process that waits may go on, or has waited in vain."""
        process = slot.process
        if process.state is not State.STARTING or process.phase is not Phase.WAITING:
            return []
        ways = {need: self._standing(need) for need in self.needs(slot)}
        if all(way is Standing.MET for way in ways.values()):
            return [(slot, Cleared(process.run))]
        down = [need for need, way in ways.items() if way is Standing.DOWN]
        if not down:
            return []
        why = f"{self.shown(down[0])}, which it depends on"
        fails = slot.config.depends.unmet is Unmet.FAIL
        return [(slot, Blocked(process.run, why) if fails else Stuck(process.run, why))]

    def shown(self, need: Need) -> str:
        """`db is FATAL`: what of a need is not met, in words."""
        name = display_name(need.group, need.process)
        slot = self._slots.get((need.group, need.process))
        if slot is None:
            return f"{name} is not there"
        state = slot.process.state
        if slot.key in self._held:
            return f"{name} is about to stop"
        if state is State.RUNNING:
            return f"{name} is not {'ready' if slot.process.ready is False else 'healthy'}"
        if need.condition is Condition.COMPLETED and state is State.EXITED:
            return f"{name} has ended with {slot.process.exit}"
        return f"{name} is {state.name}"

    # ---- a change -------------------------------------------------------------------------------------------------

    def changed(self, slot: Slot, before: Process) -> Inputs:
        """What follows for others, and for its own stop, when a process is no longer as it was."""
        found: Inputs = []
        if slot.process == before:
            return found
        for dependent in self.dependents(slot.key):
            found += self.look(dependent)
            if _tied(dependent.process):
                found += self._after_loss(slot, before, dependent)
        for need in self.needs(slot):
            found += self._released((need.group, need.process))
        if slot.key in self._held and not _tied(slot.process):
            found.append((slot, self._held.pop(slot.key)))
        return found

    def _after_loss(self, slot: Slot, before: Process, dependent: Slot) -> Inputs:
        if dependent.config.depends.lost is Lost.IGNORE:
            return []
        for need in self.needs(dependent):
            if (need.group, need.process) == slot.key and _lasting(need):
                was = standing(slot, before, need.condition) is Standing.MET
                if was and standing(slot, slot.process, need.condition) is not Standing.MET:
                    return self._let_go(dependent)
        return []

    def _let_go(self, dependent: Slot) -> Inputs:
        """Stop a process that has lost what it depends on; it waits for it again if its options say so."""
        return [(dependent, Stop(again=dependent.config.depends.lost is Lost.RESTART))]

    # ---- stopping -------------------------------------------------------------------------------------------------

    def hold(self, slot: Slot, input: Stop) -> Inputs | None:
        """A process is to stop: None if it may at once, else what is to happen before. Its stop follows by itself."""
        if not _tied(slot.process):
            return None
        found: Inputs = []
        waits = False
        for dependent in self.dependents(slot.key):
            goes_along = dependent.config.depends.lost is not Lost.IGNORE and self._leans(dependent, slot.key)
            if goes_along and _tied(dependent.process):
                found += self._let_go(dependent)
                waits = True
            waits = waits or self._in_the_way(dependent)
        if not waits:
            return None
        if not input.again or slot.key not in self._held:       # a stop for good is not undone by one for a while
            self._held[slot.key] = input
        return found + self.looks(slot.key)

    def _leans(self, dependent: Slot, key: Key) -> bool:
        """Whether it needs the other one all the time."""
        return any((need.group, need.process) == key and _lasting(need) for need in self.needs(dependent))

    def held(self, key: Key) -> bool:
        """Whether a stop of this process waits for others."""
        return key in self._held

    def goal(self, slot: Slot) -> Goal:
        """What is wished of a process, with what a stop that waits will make of it."""
        held = self._held.get(slot.key)
        return slot.process.goal if held is None else Goal.UP if held.again else Goal.DOWN

    def wanted_up(self, key: Key) -> bool:
        """Somebody starts it. Whether a stop of it waits: then it comes back after that."""
        if key in self._held:
            self._held[key] = Stop(again=True)
            return True
        return False

    def looks(self, key: Key) -> Inputs:
        """Whether those who wait for a process may go on."""
        return [pair for dependent in self.dependents(key) for pair in self.look(dependent)]

    def releases(self) -> Inputs:
        """The stops that nobody is in the way of any more."""
        self._held = {key: stop for key, stop in self._held.items() if key in self._slots}
        return [pair for key in [*self._held] for pair in self._released(key)]

    def _in_the_way(self, dependent: Slot) -> bool:
        """Whether a process has to be down before what it depends on may go."""
        return dependent.process.state is State.STOPPING or dependent.key in self._held

    def _released(self, key: Key) -> Inputs:
        slot = self._slots.get(key)
        if slot is None or key not in self._held or any(map(self._in_the_way, self.dependents(key))):
            return []
        return [(slot, self._held.pop(key))]

    def stop_order(self, slots: Iterable[Slot]) -> list[Slot]:
        """The same processes, each behind those that depend on it; otherwise in the order that they came in."""
        wanted = {slot.key: slot for slot in slots}
        done: dict[Key, Slot] = {}
        for key in wanted:
            stack = [key]
            while stack:
                here = stack[-1]
                before = [one for one in self._dependents.get(here, ()) if one in wanted and one not in done]
                if here in done or not before:
                    done.setdefault(here, wanted[here])
                    stack.pop()
                else:
                    stack += before
        return list(done.values())


def _tied(process: Process) -> bool:
    """Whether it can lose what it depends on, and be lost: not in BACKOFF, after which it waits anyway, nor while it
    waits.
    """
    return process.state in (State.STARTING, State.RUNNING) and process.phase is not Phase.WAITING


def _without_circles(needs: Needs) -> Needs:
    """The same without what would close a circle. No configuration has one, but two of which only a part is in use may
    have one together.
    """
    kept: dict[Key, list[Need]] = {}
    for start in needs:
        path = {} if start in kept else {start: iter(needs[start])}     # no recursion, for chains are long
        kept.setdefault(start, [])
        while path:
            here = next(reversed(path))
            need = next(path[here], None)
            if need is None:
                path.popitem()
                continue
            key = (need.group, need.process)
            if key not in path:
                kept[here].append(need)
                if key in needs and key not in kept:
                    kept[key] = []
                    path[key] = iter(needs[key])
    return kept


def _lasting(need: Need) -> bool:
    """Whether it can be lost: a job cannot, and a wish is none any more once the process is up."""
    return need.condition is not Condition.COMPLETED and not need.optional
