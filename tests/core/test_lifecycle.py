"""What a start waits for, hooks, readiness and faults: docs/lifecycle.md as one-line stories."""

import pytest

from sdsuper.config.health import Check, Health
from sdsuper.config.lifecycle import Condition as C
from sdsuper.config.lifecycle import Depends, Hooks, Need, Readiness, ReadyKind
from sdsuper.config.model import AutoRestart, Restart
from sdsuper.core.vocabulary import (
    Blocked,
    Checked,
    Cleared,
    EndHook,
    Exit,
    Faulty,
    Goal,
    Hook,
    HookDone,
    Kill,
    Moved,
    Phase,
    PublishHealth,
    Ready,
    RunHook,
    Say,
    Signal,
    Spawn,
    Spawned,
    State,
    Stop,
)
from tests.core.story import Story, What, after, exited, launch_failed, running, spawned, start, stop, up

STOPPED, STARTING, RUNNING, BACKOFF = State.STOPPED, State.STARTING, State.RUNNING, State.BACKOFF
STOPPING, EXITED, FATAL = State.STOPPING, State.EXITED, State.FATAL

NEEDS = Depends((Need("db", "db", C.READY, False),))
NOTIFY = Readiness(ReadyKind.NOTIFY, timeout=30)
ALL = Hooks("a", "b", "c", "d")

cleared = What(lambda s: s.feed(Cleared(s.process.run)))
blocked = What(lambda s: s.feed(Blocked(s.process.run, "db is FATAL, which it depends on")))
ready = What(lambda s: s.feed(Ready(s.process.run, "notify")))
faulty = What(lambda s: s.feed(Faulty(s.process.run, "no answer")))


def done(hook: Hook, reason: str = "") -> What:
    return What(lambda s: s.feed(HookDone(s.process.run, hook, reason)))


def hooks(story: Story) -> list[str]:
    """What was asked for, in order: hooks by name, `end` for one that is over, and the child."""
    names = {RunHook: lambda e: e.hook.value, EndHook: lambda _e: "end", Spawn: lambda _e: "spawn",
             Signal: lambda e: f"signal {e.number}"}
    return [names[type(effect)](effect) for effect in story.effects if type(effect) in names]


# ---- waiting for others -------------------------------------------------------------------------------------------

def test_a_process_that_depends_on_others_waits_without_a_child() -> None:
    story = Story(depends=NEEDS) | start >> STARTING
    assert (story.process.phase, story.spawns, story.process.deadline) == (Phase.WAITING, 0, None)
    story | cleared >> STARTING
    assert (story.process.phase, story.spawns) == (Phase.CHILD, 1)
    assert story.published == [STARTING]


def test_the_time_of_waiting_is_none_of_the_run() -> None:
    story = Story(depends=NEEDS) | start
    story.now += 50
    story | cleared
    assert story.process.started == story.now


def test_a_stop_of_one_that_waits_needs_no_signal() -> None:
    story = Story(depends=NEEDS) | start | stop >> STOPPED
    assert story.published == [STARTING, STOPPING, STOPPED]
    assert not story.sent and story.process.goal is Goal.DOWN and story.process.deadline is None


def test_one_that_goes_down_for_a_while_comes_back_by_itself() -> None:
    story = running() | What(lambda s: s.feed(Stop(again=True))) >> STOPPING
    assert story.process.goal is Goal.UP
    story | exited(0) >> STARTING
    Story(depends=NEEDS, hooks=ALL) | start | What(lambda s: s.feed(Stop(again=True))) >> STARTING
    running() | stop | What(lambda s: s.feed(Stop(again=True))) | exited(0) >> STOPPED


def test_what_has_only_waited_leaves_no_hook() -> None:
    story = Story(depends=NEEDS, hooks=ALL) | start | stop >> STOPPED
    assert hooks(story) == []


def test_one_that_has_waited_too_long_has_failed_to_start() -> None:
    story = Story(depends=NEEDS._replace(timeout=30), startretries=1) | start | after(29) >> STARTING
    story | after(1) >> BACKOFF
    assert story.process.spawnerr == "What it depends on was not there after 30 seconds"
    story | after(1) >> STARTING
    assert story.process.phase is Phase.WAITING
    story | after(30) >> FATAL


def test_one_that_waits_in_vain_is_fatal_at_once_where_it_is_to_fail() -> None:
    story = Story(depends=NEEDS, startretries=-1) | start | blocked >> FATAL
    assert story.published == [STARTING, BACKOFF, FATAL]
    assert story.process.spawnerr == "db is FATAL, which it depends on"
    story | start >> STARTING
    assert story.process.phase is Phase.WAITING


def test_after_a_crash_it_waits_again() -> None:
    story = Story(depends=NEEDS, autorestart=AutoRestart.ALWAYS) | start | cleared
    story = story | What(lambda s: s.feed(Spawned(1, 7)))
    story | after(5) >> RUNNING | exited(1) >> STARTING
    assert story.process.phase is Phase.WAITING and story.spawns == 1


def test_news_that_come_too_late_change_nothing() -> None:
    story = up(depends=Depends()) | cleared | blocked >> STARTING
    assert story.spawns == 1


# ---- readiness ----------------------------------------------------------------------------------------------------

def test_it_is_running_when_it_says_so_and_not_before() -> None:
    story = up(readiness=NOTIFY) | after(20) >> STARTING
    story | ready >> RUNNING
    assert story.process.deadline is None and story.process.settled


def test_a_limit_of_time_is_none_where_there_is_none() -> None:
    up(readiness=Readiness(ReadyKind.FD, "3")) | after(10**6) >> STARTING | ready >> RUNNING


def test_who_is_not_ready_in_time_is_stopped_and_tried_again() -> None:
    story = up(readiness=NOTIFY, startretries=1) | after(30) >> STOPPING
    assert [effect for effect in story.sent if isinstance(effect, Signal)] == [Signal(1, 15, False)]
    story | exited(0) >> BACKOFF
    assert story.published == [STARTING, STOPPING, STOPPED, BACKOFF]
    assert story.process.spawnerr == "Was not ready after 30 seconds"
    assert story.process.tries == 1 and story.process.goal is Goal.UP


def test_who_ends_before_it_is_ready_has_failed_however_long_it_was_there() -> None:
    story = up(readiness=NOTIFY, startsecs=0) | after(29) | exited(0) >> BACKOFF
    assert story.process.spawnerr == "Ended before it was ready (exit status 0)"


def test_who_ends_before_it_is_ready_has_failed_also_if_its_time_is_over_meanwhile() -> None:
    """The news of its end comes before that of the time."""
    story = up(readiness=NOTIFY)
    story.now += 10**6
    story | exited(0) >> BACKOFF
    assert RUNNING not in story.published and story.process.spawnerr == "Ended before it was ready (exit status 0)"


def test_a_restart_of_one_that_restarts_is_one_restart() -> None:
    again = What(lambda s: s.feed(Stop(again=True)))
    running() | again >> STOPPING | again >> STOPPING | exited(0) >> STARTING


def test_ready_before_there_is_a_child_is_nothing() -> None:
    Story(readiness=NOTIFY, depends=NEEDS) | start | ready >> STARTING | cleared | ready >> STARTING


def test_a_stop_while_it_is_not_ready_yet_is_an_ordinary_one() -> None:
    story = up(readiness=NOTIFY) | stop >> STOPPING | ready >> STOPPING | exited(0) >> STOPPED
    assert story.process.goal is Goal.DOWN


# ---- runs that the daemon ends itself -----------------------------------------------------------------------------

def test_a_run_that_is_no_good_any_more_is_replaced_at_once() -> None:
    story = running() | faulty >> STOPPING
    assert story.process.goal is Goal.UP
    story | exited(0) >> STARTING
    assert story.published == [STOPPING, STOPPED, STARTING]


def test_whatever_autorestart_says() -> None:
    running(autorestart=AutoRestart.NEVER) | faulty | exited(0) >> STARTING


def test_but_restart_limit_counts_it() -> None:
    story = running(restart=Restart(limit=1))
    for _ in range(2):
        story = story | faulty | exited(0)
        if story.process.state is STARTING:
            story.feed(Spawned(story.process.run, 9))
            story | after(100)
    assert story.process.state is FATAL
    assert "restart_limit=1 is used up" in story.process.spawnerr


def test_and_one_that_was_no_good_run_waits_for_its_pause() -> None:
    story = running(restart=Restart(reset=600, longest=60)) | faulty | exited(0) >> BACKOFF
    assert (story.process.tries, story.process.spawnerr) == (1, "no answer")


def test_a_stop_ends_it_for_good_and_a_start_begins_anew() -> None:
    running() | faulty | stop | exited(0) >> STOPPED
    story = running(restart=Restart(reset=600, longest=60)) | faulty | start | exited(0) >> STARTING
    assert story.process.tries == 0


def test_the_ladder_goes_on_as_ever() -> None:
    story = running(stopwaitsecs=5) | faulty | after(5) >> STOPPING
    assert len(story.sent) == 2


def test_one_without_a_child_cannot_be_faulty() -> None:
    Story(depends=NEEDS) | start | faulty >> STARTING



# ---- hooks --------------------------------------------------------------------------------------------------------

def test_the_hooks_of_a_life() -> None:
    story = Story(hooks=ALL, startsecs=1) | start >> STARTING
    assert hooks(story) == ["pre_start"]
    story | done(Hook.PRE_START) >> STARTING
    story.feed(Spawned(1, 7))
    story | after(1) >> RUNNING | stop >> STOPPING
    assert hooks(story) == ["pre_start", "spawn", "post_start", "pre_stop"]
    assert story.process.deadline is None, "the time of the hook is the hook's"
    story | done(Hook.PRE_STOP, "exit status 1") >> STOPPING
    assert hooks(story)[4:] == ["signal 15"]
    story | exited(0) >> STOPPED
    assert hooks(story)[5:] == ["post_stop"]
    last = [effect for effect in story.effects if isinstance(effect, RunHook)][-1]
    assert last.exit == Exit(0)


def test_a_hook_that_fails_before_the_start_is_a_failed_start() -> None:
    story = Story(hooks=Hooks(pre_start="a", post_stop="d"), startretries=0) | start
    story | done(Hook.PRE_START, "exit status 3") >> FATAL
    assert story.process.spawnerr == "pre_start_hook: exit status 3"
    assert hooks(story) == ["pre_start", "post_stop"]


def test_a_stop_ends_the_hook_before_the_start() -> None:
    story = Story(hooks=ALL) | start | stop >> STOPPED
    assert hooks(story) == ["pre_start", "end", "post_stop"]
    assert story.published == [STARTING, STOPPING, STOPPED]
    story | done(Hook.PRE_START) >> STOPPED


def test_an_end_ends_the_hook_before_the_stop() -> None:
    story = running(hooks=Hooks(pre_stop="c")) | stop | exited(0) >> STOPPED
    assert hooks(story) == ["pre_stop", "end"]
    assert not story.sent


def test_what_others_do_is_no_answer() -> None:
    story = running(hooks=Hooks(pre_stop="c")) | stop | done(Hook.POST_START) >> STOPPING
    assert not story.sent
    Story(hooks=ALL) | start | done(Hook.POST_STOP) >> STARTING


def test_the_next_start_comes_behind_the_hook_of_the_last_end() -> None:
    story = running(hooks=Hooks(post_stop="d"), autorestart=AutoRestart.ALWAYS) | exited(1) >> STARTING
    assert hooks(story) == ["post_stop", "pre_start"], "an empty hook is what the start waits with"
    assert story.process.phase is Phase.HOOK


def test_a_launch_that_fails_has_its_last_hook_as_well() -> None:
    story = Story(hooks=Hooks(post_stop="d"), startsecs=5) | start | done(Hook.PRE_START)
    story.feed(Spawned(1, 7))
    story | launch_failed() | exited(127) >> BACKOFF
    assert hooks(story) == ["pre_start", "spawn", "post_stop"]


# ---- who leads, and how it is -------------------------------------------------------------------------------------

@pytest.mark.parametrize("story", [up, running, lambda: running() | stop], ids=["starting", "running", "stopping"])
def test_another_process_can_be_the_main_one(story: object) -> None:
    made = story()  # type: ignore[operator]
    state = made.process.state
    made.feed(Moved(made.process.run, 99))
    assert (made.process.pid, made.process.state) == (99, state)


def test_what_checks_say_is_kept_and_told_once() -> None:
    story = running()

    def says(healthy: bool | None) -> list[str]:
        return [effect.text for effect in story.feed(Checked(story.process.run, healthy, "HTTP 503"))
                if isinstance(effect, Say)]

    assert says(True) == [], "that all is well at first is no news"
    assert says(False) == ["web is unhealthy: HTTP 503"]
    assert says(False) == []
    assert says(True) == ["web is healthy again"]
    assert says(None) == []
    assert [effect for effect in story.effects if isinstance(effect, PublishHealth)] == [
        PublishHealth(1, "unknown", "healthy", "HTTP 503"), PublishHealth(1, "healthy", "unhealthy", "HTTP 503"),
        PublishHealth(1, "unhealthy", "healthy", "HTTP 503"), PublishHealth(1, "healthy", "unknown", "HTTP 503")]
    story.feed(Checked(story.process.run, False, "x"))
    story | exited(0)
    assert (story.process.healthy, story.process.trouble) == (None, "")


CHECK = Check("http://x/", 0, 1, 1, 1, 1)


def test_with_a_ready_check_a_process_is_not_ready_until_that_has_succeeded() -> None:
    story = Story(health=Health(ready=CHECK)) | start | spawned | after(1) >> RUNNING
    assert (story.process.health, story.process.trouble) == ("unready", "it has not been asked yet")
    story.feed(Checked(1, None, "", True))
    assert (story.process.health, story.process.trouble) == ("healthy", "")
    story.feed(Checked(1, None, "HTTP 503", False))
    assert (story.process.health, story.process.trouble) == ("unready", "HTTP 503")
    story.feed(Checked(1, False, "HTTP 500", False))
    assert story.process.health == "unhealthy"
    story | stop
    assert (story.process.health, story.process.trouble) == ("unknown", "")
    texts = [effect.text for effect in story.effects if isinstance(effect, Say)]
    assert [text for text in texts if " is " in text] == [
        "web is ready", "web is not ready: HTTP 503", "web is unhealthy: HTTP 500"]


def test_a_startup_check_is_waited_for_and_startsecs_is_not() -> None:
    story = Story(health=Health(startup=CHECK, startup_seconds=90)) | start | spawned | after(89) >> STARTING
    story.feed(Ready(1, "startup check"))
    story >> RUNNING


def test_a_startup_check_that_never_succeeds_has_as_long_as_ready_timeout() -> None:
    story = Story(health=Health(startup=CHECK, startup_seconds=90)) | start | spawned | after(90) >> STOPPING
    assert story.process.fault == "Was not ready after 90 seconds"
    Story(health=Health(startup=CHECK, startup_seconds=0)) | start | spawned | after(9000) >> STARTING


def test_a_startup_check_that_a_reload_brings_gives_the_start_its_time() -> None:
    story = Story(startsecs=5) | start | spawned >> STARTING
    story.policy = story.policy._replace(health=Health(startup=CHECK, startup_seconds=90))
    story | after(5) >> STARTING
    story | after(84) >> STARTING
    story | after(1) >> STOPPING


@pytest.mark.parametrize("asked", [True, False])
def test_what_a_run_leaves_is_ended_before_the_hook_behind_it(asked: bool) -> None:
    story = Story(hooks=Hooks(post_stop="d"), leftovers=True, autorestart=AutoRestart.NEVER, startsecs=0) | start
    story = story | done(Hook.PRE_START) | spawned >> RUNNING
    story = (story | stop if asked else story) | exited(0, populated=True)
    kinds = [type(effect) for effect in story.effects]
    assert kinds.index(Kill) < len(kinds) - 1 - kinds[::-1].index(RunHook)


def test_a_hook_that_the_machine_cannot_run_is_no_fault_of_the_program() -> None:
    story = Story(hooks=ALL, startretries=0) | start
    story.feed(HookDone(1, Hook.PRE_START, "no process", True))
    assert story >> BACKOFF and (story.process.lacks, story.process.tries) == (1, 0)


def test_a_stop_while_the_hook_of_the_last_run_is_waited_for_runs_it_no_second_time() -> None:
    story = Story(hooks=Hooks(post_stop="d"), autorestart=AutoRestart.ALWAYS, startsecs=0) | start
    story = story | done(Hook.PRE_START) | spawned >> RUNNING
    story = story | exited(1) >> STARTING | stop >> STOPPED
    assert hooks(story).count("post_stop") == 1
