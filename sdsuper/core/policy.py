"""What a program's options say after an exit. PURE.

Promises: one place for each rule of `autorestart`, `exitcodes`, `startretries` and the back-off. Must not: know states.
"""

from collections.abc import Iterable
from enum import Enum

from sdsuper.config.model import AutoRestart, GroupConfig, ProcessConfig
from sdsuper.core.vocabulary import Exit


class Verdict(Enum):
    """What follows the end of a run, or of a try to start one."""

    RESTART = "restart"      # at once
    RETRY = "retry"          # after the back-off
    REST = "rest"


def expected(policy: ProcessConfig, exit: Exit) -> bool:
    """Whether `exitcodes` lists this end. A death by signal is never expected."""
    return not exit.signal and exit.code in policy.exitcodes


def after_exit(policy: ProcessConfig, exit: Exit) -> Verdict:
    """What follows an exit from RUNNING that nobody asked for."""
    if policy.autorestart is AutoRestart.ALWAYS:
        return Verdict.RESTART
    if policy.autorestart is AutoRestart.UNEXPECTED and not expected(policy, exit):
        return Verdict.RESTART
    return Verdict.REST


def after_failed_start(policy: ProcessConfig, tries: int) -> Verdict:
    """What follows the `tries`-th failed start in a row: `startretries=3` allows four starts in all."""
    return Verdict.RETRY if tries <= policy.startretries else Verdict.REST


def resigned(policy: ProcessConfig) -> ProcessConfig:
    """The policy of a process that shall not start again by itself: the daemon ends, and its turn to stop will come."""
    return policy._replace(autorestart=AutoRestart.NEVER, startretries=-1)


def backoff(tries: int) -> float:
    """Seconds to wait after the `tries`-th failed start in a row: one more each time, as Supervisor does."""
    return float(tries)


def stop_seconds(groups: Iterable[GroupConfig]) -> int:
    """How long it takes at the most until everything has been asked to stop with every stop signal and then killed, one
    group after the other.
    """
    return sum(max((len(process.stopsignals) * max(process.stopwaitsecs, 1) for process in group.processes), default=0)
               for group in groups)
