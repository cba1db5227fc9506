"""Programs that the clock starts: the table of their times, looked at once a minute at least, and only if there is one.

Promises: a time that starts nothing is in the log with the reason; what is not configured any more is not started; a
start is the one that a client could ask for; with `cron_missed=once` the last time is kept for the next daemon. Must
not: reckon times (core/timetable.py does).
"""

from collections.abc import Callable
from time import localtime, monotonic, strftime, time, tzset
from typing import TYPE_CHECKING

from sdsuper.config.schedule import Cron, Missed, Overlap
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import Goal, Publish, Start, State, Stop
from sdsuper.engine.kept import Kept, Last
from sdsuper.engine.supervise import Engine
from sdsuper.system.loop import Timer

if TYPE_CHECKING:
    from sdsuper.core.timetable import Time, Timetable


class Schedules:
    """The schedules of one daemon. `kept` says whether a process may start by itself, and what was told before."""

    def __init__(self, engine: Engine, kept: Kept) -> None:
        self._engine, self._kept = engine, kept
        self._table: Timetable | None = None        # none is needed by most
        self._timer: Timer | None = None
        self._renewing = self._forgetful = False
        self._queued: set[Key] = set()
        engine.group_listeners.append(self._group_heard)
        engine.listeners.append(self._state_heard)

    def next(self, key: Key) -> int:
        """When the clock starts a process next, in seconds since the epoch; 0: never."""
        return self._table.next(key) if self._table and self._kept.enabled(key) else 0

    # ---- what there is to start -----------------------------------------------------------------------------------

    def _group_heard(self, _name: str, _what: str) -> None:
        if not self._renewing:              # once for all groups, when their processes are what they will be
            self._renewing = True
            self._engine.loop.soon(0, self._renew)

    def _renew(self) -> None:
        self._renewing = False
        wanted = [(slot.key, slot.config.cron) for slot in self._engine.roster if slot.config.cron.schedule]
        if not wanted and not self._table:
            self._keep({})                  # what is put back some day has missed nothing
            return
        if self._table is None:
            from sdsuper.core.timetable import Timetable  # dear, with its dates
            self._table = Timetable(_offset)
        tzset()
        now, lasting = time(), {key: cron.text for key, cron in wanted if _lasts(cron)}
        known = {key: last for key, last in self._kept.cron.items() if lasting.get(key) == last.text}
        self._table.set(wanted, now, monotonic(), {key: last.told for key, last in known.items()})
        self._keep({key: known.get(key, Last(text, int(now))) for key, text in lasting.items()})
        self._queued &= {key for key, _cron in wanted}
        self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._table and self._engine.starting:
            self._timer = self._engine.loop.soon(self._table.sleep(time(), monotonic()), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._table is None or not self._engine.starting:
            return
        tzset()                             # the machine's zone may be another by now
        told = dict(self._kept.cron)
        for found in self._table.look(time(), monotonic()):
            slot = self._engine.roster.get(found.key)
            if slot is not None:
                self._come(slot, found)
                if _lasts(slot.config.cron):
                    told[found.key] = Last(slot.config.cron.text, found.planned)
        self._keep(told)
        self._engine.log.flush()
        self._sleep()

    def _keep(self, told: dict[Key, Last]) -> None:
        """Write down the last times, if they are others; what cannot be written is said once."""
        if told == self._kept.cron:
            return
        self._kept.cron = told
        try:
            self._kept.save()
            self._forgetful = False
        except OSError as error:
            if not self._forgetful:
                self._engine.log.write("warn", f"{self._kept.path}: {error.strerror}: times of cron that pass while no "
                                               "daemon runs will not be known to the next one")
            self._forgetful = True

    # ---- it is time -----------------------------------------------------------------------------------------------

    def _come(self, slot: Slot, found: "Time") -> None:
        name, cron, process = slot.config.name, slot.config.cron, slot.process
        what = f"cron of {name}, {strftime('%Y-%m-%d %H:%M:%S', localtime(found.planned))}"
        if found.late and cron.missed is Missed.SKIP:
            self._say(f"{what}: skipped, for it was missed by {found.late} seconds")
        elif not self._kept.enabled(slot.key):
            self._say(f"{what}: skipped, for it is disabled")
        elif process.state is State.UNKNOWN:
            self._say(f"{what}: skipped, for it is in an unknown process state")
        elif slot.resting:
            self._say(f"{what}: starting it" + f", {found.late} seconds late" * bool(found.late))
            self._engine.submit(slot, Start())
        elif process.goal is Goal.DOWN:
            self._say(f"{what}: skipped, for it is being stopped")
        elif cron.overlap is Overlap.KILL and process.state in (State.BACKOFF, State.STOPPING):
            self._say(f"{what}: skipped, for it is {process.state.name} and starts again by itself")
        elif cron.overlap is Overlap.KILL:
            self._say(f"{what}: stopping and starting it, for it is still {process.state.name}")
            self._engine.submit(slot, Stop(again=True))
        elif cron.overlap is Overlap.QUEUE and slot.key not in self._queued:
            self._say(f"{what}: it starts when it has ended, for it is still {process.state.name}")
            self._queued.add(slot.key)
        else:
            waits = " and another start waits" * (slot.key in self._queued)
            self._say(f"{what}: skipped, for it is still {process.state.name}{waits}")

    def _state_heard(self, slot: Slot, _change: Publish) -> None:
        """A start that has waited for the end of a run is made, unless it was somebody's will that ended it, or that it
        shall not start by itself any more.
        """
        if slot.key in self._queued and slot.resting:
            self._queued.remove(slot.key)
            if slot.process.state is State.STOPPED:
                self._say(f"cron of {slot.config.name}: the start that waited is dropped, for it was stopped")
            elif not self._kept.enabled(slot.key):
                self._say(f"cron of {slot.config.name}: the start that waited is dropped, for it is disabled")
            elif self._engine.starting:
                self._say(f"cron of {slot.config.name}: starting it, for it has ended")
                self._engine.submit(slot, Start())

    def _say(self, text: str) -> None:
        self._engine.log.write("info", text)


def _lasts(cron: Cron) -> bool:
    """Whether the next daemon is to know which times have been told."""
    return cron.schedule is not None and cron.missed is Missed.ONCE and not cron.schedule.every


def _offset(zone: str) -> Callable[[int], int]:
    """How far ahead of UTC the clocks of a zone are (`core.schedule.Offset`)."""
    if not zone:
        return lambda at: localtime(at).tm_gmtoff
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    place = ZoneInfo(zone)

    def offset(at: int) -> int:
        ahead = place.utcoffset(datetime.fromtimestamp(at, UTC).astimezone(place))
        return 0 if ahead is None else ahead.days * 86400 + ahead.seconds
    return offset
