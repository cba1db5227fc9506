"""The words of a process's description are Supervisor's."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.model import UNLIMITED, Restart
from sdsuper.control.interface import DESCRIPTION
from sdsuper.control.schema import parse
from sdsuper.control.show import describe, shown, trouble, uptime, waiting
from sdsuper.core.vocabulary import Exit, Goal, Process, State
from tests.core.story import policy

OFFSET = 1_700_000_000.0        # what makes a date of monotonic time


@pytest.mark.parametrize(("process", "words"), [
    (Process(), "Not started"),
    (Process(State.RUNNING, pid=42, started=100.0), "pid 42, uptime 0:15:00"),
    (Process(State.STARTING, pid=42, started=100.0), ""),
    (Process(State.STOPPING, pid=42, started=100.0), ""),
    (Process(State.UNKNOWN), ""),
    (Process(State.BACKOFF, spawnerr="no such file", tries=1), "no such file"),
    (Process(State.FATAL, spawnerr="Exited too quickly"), "Exited too quickly"),
    (Process(State.FATAL), 'unknown error (try "tail NAME")'),
])
def test_descriptions(process: Process, words: str) -> None:
    assert describe(process, 1000.0, OFFSET) == words


UNTIL = datetime.fromtimestamp(OFFSET + 1200).strftime("%H:%M:%S")


@pytest.mark.parametrize(("options", "process", "words"), [
    ({}, Process(State.BACKOFF, tries=2, deadline=1200.0), ""),
    ({"restart": Restart(pause=5, longest=60)}, Process(State.BACKOFF, tries=2, deadline=1200.0),
     f"retry 2 of 3 at {UNTIL}"),
    ({"restart": Restart(longest=60), "startretries": UNLIMITED}, Process(State.BACKOFF, tries=9, deadline=1200.0),
     f"retry 9 at {UNTIL}"),
    ({"restart": Restart(limit=5, window=60)}, Process(State.BACKOFF, deadline=1200.0),
     f"restart_limit=5/60s allows the next start at {UNTIL}"),
    ({}, Process(State.BACKOFF, lacks=4, lacking=True, deadline=1200.0),
     f"no fault of the program: retried until it works, next at {UNTIL}"),
    ({"restart": Restart(longest=60)}, Process(State.RUNNING, pid=7, tries=2), ""),
    ({"restart": Restart(longest=60)}, Process(State.FATAL), ""),
])
def test_what_is_waited_for(options: dict[str, Any], process: Process, words: str) -> None:
    assert waiting(process, policy(**options), OFFSET) == words


@pytest.mark.parametrize("state", [State.STOPPED, State.EXITED])
def test_the_date_of_the_end(state: State) -> None:
    words = describe(Process(state, run=1, started=100.0, ended=500.0), 1000.0, OFFSET)
    assert words == datetime.fromtimestamp(OFFSET + 500).strftime("%b %d %I:%M %p")
    assert time.strptime(words, "%b %d %I:%M %p")


@settings(deadline=None)
@given(st.floats(0, 10**9))
def test_uptime_is_a_timedelta(seconds: float) -> None:
    assert uptime(seconds) == str(timedelta(seconds=int(seconds)))


@pytest.mark.parametrize(("process", "words"), [
    (Process(State.RUNNING), ""), (Process(State.RUNNING, healthy=True, ready=True), ""),
    (Process(State.RUNNING, healthy=False, ready=True, trouble="HTTP 503"), "unhealthy: HTTP 503"),
    (Process(State.RUNNING, healthy=True, ready=False, trouble="exit status 1"), "not ready: exit status 1"),
    (Process(State.RUNNING, healthy=False, ready=False, trouble="both"), "unhealthy: both"),
])
def test_what_checks_say(process: Process, words: str) -> None:
    assert trouble(process) == words


def test_fields() -> None:
    process = Process(State.EXITED, Goal.DOWN, run=3, pid=42, reaped=True, started=100.5, ended=200.5, exit=Exit(2))
    fields = shown("web", "group", process, 1000.0, OFFSET)
    assert fields["pid"] == 0 and fields["exitstatus"] == 2 and fields["statecode"] == 100
    assert (fields["start"], fields["stop"], fields["now"]) == (1_700_000_100, 1_700_000_200, 1_700_001_000)
    assert (fields["state"], fields["goal"], fields["run"]) == ("EXITED", "down", 3)
    never = shown("web", "group", Process(), 1000.0, OFFSET)
    assert (never["start"], never["stop"], never["exitstatus"], never["pid"]) == (0, 0, 0, 0)
    from_elsewhere = {"stdout_logfile": "", "stderr_logfile": "", "leftovers": 0, "lost_bytes": 0}
    assert parse(DESCRIPTION).check_reply("List", {"processes": [fields | from_elsewhere]}) is None
