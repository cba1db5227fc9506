"""What a program's options say after an exit. PURE.

Promises: one place for each rule of `autorestart`, `exitcodes`, `startretries`, the back-off and `restart_limit`. Must
not: know states. The rules in words are in docs/restart.md.
"""

from binascii import crc32
from collections.abc import Iterable
from enum import Enum

from sdsuper.config.lifecycle import ReadyKind
from sdsuper.config.model import UNLIMITED, AutoRestart, GroupConfig, LimitAction, ProcessConfig, Restart
from sdsuper.core.vocabulary import Exit, Process

SUPERVISORS = Restart()
#: The longest pause in seconds between starts that the machine lacks something for.
LACK_LONGEST = 10.0


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
    if not policy.restart.limit:
        return Verdict.REST
    return Verdict.RETRY if policy.startretries == UNLIMITED or tries <= policy.startretries else Verdict.REST


def after_lack(policy: ProcessConfig) -> Verdict:
    """What follows a start that the machine lacked something for: it is tried until it works."""
    return Verdict.RETRY if policy.restart.limit else Verdict.REST


def awaited(policy: ProcessConfig) -> bool:
    """Whether a process is RUNNING when it is ready, and not after startsecs."""
    ready = policy.readiness
    return ready.kind is not ReadyKind.STARTSECS or ready.pidfile is not None or policy.health.startup is not None


def ready_seconds(policy: ProcessConfig) -> int:
    """How many seconds a process whose readiness is awaited may take for it; 0: as long as it takes."""
    return policy.readiness.timeout if policy.health.startup is None else policy.health.startup_seconds


def good(policy: ProcessConfig, seconds: float) -> bool:
    """Whether a run that has been RUNNING was a good one after so many seconds: what failed before it is forgotten."""
    return 0 <= policy.restart.reset <= seconds


def resigned(policy: ProcessConfig) -> ProcessConfig:
    """The policy of a process that shall not start again by itself: the daemon ends, and its turn to stop will come."""
    return policy._replace(autorestart=AutoRestart.NEVER, restart=Restart(limit=0))


# ---- the back-off -------------------------------------------------------------------------------------------------

def pause(policy: ProcessConfig, tries: int, chance: float) -> float:
    """Seconds to wait after the `tries`-th failed start in a row; `chance` is from 0 to 1. One second more each time,
    as Supervisor does, unless the options say otherwise.
    """
    how = policy.restart
    seconds = float(tries)
    if how.pause or how.factor > 1:
        try:
            seconds = (how.pause or 1) * how.factor ** (tries - 1)
        except OverflowError:
            seconds = float(how.longest)        # where there is a factor there is a longest
    if how.longest:
        seconds = min(seconds, how.longest)
    return seconds * (1 + how.jitter * chance / 100)


def lack_pause(lacks: int) -> float:
    """Seconds to wait after the `lacks`-th start in a row that the machine lacked something for."""
    return min(float(lacks), LACK_LONGEST)


def chance(policy: ProcessConfig, process: Process, now: float) -> float:
    """A number from 0 to 1 that differs from process to process, from run to run and from machine to machine."""
    return crc32(f"{policy.name} {process.run} {now}".encode()) / (1 << 32)


def kept(policy: ProcessConfig, tries: int) -> int:
    """The failed starts that still count when somebody wants the process up: Supervisor goes on counting after a stop
    in BACKOFF, and so do we where nothing else is said.
    """
    return tries if policy.restart == SUPERVISORS else 0


# ---- restart_limit ------------------------------------------------------------------------------------------------

def room(policy: ProcessConfig, restarts: tuple[float, ...], at: float) -> float | None:
    """When a start by itself may be made that is wanted for the time `at`: then, or later, or (None) not at all."""
    how = policy.restart
    if how.limit < 0 or len(restarts) < how.limit:
        return at
    if not how.limit or not how.window:
        return None
    free = restarts[-how.limit] + how.window
    if free <= at:
        return at
    return free if how.action is LimitAction.WAIT else None


def counted(policy: ProcessConfig, process: Process, now: float) -> tuple[float, ...]:
    """The starts by itself that count, with the one that is made now."""
    limit = policy.restart.limit
    if limit < 0:
        return ()
    if not process.lacks:
        return (*process.restarts, now)[-limit:]
    # no start has come of the last one: this is it, or it is one that somebody wanted
    return (*process.restarts[:-1], now) if process.restarts else ()


def limit_text(policy: ProcessConfig) -> str:
    """`restart_limit=5/60s`."""
    how = policy.restart
    return f"restart_limit={how.limit}" + (f"/{how.window}s" if how.window else "")


def stop_seconds(groups: Iterable[GroupConfig]) -> int:
    """How long it takes at the most until everything has been asked to stop with every stop signal and then killed, one
    group after the other.
    """
    return sum(_group_seconds([_stop_seconds(process) for process in group.processes], group) for group in groups)


def _group_seconds(each: list[int], group: GroupConfig) -> int:
    """Those that depend on each other may have to stop one by one."""
    return sum(each) if any(process.depends.needs for process in group.processes) else max(each, default=0)


def _stop_seconds(policy: ProcessConfig) -> int:
    hooks = (policy.hooks.pre_stop, policy.hooks.post_stop)
    return len(policy.stopsignals) * max(policy.stopwaitsecs, 1) + policy.hooks.timeout * sum(map(bool, hooks))
