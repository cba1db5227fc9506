"""The life of one process: a table of state x input, and `step`. PURE.

Promises: `step(process, input, policy, now) -> (process, effects)` is the whole supervision of one process. Every
cell is either in TABLE or in IGNORED (a test adds them up); news about an earlier run or deadline changes nothing; a
resting process has no deadline. Must not: read a clock, act, or keep anything between calls.

      STOPPED ──► STARTING ──► RUNNING ──► EXITED          BACKOFF waits, then goes to STARTING again, or to FATAL when
                   ▲     │        │                         its retries are used up. Stop leads through STOPPING to
                   │     ▼        ▼                         STOPPED. The drawing in docs/states.md is made from TABLE.
                  BACKOFF ──►   STOPPING ──► STOPPED
"""

from collections.abc import Callable
from typing import Any

from sdsuper.config.model import ProcessConfig
from sdsuper.core import ending, starting
from sdsuper.core.starting import Outcome
from sdsuper.core.vocabulary import (
    Blocked,
    Checked,
    Cleared,
    Elapsed,
    Emptied,
    Exited,
    Faulty,
    HookDone,
    Input,
    LaunchFailed,
    Moved,
    Process,
    Ready,
    SignalFailed,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
    Stuck,
)


def step(process: Process, input: Input, policy: ProcessConfig, now: float) -> Outcome:
    """The process after `input`, and what is to be done about it, in order. `now` is monotonic seconds."""
    run = getattr(input, "run", process.run)
    if run != process.run:
        return process, []                    # old news: that run is over
    if type(input) is Elapsed and (process.deadline is None or now < process.deadline):
        return process, []                    # so is this: what was to happen by then has happened
    cell = TABLE.get((process.state, type(input)))
    return (process, []) if cell is None else cell(process, input, policy, now)


#: Each cell takes the one input of its row; the table cannot say so to the type checker.
Cell = Callable[[Process, Any, ProcessConfig, float], Outcome]

S = State
TABLE: dict[tuple[State, type], Cell] = {
    (S.STOPPED, Start): starting.begin,
    (S.EXITED, Start): starting.begin,
    (S.FATAL, Start): starting.begin,
    (S.STARTING, Spawned): starting.spawned,
    (S.STARTING, SpawnFailed): starting.spawn_failed,
    (S.STARTING, LaunchFailed): starting.launch_failed,
    (S.STARTING, Elapsed): ending.overdue,
    (S.STARTING, Exited): ending.ended_starting,
    (S.STARTING, Stop): ending.stop,
    (S.STARTING, Cleared): starting.cleared,
    (S.STARTING, Blocked): starting.blocked,
    (S.STARTING, Stuck): starting.stuck,
    (S.STARTING, HookDone): starting.prepared,
    (S.STARTING, Ready): starting.ready,
    (S.STARTING, Faulty): ending.faulty,
    (S.STARTING, Moved): starting.moved,
    (S.RUNNING, LaunchFailed): starting.launch_failed,
    (S.RUNNING, Exited): ending.ended_running,
    (S.RUNNING, Stop): ending.stop,
    (S.RUNNING, Faulty): ending.faulty,
    (S.RUNNING, Moved): starting.moved,
    (S.RUNNING, Checked): starting.checked,
    (S.BACKOFF, Elapsed): starting.begin_again,
    (S.BACKOFF, Stop): ending.stop_waiting,
    (S.STOPPING, Start): ending.want_up,
    (S.STOPPING, Stop): ending.want_down,
    (S.STOPPING, Spawned): starting.spawned_late,
    (S.STOPPING, SpawnFailed): ending.unspawned_stopping,
    (S.STOPPING, LaunchFailed): starting.launch_failed,
    (S.STOPPING, Exited): ending.ended_stopping,
    (S.STOPPING, Emptied): ending.emptied,
    (S.STOPPING, Elapsed): ending.climb,
    (S.STOPPING, SignalFailed): ending.lost,
    (S.STOPPING, HookDone): ending.released,
    (S.STOPPING, Moved): starting.moved,
    (S.UNKNOWN, Exited): ending.found,
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
    # dependencies are waited for, and hooks stand in the way, before there is a child; a hook before a stop, then
    *((s, i) for i in (Cleared, Blocked, Stuck) for s in State if s is not S.STARTING),
    *((s, HookDone) for s in State if s not in (S.STARTING, S.STOPPING)),
    # it has been ready for a while, or is on its way out
    *((s, Ready) for s in State if s is not S.STARTING),
    # there is no run that could be looked at, or it ends anyway
    *((s, Faulty) for s in State if s not in (S.STARTING, S.RUNNING)),
    # what checks say counts from the beginning to the end of RUNNING
    *((s, Checked) for s in State if s is not S.RUNNING),
    *((s, Moved) for s in State if s not in (S.STARTING, S.RUNNING, S.STOPPING)),
    # only the stop ladder waits for the whole tree, and only it signals
    *((s, i) for i in (Emptied, SignalFailed) for s in State if s is not S.STOPPING),
    # no deadline in these states
    *((s, Elapsed) for s in (S.STOPPED, S.RUNNING, S.EXITED, S.FATAL, S.UNKNOWN)),
})
