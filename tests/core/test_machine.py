"""The life of a process, a line a sentence of the manual."""

import pytest

from sdsuper.config.model import AutoRestart
from sdsuper.core.ending import TOO_QUICK
from sdsuper.core.machine import IGNORED, TABLE, step
from sdsuper.core.vocabulary import (
    RESTING_STATES,
    Elapsed,
    Exit,
    Exited,
    Goal,
    Hook,
    Input,
    Kill,
    Process,
    Publish,
    Say,
    Signal,
    Spawned,
    Start,
    State,
    Stop,
)
from tests.core.story import (
    DEFAULTS,
    Story,
    after,
    emptied,
    exited,
    killed,
    launch_failed,
    running,
    shutdown,
    signal_failed,
    spawn_failed,
    spawned,
    start,
    stop,
    up,
)

STOPPED, STARTING, RUNNING, BACKOFF = State.STOPPED, State.STARTING, State.RUNNING, State.BACKOFF
STOPPING, EXITED, FATAL, UNKNOWN = State.STOPPING, State.EXITED, State.FATAL, State.UNKNOWN
ALWAYS, NEVER = AutoRestart.ALWAYS, AutoRestart.NEVER


def test_every_cell_is_in_the_table_or_in_the_list_of_ignored_ones() -> None:
    cells = {(state, kind) for state in State for kind in Input.__args__}  # type: ignore[attr-defined]
    assert set(TABLE) | IGNORED == cells
    assert not set(TABLE) & IGNORED


@pytest.mark.parametrize("cell", sorted(IGNORED, key=str), ids=lambda cell: f"{cell[0].name}-{cell[1].__name__}")
def test_an_ignored_cell_changes_nothing(cell: tuple[State, type]) -> None:
    state, kind = cell
    process = Process(state, run=3)
    examples = {"Start": (), "Stop": (), "Spawned": (3, 7), "SpawnFailed": (3, "x"), "LaunchFailed": (3, "x"),
                "Exited": (3, Exit(0)), "Emptied": (3,), "Elapsed": (3,), "SignalFailed": (3, "x"),
                "Cleared": (3,), "Blocked": (3, "x"), "Stuck": (3, "x"),
                "HookDone": (3, Hook.PRE_START), "Ready": (3, "x"), "Faulty": (3, "x"),
                "Moved": (3, 8), "Checked": (3, True, "x")}
    assert step(process, kind(*examples[kind.__name__]), DEFAULTS, 5.0) == (process, [])


# ---- starting -----------------------------------------------------------------------------------------------------

def test_a_start_makes_a_child_and_waits_startsecs() -> None:
    story = Story(startsecs=5) | start | spawned | after(4.9) >> STARTING | after(0.2) >> RUNNING
    assert story.published == [STARTING, RUNNING]
    assert (story.process.pid, story.process.goal, story.process.run) == (4242, Goal.UP, 1)


def test_startsecs_0_is_running_at_once() -> None:
    up(startsecs=0) >> RUNNING


def test_an_end_before_startsecs_is_a_failed_start_whatever_the_code() -> None:
    story = up(startsecs=1) | exited(0) >> BACKOFF
    assert (story.process.spawnerr, story.process.exit) == (TOO_QUICK, None)


def test_the_first_retry_comes_after_a_second_the_next_after_two() -> None:
    story = up() | exited(1) >> BACKOFF | after(0.9) >> BACKOFF | after(0.2) >> STARTING | spawned
    story | exited(1) | after(1.9) >> BACKOFF | after(0.2) >> STARTING


def test_startretries_3_is_four_starts() -> None:
    story = Story(startretries=3) | start
    for _ in range(3):
        story | spawned | exited(1) >> BACKOFF | after(10) >> STARTING
    story | spawned | exited(1) >> FATAL
    assert story.spawns == 4
    assert [e.tries for e in story.effects if isinstance(e, Publish) and e.state is BACKOFF] == [1, 2, 3, 4]
    assert story.published[-2:] == [BACKOFF, FATAL]


def test_startretries_0_is_one_start() -> None:
    up(startretries=0) | exited(1) >> FATAL


def test_a_command_that_is_not_there_is_a_failed_start_with_its_reason() -> None:
    story = Story() | start | spawn_failed("can't find command 'x'") >> BACKOFF
    assert story.process.spawnerr == "can't find command 'x'"


def test_the_reason_of_the_launcher_is_kept_and_not_called_too_quick() -> None:
    story = up() | launch_failed("changing directory to /x: Permission denied") | exited(127) >> BACKOFF
    assert story.process.spawnerr == "changing directory to /x: Permission denied"


def test_a_launch_that_failed_with_startsecs_0_waits_before_the_next_try() -> None:
    story = up(startsecs=0, autorestart=ALWAYS) | launch_failed() | exited(127) >> BACKOFF | after(1) >> STARTING
    assert EXITED in story.published
    up(startsecs=0, autorestart=NEVER) | launch_failed() | exited(127) >> EXITED


def test_running_resets_the_count_of_tries() -> None:
    story = up() | exited(1) | after(1) | spawned | after(2) >> RUNNING
    assert story.process.tries == 0


def test_an_end_at_startsecs_told_before_the_time_was_running_and_exited() -> None:
    story = up(startsecs=1)
    story.now += 1
    story | exited(0) >> EXITED
    assert story.published == [STARTING, RUNNING, EXITED]


def test_fatal_starts_again_when_asked_with_all_its_tries() -> None:
    story = up(startretries=0) | exited(1) >> FATAL | start >> STARTING
    assert (story.process.tries, story.process.spawnerr) == (0, "")


# ---- ends ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("autorestart", "code", "then"), [
    (ALWAYS, 0, STARTING), (ALWAYS, 1, STARTING), (NEVER, 0, EXITED), (NEVER, 1, EXITED),
    (AutoRestart.UNEXPECTED, 0, EXITED), (AutoRestart.UNEXPECTED, 1, STARTING), (AutoRestart.UNEXPECTED, 2, EXITED),
])
def test_autorestart(autorestart: AutoRestart, code: int, then: State) -> None:
    story = running(autorestart=autorestart, exitcodes=(0, 2)) | exited(code) >> then
    assert story.published[0] is EXITED


def test_a_death_by_signal_is_never_expected() -> None:
    story = running(exitcodes=(0, 9)) | killed(9) >> STARTING
    assert not next(e for e in story.effects if isinstance(e, Publish)).expected


def test_an_unexpected_exit_is_told() -> None:
    story = running(autorestart=NEVER) | exited(3)
    assert (story.process.spawnerr, story.process.exit) == ("Bad exit code 3", Exit(3))
    assert Say("warn", "exited: web (exit status 3; not expected)") in story.effects


def test_leftovers_kill_ends_what_a_run_leaves_and_keep_does_not() -> None:
    assert (running(autorestart=NEVER, leftovers=True) | exited(0, populated=True)).sent == [Kill(1, True)]
    assert not (running(autorestart=NEVER) | exited(0, populated=True)).sent


# ---- stopping -----------------------------------------------------------------------------------------------------

def test_stop_sends_the_stop_signal_to_the_leader() -> None:
    story = running(stopsignals=(2,)) | stop >> STOPPING | exited(0) >> STOPPED
    assert story.sent == [Signal(1, 2, False)]
    assert story.published == [STOPPING, STOPPED]


def test_stopasgroup_sends_it_to_the_group() -> None:
    assert (running(stopasgroup=True, killasgroup=True) | stop).sent == [Signal(1, 15, True)]


def test_after_stopwaitsecs_comes_sigkill_again_and_again() -> None:
    story = running(stopwaitsecs=5) | stop | after(4.9) >> STOPPING
    assert len(story.sent) == 1
    story | after(0.2) | after(5) >> STOPPING
    assert story.sent[1:] == [Kill(1, False), Kill(1, False)]
    story | killed(9) >> STOPPED


def test_killwaitsecs_is_the_pause_between_kills() -> None:
    story = running(stopwaitsecs=5, killwaitsecs=60) | stop | after(5)
    assert story.sent[1:] == [Kill(1, False)]
    story | after(59.9)
    assert len(story.sent) == 2
    story | after(0.1)
    assert story.sent[1:] == [Kill(1, False), Kill(1, False)]
    story | killed(9) >> STOPPED


def test_killasgroup_kills_the_tree() -> None:
    story = running(stopwaitsecs=5, killasgroup=True) | stop | after(5)
    assert story.sent[1:] == [Kill(1, True)]


def test_a_list_of_stop_signals_is_a_ladder() -> None:
    story = running(stopsignals=(1, 15), stopwaitsecs=2) | stop | after(2) | after(2)
    assert story.sent == [Signal(1, 1, False), Signal(1, 15, False), Kill(1, False)]


def test_killasgroup_waits_for_the_whole_tree() -> None:
    story = running(killasgroup=True, stopwaitsecs=10) | stop | after(1) | exited(0, populated=True) >> STOPPING
    story | emptied >> STOPPED
    assert not any(isinstance(e, Kill) for e in story.effects)
    assert story.process.exit == Exit(0)


def test_what_stays_of_the_tree_is_killed_when_the_time_is_over() -> None:
    story = running(killasgroup=True, stopwaitsecs=10) | stop | exited(0, populated=True) | after(10) >> STOPPING
    assert story.sent[1:] == [Kill(1, True)]
    story | emptied >> STOPPED


def test_without_killasgroup_the_leader_alone_counts() -> None:
    running() | stop | exited(0, populated=True) >> STOPPED


def test_stopping_with_stopwaitsecs_0_kills_at_once_and_then_each_second() -> None:
    story = running(stopwaitsecs=0) | stop
    story | after(0)
    assert story.sent == [Signal(1, 15, False), Kill(1, False)]


def test_a_start_while_stopping_starts_again_after_the_stop() -> None:
    story = running() | stop | start >> STOPPING | exited(0) >> STARTING
    assert story.published == [STOPPING, STOPPED, STARTING]
    running() | stop | start | stop | exited(0) >> STOPPED


def test_stop_in_backoff_is_stopped_at_once_and_fatal_when_the_daemon_ends() -> None:
    up() | exited(1) | stop >> STOPPED
    up() | exited(1) | shutdown >> FATAL


def test_a_stop_before_the_child_is_there() -> None:
    Story() | start | stop >> STOPPING | spawned | exited(0) >> STOPPED
    Story() | start | stop | spawn_failed() >> STOPPED


def test_a_signal_that_the_kernel_refuses_is_unknown_and_stays() -> None:
    story = running() | stop | signal_failed() >> UNKNOWN | start >> UNKNOWN | stop >> UNKNOWN | exited(0) >> UNKNOWN
    assert story.process.pid == 0


# ---- old news -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("news", [Spawned(1, 9), Exited(1, Exit(0)), Elapsed(1)])
def test_news_of_an_earlier_run_changes_nothing(news: Input) -> None:
    story = running(autorestart=ALWAYS) | exited(0) | spawned >> STARTING
    before = story.process
    story.feed(news)
    assert story.process == before


def test_resting_states_have_no_deadline() -> None:
    for story in (running(autorestart=NEVER) | exited(0), running() | stop | exited(0), up(startretries=0) | exited(1),
                  up() | exited(1) | stop, running() | stop | signal_failed()):
        assert story.process.state in RESTING_STATES
        assert story.process.deadline is None
        assert story.process.goal is Goal.DOWN


def test_a_stop_or_start_that_changes_nothing_says_nothing() -> None:
    story = running()
    story.feed(Start())
    assert not story.effects
    stopped = Story()
    stopped.feed(Stop())
    assert not stopped.effects
