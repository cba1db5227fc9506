"""What a start waits for and what else happens around a run: the records of dependencies, readiness and hooks.

Promises: `Depends()`, `Readiness()` and `Hooks()` are Supervisor's way. Must not: convert (lifecycle_values.py does),
or say when anything happens (core does).
"""

from enum import Enum
from typing import NamedTuple


class Condition(Enum):
    """What of another process is waited for."""

    STARTED = "started"        # it has a child
    READY = "ready"            # it is RUNNING
    HEALTHY = "healthy"        # it is RUNNING, and its checks are content
    COMPLETED = "completed"    # it has EXITED as expected


class Lost(Enum):
    """What follows for a process that is up when something it depends on goes down."""

    IGNORE = "ignore"
    STOP = "stop"
    RESTART = "restart"        # it is stopped, and starts again once it may


class Unmet(Enum):
    """What follows for a start when something it depends on cannot be had."""

    WAIT = "wait"
    FAIL = "fail"


class Wanted(NamedTuple):
    """One item of `depends_on` as written: a program, a group, or `group:process`."""

    name: str
    condition: Condition
    optional: bool


class Need(NamedTuple):
    """A process that another one depends on. `optional`: it is started and waited for, but its failure is none."""

    group: str
    process: str
    condition: Condition
    optional: bool


class Depends(NamedTuple):
    """What must be there before a process starts."""

    needs: tuple[Need, ...] = ()
    timeout: int = 0                   # seconds; 0: as long as it takes
    unmet: Unmet = Unmet.WAIT
    lost: Lost = Lost.IGNORE


class ReadyKind(Enum):
    """How a program says that it is ready."""

    STARTSECS = "startsecs"    # by staying up, as with Supervisor
    NOTIFY = "notify"          # sd_notify(3)
    FD = "fd"                  # a line on a descriptor, as with s6; `detail` is its number
    LOG = "log"                # a line of its output; `detail` is the pattern


class Readiness(NamedTuple):
    """When a process is RUNNING. `timeout` is in seconds, 0 for no limit."""

    kind: ReadyKind = ReadyKind.STARTSECS
    detail: str = ""
    timeout: int = 0
    everybody: bool = False            # anyone of the program's processes may notify, not the main one alone
    pidfile: str | None = None         # of type=forking: the main process is whom it names


class Hooks(NamedTuple):
    """Commands around a run, and what a reload of the program is. Empty: there is none."""

    pre_start: str = ""
    post_start: str = ""
    pre_stop: str = ""
    post_stop: str = ""
    timeout: int = 60                  # seconds that each may take
    reload_command: str = ""
    reload_signal: int = 0
