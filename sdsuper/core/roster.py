"""All processes: groups, order, names, deadlines. PURE.

Promises: every change goes through `feed`; orders are Supervisor's (priority, then name); a deadline is found without
looking at all processes. Must not: act, read a clock, hand out records that change under the reader.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core.machine import step
from sdsuper.core.vocabulary import RESTING_STATES, Effect, Elapsed, Input, Process
from sdsuper.errors import Refusal

#: (group, process)
Key = tuple[str, str]


class Slot:
    """A process of the roster: its configuration, its record, and the group it is in."""

    __slots__ = ("__weakref__", "config", "group", "key", "process")

    def __init__(self, group: str, config: ProcessConfig) -> None:
        self.group, self.config, self.process = group, config, Process()
        self.key: Key = (group, config.name)

    @property
    def resting(self) -> bool:
        """Whether it may be removed."""
        return self.process.state in RESTING_STATES


class Selection(NamedTuple):
    """What a name means: the processes, and whether it named exactly one (whose refusal is the whole answer)."""

    slots: list[Slot]
    single: bool


def display_name(group: str, name: str) -> str:
    """`web` for the only process of a group of its own name, else `group:web`, as supervisorctl prints it."""
    return name if group == name else f"{group}:{name}"


class Roster:
    """The groups and processes of one daemon. Not thread-safe; the engine owns it."""

    def __init__(self) -> None:
        self._groups: dict[str, GroupConfig] = {}
        self._members: dict[str, dict[str, Slot]] = {}
        self._deadlines: list[tuple[float, int, Key]] = []

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
        return self._members.get(key[0], {}).get(key[1])

    def set_group(self, config: GroupConfig) -> None:
        """Add a group with its processes, or take over the changed fields of one. Members of an active group stay as
        they are.
        """
        if config.name not in self._groups:
            self._members[config.name] = {c.name: Slot(config.name, c) for c in config.processes}
        self._groups[config.name] = config

    def remove_group(self, name: str) -> None:
        """Forget a group; its processes must be resting."""
        del self._groups[name], self._members[name]

    def set_process(self, group: str, config: ProcessConfig) -> Slot:
        """Add a process to a group, or give it a new configuration, which holds from its next step on."""
        slot = self._members[group].get(config.name)
        if slot is None:
            slot = self._members[group][config.name] = Slot(group, config)
        slot.config = config
        return slot

    def remove_process(self, key: Key) -> None:
        """Forget a process; it must be resting."""
        del self._members[key[0]][key[1]]

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
        """Let one process take an input; returns what is to be done."""
        before = slot.process
        slot.process, effects = step(before, input, slot.config, now)
        deadline = slot.process.deadline
        if deadline is not None and deadline != before.deadline:
            heappush(self._deadlines, (deadline, slot.process.run, slot.key))
        return effects

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
    """Stopping in classes: groups of the highest priority number first, the next class once the last one is down.

    Groups of equal priority stop together (Supervisor takes them one by one). Feed it with `done`; it answers with the
    processes to stop next, the newest-started first.
    """

    def __init__(self, roster: Roster, slots: Iterable[Slot]) -> None:
        classes: dict[int, dict[Key, Slot]] = {}
        for slot in slots:
            if not slot.resting:
                classes.setdefault(roster.groups[slot.group].priority, {})[slot.key] = slot
        self._classes = [classes[priority] for priority in sorted(classes)]

    def next(self) -> list[Slot]:
        """The first class to stop; the later ones come from `done`."""
        return list(reversed(self._classes[-1].values())) if self._classes else []

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
        """The processes of the present class that are not down yet."""
        return list(self._classes[-1].values()) if self._classes else []
