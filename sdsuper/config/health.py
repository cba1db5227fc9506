"""Checks of programs: the records of startup, ready and liveness checks, and of the watchdog.

Promises: `Health()` is Supervisor's way, which checks nothing. What a check says of itself has nothing secret in it.
Must not: convert (health_values.py does), or say what follows from a result (core/health.py does).
"""

from enum import Enum
from typing import NamedTuple


class CheckKind(Enum):
    """What a check is for. The value is the first word of its options."""

    STARTUP = "startup"        # STARTING lasts until it is content
    READY = "ready"            # whether a RUNNING process has time for others
    LIVE = "liveness"          # whether it is well


class Check(NamedTuple):
    """One check: `text` as written, and seconds. `failures` 0: any number of them means nothing."""

    text: str
    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    def __repr__(self) -> str:
        return f"Check({self.initial_delay:g}/{self.period:g}/{self.timeout:g}, {self.successes}/{self.failures})"


class ActionKind(Enum):
    """What is done about a process that is not well. The value is the word for it."""

    RESTART = "restart"
    STOP = "stop"
    SIGNAL = "signal"          # `Action.signal`
    RUN = "run"                # `Action.text`, which may be whatever a check may be
    NONE = "none"              # it is only told


class Action(NamedTuple):
    """One action."""

    kind: ActionKind = ActionKind.RESTART
    text: str = ""
    signal: int = 0

    def __repr__(self) -> str:
        return f"Action({self.kind.value})"


class Health(NamedTuple):
    """All checks of a process, and how long it may take to start where `startup` says when it has."""

    startup: Check | None = None
    startup_seconds: int = 0           # 0: no limit
    ready: Check | None = None
    live: Check | None = None
    well: str = ""                     # what to run when it is found to be well
    ill: Action = Action()             # also when the watchdog hears nothing
    watchdog: float = 0                # seconds; 0: there is none

    def __repr__(self) -> str:
        shown = self._replace(well="…" if self.well else "")
        return f"Health{tuple(shown)!r}"

    @property
    def shown(self) -> bool:
        """Whether anything can be said of the health of a running process."""
        return bool(self.ready or self.live or self.watchdog)


UNCHECKED = Health()
