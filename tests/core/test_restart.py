"""Starting again, a line a sentence of docs/restart.md; then random lives of one process against the rules in words."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.model import UNLIMITED, AutoRestart, LimitAction, Restart
from sdsuper.core import policy as rules
from sdsuper.core.policy import resigned
from sdsuper.core.vocabulary import Elapsed, Exit, Exited, Goal, Publish, Say, Spawn, State
from tests.core.story import (
    Story,
    after,
    exited,
    launch_failed,
    policy,
    running,
    shutdown,
    spawn_failed,
    spawned,
    start,
    stop,
    up,
)

STOPPED, STARTING, RUNNING, BACKOFF = State.STOPPED, State.STARTING, State.RUNNING, State.BACKOFF
EXITED, FATAL = State.EXITED, State.FATAL
ALWAYS, NEVER = AutoRestart.ALWAYS, AutoRestart.NEVER
STOP, WAIT = LimitAction.STOP, LimitAction.WAIT


def pauses(times: int, **options: Any) -> list[float]:
    made = policy(startretries=UNLIMITED, restart=Restart(**options))
    return [rules.pause(made, tries, 0.0) for tries in range(1, times + 1)]


def waits(story: Story) -> float:
    assert story.process.deadline is not None
    return story.process.deadline - story.now


# ---- how soon -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("options", "expected"), [
    ({}, [1, 2, 3, 4, 5, 6]),
    ({"longest": 5}, [1, 2, 3, 4, 5, 5]),
    ({"pause": 5, "longest": 60}, [5, 5, 5, 5, 5, 5]),
    ({"factor": 2.0, "longest": 60}, [1, 2, 4, 8, 16, 32]),
    ({"pause": 3, "factor": 2.0, "longest": 20}, [3, 6, 12, 20, 20, 20]),
    ({"pause": 2, "factor": 1.5, "longest": 60}, [2, 3, 4.5, 6.75, 10.125, 15.1875]),
    ({"pause": 9, "longest": 4}, [4, 4, 4, 4, 4, 4]),
])
def test_pauses(options: dict[str, Any], expected: list[float]) -> None:
    assert pauses(6, **options) == expected


def test_pauses_of_the_farthest_future() -> None:
    endless = policy(restart=Restart(factor=10.0, longest=60))
    assert rules.pause(endless, 10**6, 0.0) == 60


def test_jitter_makes_pauses_longer_and_never_shorter() -> None:
    made = policy(restart=Restart(pause=10, jitter=20, longest=60))
    assert [rules.pause(made, 1, chance) for chance in (0.0, 0.5, 1.0)] == [10, 11, 12]
    found = {round(waits(up(name=f"p{n}", restart=made.restart) | exited(1)), 6) for n in range(200)}
    assert len(found) > 150 and 10 <= min(found) < 10.2 and 11.8 < max(found) <= 12


def test_the_pause_is_what_the_deadline_says() -> None:
    story = up(restart=Restart(pause=7, factor=2.0, longest=60)) | exited(1) | after(6.9) >> BACKOFF | after(0.2)
    story >> STARTING | spawned | exited(1) | after(13.9) >> BACKOFF | after(0.2) >> STARTING


def test_a_start_by_a_client_after_a_stop_counts_anew() -> None:
    story = up(restart=Restart(pause=1, factor=2.0, longest=60)) | exited(1) | after(1) | spawned | exited(1)
    assert waits(story) == 2
    story | stop | start | spawned | exited(1) >> BACKOFF
    assert waits(story) == 1


# ---- how often ----------------------------------------------------------------------------------------------------

def test_startretries_without_end() -> None:
    story = Story(startretries=UNLIMITED, restart=Restart(longest=60)) | start
    for _ in range(100):
        story | spawned | exited(1) >> BACKOFF
        assert waits(story) == min(story.process.tries, 60)
        story | after(60) >> STARTING
    assert story.process.tries == 100


def test_a_run_that_is_no_good_one_is_a_failed_start_with_true_states() -> None:
    story = up(startsecs=0, startretries=1, restart=Restart(reset=60, longest=60)) >> RUNNING | exited(1) >> BACKOFF
    assert (story.published, story.process.spawnerr) == ([STARTING, RUNNING, EXITED, BACKOFF], "Bad exit code 1")
    story.effects.clear()
    story | after(1) >> STARTING | spawned >> RUNNING | exited(1) >> FATAL
    assert story.published == [STARTING, RUNNING, EXITED, BACKOFF, FATAL]
    assert story.process.spawnerr == "Bad exit code 1"


def test_success_is_success_however_short() -> None:
    up(startsecs=0, restart=Restart(reset=-1)) | exited(0) >> EXITED
    up(startsecs=0, restart=Restart(reset=-1), autorestart=NEVER) | exited(1) >> EXITED


def test_a_resident_program_that_ends_too_soon_has_a_reason_too() -> None:
    story = up(startsecs=0, autorestart=ALWAYS, restart=Restart(reset=60)) | after(2.5) | exited(0) >> BACKOFF
    assert story.process.spawnerr == "Ended after 2 seconds (exit status 0)"


def test_a_good_run_is_followed_at_once_and_all_is_forgotten() -> None:
    story = up(restart=Restart(reset=60, longest=60)) | exited(1) | after(1) | spawned | after(30) >> RUNNING
    assert story.process.tries == 1
    story | exited(1) >> BACKOFF
    assert waits(story) == 2
    story | after(2) | spawned | after(60) >> RUNNING | exited(1) >> STARTING
    assert story.process.tries == 0
    story | spawned | exited(1) >> BACKOFF
    assert waits(story) == 1


def test_no_run_is_good_when_reset_is_unlimited() -> None:
    story = running(startretries=2, restart=Restart(reset=-1, longest=60)) | after(1e6) | exited(1) >> BACKOFF
    story | after(1) | spawned | after(1e6) | exited(1) >> BACKOFF
    story | after(2) | spawned | after(1e6) | exited(1) >> FATAL


def test_a_limit_counts_every_restart_whatever_the_end() -> None:
    story = running(autorestart=ALWAYS, restart=Restart(limit=3)) | exited(0) >> STARTING
    story | spawned | exited(1) >> BACKOFF
    story | after(1) >> STARTING | spawned | after(100) >> RUNNING | exited(0) >> STARTING | spawned | after(100)
    story | exited(0) >> FATAL
    assert story.process.spawnerr == "restart_limit=3 is used up"
    assert Say("info", "gave up: web entered FATAL state, restart_limit=3 is used up") in story.effects
    assert story.published[-3:] == [EXITED, BACKOFF, FATAL]
    story | start | spawned | after(100) >> RUNNING | exited(0) >> STARTING


def test_a_limit_with_a_time() -> None:
    story = running(autorestart=ALWAYS, restart=Restart(limit=2, window=60))
    for _ in range(5):
        story | exited(0) >> STARTING | spawned | after(30) >> RUNNING
    story | exited(1) >> STARTING | spawned | after(5) >> RUNNING | exited(1) >> FATAL
    assert story.process.spawnerr == "restart_limit=2/60s is used up; Bad exit code 1"


def test_a_limit_that_has_room_after_the_pause_is_not_used_up() -> None:
    story = up(restart=Restart(pause=60, longest=60, limit=1, window=60), startretries=9) | exited(1) | after(60)
    story | spawned | exited(1) >> BACKOFF | after(60) >> STARTING


def test_a_limit_whose_action_is_stop_leaves_it_as_it_ended() -> None:
    how = Restart(limit=1, action=STOP)
    story = running(autorestart=ALWAYS, restart=how) | exited(0) | spawned | after(100) | exited(3) >> EXITED
    assert (story.process.exit, story.process.goal, story.process.deadline) == (Exit(3), Goal.DOWN, None)
    story = up(restart=how) | exited(1) | after(1) | spawned | exited(1) >> STOPPED
    assert story.published[-2:] == [BACKOFF, STOPPED]
    assert Say("info", "gave up: web stays down, restart_limit=1 is used up") in story.effects


def test_a_limit_whose_action_is_wait() -> None:
    story = running(autorestart=ALWAYS, restart=Restart(limit=1, window=60, action=WAIT)) | exited(0) >> STARTING
    story | spawned | after(10) >> RUNNING | exited(0) >> BACKOFF
    assert (waits(story), story.process.tries) == (50, 0)
    story | after(49) >> BACKOFF | after(2) >> STARTING


def test_a_limit_that_was_changed_counts_what_it_knows() -> None:
    story = running(autorestart=ALWAYS, restart=Restart(limit=5)) | exited(0) | spawned | after(9) | exited(0) | spawned
    story.policy = story.policy._replace(restart=Restart(limit=1))
    story | after(9) | exited(0) >> FATAL


# ---- what is not the program's fault ------------------------------------------------------------------------------

def test_what_the_machine_lacks_never_ends_the_tries() -> None:
    story = Story(startretries=0) | start
    for number in range(1, 50):
        story | spawn_failed("too many open files", lack=True) >> BACKOFF
        assert waits(story) == min(number, 10)
        story | after(10) >> STARTING
    assert [e.tries for e in story.effects if isinstance(e, Publish) and e.state is BACKOFF] == list(range(1, 50))
    assert sum(isinstance(e, Say) and "until the machine has" in e.text for e in story.effects) == 1
    story | spawned | exited(1) >> FATAL
    assert story.process.tries == 0


def test_what_the_machine_lacks_is_not_counted() -> None:
    story = up(startretries=1, restart=Restart(limit=1)) | exited(1) | after(1)
    for _ in range(9):
        story | spawn_failed(lack=True) >> BACKOFF | after(10) >> STARTING
    assert story.process.restarts == (story.process.started,), "it has the time of the try that was one"
    story | spawned | after(5) >> RUNNING
    assert len(story.process.restarts) == 1
    story = Story(autorestart=ALWAYS, restart=Restart(limit=2)) | start
    for restarts in (0, 1, 2):
        for _ in range(3):
            story | spawn_failed(lack=True) >> BACKOFF | after(10) >> STARTING
        assert len(story.process.restarts) == restarts
        story | spawned | after(5) >> RUNNING | exited(0)
    story >> FATAL


def test_a_launch_that_lacks_something_is_tried_whatever_autorestart_says() -> None:
    story = up(startsecs=0, autorestart=NEVER, startretries=0) >> RUNNING | launch_failed(lack=True) | exited(127)
    story >> BACKOFF | after(1) >> STARTING | spawned | launch_failed(lack=True) | exited(127) >> BACKOFF
    assert waits(story) == 2
    story = up(startretries=0) | launch_failed(lack=True) | exited(127) >> BACKOFF | after(1) | spawned | exited(1)
    story >> FATAL


def test_the_count_of_lacks_begins_anew_once_the_program_has_run() -> None:
    story = Story() | start | spawn_failed(lack=True) | after(1) | spawn_failed(lack=True) | after(2) | spawned
    story | after(5) >> RUNNING | exited(1) | spawn_failed(lack=True) >> BACKOFF
    assert waits(story) == 1
    story | after(1) | spawned | exited(1) >> BACKOFF
    assert [e.tries for e in story.effects if isinstance(e, Publish) and e.state is BACKOFF] == [1, 2, 1, 1]
    story | after(1) | spawn_failed(lack=True) >> BACKOFF
    assert (waits(story), story.process.attempts) == (1, 2)


def test_nothing_is_tried_again_once_the_daemon_ends() -> None:
    for how in (Restart(), Restart(reset=-1, longest=60), Restart(limit=2, window=5, action=WAIT)):
        story = up(startretries=UNLIMITED, restart=how, autorestart=ALWAYS)
        story.policy = resigned(story.policy)
        story | exited(1) >> FATAL
        story = Story(restart=how) | start
        story.policy = resigned(story.policy)
        story | spawn_failed(lack=True) >> FATAL
        story = running(restart=how, autorestart=ALWAYS)
        story.policy = resigned(story.policy)
        story | exited(1) >> EXITED
    up(startretries=UNLIMITED) | exited(1) >> BACKOFF | shutdown >> FATAL


# ---- any life -----------------------------------------------------------------------------------------------------

restarts = st.builds(
    lambda **fields: Restart(**fields),
    pause=st.integers(0, 20), factor=st.floats(1, 10), longest=st.integers(1, 90), jitter=st.integers(0, 100),
    reset=st.sampled_from([-1, 0, 1, 5, 60]), limit=st.sampled_from([-1, 1, 2, 5]),
    window=st.sampled_from([1, 10, 60, 1000]), action=st.sampled_from(LimitAction))
policies = st.builds(
    policy, restart=restarts, autorestart=st.sampled_from(AutoRestart), startsecs=st.integers(0, 3),
    startretries=st.integers(-1, 4))
#: How long a run lasts and how it ends: an exit status, a launch that failed, no child, nothing there for it.
ends = st.tuples(st.floats(0, 100) | st.sampled_from([0.0, 1.0, 60.0]),
                 st.sampled_from(["0", "1", "launch", "lacking launch", "spawn", "lacking spawn"]))


def live(story: Story, lasts: float, how: str) -> None:
    """One run, from STARTING on."""
    lack = how.startswith("lacking")
    if how.endswith("spawn"):
        story | spawn_failed(lack=lack)
        return
    story | spawned
    if how.endswith("launch"):
        story | launch_failed(lack=lack) | exited(127)
    else:
        story | after(lasts) | exited(int(how))


@settings(max_examples=800, deadline=None)
@given(policies, st.lists(ends, min_size=1, max_size=25), st.lists(st.integers(0, 24), max_size=3))
def test_never_sooner_and_never_oftener_than_the_policy_allows(
        made: Any, lives: list[tuple[float, str]], by_hand: list[int]) -> None:
    story = Story(**made._asdict()) | start
    begun, how = [story.now], made.restart
    for number, (lasts, end) in enumerate(lives):
        before = story.process
        live(story, lasts, end)
        ended, process = story.now, story.process
        if process.state is BACKOFF:
            assert process.deadline is not None and process.goal is Goal.UP
            least = min(process.lacks, 10) if process.lacking else rules.pause(made, process.tries, 0.0) if (
                process.tries) else 0
            assert process.deadline >= ended + least
            assert process.deadline <= ended + max(how.longest * 2, 10, how.window), "no livelock: the wait has an end"
            story | after(process.deadline - ended) >> STARTING
        elif process.state is STARTING:
            assert process.tries == process.lacks == 0
            assert 0 <= how.reset <= ended - before.started, "at once although it was no good run"
        if process.state is FATAL:
            assert not end.startswith("lacking")
            assert how.limit > 0 or made.startretries != UNLIMITED
        if number in by_hand or story.process.state is not STARTING:
            story | stop
            if story.process.state is not STOPPED:
                story.feed(Exited(story.process.run, Exit(0)))
            story | start >> STARTING
            begun = [story.now]
        elif story.process.lacks:
            begun[-1] = story.now                   # no child has come of the last one
        else:
            begun.append(story.now)
            if how.limit > 0 and len(begun) > how.limit + 1:
                assert how.window and begun[-1] - begun[-how.limit - 1] >= how.window - 1e-6
    assert all(later >= earlier for earlier, later in pairwise(begun))


@settings(max_examples=500, deadline=None)
@given(policies, st.lists(ends, max_size=12), st.sampled_from([0.0, 1e-3, 86400.0, 2.0**22]))
def test_only_differences_of_time_count(made: Any, lives: list[tuple[float, str]], shift: float) -> None:
    made = made._replace(restart=made.restart._replace(jitter=0))
    told = []
    for origin in (1024.0, 1024.0 + shift):
        story = Story(**made._asdict())
        story.now = origin
        story | start
        for lasts, end in lives:
            if story.process.state is not STARTING:
                break
            live(story, round(lasts * 8) / 8, end)
            if story.process.state is BACKOFF:
                assert story.process.deadline is not None
                story | after(round(story.process.deadline - story.now, 3))
                story.feed(Elapsed(story.process.run))
        told.append([effect for effect in story.effects if not isinstance(effect, Say)])
    assert told[0] == told[1]


@settings(max_examples=500, deadline=None)
@given(policies.filter(lambda made: made.restart.limit < 0 or made.restart.action is WAIT), st.lists(ends, max_size=10))
def test_who_shall_never_give_up_comes_up_once_it_can(made: Any, lives: list[tuple[float, str]]) -> None:
    story = Story(**made._replace(startretries=UNLIMITED, autorestart=ALWAYS)._asdict()) | start
    for lasts, end in lives:
        live(story, lasts, end)
        assert story.process.state in (BACKOFF, STARTING)
        if story.process.state is BACKOFF:
            story | after(2000) >> STARTING
    story | spawned | after(4) >> RUNNING
    assert story.spawns == len(lives) + 1 == sum(isinstance(effect, Spawn) for effect in story.effects)


def test_unchanged_configurations_know_nothing_of_all_this() -> None:
    made = policy()
    assert made.restart == Restart()
    assert [rules.pause(made, tries, 0.7) for tries in range(1, 200)] == list(range(1, 200))
    assert rules.room(made, (), 5.0) == 5.0 and rules.good(made, 0.0)
    assert rules.counted(made, Story().process, 1.0) == ()
