"""Options about starting by the clock, and those that came with them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.reload import needs_restart
from sdsuper.config.schedule import Cron, Missed, Overlap, Schedule
from sdsuper.config.schedule_values import schedule

from .fake import FakeHost, one, says

HOST = FakeHost({})


def read(text: str) -> Schedule:
    return schedule(text, HOST)[1]


def test_nothing_is_started_by_the_clock_unless_it_is_said() -> None:
    process = one("")
    assert process.cron == Cron() and process.cron.schedule is None
    assert not process.essential and process.killwaitsecs is None and process.conf_file is None


def test_the_record() -> None:
    found = one("exitcodes=0\ncron=30 2 * * *\ncron_timezone=Europe/Berlin\ncron_overlap=QUEUE\ncron_missed=once\n"
                "cron_jitter=60").cron
    assert found.text == "30 2 * * *" and found.schedule is not None and found.schedule.zone == "Europe/Berlin"
    assert (found.overlap, found.missed, found.jitter) == (Overlap.QUEUE, Missed.ONCE, 60)
    assert not needs_restart(one("exitcodes=0"), one("exitcodes=0\ncron=30 2 * * *\nkillwaitsecs=3\nessential=true"))


def test_five_fields_are_six_with_second_0() -> None:
    assert read("*/15 8-10 1,15 jan-mar *") == read("0 */15 8-10 1,15 1-3 ?")
    assert read("*/15 8-10 1,15 jan-mar *") == Schedule(
        "", 0, (0,), (0, 15, 30, 45), (8, 9, 10), (1, 15), (1, 2, 3), tuple(range(7)), False)


@pytest.mark.parametrize(("text", "same"), [
    ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * sun"),
    ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@Annually", "0 0 1 JAN ?"),
    ("0 0 * * 7", "0 0 * * 0"), ("0 0 * * fri-sun", "0 0 * * 0,5,6"), ("0 0 * * 5-7", "0 0 * * 0,5,6"),
    ("5/20 * * * *", "5,25,45 * * * *"), ("0 0 * * mon/2", "0 0 * * 1,3,5"), ("0-10/5 * * * *", "0,5,10 * * * *"),
])
def test_other_ways_to_write_it(text: str, same: str) -> None:
    assert read(text) == read(same)


def test_a_day_is_in_both_fields_or_in_either_when_both_say_something() -> None:
    assert not read("0 0 13 * *").either and not read("0 0 * * fri").either and not read("0 0 ? * fri").either
    assert read("0 0 13 * fri").either
    assert read("0 0 */2 * fri").either, "as Go's cron has it"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("1m1s", 61), ("1.9s", 1)])
def test_every(text: str, seconds: int) -> None:
    assert read(f"@every {text}") == Schedule(every=seconds)


@pytest.mark.parametrize(("options", "said"), [
    ("cron=* * *", "cannot read '* * *' as a schedule (five or six cron fields, or @every 90s expected)"),
    ("cron=0 0 0 1 1 * 2027", "(five or six cron fields, or @every 90s expected)"),
    ("cron=60 * * * *", "cannot read '60' as the minute of a schedule (*, 0 to 59, a range that goes up, a step such "
                        "as */2, or several of these with commas expected)"),
    ("cron=* 24 * * *", "as the hour of a schedule"), ("cron=* * 0 * *", "as the day of the month of a schedule"),
    ("cron=* * * 13 *", "as the month of a schedule (*, 1 to 12 or jan to dec, a range"),
    ("cron=* * * * 8", "as the day of the week of a schedule (*, 0 to 6 or sun to sat"),
    ("cron=10-5 * * * *", "cannot read '10-5' as the minute"),
    ("cron=*/0 * * * *", "cannot read '*/0' as the minute"),
    ("cron=1, * * * *", "cannot read '1,' as the minute"), ("cron=-5 * * * *", "cannot read '-5' as the minute"),
    ("cron=0 0 L * *", "cannot read 'L' as the day of the month of a schedule (*, 1 to 31, a range that goes up, a "
                       "step such as */2, or several of these with commas, without L, W and # expected)"),
    ("cron=0 0 30 2 *", "(a day that there is in one of its months expected)"),
    ("cron=0 0 31 4,6 *", "(a day that there is in one of its months expected)"),
    ("cron=@reboot", "cannot read '@reboot' as a schedule (@every 90s, or one of @yearly, "),
    ("cron=@every 0s", "cannot read '0s' as a time (at least 1s"), ("cron=@every soon", "cannot read 'soon' as a time"),
    ("cron=@every 9999h", "at most a year"), ("cron=TZ=UTC @every 5s", "(no time zone with @every expected)"),
    ("cron=TZ=Mars/Olympus @daily", "cannot read 'Mars/Olympus' as a time zone (a name such as Europe/Berlin or UTC"),
    ("cron_timezone=Here", "cannot read 'Here' as a time zone"),
    ("cron_overlap=wait", "cannot read 'wait' as an action (skip, queue or kill expected)"),
    ("cron_missed=all", "cannot read 'all' as an action (skip or once expected)"),
    ("cron_jitter=-1", "cron_jitter: cannot read '-1'"),
    ("cron_missed=once", "cron_missed: has no effect without cron"),
    ("cron=TZ=UTC @daily\ncron_timezone=UTC", "cron_timezone: has no effect, for cron has a TZ of its own"),
    ("cron=@every 5s\ncron_timezone=UTC", "cron_timezone: has no effect, for cron is no time of day"),
    ("cron=@daily\nautorestart=true", "cron: finds the program up every time, for autorestart=true"),
    ("essential=true\nautorestart=true", "essential: ends the daemon only when the program is FATAL"),
    ("essential=true\nrestart_limit=3\nrestart_limit_action=stop", "cannot be used together with restart_limit_action"),
    ("killwaitsecs=0", "killwaitsecs: cannot read '0'"),
])
def test_what_is_wrong(options: str, said: str) -> None:
    assert any(said in line for line in says(f"exitcodes=0\n{options}")), says(options)


@pytest.mark.parametrize("options", [
    "cron=@daily\nautorestart=true\ncron_overlap=kill", "essential=true", "cron=0 0 29 2 *", "cron=0 0 30 2 mon",
    "cron=CRON_TZ=UTC 0 0 0 1 1 ?"])
def test_what_is_well(options: str) -> None:
    assert says(f"exitcodes=0\n{options}") == []


@given(st.text() | st.lists(st.text(alphabet="0123456789*/,-?LW#monjan", min_size=1, max_size=6), min_size=5,
                            max_size=6).map(" ".join))
def test_nothing_but_value_errors(text: str) -> None:
    try:
        schedule(text, HOST)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["9" * 1_000_000, "* " * 500_000, ",".join(["*"] * 200_000) + " * * * *"])
def test_large_values_are_quick(text: str) -> None:
    start = time.perf_counter()
    try:
        schedule(text, HOST)
    except ValueError:
        pass
    assert time.perf_counter() - start < 5
