"""Which processes the clock starts, whatever happens to the clock."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.schedule import Cron, Schedule
from sdsuper.config.schedule_values import schedule
from sdsuper.core.slot import Key
from sdsuper.core.timetable import LATE, LONGEST_SLEEP, Timetable
from tests.config.fake import FakeHost

KEY = ("web", "web")
HOUR, DAY = 3600, 86400
BASE = 1_800_000_000 // DAY * DAY        # a midnight of UTC


def cron(text: str, **more: Any) -> Cron:
    return Cron(text, schedule(text, FakeHost({}))[1], **more)


class Desk:
    """A timetable with a clock that can be set, looked at as the engine does."""

    def __init__(self, *crons: Cron, now: float = BASE, told: dict[Key, int] | None = None) -> None:
        self.now, self.steady, self.ahead = now, 1000.0, 0
        self.table = Timetable(lambda _zone: lambda _at: self.ahead)
        self.keys = [KEY, *((f"p{n}", f"p{n}") for n in range(1, len(crons)))]
        self.table.set(zip(self.keys, crons, strict=False), self.now, self.steady, told or {})
        self.told: list[tuple[int, int]] = []           # (seconds since BASE when told, those of the time)
        self.late: list[int] = []

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Let time pass; what has been told meanwhile."""
        end, before = self.steady + seconds, len(self.told)
        while self.table and (sleep := self.table.sleep(self.now, self.steady)) <= end - self.steady:
            assert 0 <= sleep <= LONGEST_SLEEP
            self._pass(sleep)
            for found in self.table.look(self.now, self.steady):
                self.told.append((round(self.now - BASE), found.planned - BASE))
                self.late.append(found.late)
        self._pass(end - self.steady)
        return self.told[before:]

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds

    def set(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self.now += seconds

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: its monotonic clock stands still."""
        self.now += seconds


def test_each_time_is_told_once_and_on_time() -> None:
    desk = Desk(cron("*/5 * * * *"))
    assert desk.wait(16 * 60) == [(300, 300), (600, 600), (900, 900)]
    assert desk.late == [0, 0, 0] and desk.table.next(KEY) == BASE + 1200


def test_nothing_is_looked_at_without_schedules() -> None:
    assert not Desk().table


def test_every_counts_from_the_beginning_and_takes_no_part_in_the_clocks_ways() -> None:
    desk = Desk(cron("@every 90s"), now=BASE + 7)
    assert [told - 7 for told, _planned in desk.wait(300)] == [90, 180, 270]
    desk.set(-5 * HOUR)
    assert len(desk.wait(60)) == 1
    assert abs(desk.table.next(KEY) - (desk.now + 90)) <= 1
    desk.set(50 * HOUR)
    assert len(desk.wait(90)) == 1
    assert not any(desk.late)


def test_a_clock_set_forward_does_not_bring_what_it_has_passed() -> None:
    desk = Desk(cron("*/5 * * * *"), now=BASE + 10)
    desk.set(10 * HOUR + 100)
    found = desk.wait(600)
    # the one time that was waited for is told as missed, the others not at all
    assert [planned for _told, planned in found] == [300, 10 * HOUR + 300, 10 * HOUR + 600]
    assert desk.late[0] > LATE and desk.late[1:] == [0, 0]


def test_a_clock_set_forward_by_little_is_as_if_it_had_been_slow() -> None:
    desk = Desk(cron("0 3 * * *"), now=BASE + 3 * HOUR - 30)
    desk.set(45)
    assert [planned for _told, planned in desk.wait(HOUR)] == [3 * HOUR] and desk.late == [0]


def test_a_suspended_machine_sees_it_within_a_minute() -> None:
    desk = Desk(cron("0 3 * * *"), now=BASE + HOUR)
    desk.suspend(20 * HOUR)
    ((told, planned),) = desk.wait(61)
    assert told <= 21 * HOUR + 61 and planned == 3 * HOUR and desk.late[0] > LATE


def test_a_clock_set_back_brings_no_daily_time_again() -> None:
    desk = Desk(cron("0 3 * * *"), now=BASE + 3 * HOUR - 60)
    assert len(desk.wait(120)) == 1
    desk.set(-2 * HOUR)
    assert desk.wait(3 * HOUR) == [] and desk.table.next(KEY) == BASE + DAY + 3 * HOUR


def test_a_clock_that_was_days_ahead_is_not_believed() -> None:
    desk = Desk(cron("0 3 * * *"), now=BASE + 300 * DAY + 3 * HOUR - 60)
    assert len(desk.wait(120)) == 1
    desk.set(-300 * DAY)
    assert [planned for _told, planned in desk.wait(DAY)] == [DAY + 3 * HOUR]


def test_what_is_for_every_hour_goes_on_when_the_clock_is_set_back_but_not_twice_in_a_minute() -> None:
    desk = Desk(cron("* * * * *"), now=BASE + 30)
    assert [planned for _told, planned in desk.wait(31)] == [60]
    desk.set(-10)                                       # 51 seconds: the same minute comes again
    assert [planned for _told, planned in desk.wait(70)] == [120]
    desk.set(-HOUR)
    assert len(desk.wait(10 * 60)) in (9, 10)


def test_the_machine_gets_another_time_zone() -> None:
    desk = Desk(cron("0 3 * * *"), cron("@every 2h"))
    desk.ahead = 9 * HOUR                               # it is nine in the morning
    assert desk.wait(90) == []
    assert desk.table.next(KEY) == BASE + 18 * HOUR and desk.table.next(desk.keys[1]) == BASE + 2 * HOUR
    assert [planned for _told, planned in desk.wait(DAY) if planned == 3 * HOUR] == []
    desk.ahead = 0                                      # a time that has come is told, whatever the zone is by now
    desk.wait(3 * HOUR - (desk.now - BASE) % DAY - 1)
    desk._pass(2)
    desk.ahead = 9 * HOUR
    assert [time.key for time in desk.table.look(desk.now, desk.steady)] == [KEY]


@pytest.mark.parametrize(("since", "late", "found"), [
    (-10 * DAY, True, [-10 * DAY + 3 * HOUR, 3 * HOUR, DAY + 3 * HOUR]),        # one of those that were missed
    (-21 * HOUR, False, [3 * HOUR, DAY + 3 * HOUR]),
    (2 * HOUR, False, [3 * HOUR, DAY + 3 * HOUR]),          # the clock was ahead then
    (3 * HOUR, False, [DAY + 3 * HOUR]),                    # so that this was told
    (300 * DAY, False, [3 * HOUR, DAY + 3 * HOUR]),         # and that is not believed
])
def test_what_was_told_last_before_this_timetable(since: int, late: bool, found: list[int]) -> None:
    desk = Desk(cron("0 3 * * *"), told={KEY: BASE + since})
    assert [planned for _told, planned in desk.wait(DAY + 4 * HOUR)] == found
    assert [*map(bool, desk.late)] == [late, *[False] * (len(found) - 1)]


def test_jitter_is_the_same_for_the_next_timetable() -> None:
    one = cron("0 3 * * *", jitter=HOUR)
    desk = Desk(one, now=BASE + 3 * HOUR - 1)
    due = desk.table.next(KEY)
    assert Desk(one, now=BASE + 3 * HOUR + 1, told={KEY: BASE - 21 * HOUR}).table.next(KEY) == due


def test_what_has_not_changed_goes_on_after_a_reload() -> None:
    every, daily = cron("@every 90s"), cron("@daily")
    desk = Desk(every, daily)
    desk.wait(60)
    desk.table.set([(desk.keys[0], every), (desk.keys[1], cron("@hourly")), (("n", "n"), every)], desk.now, desk.steady,
                   {("n", "n"): 1, desk.keys[1]: 1})
    assert desk.table.next(desk.keys[0]) == BASE + 90 and desk.table.next(desk.keys[1]) == BASE + HOUR
    assert desk.table.next(("n", "n")) == BASE + 60 + 90
    desk.table.set([], desk.now, desk.steady, {})
    assert not desk.table and desk.table.next(desk.keys[0]) == 0


def test_a_reload_right_after_the_clock_was_set_back_hides_nothing() -> None:
    daily, every = cron("0 3 * * *"), cron("@every 90s")
    desk = Desk(daily, every, now=BASE + 365 * DAY)
    desk.set(-365 * DAY)
    desk.table.set(list(zip(desk.keys, (daily, every), strict=True)), desk.now, desk.steady, {})
    assert desk.table.next(KEY) == BASE + 3 * HOUR and desk.table.next(desk.keys[1]) == BASE + 90
    assert 3 * HOUR in [planned for _told, planned in desk.wait(4 * HOUR)]


def test_jitter_comes_later_and_for_everybody_at_another_time() -> None:
    desk = Desk(*[cron("0 3 * * *", jitter=600)] * 20)
    found = desk.wait(DAY)
    assert {planned for _told, planned in found} == {3 * HOUR} and len(found) == 20
    whens = {told - 3 * HOUR for told, _planned in found}
    assert len(whens) > 10 and min(whens) >= 0 and max(whens) <= 600


def test_a_busy_daemon_tells_one_time_and_not_each_second() -> None:
    desk = Desk(cron("* * * * * *"), cron("@every 10s"))
    desk._pass(35)
    assert [time.key for time in desk.table.look(desk.now, desk.steady)] == [KEY, desk.keys[1]]
    assert len(desk.wait(3)) == 3 and desk.table.next(desk.keys[1]) == BASE + 40


def test_a_schedule_that_never_comes_is_left_out() -> None:
    never = Cron("x", Schedule(seconds=(0,), minutes=(0,), hours=(0,), days=(31,), months=(2,), weekdays=(0,)))
    assert not Desk(never).table


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(("*/7 * * * *", "30 2 * * *", "0 */3 * * *", "*/30 * * * * *", "@every 100s")),
       st.lists(st.tuples(st.integers(1, 4 * HOUR),
                          st.sampled_from((0, -5, -50, -400, -1200, 5, 50, 400, 9 * HOUR))), max_size=8))
def test_whatever_the_clock_does(text: str, ways: list[tuple[int, int]]) -> None:
    desk = Desk(cron(text))
    for seconds, jump in ways:
        before = desk.now - BASE
        found = desk.wait(seconds)
        # as many as fit into the time, and one that was missed
        period = {"30 2 * * *": DAY, "0 */3 * * *": 3 * HOUR, "*/30 * * * * *": 30}.get(text, 100)
        assert len(found) <= seconds / period + 2, (before, found)
        desk.set(jump)
    assert text.startswith(("@", "*/")) or len({planned for _told, planned in desk.told}) == len(desk.told)
    assert desk.wait(2 * DAY), "it goes on"
