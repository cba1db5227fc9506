"""When a program is started by the clock: the records of `cron` and what belongs to it.

Promises: `Cron()` is Supervisor's way, which starts nothing by the clock. Must not: convert (schedule_values.py does),
or reckon (core/schedule.py does).
"""

from enum import Enum
from typing import NamedTuple


class Overlap(Enum):
    """`cron_overlap=`: what follows when it is time and the process is still up."""

    SKIP = "skip"
    QUEUE = "queue"        # it starts again once it has ended, once
    KILL = "kill"          # it is stopped, and starts again


class Missed(Enum):
    """`cron_missed=`: what follows when a time is noticed much too late."""

    SKIP = "skip"
    ONCE = "once"          # it starts at once, however many times have passed


class Schedule(NamedTuple):
    """Times of the wall clock, or every so many seconds. Numbers are sorted; Sunday is 0."""

    zone: str = ""                     # of the tz database; empty: the machine's
    every: int = 0                     # seconds; 0: the fields say it
    seconds: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()
    either: bool = False               # a day needs to be in one of `days` and `weekdays`, not in both


class Cron(NamedTuple):
    """When a process is started by the clock, and what if that cannot be. `text` is the schedule as written."""

    text: str = ""
    schedule: Schedule | None = None
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.SKIP
    jitter: int = 0                    # seconds that a start may be later, by chance
