"""The whole of what a run has started: counted, ended, and seen to be gone.

Promises: nothing escapes where there is a cgroup (one for each run); elsewhere session, process group, descent and a
mark in the environment find what can be found. What a finished run leaves is kept in view until it is gone. Must not:
decide whether it is to be ended.
"""

import os
from collections.abc import Callable
from signal import SIGKILL
from time import monotonic, sleep

from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import Exit
from sdsuper.logs.pipes import Stream
from sdsuper.system import tree as walk
from sdsuper.system.cgroup import CgroupTree
from sdsuper.system.loop import EPOLLPRI, Loop

END_SECONDS = 0.5     # at the daemon's end, for what a shell that was just stopped has left: it soon ends by itself
LOOK_PAUSE = 0.5      # seconds until a tree is looked at again of whose end nothing will tell


class Run:
    """One life of a process: its child, its pipes, the cgroup it began in (None: without one)."""

    __slots__ = ("exit", "killed", "next", "number", "pid", "slot", "streams", "tag", "tree")

    def __init__(self, slot: Slot, number: int, tag: int) -> None:
        self.slot, self.number, self.tag, self.pid = slot, number, tag, 0
        self.streams: list[Stream] = []
        self.tree: str | None = None
        self.killed = False         # by us, with SIGKILL
        self.next = 0               # the process that leads it once the present leader has ended
        self.exit: Exit | None = None       # how the newest leader has ended


class Trees:
    """The trees of all runs that still have processes. `on_empty(run)` tells that the last one of a finished run is
    gone.
    """

    def __init__(self, loop: Loop, cgroups: CgroupTree | None, mark: str) -> None:
        self._loop, self._cgroups, self._mark = loop, cgroups, mark
        self.on_empty: Callable[[Run], object] = lambda _run: None
        self._live: dict[Key, Run] = {}
        self._left: dict[Key, list[Run]] = {}
        self._watched: dict[int, int] = {}      # run's tag -> descriptor of cgroup.events

    def create(self, run: Run, environment: dict[str, str]) -> str | None:
        """Make room for a run; without cgroups, mark its environment. Raises OSError."""
        self._live[run.slot.key] = run
        if self._cgroups is None:
            environment[walk.MARK] = self._marker(run)
            return None
        return self._cgroups.create(f"{run.slot.group}:{run.slot.config.name}.{run.number}")

    def discard(self, run: Run) -> None:
        """The run did not come to be."""
        self._live.pop(run.slot.key, None)
        if run.tree is not None and self._cgroups is not None:
            self._cgroups.remove(run.tree)

    def bury(self, run: Run) -> bool:
        """The leader was reaped: whether others are left. They are watched until they are gone."""
        self._live.pop(run.slot.key, None)
        if self._gone(run, False):
            return False
        self._left.setdefault(run.slot.key, []).append(run)
        if run.tree is not None and self._cgroups is not None:
            try:
                fd = self._watched[run.tag] = self._cgroups.populated_fd(run.tree)
                self._loop.watch(fd, EPOLLPRI, lambda _events: self._look_at(run))
            except OSError:
                self._look_later(run)       # no descriptor for it now
        return True

    def _look_later(self, run: Run) -> None:
        self._loop.soon(LOOK_PAUSE, lambda: self._look_at(run))

    def kill(self, key: Key, number: int) -> None:
        """SIGKILL everything in the tree of a run, again and again until it stays dead."""
        live = self._live.get(key)
        for run in [*([live] if live else []), *self._left.get(key, ())]:
            if run.number == number:
                if run.tree is not None and self._cgroups is not None:
                    self._cgroups.kill(run.tree)
                else:
                    walk.kill_tree(run.pid, self._marker(run), run is not live)

    def left_behind(self, key: Key) -> int:
        """How many processes of finished runs are still there."""
        return sum(self._count(run) for run in self._left.get(key, ()))

    def _count(self, run: Run) -> int:
        if run.tree is not None and self._cgroups is not None:
            return self._cgroups.count(run.tree)
        return len(walk.find_tree(run.pid, self._marker(run), True))

    def holds(self, run: Run, pid: int) -> bool | None:
        """Whether a process is one of a run's; None for one that is not there any more."""
        if run.tree is not None and self._cgroups is not None:
            inside = self._cgroups.holds(run.tree, pid)
        else:
            inside = any(seen.pid == pid for seen in walk.find_tree(run.pid, self._marker(run)))
        return inside or (None if walk.is_dead(pid) else False)

    def signal(self, run: Run, number: int) -> None:
        """Send a signal to every process of a run."""
        if number == SIGKILL:
            self.kill(run.slot.key, run.number)
            return
        if run.tree is not None and self._cgroups is not None:
            pids = self._cgroups.pids(run.tree)
        else:
            pids = [seen.pid for seen in walk.find_tree(run.pid, self._marker(run), True)]
        for pid in pids:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue

    def alive(self, run: Run) -> bool:
        """Whether a run has any process left."""
        return self._count(run) > 0

    def look(self) -> None:
        """An orphan was reaped: without cgroups this is how the end of a tree is seen."""
        if self._cgroups is None:
            for run in [run for runs in self._left.values() for run in runs]:
                self._look_at(run)

    def _look_at(self, run: Run) -> None:
        fd = self._watched.get(run.tag, -1)
        if run not in self._left.get(run.slot.key, ()):
            return
        # cgroup.events is ready until it has been read; without this the loop would turn as long as anybody is there
        if fd >= 0 and self._cgroups is not None and self._cgroups.populated(fd):
            return
        if not self._gone(run, True):
            if self._cgroups is not None:
                self._look_later(run)       # empty, but not to be removed yet; or seen without a descriptor
            return
        if fd >= 0:
            del self._watched[run.tag]
            self._loop.unwatch(fd)
            os.close(fd)
        runs = self._left[run.slot.key]
        runs.remove(run)
        if not runs:
            del self._left[run.slot.key]
        self.on_empty(run)

    def _gone(self, run: Run, had_others: bool) -> bool:
        if run.tree is not None and self._cgroups is not None:
            try:
                return self._cgroups.remove(run.tree)
            except OSError:
                return True                 # not ours to remove any more; nobody can be counted in it either
        config = run.slot.config
        if config.killasgroup or config.leftovers or had_others:
            return not walk.find_tree(run.pid, self._marker(run), True)
        # nobody will be ended, so a look at the process group is enough: a look at all of /proc costs milliseconds
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _marker(self, run: Run) -> str:
        return f"{self._mark}-{run.tag}"

    def close(self) -> None:
        """Give back the descriptors and, where it is empty, the tree of cgroups."""
        for fd in self._watched.values():
            self._loop.unwatch(fd)
            os.close(fd)
        self._watched.clear()
        if self._cgroups is not None:
            until = monotonic() + END_SECONDS
            while self._cgroups.leftovers() and monotonic() < until:
                sleep(0.01)
            self._cgroups.close()
