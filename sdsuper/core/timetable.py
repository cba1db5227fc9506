"""Which processes the clock starts, and when. PURE.

Promises: a time is told once; however late it is looked at, one time of a process is told and not all that have passed.
A clock that is set back does not bring a time again that has been told: for three hours, or a minute where a schedule
is for every hour. When the machine gets another time zone, its schedules are by that one. Must not: read a clock, or
know what a process does.

`now` is seconds since the epoch, `steady` monotonic seconds, which `@every` goes by.
"""

from binascii import crc32
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sdsuper.config.schedule import Cron, Schedule
from sdsuper.core.schedule import Offset, following, hourly
from sdsuper.core.slot import Key

#: The longest sleep between two looks at the clock, in seconds: it may be set while nothing else wakes us.
LONGEST_SLEEP = 60.0
#: More seconds than this too late, and a time has been missed: the machine slept, or its clock was set.
LATE = 2 * LONGEST_SLEEP
_STEP = 1.0             # seconds that the clock must have been set back by
_BACK, _BACK_HOURLY = 3 * 3600, 60


class Time(NamedTuple):
    """It is time for a process: `planned` is the schedule's (seconds since the epoch); `late` is in seconds, 0 if it is
    early enough.
    """

    key: Key
    planned: int
    late: int


class _Entry:
    __slots__ = ("ahead", "cron", "due", "key", "offset", "planned", "schedule", "told")

    def __init__(self, key: Key, cron: Cron, schedule: Schedule, offset: Offset) -> None:
        self.key, self.cron, self.schedule, self.offset = key, cron, schedule, offset
        self.planned = 0.0          # by its own clock: that of the wall, or for `@every` the steady one
        self.due = 0.0              # the same, jitter included
        self.told = 0
        self.ahead = 0              # of UTC, by which `planned` was reckoned

    def moved(self) -> bool:
        """Whether the clocks of its zone will show something else at the planned time: the machine's was changed."""
        return self.offset(int(self.planned)) != self.ahead

    def plan(self, clock: float) -> bool:
        """Find the next time by its own clock; whether there is one."""
        every = self.schedule.every
        if every:
            steps = (clock - self.planned) // every + 1 if self.planned else 0
            self.planned = self.planned + steps * every if self.planned else clock + every
        else:
            ahead = self.told - clock
            again = ahead > (_BACK_HOURLY if hourly(self.schedule) else _BACK)
            found = following(self.schedule, int(clock) if again else max(int(clock), self.told), self.offset)
            if found is None:
                return False
            self.planned, self.ahead = found, self.offset(found)
        chance = crc32(f"{self.key} {self.planned}".encode()) / (1 << 32)
        self.due = self.planned + self.cron.jitter * chance
        return True


class Timetable:
    """The schedules of all processes. `zone` gives the clock of a time zone."""

    def __init__(self, zone: Callable[[str], Offset]) -> None:
        self._zone = zone
        self._entries: dict[Key, _Entry] = {}
        self._shift: float | None = None        # of `now` to `steady`

    def __bool__(self) -> bool:
        return bool(self._entries)

    def set(self, wanted: Iterable[tuple[Key, Cron]], now: float, steady: float, told: Mapping[Key, int]) -> None:
        """What is to be started when, from now on. What has not changed goes on as it was; what is new goes on from the
        time that was `told` last to a timetable before this one, if it is known.
        """
        self._see(now, steady)
        before, self._entries = self._entries, {}
        for key, cron in wanted:
            entry = before.get(key)
            if entry is None or entry.cron != cron:
                if cron.schedule is None:
                    continue
                entry = _Entry(key, cron, cron.schedule, self._zone(cron.schedule.zone))
                if key not in before and not cron.schedule.every:
                    entry.told = told.get(key, 0)
                if not entry.plan(steady if cron.schedule.every else min(now, entry.told or now)):
                    continue
            self._entries[key] = entry

    def _see(self, now: float, steady: float) -> None:
        """Plan anew if the clock has been set back since it was last seen, or its zone is another one."""
        back = self._shift is not None and now - steady < self._shift - _STEP
        self._shift = now - steady
        for entry in tuple(self._entries.values()):
            if not entry.schedule.every and (back or (entry.due > now and entry.moved())):
                self._plan(entry, now)

    def look(self, now: float, steady: float) -> list[Time]:
        """The processes whose time has come, in the order of their times."""
        self._see(now, steady)
        found = []
        for entry in tuple(self._entries.values()):
            clock = steady if entry.schedule.every else now
            if entry.due <= clock:
                late = clock - entry.due
                planned = round(entry.planned + now - steady if entry.schedule.every else entry.planned)
                found.append(Time(entry.key, planned, int(late) if late > LATE else 0))
                entry.told = planned
                self._plan(entry, clock)
        return sorted(found, key=lambda time: time.planned)

    def _plan(self, entry: _Entry, clock: float) -> bool:
        if entry.plan(clock):
            return True
        del self._entries[entry.key]
        return False

    def sleep(self, now: float, steady: float) -> float:
        """Seconds until the next look."""
        waits = (entry.due - (steady if entry.schedule.every else now) for entry in self._entries.values())
        return max(0.0, min(LONGEST_SLEEP, *waits))

    def next(self, key: Key) -> int:
        """When a process is started next, in seconds since the epoch; 0 for one that is not in here."""
        entry = self._entries.get(key)
        if entry is None:
            return 0
        return round(entry.due + (self._shift or 0.0 if entry.schedule.every else 0.0))
