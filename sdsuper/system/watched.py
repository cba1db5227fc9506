"""What can be watched: a few files, wherever symlinks lead; a tree of directories is in watched_tree.py.

Promises: events only say where to look again; what has changed is found by comparing device, inode, size and time of
modification with what was there before. So a lost event, a replaced tree and a file system without events are nothing
special: more is looked at. Long looks are done in slices of a few milliseconds. Must not: decide what is done about a
change.
"""

import os
from collections.abc import Callable, Generator, Sequence
from errno import EINVAL
from functools import partial
from stat import S_ISREG
from time import clock_gettime_ns, monotonic
from typing import Protocol

from sdsuper.system.loop import Loop, Timer
from sdsuper.system.watch import (
    IN_ATTRIB,
    IN_CREATE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_UNMOUNT,
    Watch,
    Watches,
)

POLL_SECONDS = 5.0      # between two looks where there are no events
SLICE = 0.005           # seconds of looking before the loop has its turn
_LINKS_MOST = 40        # path_resolution(7)
_COARSE = 5             # CLOCK_REALTIME_COARSE, by which the kernel dates most changes of files
ITSELF = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT
Work = Generator[None, None, None]


class Subscriber(Protocol):
    """Who wants to know of changes."""

    def stirred(self) -> None:
        """Something has happened; a look will tell whether it is a change."""

    def looked(self, changed: Sequence[str], number: int) -> None:
        """A look, that of the number, is over, and has found these paths changed since the one before."""


# ---- a path and what leads to it ----------------------------------------------------------------------------------

def trail(path: str) -> tuple[str | None, dict[str, set[str]]]:
    """An absolute path without symlinks (None: it is not there), and where each name on the way was looked up:
    directory -> names.
    """
    steps: dict[str, set[str]] = {}
    todo, here, links = path.split("/")[::-1], "/", 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = os.path.dirname(here)
        if part in ("", ".", ".."):
            continue
        steps.setdefault(here, set()).add(part)
        entry = os.path.join(here, part)
        try:
            target = os.readlink(entry)
        except OSError as error:
            if error.errno != EINVAL:
                return None, steps
            here = entry
            continue
        links += 1
        if links > _LINKS_MOST:
            return None, steps
        here = "/" if target.startswith("/") else here
        todo += target.split("/")[::-1]
    return here, steps


class Place:
    """A path, with watches on every directory in which a part of it could be replaced. `call(mask, path)` hears of what
    happens to one of its parts. `polled`: some of that goes unseen.
    """

    def __init__(self, watches: Watches, path: str, call: Callable[[int, str], object]) -> None:
        self._watches, self._path, self._call = watches, path, call
        self._watched: dict[str, Watch] = {}
        self._steps: dict[str, set[str]] = {}
        self.polled = False

    def find(self) -> str | None:
        """Where it leads now; None: it is not there."""
        real, self._steps = trail(self._path)
        for _ in range(_LINKS_MOST):        # something may have been replaced before it was watched
            if not self._watch():
                break
            real, self._steps = trail(self._path)
        return real

    def _watch(self) -> bool:
        """Watch the steps and nothing else; whether one of them is new."""
        for directory in self._watched.keys() - self._steps.keys():
            self._watches.remove(self._watched.pop(directory))
        new = False
        for directory in self._steps.keys() - self._watched.keys():
            try:
                watch = self._watches.add(directory, partial(self._happened, directory))
            except OSError:
                continue                    # it is gone: the one above it knows when it is back
            if watch is None:
                self.polled = True
            else:
                self._watched[directory] = watch
                new = True
        return new

    def _happened(self, directory: str, mask: int, name: str) -> None:
        if mask & IN_IGNORED:
            self._watched.pop(directory, None)
        if mask & ITSELF or name in self._steps.get(directory, ()):
            self._call(mask, os.path.join(directory, name))

    def close(self) -> None:
        """Watch nothing."""
        for watch in self._watched.values():
            self._watches.remove(watch)
        self._watched.clear()


# ---- what is common -----------------------------------------------------------------------------------------------

class Source:
    """Something that is watched for subscribers. `dirty`: there may be changes that no look has found yet; `writing`
    are new files that somebody still writes. The first look, which has nothing to compare with, takes for changed what
    is younger than `since`. `number` is that of the last look that has begun.
    """

    def __init__(self, loop: Loop, watches: Watches, since: int) -> None:
        self._loop, self._watches, self._since = loop, watches, since
        self.subscribers: list[Subscriber] = []
        self.dirty, self.polled, self._fresh, self._again = True, False, True, False
        self.writing: set[str] = set()
        self.number = 0
        self._changed: list[str] = []
        self._work: Work | None = None
        self._timer: Timer | None = None

    @property
    def looking(self) -> bool:
        """Whether a look is under way."""
        return self._work is not None

    def look(self, again: bool = False) -> None:
        """Compare with what was there before, and tell the subscribers. One that is under way is enough; with `again`
        another one follows it.
        """
        if self._work is None:
            if self._timer is not None:
                self._timer.cancel()
            self.number += 1
            self._work = self._compare()
            self._slice()
        else:
            self._again = self._again or again

    def _slice(self) -> None:
        work, until = self._work, monotonic() + SLICE
        if work is None:
            return                          # closed meanwhile
        try:
            for _ in work:
                if monotonic() > until:
                    self._loop.soon(0, self._slice, bulk=True)
                    return
        except BaseException:
            self._work = None
            raise
        self._work, self._fresh = None, False
        changed, self._changed, number = self._changed, [], self.number
        if self.polled:
            self._timer = self._loop.soon(POLL_SECONDS, self._poll)
        for subscriber in tuple(self.subscribers):
            subscriber.looked(changed, number)
        if self._again and self.subscribers:
            self._again = False
            self.look()

    def _compare(self) -> Work:
        """Find what has changed, into `_changed`; the first time is mostly to know what is there."""
        raise NotImplementedError

    def _poll(self) -> None:
        self.look_everywhere()
        self.look()

    def look_everywhere(self) -> None:
        """The next look is at everything."""
        self.dirty = True

    def _tell(self, path: str) -> None:
        if not self._fresh:
            self._changed.append(path)

    def _seen(self, path: str, facts: os.stat_result) -> int:
        """What is kept of a file."""
        if self._fresh and younger(facts, self._since):
            self._changed.append(path)
        return mark(facts)

    def _stir(self, mask: int, path: str) -> None:
        """An event that may be a change."""
        if mask & IN_CREATE and not mask & IN_ISDIR:
            try:
                facts = os.lstat(path)
            except OSError:
                facts = None
            if facts is not None and S_ISREG(facts.st_mode) and facts.st_nlink == 1:
                self.writing.add(path)      # it is whole when it is closed
        elif not mask & IN_ATTRIB:
            self.writing.discard(path)
        self.dirty = True
        for subscriber in tuple(self.subscribers):
            subscriber.stirred()

    def lost(self) -> None:
        """Events were lost."""
        self.look_everywhere()
        self.writing.clear()
        for subscriber in tuple(self.subscribers):
            subscriber.stirred()

    def close(self) -> None:
        """Watch nothing, tell nobody."""
        if self._work is not None:
            self._work.close()
            self._work = None
        if self._timer is not None:
            self._timer.cancel()


def mark(facts: os.stat_result) -> int:
    """What is kept of a file: another number for another file or another content."""
    return hash((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))


def file_clock() -> int:
    """What every file that is changed from now on is younger than, in nanoseconds since the epoch. One that was changed
    just before may be so, too, by a tick of the kernel's.
    """
    return clock_gettime_ns(_COARSE) - 1


def younger(facts: os.stat_result, since: int) -> bool:
    """Whether a file was written after a time: neither a time in the future nor another owner makes it so."""
    return min(facts.st_mtime_ns, facts.st_ctime_ns) > since


# ---- files --------------------------------------------------------------------------------------------------------

class Files(Source):
    """A few files, the first of which is executed. `find` says which; None: not to be known now, so they are as before.

    As long as one of them is not there, or the first one cannot be executed, nothing is told.
    """

    def __init__(self, loop: Loop, watches: Watches, find: Callable[[], Sequence[str] | None], since: int) -> None:
        super().__init__(loop, watches, since)
        self.find = find
        self._places: dict[str, Place] = {}
        self._marks: dict[str, int] = {}

    def _compare(self) -> Work:
        self.dirty = False
        paths = self.find() or tuple(self._places)
        for path in self._places.keys() - set(paths):
            self._places.pop(path).close()
        marks: dict[str, int] = {}
        for number, path in enumerate(paths):
            place = self._places.get(path)
            if place is None:
                place = self._places[path] = Place(self._watches, path, self._stir)
            real = place.find()
            self.polled = self.polled or place.polled
            try:
                facts = os.stat(real or path)
            except OSError:
                continue
            if S_ISREG(facts.st_mode) and (number or facts.st_mode & 0o111):
                marks[path] = self._seen(path, facts)
        yield
        if len(marks) == len(paths):
            for path in paths:
                if self._marks.get(path) != marks[path]:
                    self._tell(path)
            self._marks = marks

    def close(self) -> None:
        super().close()
        for place in self._places.values():
            place.close()
