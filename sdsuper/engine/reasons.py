"""Why a process may be restarted: one of the things that are watched for it, and what has changed there.

Promises: a burst of changes is one; what a run has begun with is none, whenever it is found. Must not: find out what
has changed (system/watched.py does), or do anything about it (watching.py does).
"""

import os
from collections.abc import Sequence
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from sdsuper.system.loop import Timer
from sdsuper.system.watched import POLL_SECONDS, Source, younger

if TYPE_CHECKING:
    from sdsuper.engine.watching import Watched

LONGEST = 10                # times `restart_delay` that changes may go on before something is done
NAMES_MOST = 100_000        # changed paths that are counted


class Reason:
    """One source of changes for one process. `changed` are the paths since the last time; `waits`: only for the process
    to be in a state in which something can be done; what has changed before `since` is no reason.
    """

    def __init__(self, watched: "Watched", source: Source, command: str, signals: tuple[int, ...]) -> None:
        self._watched, self.source, self.command, self.signals = watched, source, command, signals
        self._loop = watched.watching.engine.loop
        self._first: float | None = None            # when something has happened that is not settled yet
        self._when = 0.0
        self._ripe = self.waits = False
        self._heeds = 0             # the first look that finds nothing that is older than `since`
        self.since = 0
        self._timer: Timer | None = None
        self.changed: dict[str, None] = {}
        source.subscribers.append(self)

    @property
    def pending(self) -> bool:
        """Whether something has happened that nothing has followed from yet."""
        return self._first is not None

    @property
    def unsettled(self) -> bool:
        """Whether there may be changes since `since` that nothing has followed from yet."""
        return self.pending or self.source.dirty or self.source.looking

    @property
    def text(self) -> str:
        """`/srv/web/app.py has changed (and 2 others)`."""
        others = len(self.changed) - 1
        more = f" (and {others} other{'s' * (others > 1)})" if others else ""
        # a name can be anything, and another line would be another message
        name = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in next(iter(self.changed)))
        return f"{name} has changed{more}"

    def stirred(self) -> None:
        """Wait for quiet, but not for ever."""
        if self._watched.hooked:
            return
        now, quiet = monotonic(), self._watched.slot.config.watch.delay
        if self.source.polled:
            quiet = max(quiet, POLL_SECONDS * 1.2)      # until another look has found nothing more
        if self._first is None:
            self._first = now
        last = self._first + LONGEST * quiet
        self._when = last if self.source.writing else min(now + quiet, last)
        self._ripe = self.waits = False
        if self._timer is None or self._timer.when > self._when:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.at(self._when, self._due)

    def _due(self) -> None:
        self._timer = None
        if monotonic() < self._when:
            self._arm()
            return
        self._ripe = True
        self.source.writing.clear()         # who still writes now is waited for no longer
        if self.source.dirty or self.source.looking:
            self.source.look()
        else:
            self._settle()

    def looked(self, changed: Sequence[str], number: int) -> None:
        """Take what a look has found."""
        if number < self._heeds:
            changed = [path for path in changed if self._is_younger(path)]
        if changed and (self.source.polled or not self.pending):
            self.stirred()                  # a look that somebody else has wanted may be faster than the event
        if not self.pending:
            return
        for path in changed[:NAMES_MOST - len(self.changed)]:
            self.changed[path] = None
        if self._ripe and self.source.dirty:
            self.source.look()
        elif self._ripe:
            self._settle()

    def _settle(self) -> None:
        if self.changed:
            self._watched.act(self)
        else:
            self.forget()

    def _is_younger(self, path: str) -> bool:
        if self.source.polled:
            return False                    # by a clock that we do not know
        try:
            return younger(os.lstat(path), self.since)
        except OSError:
            return False

    def begin(self, since: int) -> None:
        """What was there until then is what the child begins with. What that is, only another look can tell."""
        self.forget()
        self.since = since
        if self.source.polled:
            self.source.look_everywhere()
        another = self.source.dirty or self.source.looking
        self._heeds = self.source.number + 1 + another
        if another:
            self.source.look(again=True)

    def go_on(self, before: "Reason") -> None:
        """The options have changed, and not what is watched."""
        self._first, self._when, self._ripe, self.waits = before._first, before._when, before._ripe, before.waits
        self._heeds, self.since, self.changed = before._heeds, before.since, dict(before.changed)
        if before._timer is not None:
            self._arm()

    def forget(self) -> None:
        """All is well as it is."""
        self._first, self._ripe, self.waits, self.since = None, False, False, time_ns()
        self.changed.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
