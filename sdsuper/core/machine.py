"""The life of one process: a table of state x input, and `step`. PURE.

Promises: `step(process, input, policy, now) -> (process, effects)` is the whole supervision of one process. Every
cell is either in TABLE or in IGNORED (a test adds them up); news about an earlier run changes nothing; a resting
process has no deadline. Must not: read a clock, act, or keep anything between calls.

      STOPPED ──► STARTING ──► RUNNING ──► EXITED          BACKOFF waits, then goes to STARTING again, or to FATAL when
                   ▲     │        │                         its retries are used up. Stop leads through STOPPING to
                   │     ▼        ▼                         STOPPED. The drawing in docs/states.md is made from TABLE.
                  BACKOFF ──►   STOPPING ──► STOPPED
"""

from collections.abc import Callable
from typing import Any

from sdsuper.config.model import LimitAction, ProcessConfig
from sdsuper.core import policy as rules
from sdsuper.core.policy import Verdict
from sdsuper.core.vocabulary import (
    Effect,
    Elapsed,
    Emptied,
    Exit,
    Exited,
    Goal,
    Input,
    Kill,
    LaunchFailed,
    Process,
    Publish,
    Say,
    Signal,
    SignalFailed,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
)

Outcome = tuple[Process, list[Effect]]

OUT_OF_MEMORY = "Killed by the kernel, out of memory"
TOO_QUICK = "Exited too quickly (process log may have details)"


def step(process: Process, input: Input, policy: ProcessConfig, now: float) -> Outcome:
    """The process after `input`, and what is to be done about it, in order. `now` is monotonic seconds."""
    run = getattr(input, "run", process.run)
    if run != process.run:
        return process, []                    # old news: that run is over
    cell = TABLE.get((process.state, type(input)))
    return (process, []) if cell is None else cell(process, input, policy, now)


def _enter(process: Process, state: State, expected: bool = True) -> Publish:
    return Publish(process.state, state, process.pid, process.attempts, expected)


# ---- going up -----------------------------------------------------------------------------------------------------

def _begin(process: Process, _input: Start, policy: ProcessConfig, now: float) -> Outcome:
    """Somebody wants it up."""
    return _launch(process._replace(tries=rules.kept(policy, process.tries), lacks=0, restarts=()), now)


def _begin_again(process: Process, _input: Input, policy: ProcessConfig, now: float) -> Outcome:
    """It starts by itself."""
    return _launch(process._replace(restarts=rules.counted(policy, process, now)), now)


def _launch(process: Process, now: float) -> Outcome:
    publish = Publish(process.state, State.STARTING, 0, process.attempts, True)
    run = process.run + 1
    begun = Process(State.STARTING, Goal.UP, run, tries=process.tries, lacks=process.lacks, restarts=process.restarts,
                    started=now, ended=process.ended)
    return begun, [publish, Spawn(run)]


def _spawned(process: Process, input: Spawned, policy: ProcessConfig, now: float) -> Outcome:
    say = Say("info", f"spawned: '{policy.name}' with pid {input.pid}")
    if policy.startsecs <= 0:
        process, effects = _up(process._replace(pid=input.pid), policy, now)
        return process, [say, *effects]
    return process._replace(pid=input.pid, deadline=now + policy.startsecs), [say]


def _spawned_late(process: Process, input: Spawned, _policy: ProcessConfig, _now: float) -> Outcome:
    return process._replace(pid=input.pid), []


def _settled(process: Process, _input: Input, policy: ProcessConfig, now: float) -> Outcome:
    return _up(process, policy, now)


def _up(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    tries = 0 if rules.good(policy, now - process.started) else process.tries
    return process._replace(state=State.RUNNING, deadline=None, tries=tries), [
        _enter(process, State.RUNNING),
        Say("info", f"success: {policy.name} entered RUNNING state, process has stayed up for > than "
                    f"{policy.startsecs} seconds (startsecs)")]


def _launch_failed(process: Process, input: LaunchFailed, _policy: ProcessConfig, _now: float) -> Outcome:
    return process._replace(spawnerr=input.reason, lacking=input.lack), [Say("info", f"spawnerr: {input.reason}")]


def _spawn_failed(process: Process, input: SpawnFailed, policy: ProcessConfig, now: float) -> Outcome:
    process, effects = _failed(process._replace(spawnerr=input.reason, lacking=input.lack), policy, now)
    return process, [Say("info", f"spawnerr: {input.reason}"), *effects]


# ---- and again ----------------------------------------------------------------------------------------------------

def _failed(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """A start has failed: wait for the next try, or give up."""
    if process.lacking and rules.after_lack(policy) is Verdict.RETRY:
        return _lacked(process, policy, now)
    failed = process._replace(tries=process.tries + 1, lacks=0)
    if rules.after_failed_start(policy, failed.tries) is Verdict.RETRY:
        pause = rules.pause(policy, failed.tries, rules.chance(policy, process, now))
        return _again(failed, policy, now, now + pause)
    return _give_up(failed, policy, "too many start retries too quickly")


def _lacked(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """The machine had no process, descriptor or memory for it. That says nothing of the program, so it never ends."""
    lacks = process.lacks + 1
    waiting, effects = _wait(process._replace(lacks=lacks), now + rules.lack_pause(lacks))
    if lacks == 1:
        effects.append(Say("warn", f"{policy.name} is tried again until the machine has what it needs"))
    return waiting, effects


def _again(process: Process, policy: ProcessConfig, now: float, at: float) -> Outcome:
    """It is to start by itself at the time `at`, if its restart_limit allows that."""
    allowed = rules.room(policy, process.restarts, at)
    if allowed is None:
        return _used_up(process, policy)
    if allowed <= now:
        return _begin_again(process, Elapsed(process.run), policy, now)
    return _wait(process, allowed)


def _wait(process: Process, until: float) -> Outcome:
    return process._replace(state=State.BACKOFF, goal=Goal.UP, pid=0, deadline=until), [_enter(process, State.BACKOFF)]


def _used_up(process: Process, policy: ProcessConfig) -> Outcome:
    why = f"{rules.limit_text(policy)} is used up"
    if policy.restart.action is not LimitAction.STOP:
        return _give_up(process._replace(spawnerr=f"{why}; {process.spawnerr}".rstrip("; ")), policy, why)
    say = Say("info", f"gave up: {policy.name} stays down, {why}")
    if process.state is State.EXITED:
        return process, [say]
    waiting, effects = _wait(process, 0.0)
    return _rest(waiting, State.STOPPED), [*effects, _enter(waiting, State.STOPPED), say]


def _give_up(process: Process, policy: ProcessConfig, why: str) -> Outcome:
    waiting, effects = _wait(process, 0.0)
    return _rest(waiting, State.FATAL), [
        *effects, _enter(waiting, State.FATAL), Say("info", f"gave up: {policy.name} entered FATAL state, {why}")]


def _rest(process: Process, state: State) -> Process:
    return process._replace(state=state, goal=Goal.DOWN, deadline=None, tries=0)


# ---- ends nobody asked for ----------------------------------------------------------------------------------------

def _ended_starting(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    if process.deadline is not None and now >= process.deadline and not process.spawnerr:
        # it lived long enough; only the news of its end came before the news of the time
        process, effects = _up(process, policy, now)
        process, more = _ended_running(process, input, policy, now)
        return process, [*effects, *more]
    say = Say("warn", f"exited: {policy.name} ({input.exit}; not expected)")
    reason = OUT_OF_MEMORY if input.exit.oom else TOO_QUICK
    ended = process._replace(ended=now, spawnerr=process.spawnerr or reason)
    ended, effects = _failed(ended, policy, now)
    return ended, [effects[0], say, *_left_behind(input, policy), *effects[1:]]


def _ended_running(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    expected = rules.expected(policy, input.exit)
    publish = _enter(process, State.EXITED, expected)
    word = "expected" if expected else "not expected"
    say = Say("info" if expected else "warn", f"exited: {policy.name} ({input.exit}; {word})")
    reason = OUT_OF_MEMORY if input.exit.oom else f"Bad exit code {input.exit.code}"
    spawnerr = process.spawnerr or ("" if expected else reason)
    ended = process._replace(state=State.EXITED, goal=Goal.DOWN, pid=0, deadline=None, ended=now, exit=input.exit,
                             spawnerr=spawnerr)
    effects: list[Effect] = [publish, say, *_left_behind(input, policy)]
    verdict = rules.after_lack(policy) if process.lacking else rules.after_exit(policy, input.exit)
    if verdict is Verdict.REST:
        return ended, effects
    seconds = now - process.started
    # with startsecs=0 a child that never became the program has been RUNNING for a moment: it must not be tried in a
    # loop
    if not process.spawnerr and rules.good(policy, seconds):
        ended, more = _again(ended._replace(tries=0, lacks=0), policy, now, now)
    else:
        why = spawnerr or f"Ended after {int(seconds)} seconds ({input.exit})"
        ended, more = _failed(ended._replace(spawnerr=why), policy, now)
    return ended, [*effects, *more]


def _left_behind(input: Exited, policy: ProcessConfig) -> list[Effect]:
    """`leftovers=kill` ends what a run leaves; otherwise it is only counted and shown."""
    return [Kill(input.run, True)] if input.populated and policy.leftovers else []


# ---- the stop ladder ----------------------------------------------------------------------------------------------

def _stop(process: Process, _input: Stop, policy: ProcessConfig, now: float) -> Outcome:
    stopping = process._replace(state=State.STOPPING, goal=Goal.DOWN, rung=1, deadline=now + policy.stopwaitsecs)
    return stopping, [_enter(process, State.STOPPING), Signal(process.run, policy.stopsignals[0], policy.stopasgroup)]


def _climb(process: Process, _input: Elapsed, policy: ProcessConfig, now: float) -> Outcome:
    """The next rung: the next stop signal (Go's lists), then SIGKILL, again and again until it is over."""
    higher = process._replace(rung=process.rung + 1, deadline=now + max(policy.stopwaitsecs, 1))
    if not process.reaped and process.rung < len(policy.stopsignals):
        return higher, [Signal(process.run, policy.stopsignals[process.rung], policy.stopasgroup)]
    whom = f"what '{policy.name}' left behind" if process.reaped else f"'{policy.name}' ({process.pid})"
    return higher, [Say("warn", f"killing {whom} with SIGKILL"), Kill(process.run, policy.killasgroup)]


def _ended_stopping(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    level = "info" if rules.expected(policy, input.exit) else "warn"
    say = Say(level, f"stopped: {policy.name} ({input.exit})")
    if input.populated and policy.killasgroup:
        # the whole tree is to go; what is left has the rest of stopwaitsecs to end by itself
        return process._replace(reaped=True, ended=now, exit=input.exit), [say]
    stopped, effects = _stopped(process, input.exit, policy, now)
    return stopped, [effects[0], say, *_left_behind(input, policy), *effects[1:]]


def _emptied(process: Process, _input: Emptied, policy: ProcessConfig, now: float) -> Outcome:
    return _stopped(process, process.exit, policy, now)


def _stopped(process: Process, exit: Exit | None, policy: ProcessConfig, now: float) -> Outcome:
    publish = _enter(process, State.STOPPED)
    stopped = process._replace(state=State.STOPPED, pid=0, deadline=None, rung=0, reaped=False, exit=exit,
                               ended=now if exit else process.ended)
    if process.goal is Goal.DOWN:
        return stopped, [publish]
    stopped, effects = _begin(stopped, Start(), policy, now)
    return stopped, [publish, *effects]


def _unspawned_stopping(process: Process, input: SpawnFailed, policy: ProcessConfig, now: float) -> Outcome:
    return _stopped(process._replace(spawnerr=input.reason), None, policy, now)


def _stop_waiting(process: Process, input: Stop, _policy: ProcessConfig, _now: float) -> Outcome:
    if input.shutdown:
        return _rest(process, State.FATAL), [_enter(process, State.FATAL)]
    # Supervisor keeps the count of tries here, so that a later start reaches FATAL sooner; so do we
    return process._replace(state=State.STOPPED, goal=Goal.DOWN, deadline=None), [_enter(process, State.STOPPED)]


def _want_up(process: Process, _input: Start, _policy: ProcessConfig, _now: float) -> Outcome:
    return process._replace(goal=Goal.UP), []


def _want_down(process: Process, _input: Stop, _policy: ProcessConfig, _now: float) -> Outcome:
    return process._replace(goal=Goal.DOWN), []


def _lost(process: Process, input: SignalFailed, _policy: ProcessConfig, _now: float) -> Outcome:
    return process._replace(state=State.UNKNOWN, goal=Goal.DOWN, deadline=None), [
        _enter(process, State.UNKNOWN), Say("critical", f"unknown problem killing {input.reason}")]


def _found(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    """A process that could not be signalled has ended after all: the record says how, the state stays UNKNOWN."""
    return process._replace(pid=0, ended=now, exit=input.exit), [
        Say("warn", f"exited: {policy.name} ({input.exit}; state was unknown)")]


#: Each cell takes the one input of its row; the table cannot say so to the type checker.
Cell = Callable[[Process, Any, ProcessConfig, float], Outcome]

S = State
TABLE: dict[tuple[State, type], Cell] = {
    (S.STOPPED, Start): _begin,
    (S.EXITED, Start): _begin,
    (S.FATAL, Start): _begin,
    (S.STARTING, Spawned): _spawned,
    (S.STARTING, SpawnFailed): _spawn_failed,
    (S.STARTING, LaunchFailed): _launch_failed,
    (S.STARTING, Elapsed): _settled,
    (S.STARTING, Exited): _ended_starting,
    (S.STARTING, Stop): _stop,
    (S.RUNNING, LaunchFailed): _launch_failed,
    (S.RUNNING, Exited): _ended_running,
    (S.RUNNING, Stop): _stop,
    (S.BACKOFF, Elapsed): _begin_again,
    (S.BACKOFF, Stop): _stop_waiting,
    (S.STOPPING, Start): _want_up,
    (S.STOPPING, Stop): _want_down,
    (S.STOPPING, Spawned): _spawned_late,
    (S.STOPPING, SpawnFailed): _unspawned_stopping,
    (S.STOPPING, LaunchFailed): _launch_failed,
    (S.STOPPING, Exited): _ended_stopping,
    (S.STOPPING, Emptied): _emptied,
    (S.STOPPING, Elapsed): _climb,
    (S.STOPPING, SignalFailed): _lost,
    (S.UNKNOWN, Exited): _found,
}

#: The cells where an input says nothing new, each group with its reason.
IGNORED: frozenset[tuple[State, type]] = frozenset({
    # already on its way up
    (S.STARTING, Start), (S.RUNNING, Start), (S.BACKOFF, Start),
    # already down
    (S.STOPPED, Stop), (S.EXITED, Stop), (S.FATAL, Stop),
    # Supervisor neither starts nor stops what it has lost control of
    (S.UNKNOWN, Start), (S.UNKNOWN, Stop),
    # a spawn is answered once, in STARTING or, if a stop came between, in STOPPING
    *((s, i) for i in (Spawned, SpawnFailed) for s in (S.STOPPED, S.RUNNING, S.BACKOFF, S.EXITED, S.FATAL, S.UNKNOWN)),
    # the child of this run has been reaped, or there never was one
    *((s, i) for i in (LaunchFailed, Exited) for s in (S.STOPPED, S.BACKOFF, S.EXITED, S.FATAL)),
    (S.UNKNOWN, LaunchFailed),
    # only the stop ladder waits for the whole tree, and only it signals
    *((s, i) for i in (Emptied, SignalFailed) for s in State if s is not S.STOPPING),
    # no deadline in these states
    *((s, Elapsed) for s in (S.STOPPED, S.RUNNING, S.EXITED, S.FATAL, S.UNKNOWN)),
})
