"""The words of the core: states, goals, inputs, effects, exits. PURE.

Promises: frozen plain data. Every input that is news about a run carries the run's number; every effect names the run
it is about. Must not: decide anything. Times are monotonic seconds, given by the caller.
"""

import signal
from enum import Enum, IntEnum
from typing import NamedTuple


class State(IntEnum):
    """Supervisor's process states with their numbers (supervisor.states of 4.3.0)."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000

    __hash__ = int.__hash__      # Enum's own is written in Python, and each step looks states up a dozen times


#: A start is refused in these, a stop accepted.
UP_STATES = frozenset({State.STARTING, State.RUNNING, State.BACKOFF})
#: There is a child that can be signalled.
CHILD_STATES = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
#: Nothing happens by itself; the process may be removed.
RESTING_STATES = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})


class Goal(Enum):
    """What is wished of a process, whatever it is doing now. STOPPING with goal UP starts again once stopped."""

    DOWN = "down"
    UP = "up"


class Phase(Enum):
    """What a process in STARTING or STOPPING is at, where that is not its child."""

    CHILD = "child"
    WAITING = "waiting"        # for what it depends on, before there is a child
    HOOK = "hook"              # a hook runs: before the child is made, or before it is sent a signal


class Hook(Enum):
    """When a hook runs. The value is the first part of the option's name."""

    PRE_START = "pre_start"
    POST_START = "post_start"
    PRE_STOP = "pre_stop"
    POST_STOP = "post_stop"


class Exit(NamedTuple):
    """How a child ended: an exit code (0 to 255), or -1 and the signal that ended it. `oom`: for lack of memory."""

    code: int
    signal: int = 0
    core: bool = False
    oom: bool = False

    def __str__(self) -> str:
        if not self.signal:
            return f"exit status {self.code}"
        more = " (core dumped)" if self.core else " (out of memory)" if self.oom else ""
        return f"terminated by {signal_name(self.signal)}{more}"

    @classmethod
    def from_wait(cls, status: int) -> "Exit":
        """Decode a status of waitpid(2)."""
        number = status & 0x7F
        return cls(-1, number, bool(status & 0x80)) if number else cls(status >> 8 & 0xFF)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; a number without a name (real-time signals have some) as `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Process(NamedTuple):
    """The record of one process. `deadline` is when it wants an `Elapsed`; a resting process has none.

    `tries` counts failed starts in a row, `lacks` those in a row that failed for want of something of the machine's,
    `lacking` is whether this run has; `restarts` are the newest starts by itself since somebody wanted one, as many as
    `restart_limit` has to know of. `rung` counts the signals sent by the stop ladder, `started` and `ended` are of the
    newest run (0.0: never). `pid` is 0 without a child. `reaped`: in STOPPING the leader has ended and only the rest of
    its tree is waited for; `pid` is then history, good for events and not for signals. `settled`: this run has been
    RUNNING. `fault` is why the daemon itself ends this run to make another one of it. `healthy` and `ready` are what
    its checks say, None where there are none, or no verdict yet; `trouble` is why one of them is False.
    """

    state: State = State.STOPPED
    goal: Goal = Goal.DOWN
    run: int = 0
    pid: int = 0
    deadline: float | None = None
    tries: int = 0
    lacks: int = 0
    lacking: bool = False
    restarts: tuple[float, ...] = ()
    rung: int = 0
    reaped: bool = False
    started: float = 0.0
    ended: float = 0.0
    exit: Exit | None = None
    spawnerr: str = ""
    phase: Phase = Phase.CHILD
    settled: bool = False
    fault: str = ""
    healthy: bool | None = None
    ready: bool | None = None
    trouble: str = ""

    @property
    def health(self) -> str:
        """What its checks say in a word: `unhealthy`, `unready`, `healthy`, or `unknown`."""
        if self.healthy is False or self.ready is False:
            return "unhealthy" if self.healthy is False else "unready"
        return "healthy" if self.healthy or self.ready else "unknown"

    @property
    def attempts(self) -> int:
        """Starts in a row that have failed, for whatever reason: what events call tries."""
        return self.tries + self.lacks


# ---- inputs -------------------------------------------------------------------------------------------------------

class Start(NamedTuple):
    """The process is wanted up."""


class Stop(NamedTuple):
    """The process is wanted down. `shutdown`: because the daemon ends, where BACKOFF becomes FATAL as in Supervisor.
    `again`: for a while, and then up again.
    """

    shutdown: bool = False
    again: bool = False


class Spawned(NamedTuple):
    """A child was made."""

    run: int
    pid: int


class SpawnFailed(NamedTuple):
    """No child could be made. `lack`: the machine had no process, descriptor or memory, no fault of the program's."""

    run: int
    reason: str
    lack: bool = False


class LaunchFailed(NamedTuple):
    """The child exists, but could not become the program; its end follows. `lack` as with SpawnFailed."""

    run: int
    reason: str
    lack: bool = False


class Exited(NamedTuple):
    """The leader was reaped. `populated`: others of its tree are still there."""

    run: int
    exit: Exit
    populated: bool = False


class Emptied(NamedTuple):
    """The last process of the run's tree is gone."""

    run: int


class Elapsed(NamedTuple):
    """The record's deadline has passed."""

    run: int


class SignalFailed(NamedTuple):
    """The kernel refused a signal of the stop ladder for another reason than that the child is gone."""

    run: int
    reason: str


class Cleared(NamedTuple):
    """Everything that the process depends on is there."""

    run: int


class Blocked(NamedTuple):
    """Something that the process depends on cannot be had, and its options say not to wait."""

    run: int
    reason: str


class Stuck(NamedTuple):
    """Something that the process depends on cannot be had for the time being, and it waits on."""

    run: int
    reason: str


class HookDone(NamedTuple):
    """A hook is over; `reason` is why it has failed, or empty. `lack` as with SpawnFailed."""

    run: int
    hook: Hook
    reason: str = ""
    lack: bool = False


class Ready(NamedTuple):
    """The program says, or is seen, to be ready; `how` in words."""

    run: int
    how: str


class Faulty(NamedTuple):
    """The daemon's own checks say that this run has to end, and another one to be made."""

    run: int
    reason: str


class Moved(NamedTuple):
    """The leader of the run is another process now."""

    run: int
    pid: int


class Checked(NamedTuple):
    """What the checks of a run say of it has changed. `reason` is why one of them says no."""

    run: int
    healthy: bool | None
    reason: str
    ready: bool | None = None


Input = (Start | Stop | Spawned | SpawnFailed | LaunchFailed | Exited | Emptied | Elapsed | SignalFailed | Cleared
         | Blocked | Stuck | HookDone | Ready | Faulty | Moved | Checked)


# ---- effects ------------------------------------------------------------------------------------------------------

class Spawn(NamedTuple):
    """Make a child. Answered by Spawned or SpawnFailed."""

    run: int


class Signal(NamedTuple):
    """Send a signal to the leader, or to its process group."""

    run: int
    number: int
    group: bool


class Kill(NamedTuple):
    """SIGKILL the leader alone, or everything in the run's tree."""

    run: int
    tree: bool


class Publish(NamedTuple):
    """A change of state, for everybody who listens."""

    from_state: State
    state: State
    pid: int
    tries: int
    expected: bool


class PublishHealth(NamedTuple):
    """A change of what the checks of a run say, in words of `Process.health`."""

    run: int
    before: str
    health: str
    reason: str


class RunHook(NamedTuple):
    """Run a hook, after whatever other hook of the process still runs. Answered by HookDone, whatever comes of it.
    `exit` is how the run has ended, if it has.
    """

    run: int
    hook: Hook
    exit: Exit | None = None


class Stall(NamedTuple):
    """Nobody knows how long this start will take: who waits for it should know."""

    run: int


class EndHook(NamedTuple):
    """End the hook that a start or a stop waits for; nobody does any more."""

    run: int


class Say(NamedTuple):
    """A line for the daemon's log; level is one of logs/main.py's."""

    level: str
    text: str


Effect = Spawn | Signal | Kill | Publish | PublishHealth | Stall | RunHook | EndHook | Say
