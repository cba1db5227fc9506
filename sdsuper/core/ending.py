"""The cells of the table on the way down: ends that nobody asked for, and the stop ladder. PURE.

Promises: the ladder ends in SIGKILL, again and again until it is over; what follows an end is what the policy says.
Must not: be called but by the table (machine.py).
"""

from sdsuper.config.model import ProcessConfig
from sdsuper.core import policy as rules
from sdsuper.core.policy import Verdict
from sdsuper.core.starting import Outcome, after_run, again, begin, enter, failed, rest, stayed
from sdsuper.core.vocabulary import (
    Effect,
    Elapsed,
    Emptied,
    EndHook,
    Exit,
    Exited,
    Faulty,
    Goal,
    Hook,
    HookDone,
    Kill,
    Phase,
    Process,
    Publish,
    RunHook,
    Say,
    Signal,
    SignalFailed,
    SpawnFailed,
    Start,
    State,
    Stop,
)

OUT_OF_MEMORY = "Killed by the kernel, out of memory"
TOO_QUICK = "Exited too quickly (process log may have details)"


# ---- ends nobody asked for ----------------------------------------------------------------------------------------

def ended_starting(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    """The child has ended before the process was RUNNING."""
    awaited = rules.awaited(policy)
    if process.deadline is not None and now >= process.deadline and not process.spawnerr and not awaited:
        # it lived long enough; only the news of its end came before the news of the time
        process, effects = stayed(process, policy, now)
        process, more = ended_running(process, input, policy, now)
        return process, [*effects, *more]
    say = Say("warn", f"exited: {policy.name} ({input.exit}; not expected)")
    reason = OUT_OF_MEMORY if input.exit.oom else f"Ended before it was ready ({input.exit})" if awaited else TOO_QUICK
    ended = process._replace(ended=now, spawnerr=process.spawnerr or reason)
    ended, effects = failed(ended, policy, now)
    more = after_run(input.run, policy, input.exit)
    return ended, [effects[0], say, *_left_behind(input, policy), *more, *effects[1:]]


def ended_running(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    """The child has ended while the process was RUNNING."""
    expected = rules.expected(policy, input.exit)
    publish = enter(process, State.EXITED, expected)
    word = "expected" if expected else "not expected"
    say = Say("info" if expected else "warn", f"exited: {policy.name} ({input.exit}; {word})")
    reason = OUT_OF_MEMORY if input.exit.oom else f"Bad exit code {input.exit.code}"
    spawnerr = process.spawnerr or ("" if expected else reason)
    ended = process._replace(state=State.EXITED, goal=Goal.DOWN, pid=0, deadline=None, ended=now, exit=input.exit,
                             spawnerr=spawnerr, healthy=None, ready=None, trouble="")
    effects: list[Effect] = [publish, say, *_left_behind(input, policy), *after_run(input.run, policy, input.exit)]
    verdict = rules.after_lack(policy) if process.lacking else rules.after_exit(policy, input.exit)
    if verdict is Verdict.REST:
        return ended, effects
    seconds = now - process.started
    # with startsecs=0 a child that never became the program has been RUNNING for a moment: it must not be tried in a
    # loop
    if not process.spawnerr and rules.good(policy, seconds):
        ended, more = again(ended._replace(tries=0, lacks=0), policy, now, now)
    else:
        why = spawnerr or f"Ended after {int(seconds)} seconds ({input.exit})"
        ended, more = failed(ended._replace(spawnerr=why), policy, now)
    return ended, [*effects, *more]


def _left_behind(input: Exited, policy: ProcessConfig) -> list[Effect]:
    """`leftovers=kill` ends what a run leaves; otherwise it is only counted and shown."""
    return [Kill(input.run, True)] if input.populated and policy.leftovers else []


# ---- the stop ladder ----------------------------------------------------------------------------------------------

def stop(process: Process, input: Stop, policy: ProcessConfig, now: float) -> Outcome:
    """It is wanted down, and may have a child."""
    process = process._replace(goal=Goal.UP if input.again else Goal.DOWN)
    if process.phase is Phase.CHILD:
        return _begin_ladder(process, policy, now)
    effects: list[Effect] = [enter(process, State.STOPPING)]
    if process.phase is Phase.HOOK:
        effects.append(EndHook(process.run))
    stopping = process._replace(state=State.STOPPING, deadline=None)
    stopped, more = _stopped(stopping, None, policy, now)
    return stopped, [*effects, *more]


def overdue(process: Process, _input: Elapsed, policy: ProcessConfig, now: float) -> Outcome:
    """The time of a start is over: that of startsecs, which is good news, or that of what it waits for."""
    if process.phase is Phase.WAITING:
        why = f"What it depends on was not there after {policy.depends.timeout} seconds"
        return failed(process._replace(spawnerr=why, phase=Phase.CHILD), policy, now)
    if not rules.awaited(policy):
        return stayed(process, policy, now)
    timeout = rules.ready_seconds(policy)
    if not timeout or now < process.started + timeout:      # a reload has given it more time
        return process._replace(deadline=process.started + timeout if timeout else None), []
    return faulty(process, Faulty(process.run, f"Was not ready after {timeout} seconds"), policy, now)


def faulty(process: Process, input: Faulty, policy: ProcessConfig, now: float) -> Outcome:
    """This run is no good: it is stopped, and what follows is as after an exit."""
    if process.phase is not Phase.CHILD or not process.pid:
        return process, []
    process, effects = _begin_ladder(process._replace(fault=input.reason), policy, now)
    return process, [effects[0], Say("warn", f"{policy.name}: {input.reason}: stopping it"), *effects[1:]]


def _begin_ladder(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    publish = enter(process, State.STOPPING)
    stopping = process._replace(state=State.STOPPING, deadline=None, healthy=None, ready=None, trouble="")
    if policy.hooks.pre_stop and process.pid:
        return stopping._replace(phase=Phase.HOOK), [publish, RunHook(process.run, Hook.PRE_STOP)]
    stopping, effects = _first_rung(stopping, policy, now)
    return stopping, [publish, *effects]


def _first_rung(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    return process._replace(rung=1, deadline=now + policy.stopwaitsecs), [
        Signal(process.run, policy.stopsignals[0], policy.stopasgroup)]


def released(process: Process, input: HookDone, policy: ProcessConfig, now: float) -> Outcome:
    """The hook before the stop is over, with whatever result."""
    if process.phase is not Phase.HOOK or input.hook is not Hook.PRE_STOP:
        return process, []
    return _first_rung(process._replace(phase=Phase.CHILD), policy, now)


def climb(process: Process, _input: Elapsed, policy: ProcessConfig, now: float) -> Outcome:
    """The next rung: the next stop signal (Go's lists), then SIGKILL, again and again until it is over."""
    higher = process._replace(rung=process.rung + 1, deadline=now + max(policy.stopwaitsecs, 1))
    if not process.reaped and process.rung < len(policy.stopsignals):
        return higher, [Signal(process.run, policy.stopsignals[process.rung], policy.stopasgroup)]
    if policy.killwaitsecs is not None:
        higher = higher._replace(deadline=now + policy.killwaitsecs)
    whom = f"what '{policy.name}' left behind" if process.reaped else f"'{policy.name}' ({process.pid})"
    return higher, [Say("warn", f"killing {whom} with SIGKILL"), Kill(process.run, policy.killasgroup)]


def ended_stopping(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    """The child has ended as it was told, or before it could be."""
    level = "info" if rules.expected(policy, input.exit) else "warn"
    says: list[Effect] = [Say(level, f"stopped: {policy.name} ({input.exit})")]
    if process.phase is Phase.HOOK:
        says.insert(0, EndHook(process.run))
        process = process._replace(phase=Phase.CHILD, deadline=now + policy.stopwaitsecs)
    if input.populated and policy.killasgroup:
        # the whole tree is to go; what is left has the rest of stopwaitsecs to end by itself
        return process._replace(reaped=True, ended=now, exit=input.exit), says
    stopped, effects = _stopped(process, input.exit, policy, now)
    behind = next(at for at, effect in enumerate(effects, 1) if isinstance(effect, Publish))
    return stopped, [*_left_behind(input, policy), *effects[:behind], *says, *effects[behind:]]


def emptied(process: Process, _input: Emptied, policy: ProcessConfig, now: float) -> Outcome:
    """What the child had left is gone as well."""
    return _stopped(process, process.exit, policy, now)


def _stopped(process: Process, exit: Exit | None, policy: ProcessConfig, now: float) -> Outcome:
    publish = enter(process, State.STOPPED)
    stopped = process._replace(state=State.STOPPED, pid=0, deadline=None, rung=0, reaped=False, exit=exit,
                               ended=now if exit else process.ended, fault="", phase=Phase.CHILD)
    # one that has only waited, be it for the last hook of the run before, leaves nothing to be done
    idle = process.phase is Phase.WAITING or (process.phase is Phase.HOOK and not policy.hooks.pre_start)
    # the hook goes before the change: with that its options may be others
    effects: list[Effect] = [] if idle else after_run(process.run, policy, exit)
    effects.append(publish)
    if process.goal is Goal.DOWN:
        return stopped, effects
    if not process.fault:
        stopped, more = begin(stopped, Start(), policy, now)
    elif not policy.restart.limit:
        stopped, more = rest(stopped, State.STOPPED), []
    elif process.settled and rules.good(policy, now - process.started):
        stopped, more = again(stopped._replace(tries=0, lacks=0, spawnerr=process.fault), policy, now, now)
    else:
        stopped, more = failed(stopped._replace(spawnerr=process.fault), policy, now)
    return stopped, [*effects, *more]


def unspawned_stopping(process: Process, input: SpawnFailed, policy: ProcessConfig, now: float) -> Outcome:
    """A child that is not wanted any more could not be made anyway."""
    return _stopped(process._replace(spawnerr=input.reason), None, policy, now)


def stop_waiting(process: Process, input: Stop, _policy: ProcessConfig, _now: float) -> Outcome:
    """It is wanted down, and waits for its next try."""
    if input.again:
        return process, []
    if input.shutdown:
        return rest(process, State.FATAL), [enter(process, State.FATAL)]
    # Supervisor keeps the count of tries here, so that a later start reaches FATAL sooner; so do we
    return process._replace(state=State.STOPPED, goal=Goal.DOWN, deadline=None), [enter(process, State.STOPPED)]


def want_up(process: Process, _input: Start, _policy: ProcessConfig, _now: float) -> Outcome:
    """Once it has stopped it is to start again, at once."""
    return process._replace(goal=Goal.UP, fault=""), []


def want_down(process: Process, input: Stop, _policy: ProcessConfig, _now: float) -> Outcome:
    """It is to stay down after all, unless this is not what is meant."""
    return (process if input.again else process._replace(goal=Goal.DOWN)), []


def lost(process: Process, input: SignalFailed, _policy: ProcessConfig, _now: float) -> Outcome:
    """It cannot be signalled, so nobody knows what it does."""
    return process._replace(state=State.UNKNOWN, goal=Goal.DOWN, deadline=None), [
        enter(process, State.UNKNOWN), Say("critical", f"unknown problem killing {input.reason}")]


def found(process: Process, input: Exited, policy: ProcessConfig, now: float) -> Outcome:
    """A process that could not be signalled has ended after all: the record says how, the state stays UNKNOWN."""
    return process._replace(pid=0, ended=now, exit=input.exit), [
        Say("warn", f"exited: {policy.name} ({input.exit}; state was unknown)")]
