"""When a schedule's next time is. PURE.

Promises: `following` is exact to the second, and looks no further than nine years. A time that the clocks leave out is
reckoned as the moment they are put forward; one that they show twice counts once, the first time, unless the schedule
is for every hour of the day, which goes on with real time. Must not: read a clock or a time zone.

All reckoning is in seconds since the epoch, and in *shown* seconds: what clocks show, as if they showed UTC.
"""

from collections.abc import Callable
from datetime import date

from sdsuper.config.schedule import Schedule

DAY = 86400
HOURS = 24
YEARS = 9               # 29 February may be eight years away
_EPOCH = date(1970, 1, 1).toordinal()

#: Seconds that clocks are ahead of UTC at a time.
Offset = Callable[[int], int]


def hourly(schedule: Schedule) -> bool:
    """Whether it has times in every hour of the day: those are not kept from coming twice when clocks are put back."""
    return len(schedule.hours) == HOURS


def following(schedule: Schedule, after: int, offset: Offset) -> int | None:
    """The first time of the schedule (not one of `every`) after `after`, in seconds since the epoch."""
    at, ahead = _begin(schedule, after + 1, offset)
    while True:
        shown = _first(schedule, at + ahead)
        if shown is None:
            return None
        found = shown - ahead
        if offset(found) == ahead:
            return found
        near = max(at, found - DAY)
        if offset(near) != ahead:           # half a year on, clocks have been put forward and back
            at, ahead = near, offset(near)
            continue
        turn = _turn(near, found, offset)
        before, ahead = ahead, offset(turn)
        at = turn
        if ahead > before and shown < turn + ahead and not hourly(schedule):
            return turn
        if ahead < before and not hourly(schedule):
            at = turn + before - ahead      # what is shown until then has been shown before


def _begin(schedule: Schedule, at: int, offset: Offset) -> tuple[int, int]:
    """Where to look from, and how far ahead clocks are there: not in an hour that they show again."""
    ahead, before = offset(at), offset(at - DAY)
    if before > ahead and not hourly(schedule):
        at = max(at, _turn(at - DAY, at, offset) + before - ahead)
    return at, ahead


def _turn(low: int, high: int, offset: Offset) -> int:
    """The first moment after `low`, until `high`, when clocks are not as far ahead as at `low`."""
    before = offset(low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle) == before:
            low = middle
        else:
            high = middle
    return high


def _first(schedule: Schedule, shown: int) -> int | None:
    """The first time that is shown, from `shown` on."""
    number, second = divmod(shown, DAY)
    day = date.fromordinal(_EPOCH + number)
    last = day.year + YEARS
    while day.year <= last:
        if day.month not in schedule.months:
            day, second = _next_month(day), 0
            continue
        if _fits(schedule, day):
            found = _in_day(schedule, second)
            if found is not None:
                return (day.toordinal() - _EPOCH) * DAY + found
        day, second = date.fromordinal(day.toordinal() + 1), 0
    return None


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _fits(schedule: Schedule, day: date) -> bool:
    found = day.day in schedule.days, day.isoweekday() % 7 in schedule.weekdays
    return any(found) if schedule.either else all(found)


def _in_day(schedule: Schedule, second: int) -> int | None:
    """The first time of a day from `second` of it on."""
    for hour in schedule.hours:
        if hour * 3600 + 3599 < second:
            continue
        for minute in schedule.minutes:
            start = hour * 3600 + minute * 60
            if start + 59 < second:
                continue
            for number in schedule.seconds:
                if start + number >= second:
                    return start + number
    return None
