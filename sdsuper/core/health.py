"""When a check is made, and what follows from its results. PURE.

Promises: no check is made before its initial delay, nor sooner after another one than its period; a verdict needs as
many results in a row as its threshold says; what is done about a bad one is done once for each such row, and after it
the initial delay holds again. Chance only makes a time later, by a tenth of the period at most. Must not: know who is
asked, or how.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sdsuper.config.health import Check

#: By how much of its period a check may be later.
JITTER = 0.1
#: Seconds until something is tried again that has told nothing of the program; the period, if that is shorter.
PAUSE = 1.0


class Progress(NamedTuple):
    """Where one check of one run is: when it is made next, how many in a row were good or bad, what they led to."""

    due: float
    good: int = 0
    bad: int = 0
    verdict: bool | None = None


class Finding(NamedTuple):
    """What one who looks at a run says of it, and why if it is bad."""

    well: bool
    reason: str = ""


def first(check: Check, now: float, chance: float) -> Progress:
    """The beginning. `chance` is from 0 to 1."""
    return Progress(now + check.initial_delay + check.period * JITTER * chance)


def judged(check: Check, progress: Progress, well: bool, began: float, now: float, chance: float, acts: bool
           ) -> tuple[Progress, bool]:
    """A check that was begun at `began` has a result. Returns what comes next, and whether this result has led to a
    verdict that something follows from. `acts`: something is done about each bad one, else the first is news alone.
    """
    wait = check.period * JITTER * chance
    due = max(began + check.period, now) + wait
    good, bad = (progress.good + 1, 0) if well else (0, progress.bad + 1)
    if well:
        reached = good >= check.successes and progress.verdict is not True
    else:
        reached = 0 < check.failures <= bad and (acts or progress.verdict is not False)
    if not reached:
        return Progress(due, good, bad, progress.verdict), False
    if not well and acts:
        return Progress(max(began + check.period, now + check.initial_delay) + wait, 0, 0, False), True
    return Progress(due, good, bad, well), True


def untold(check: Check, progress: Progress, now: float) -> Progress:
    """A check could not be made, which says nothing of the program: it does not count."""
    return progress._replace(due=now + min(check.period, PAUSE))


def skipped(check: Check, progress: Progress, now: float, chance: float) -> Progress:
    """A check was not to be made just now."""
    return progress._replace(due=now + check.period * (1 + JITTER * chance))


def summary(healthy: Iterable[Finding], ready: Iterable[Finding]) -> tuple[bool | None, bool | None, str]:
    """What all of them say together: whether it is well, whether it is ready (None: nobody says so), and why not."""
    verdicts: list[bool | None] = []
    reasons = []
    for findings in (list(healthy), list(ready)):
        verdicts.append(all(finding.well for finding in findings) if findings else None)
        reasons += [finding.reason for finding in findings if not finding.well]
    return verdicts[0], verdicts[1], reasons[0] if reasons else ""
