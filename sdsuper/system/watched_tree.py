"""A tree of directories that is watched, with all that is in it.

Promises: a directory is watched before it is read, so nothing is missed in a new one; symlinks below are compared
themselves and not followed; the directory itself may be a symlink that is switched, may be replaced, unmounted, or not
be there yet. Must not: decide what is done about a change.
"""

import os
import re
from collections.abc import Callable, Sequence
from stat import S_ISDIR, S_ISLNK, S_ISREG

from sdsuper.system.loop import Loop
from sdsuper.system.watch import IN_ATTRIB, IN_IGNORED, IN_ISDIR, IN_UNMOUNT, Watch, Watches
from sdsuper.system.watched import ITSELF, Place, Source, Work

PIECE = 64              # entries of a directory between two looks at the clock


class _Folder:
    """One directory as it was last seen."""

    __slots__ = ("files", "folders", "ident", "watch")

    def __init__(self) -> None:
        self.ident: tuple[int, int] | None = None
        self.watch: Watch | None = None
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()


class Tree(Source):
    """All files below a directory that match one of `patterns` and none of `excludes`, which keep out directories, too.
    `logs` gives the files that never count, with what rotation makes of them.
    """

    def __init__(self, loop: Loop, watches: Watches, path: str, patterns: Sequence[str], excludes: Sequence[str],
                 logs: Callable[[], Sequence[str]], since: int) -> None:
        super().__init__(loop, watches, since)
        self._path, self._logs = path.rstrip("/") or "/", logs
        self._counts = _pattern(patterns)
        self._out = _pattern([pattern for pattern in excludes if "/" not in pattern])
        self._out_below = _pattern([pattern.strip("/") for pattern in excludes if "/" in pattern])
        self._place = Place(watches, self._path, self._led_elsewhere)
        self._folders: dict[str, _Folder] = {}
        self._todo = {""}
        self._own: set[str] = set()         # logs, by their paths below the directory
        self._unmounted = False

    def look_everywhere(self) -> None:
        super().look_everywhere()
        self._todo |= {"", *self._folders}

    def _compare(self) -> Work:
        todo, self._todo, self.dirty = self._todo, set(), False
        root = self._place.find()
        self.polled = self.polled or self._place.polled
        if root is None or not os.path.isdir(root) or self._is_away(root):
            self._todo = todo               # compared when it is there again
            return
        self._own = {path[len(root):].lstrip("/") for path in map(os.path.realpath, self._logs())
                     if path.startswith(root.rstrip("/") + "/")}
        queue = sorted({"", *todo}) if self._folders else [""]
        while queue:
            yield from self._read(root, queue.pop(), queue)
            yield

    def _is_away(self, root: str) -> bool:
        """Whether it was unmounted, and what is there now is the empty place for it."""
        self._unmounted = self._unmounted and os.stat(root).st_dev == os.stat(os.path.dirname(root)).st_dev
        return self._unmounted

    def _read(self, root: str, below: str, queue: list[str]) -> Work:
        """Look at one directory; those in it that are new go to the queue."""
        path = os.path.join(root, below) if below else root
        try:
            facts = os.stat(path, follow_symlinks=not below)
            if not S_ISDIR(facts.st_mode):
                raise NotADirectoryError
            folder = self._folders.setdefault(below, _Folder())
            self._attend(folder, path, below, (facts.st_dev, facts.st_ino))
            entries = os.scandir(path)
        except OSError:
            if below:
                self._forget(below)         # or it may not be read
            return
        files: dict[str, int] = {}
        folders: set[str] = set()
        with entries:
            for number, entry in enumerate(entries):
                if number % PIECE == PIECE - 1:
                    yield
                name, inside = entry.name, f"{below}/{entry.name}" if below else entry.name
                try:
                    facts = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if self._is_out(name, inside):
                    continue
                if S_ISDIR(facts.st_mode):
                    folders.add(name)
                    known = self._folders.get(inside)
                    if known is None or known.ident != (facts.st_dev, facts.st_ino):
                        queue.append(inside)
                elif (S_ISREG(facts.st_mode) or S_ISLNK(facts.st_mode)) and self._counts(name):
                    files[name] = self._seen(os.path.join(self._path, inside), facts)
        self._compared(below, folder, files)
        for name in folder.folders - folders:
            self._forget(f"{below}/{name}" if below else name)
        folder.folders = folders

    def _compared(self, below: str, folder: _Folder, files: dict[str, int]) -> None:
        before, folder.files = folder.files, files
        path = os.path.join(self._path, below, "")
        for name, seen in files.items():
            if before.get(name) != seen:
                self._tell(path + name)
        for name in before.keys() - files.keys():
            self._tell(path + name)

    def _attend(self, folder: _Folder, path: str, below: str, ident: tuple[int, int]) -> None:
        """Watch a directory before it is read, if it is another one than before."""
        if folder.ident == ident and (folder.watch is not None or self.polled):
            return
        self._leave(folder)
        folder.ident = ident
        if not self.polled:
            folder.watch = self._watches.add(path, lambda mask, name: self._happened(below, mask, name))
            if folder.watch is None:
                self.polled = True
                for other in self._folders.values():
                    self._leave(other)

    def _leave(self, folder: _Folder) -> None:
        if folder.watch is not None:
            self._watches.remove(folder.watch)
            folder.watch = None

    def _forget(self, below: str) -> None:
        """A directory is gone, with all that was in it."""
        gone = [below]                      # no recursion, for directories can be nested deeply
        while gone:
            below = gone.pop()
            folder = self._folders.pop(below, None)
            if folder is not None:
                self._leave(folder)
                self._compared(below, folder, {})
                gone += [f"{below}/{name}" for name in folder.folders]

    def _is_out(self, name: str, below: str) -> bool:
        if self._out(name) or self._out_below(below):
            return True
        directory = below[:len(below) - len(name)]
        while self._own and name:
            if directory + name in self._own:
                return True
            name = name.rpartition(".")[0]      # web.log.1.gz is one of web.log's
        return False

    # ---- events ---------------------------------------------------------------------------------------------------

    def _led_elsewhere(self, mask: int, path: str) -> None:
        self._todo.add("")
        self._stir(mask, path)

    def _happened(self, below: str, mask: int, name: str) -> None:
        folder = self._folders.get(below)
        if folder is None or (mask & IN_ATTRIB and mask & IN_ISDIR):
            return
        if mask & ITSELF:
            if mask & IN_UNMOUNT:
                self.polled, self._unmounted = True, self._unmounted or not below   # nobody tells of a mount
            if mask & IN_IGNORED:
                folder.watch = None
            folder.ident = None
        elif self._is_out(name, f"{below}/{name}" if below else name) or not (mask & IN_ISDIR or self._counts(name)):
            return
        self._todo.add(below)
        self._stir(mask, os.path.join(self._path, below, name))

    def close(self) -> None:
        super().close()
        self._place.close()
        for folder in self._folders.values():
            self._leave(folder)


def _pattern(patterns: Sequence[str]) -> Callable[[str], object]:
    """Whether a text is like one of some shell patterns."""
    if "*" in patterns:
        return lambda _text: True
    if not patterns:
        return lambda _text: False
    from fnmatch import translate  # costs a millisecond, and few need it
    return re.compile("|".join(map(translate, patterns))).match
