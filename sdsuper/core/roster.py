"""All processes: groups, order, names, deadlines. PURE.

Promises: every change goes through `feed`; orders are Supervisor's (priority, then name); a deadline is found without
looking at all processes. Must not: act, read a clock, hand out records that change under the reader.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core.dependencies import Dependencies, Inputs
from sdsuper.core.machine import step
from sdsuper.core.slot import Key, Slot, display_name
from sdsuper.core.vocabulary import Blocked, Cleared, Effect, Elapsed, Input, Phase, Process, Start, Stop, Stuck
from sdsuper.errors import Refusal

#: What the dependencies have said to a process that waits.
_ANSWERS = (Cleared, Blocked, Stuck)


class Selection(NamedTuple):
    """What a name means: the processes, and whether it named exactly one (whose refusal is the whole answer)."""

    slots: list[Slot]
    single: bool


class Roster:
    """The groups and processes of one daemon. Not thread-safe; the engine owns it."""

    def __init__(self) -> None:
        self._groups: dict[str, GroupConfig] = {}
        self._members: dict[str, dict[str, Slot]] = {}
        self._deadlines: list[tuple[float, int, Key]] = []
        self._slots: dict[Key, Slot] = {}
        self.dependencies = Dependencies(self._slots)
        self._renew = False
        self._following: Inputs = []

    # ---- members --------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> dict[str, GroupConfig]:
        """The active groups by name."""
        return self._groups

    def __iter__(self) -> Iterator[Slot]:
        """All processes in start order."""
        for group in sorted(self._groups.values(), key=lambda g: (g.priority, g.name)):
            yield from self.members(group.name)

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))

    def members(self, group: str) -> list[Slot]:
        """The processes of a group in start order."""
        return sorted(self._members[group].values(), key=lambda s: (s.config.priority, s.config.name))

    def get(self, key: Key) -> Slot | None:
        """The process of that name, if it is (still) there."""
        return self._slots.get(key)

    def set_group(self, config: GroupConfig) -> None:
        """Add a group with its processes, or take over the changed fields of one. Members of an active group stay as
        they are.
        """
        if config.name not in self._groups:
            members = self._members[config.name] = {c.name: Slot(config.name, c) for c in config.processes}
            self._slots.update({slot.key: slot for slot in members.values()})
            self._renew = True
        self._groups[config.name] = config

    def remove_group(self, name: str) -> None:
        """Forget a group; its processes must be resting."""
        for slot in self._members[name].values():
            del self._slots[slot.key]
        del self._groups[name], self._members[name]
        self._renew = True

    def set_process(self, group: str, config: ProcessConfig) -> Slot:
        """Add a process to a group, or give it a new configuration, which holds from its next step on."""
        slot = self._members[group].get(config.name)
        if slot is None:
            slot = self._members[group][config.name] = Slot(group, config)
            self._slots[slot.key] = slot
        slot.config = config
        self._renew = True
        return slot

    def remove_process(self, key: Key) -> None:
        """Forget a process; it must be resting."""
        del self._members[key[0]][key[1]], self._slots[key]
        self._renew = True

    def listed(self, name: str | None) -> list[Slot]:
        """The processes that `name` means (None: all), by group and name. Raises Refusal BAD_NAME."""
        return sorted(self if name is None else self.select(name).slots, key=lambda slot: slot.key)

    # ---- names ----------------------------------------------------------------------------------------------------

    def select(self, name: str) -> Selection:
        """The processes that `name` means: `all`, `group:*`, `group:`, `group:process`, `process` or a shell pattern.

        Raises Refusal BAD_NAME where there is none.
        """
        if name == "all":
            return Selection(list(self), False)
        group, colon, process = name.partition(":")
        if not colon:
            process = group
        slot = self.get((group, process))
        if slot is not None:
            return Selection([slot], True)
        if group in self._groups and colon and process in ("", "*"):
            return Selection(self.members(group), False)
        found = self._match(name) if any(c in name for c in "*?[") else []
        if not found:
            raise Refusal("BAD_NAME", name)
        return Selection(found, False)

    def _match(self, pattern: str) -> list[Slot]:
        from fnmatch import fnmatchcase  # costs a millisecond, and few ask for it
        names = ((s, display_name(*s.key), f"{s.group}:{s.config.name}") for s in self)
        return [s for s, short, full in names if fnmatchcase(short, pattern) or fnmatchcase(full, pattern)]

    # ---- life -----------------------------------------------------------------------------------------------------

    def feed(self, slot: Slot, input: Input, now: float) -> list[Effect]:
        """Let one process take an input; returns what is to be done. What follows for others is in `following`."""
        self._keep_up()
        if self.dependencies:
            if type(input) is Stop:
                first = self.dependencies.hold(slot, input)
                if first is not None:
                    self._following += first
                    return []
            elif type(input) is Start and self.dependencies.wanted_up(slot.key):
                return []
            elif type(input) in _ANSWERS and (slot, input) not in self.dependencies.look(slot):
                return []               # it was so when it was said; what has changed since has its own answer
        before = slot.process
        slot.process, effects = step(before, input, slot.config, now)
        deadline = slot.process.deadline
        taken = type(input) is Elapsed and slot.process is not before       # by `due`
        if deadline is not None and (taken or deadline != before.deadline):
            heappush(self._deadlines, (deadline, slot.process.run, slot.key))
        if self.dependencies:
            self._follow(slot, before, type(input) is Start)
        return effects

    def _follow(self, slot: Slot, before: Process, wanted: bool) -> None:
        """Work out what a change means for others, and for a process that has begun to wait."""
        if slot.process.phase is Phase.WAITING and before.run != slot.process.run:
            first = self.dependencies.pull(slot) if wanted else []
            self._following += first or self.dependencies.look(slot)
        self._following += self.dependencies.changed(slot, before)
        if wanted:
            self._following += self.dependencies.looks(slot.key)        # who has pulled it up may have to go on without

    def following(self) -> Inputs:
        """The inputs that what has been fed leads to, in order; to be fed next, and told once."""
        self._keep_up()
        found, self._following = self._following, []
        return found

    def _keep_up(self) -> None:
        """Take the set of processes and their needs as they are now."""
        if self._renew:
            self._renew = False
            self.dependencies.renew()
            for slot in self._slots.values():
                if slot.process.phase is Phase.WAITING:
                    self._following += self.dependencies.look(slot)
            self._following += self.dependencies.releases()

    def stops(self, slots: Sequence[Slot]) -> Inputs:
        """The inputs that stop these processes (in start order): the last one first, for those of a high priority
        number are stopped before what they may need, and each before what it depends on.
        """
        return [(slot, Stop()) for slot in self.stop_order(reversed(slots))]

    def stop_order(self, slots: Iterable[Slot]) -> list[Slot]:
        """The same processes, each behind those that depend on it."""
        self._keep_up()
        return self.dependencies.stop_order(slots)

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None. What a process no longer waits for is dropped here."""
        while self._deadlines:
            deadline, run, key = self._deadlines[0]
            slot = self.get(key)
            if slot is not None and slot.process.run == run and slot.process.deadline == deadline:
                return deadline
            heappop(self._deadlines)
        return None

    def due(self, now: float) -> list[tuple[Slot, Elapsed]]:
        """The inputs for all deadlines that have passed; each is told once."""
        due = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _deadline, run, key = heappop(self._deadlines)
            slot = self.get(key)
            if slot is not None:
                due.append((slot, Elapsed(run)))
        return due


class StopOrder:
    """Stopping in classes: groups of the highest priority number first, the next class once the last one is down. What
    others depend on is not stopped in an earlier class than they are.

    Groups of equal priority stop together (Supervisor takes them one by one). Feed it with `done`; it answers with the
    processes to stop next, the newest-started first.
    """

    def __init__(self, roster: Roster, slots: Iterable[Slot]) -> None:
        up = [slot for slot in slots if not slot.resting]
        classes: dict[int, dict[Key, Slot]] = {}
        turn: dict[Key, int] = {}
        for slot in roster.stop_order(reversed(up)):
            dependents = roster.dependencies.dependents(slot.key)
            turn[slot.key] = min([roster.groups[slot.group].priority,
                                  *(turn[other.key] for other in dependents if other.key in turn)])
            classes.setdefault(turn[slot.key], {})[slot.key] = slot
        self._classes = [classes[priority] for priority in sorted(classes)]

    def next(self) -> list[Slot]:
        """The first class to stop; the later ones come from `done`."""
        return list(self._classes[-1].values()) if self._classes else []

    def later(self) -> list[Slot]:
        """The processes of all classes but the first."""
        return [slot for members in self._classes[:-1] for slot in members.values()]

    def done(self, slot: Slot) -> list[Slot]:
        """A process is resting. Returns the next class when this was the last one of the present one."""
        if not self._classes or self._classes[-1].pop(slot.key, None) is None or self._classes[-1]:
            return []
        while self._classes:
            left = {key: slot for key, slot in self._classes[-1].items() if not slot.resting}
            if left:
                self._classes[-1] = left
                break
            self._classes.pop()
        return self.next()

    @property
    def finished(self) -> bool:
        """Whether everything is down."""
        return not any(self._classes)

    @property
    def waiting(self) -> list[Slot]:
        """The processes of the present class that are not down yet, in start order."""
        return list(reversed(self._classes[-1].values())) if self._classes else []
