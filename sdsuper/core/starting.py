"""The cells of the table on the way up: a start, what it waits for, its failure, and the next try. PURE.

Promises: a start that fails ends in BACKOFF, FATAL or at rest, never in between; a pause is as long as the policy says.
Must not: be called but by the table (machine.py) and by the cells of ending.py.
"""

from sdsuper.config.model import LimitAction, ProcessConfig
from sdsuper.core import policy as rules
from sdsuper.core.policy import Verdict
from sdsuper.core.vocabulary import (
    Blocked,
    Checked,
    Cleared,
    Effect,
    Elapsed,
    Exit,
    Goal,
    Hook,
    HookDone,
    Input,
    LaunchFailed,
    Moved,
    Phase,
    Process,
    Publish,
    PublishHealth,
    Ready,
    RunHook,
    Say,
    Spawn,
    Spawned,
    SpawnFailed,
    Stall,
    Start,
    State,
    Stuck,
)

Outcome = tuple[Process, list[Effect]]
#: Why a process that has a ready check is not ready at first.
UNASKED = "it has not been asked yet"


def enter(process: Process, state: State, expected: bool = True) -> Publish:
    """The change from where it is to `state`."""
    return Publish(process.state, state, process.pid, process.attempts, expected)


# ---- going up -----------------------------------------------------------------------------------------------------

def begin(process: Process, _input: Start, policy: ProcessConfig, now: float) -> Outcome:
    """Somebody wants it up."""
    return _launch(process._replace(tries=rules.kept(policy, process.tries), lacks=0, restarts=()), policy, now)


def begin_again(process: Process, _input: Input, policy: ProcessConfig, now: float) -> Outcome:
    """It starts by itself."""
    return _launch(process._replace(restarts=rules.counted(policy, process, now)), policy, now)


def _launch(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    publish = Publish(process.state, State.STARTING, 0, process.attempts, True)
    run = process.run + 1
    begun = Process(State.STARTING, Goal.UP, run, tries=process.tries, lacks=process.lacks, restarts=process.restarts,
                    started=now, ended=process.ended)
    if policy.depends.needs:
        timeout = policy.depends.timeout
        return begun._replace(phase=Phase.WAITING, deadline=now + timeout if timeout else None), [publish]
    begun, effects = _prepare(begun, policy, now)
    return begun, [publish, *effects]


def _prepare(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """Nothing is waited for any more: the child is made, once the hooks before it are over."""
    process = process._replace(deadline=None, started=now)
    if policy.hooks.pre_start or policy.hooks.post_stop:
        return process._replace(phase=Phase.HOOK), [RunHook(process.run, Hook.PRE_START)]
    return process._replace(phase=Phase.CHILD), [Spawn(process.run)]


def cleared(process: Process, _input: Cleared, policy: ProcessConfig, now: float) -> Outcome:
    """What it depends on is there."""
    return _prepare(process._replace(spawnerr=""), policy, now) if process.phase is Phase.WAITING else (process, [])


def stuck(process: Process, input: Stuck, policy: ProcessConfig, _now: float) -> Outcome:
    """What it depends on cannot be had now; told once."""
    if process.phase is not Phase.WAITING or process.spawnerr == input.reason:
        return process, []
    return process._replace(spawnerr=input.reason), [
        Say("warn", f"{policy.name} waits: {input.reason}"), Stall(process.run)]


def blocked(process: Process, input: Blocked, policy: ProcessConfig, _now: float) -> Outcome:
    """What it depends on cannot be had."""
    if process.phase is not Phase.WAITING:
        return process, []
    return _give_up(process._replace(spawnerr=input.reason, phase=Phase.CHILD), policy, input.reason)


def prepared(process: Process, input: HookDone, policy: ProcessConfig, now: float) -> Outcome:
    """The hook before the start is over."""
    if process.phase is not Phase.HOOK or input.hook is not Hook.PRE_START:
        return process, []
    process = process._replace(phase=Phase.CHILD, started=now)
    if not input.reason:
        return process, [Spawn(process.run)]
    return _unstarted(process._replace(spawnerr=f"pre_start_hook: {input.reason}", lacking=input.lack), policy, now)


def spawned(process: Process, input: Spawned, policy: ProcessConfig, now: float) -> Outcome:
    """There is a child."""
    say = Say("info", f"spawned: '{policy.name}' with pid {input.pid}")
    if rules.awaited(policy):
        timeout = rules.ready_seconds(policy)
        return process._replace(pid=input.pid, deadline=now + timeout if timeout else None), [say]
    if policy.startsecs <= 0:
        process, effects = stayed(process._replace(pid=input.pid), policy, now)
        return process, [say, *effects]
    return process._replace(pid=input.pid, deadline=now + policy.startsecs), [say]


def spawned_late(process: Process, input: Spawned, _policy: ProcessConfig, _now: float) -> Outcome:
    """There is a child, and it is not wanted any more."""
    return process._replace(pid=input.pid), []


def stayed(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """It has been there for startsecs."""
    return _up(process, policy, now, f"process has stayed up for > than {policy.startsecs} seconds (startsecs)")


def ready(process: Process, input: Ready, policy: ProcessConfig, now: float) -> Outcome:
    """It is ready, by other means than startsecs."""
    if process.phase is not Phase.CHILD or not process.pid:
        return process, []
    return _up(process, policy, now, f"it is ready ({input.how})")


def _up(process: Process, policy: ProcessConfig, now: float, why: str) -> Outcome:
    tries = 0 if rules.good(policy, now - process.started) else process.tries
    effects: list[Effect] = [enter(process, State.RUNNING),
                             Say("info", f"success: {policy.name} entered RUNNING state, {why}")]
    if policy.hooks.post_start:
        effects.append(RunHook(process.run, Hook.POST_START))
    running = process._replace(state=State.RUNNING, deadline=None, tries=tries, settled=True)
    if policy.health.ready is not None:
        running = running._replace(ready=False, trouble=UNASKED)
    return running, effects


def moved(process: Process, input: Moved, policy: ProcessConfig, _now: float) -> Outcome:
    """Another process of the run is its leader now."""
    if process.pid in (0, input.pid) or process.reaped:
        return process, []
    return process._replace(pid=input.pid), [Say("info", f"{policy.name} is pid {input.pid} now")]


def checked(process: Process, input: Checked, policy: ProcessConfig, _now: float) -> Outcome:
    """Its checks say something else than before."""
    after = process._replace(healthy=input.healthy, ready=input.ready, trouble=input.reason)
    before, health = process.health, after.health
    if before == health:
        return after, []
    effects: list[Effect] = [PublishHealth(process.run, before, health, input.reason)]
    if health in ("unhealthy", "unready"):
        word = "unhealthy" if health == "unhealthy" else "not ready"
        effects.append(Say("warn", f"{policy.name} is {word}: {input.reason}"))
    elif health == "healthy" and before != "unknown":
        effects.append(Say("info", f"{policy.name} is {'healthy again' if before == 'unhealthy' else 'ready'}"))
    return after, effects


def launch_failed(process: Process, input: LaunchFailed, _policy: ProcessConfig, _now: float) -> Outcome:
    """The child could not become the program; its end follows."""
    return process._replace(spawnerr=input.reason, lacking=input.lack), [Say("info", f"spawnerr: {input.reason}")]


def spawn_failed(process: Process, input: SpawnFailed, policy: ProcessConfig, now: float) -> Outcome:
    """No child could be made."""
    process, effects = _unstarted(process._replace(spawnerr=input.reason, lacking=input.lack), policy, now)
    return process, [Say("info", f"spawnerr: {input.reason}"), *effects]


def _unstarted(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """A start has failed before there was a child."""
    run = process.run
    process, effects = failed(process, policy, now)
    return process, [*effects, *after_run(run, policy)]


def after_run(run: int, policy: ProcessConfig, exit: Exit | None = None) -> list[Effect]:
    """The hook that a run leaves to be run, however it has ended."""
    return [RunHook(run, Hook.POST_STOP, exit)] if policy.hooks.post_stop else []


# ---- and again ----------------------------------------------------------------------------------------------------

def failed(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """A start has failed: wait for the next try, or give up."""
    if process.lacking and rules.after_lack(policy) is Verdict.RETRY:
        return _lacked(process, policy, now)
    failed = process._replace(tries=process.tries + 1, lacks=0)
    if rules.after_failed_start(policy, failed.tries) is Verdict.RETRY:
        pause = rules.pause(policy, failed.tries, rules.chance(policy, process, now))
        return again(failed, policy, now, now + pause)
    return _give_up(failed, policy, "too many start retries too quickly")


def _lacked(process: Process, policy: ProcessConfig, now: float) -> Outcome:
    """The machine had no process, descriptor or memory for it. That says nothing of the program, so it never ends."""
    lacks = process.lacks + 1
    waiting, effects = _wait(process._replace(lacks=lacks), now + rules.lack_pause(lacks))
    if lacks == 1:
        effects.append(Say("warn", f"{policy.name} is tried again until the machine has what it needs"))
    return waiting, effects


def again(process: Process, policy: ProcessConfig, now: float, at: float) -> Outcome:
    """It is to start by itself at the time `at`, if its restart_limit allows that."""
    allowed = rules.room(policy, process.restarts, at)
    if allowed is None:
        return _used_up(process, policy)
    if allowed <= now:
        return begin_again(process, Elapsed(process.run), policy, now)
    return _wait(process, allowed)


def _wait(process: Process, until: float) -> Outcome:
    return process._replace(state=State.BACKOFF, goal=Goal.UP, pid=0, deadline=until), [enter(process, State.BACKOFF)]


def _used_up(process: Process, policy: ProcessConfig) -> Outcome:
    why = f"{rules.limit_text(policy)} is used up"
    if policy.restart.action is not LimitAction.STOP:
        return _give_up(process._replace(spawnerr=f"{why}; {process.spawnerr}".rstrip("; ")), policy, why)
    say = Say("info", f"gave up: {policy.name} stays down, {why}")
    if process.state in (State.EXITED, State.STOPPED):
        return process._replace(goal=Goal.DOWN), [say]
    waiting, effects = _wait(process, 0.0)
    return rest(waiting, State.STOPPED), [*effects, enter(waiting, State.STOPPED), say]


def _give_up(process: Process, policy: ProcessConfig, why: str) -> Outcome:
    waiting, effects = _wait(process, 0.0)
    return rest(waiting, State.FATAL), [
        *effects, enter(waiting, State.FATAL), Say("info", f"gave up: {policy.name} entered FATAL state, {why}")]


def rest(process: Process, state: State) -> Process:
    """At rest in `state`."""
    return process._replace(state=state, goal=Goal.DOWN, deadline=None, tries=0)
