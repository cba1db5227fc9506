"""When a schedule's next time is: against another library where that knows it, and against patience where not."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdsuper.config.schedule import Schedule
from sdsuper.config.schedule_values import schedule
from sdsuper.core.schedule import following, hourly
from tests.config.fake import FakeHost

HOST = FakeHost({})
DAY = 86400


def read(text: str) -> Schedule:
    return schedule(text, HOST)[1]


def utc(_at: int) -> int:
    return 0


def zone(name: str) -> Callable[[int], int]:
    place = ZoneInfo(name)

    def offset(at: int) -> int:
        ahead = datetime.fromtimestamp(at, place).utcoffset()
        assert ahead is not None
        return int(ahead.total_seconds())
    return offset


def at(text: str, name: str = "UTC") -> int:
    """`2026-03-29 02:30` in a zone; of a time that is shown twice `*` says the second."""
    found = datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=ZoneInfo(name), fold=text.endswith("*"))
    return int(found.timestamp())


def times(text: str, start: str, count: int, name: str = "UTC") -> list[str]:
    """The next times, as clocks there show them; the second of two is marked."""
    found, now, place = [], at(start, name), ZoneInfo(name)
    for _ in range(count):
        now = following(read(text), now, zone(name)) or 0
        shown = datetime.fromtimestamp(now, place)
        found.append(shown.strftime("%m-%d %H:%M:%S").removesuffix(":00") + "*" * shown.fold)
    return found


# ---- against croniter ---------------------------------------------------------------------------------------------

def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    # to croniter 0-0 is a whole week
    span = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map("{0[0]}-{0[1]}".format)
    step = st.integers(1, high)
    stepped = st.tuples(span, step).map(lambda pair: "{}/{}".format(*pair)) | step.map("*/{}".format)
    return st.just("*") | st.lists(number.map(str) | span | stepped, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(st.just("0") | field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12),
                        field(0, 6))


@settings(max_examples=600, deadline=None)
@given(EXPRESSIONS, st.integers(0, 4_000_000_000))
def test_the_same_as_croniter(fields: tuple[str, ...], after: int) -> None:
    text = " ".join(fields)
    try:
        wanted = read(text)
    except ValueError as error:
        assert "a day that there is" in str(error)
        return
    # whether all days, written in another way, are a * is seen in another way there
    assume(fields[3] == "*" or len(wanted.days) < 31)
    assume(fields[5] == "*" or len(wanted.weekdays) < 7)
    assert following(wanted, after, utc) == croniter(text, after, second_at_beginning=True).get_next(float)


@pytest.mark.parametrize(("text", "start", "found"), [
    ("30 2 * * *", "2026-11-22 02:30", "11-23 02:30"), ("30 2 * * *", "2026-11-22 02:29", "11-22 02:30"),
    ("*/20 * * * * *", "2026-12-31 23:59:40", "01-01 00:00"), ("0 0 29 2 *", "2096-02-29 00:00", "02-29 00:00"),
    ("0 12 13 * fri", "2026-11-13 12:00", "11-20 12:00"), ("0 12 */2 * mon", "2026-11-21 13:00", "11-23 12:00"),
    ("0 0 31 * *", "2026-11-01 00:00", "12-31 00:00"),
])
def test_examples(text: str, start: str, found: str) -> None:
    assert times(text, start, 1) == [found]


def test_no_time_is_far_to_look_for() -> None:
    began = time.perf_counter()
    assert following(read("59 59 23 29 2 *"), at("2096-03-01"), utc) == at("2104-02-29 23:59:59")
    assert time.perf_counter() - began < 1
    assert following(Schedule(hours=(1,), minutes=(1,), seconds=(1,), days=(31,), months=(2,), weekdays=(1,)), 0,
                     utc) is None


# ---- when clocks are put forward and back -------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "start", "found"), [
    # Berlin, 29 March 2026: 01:59:59 is followed by 03:00
    ("30 2 * * *", "2026-03-28 12:00", ["03-29 03:00", "03-30 02:30"]),
    ("0,30 2 * * *", "2026-03-29 01:59", ["03-29 03:00", "03-30 02:00"]),
    ("30 2 * * *", "2026-03-29 03:00", ["03-30 02:30"]),
    ("0 2,3 * * *", "2026-03-29 00:00", ["03-29 03:00", "03-30 02:00"]),
    ("30 * * * *", "2026-03-29 01:00", ["03-29 01:30", "03-29 03:30"]),
    ("*/30 * * * *", "2026-03-29 01:00", ["03-29 01:30", "03-29 03:00", "03-29 03:30"]),
    ("0 4 * * *", "2026-03-29 00:00", ["03-29 04:00"]),
    # 25 October 2026: 02:59:59 is followed by 02:00
    ("30 2 * * *", "2026-10-24 12:00", ["10-25 02:30", "10-26 02:30"]),
    ("30 2 * * *", "2026-10-25 02:29*", ["10-26 02:30"]),
    ("30 2 * * *", "2026-10-25 02:45", ["10-26 02:30"]),
    ("15,45 2,3 * * *", "2026-10-25 02:10*", ["10-25 03:15"]),
    ("30 * * * *", "2026-10-25 01:00", ["10-25 01:30", "10-25 02:30", "10-25 02:30*", "10-25 03:30"]),
    ("30 * * * *", "2026-10-25 02:29*", ["10-25 02:30*"]),
    ("0 0 1 1 *", "2026-02-01 00:00", ["01-01 00:00"]), ("0 0 1 8 *", "2026-01-01 00:00", ["08-01 00:00"]),
    ("0 * 1 8 *", "2026-01-01 00:00", ["08-01 00:00", "08-01 01:00"]),
])
def test_berlin(text: str, start: str, found: list[str]) -> None:
    assert times(text, start, len(found), "Europe/Berlin") == found


def patiently(wanted: Schedule, after: int, offset: Callable[[int], int]) -> int:
    """The next time by looking at the clock each minute; what it has shown before is not looked at again."""
    shown_last = max(at + offset(at) for at in range(after - 2 * DAY, after + 1, 60))
    at = after
    while True:
        before, at = at, at + 60
        shown = at + offset(at)
        jumped = range(before + offset(before) + 60, shown + 1, 60)
        if hourly(wanted):
            if matches(wanted, shown):
                return at
        elif shown > shown_last:
            if any(matches(wanted, each) for each in jumped):
                return at
            shown_last = shown


def matches(wanted: Schedule, shown: int) -> bool:
    day = datetime.fromtimestamp(shown, UTC)
    days = day.day in wanted.days, day.isoweekday() % 7 in wanted.weekdays
    return (day.minute in wanted.minutes and day.hour in wanted.hours and day.month in wanted.months
            and (any(days) if wanted.either else all(days)))


@settings(max_examples=150, deadline=None)
@given(field(0, 59), st.just("*") | field(0, 23), st.sampled_from((
    ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"), ("Australia/Lord_Howe", "2026-10-04"), ("America/St_Johns", "2026-03-08"),
    ("Asia/Kolkata", "2026-05-05"), ("Pacific/Apia", "2011-12-30"))), st.integers(-1440, 2880))
def test_the_same_as_with_patience(minutes: str, hours: str, place: tuple[str, str], minute: int) -> None:
    name, day = place
    after = at(day, "UTC") + minute * 60
    wanted, offset = read(f"{minutes} {hours} * * *"), zone(name)
    assert following(wanted, after, offset) == patiently(wanted, after, offset)
