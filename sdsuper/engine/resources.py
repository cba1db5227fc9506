"""What a run may use: the limits of its cgroup, and what happens at them.

Promises: a run begins with its limits or not at all, unless they are optional; a changed limit holds at once; when the
kernel ends a process for lack of memory, it is said so, with the program's name. Must not: decide what follows.
Sources: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

import os
from collections.abc import Callable
from errno import EOPNOTSUPP
from stat import S_ISBLK
from time import monotonic

from sdsuper.config.model import ProcessConfig
from sdsuper.core.slot import Key
from sdsuper.engine.trees import Run
from sdsuper.errors import LACKS, SpawnError
from sdsuper.logs.main import MainLog
from sdsuper.system.cgroup import CgroupTree
from sdsuper.system.loop import EPOLLPRI, Loop

#: What a file says when nobody has written into it, for a limit that is no more.
_DEFAULTS = {"memory.max": "max", "memory.high": "max", "memory.low": "0", "memory.min": "0", "memory.swap.max": "max",
             "memory.oom.group": "0", "pids.max": "max", "cpu.max": "max 100000", "cpu.weight": "100",
             "io.weight": "default 100"}
NEWS_SECONDS = 2.0      # between the kernel's news of a kill and that of the end of the process
_NO_IO_LIMIT = "rbps=max wbps=max riops=max wiops=max"


class Resources:
    """The limits of all runs. Without cgroups (None) there are none."""

    def __init__(self, loop: Loop, cgroups: CgroupTree | None, log: MainLog) -> None:
        self._loop, self._cgroups, self._log = loop, cgroups, log
        #: run's tag -> descriptor of memory.events, kills so far, when the last one was seen
        self._events: dict[int, tuple[int, int, float]] = {}
        self._frozen: set[Key] = set()
        self._warned: set[tuple[str, str]] = set()
        #: who hears that a run goes on that was frozen
        self.thawed: list[Callable[[Run], object]] = []

    # ---- limits ---------------------------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Set a run's limits before anything is in it. Raises SpawnError."""
        config = run.slot.config
        if not config.limits:
            return
        for file, value in config.limits:
            self._set(config, run.tree, file, value)
        self._watch(run, config)

    def change(self, run: Run, old: ProcessConfig, new: ProcessConfig) -> None:
        """Other limits for a run that goes on. What cannot be set is said and left as it was."""
        before = dict(old.limits)
        wanted = {file: _DEFAULTS.get(file, "") for file in before} | dict(new.limits)
        for file, value in wanted.items():
            if before.get(file) == value:
                continue
            try:
                if file == "io.max":
                    self._forget_io(run, before.get(file, ""))
                if value:
                    self._set(new, run.tree, file, value)
            except SpawnError as error:
                self._log.write("error", f"{new.name} goes on with its old limit: {error}")
        self._watch(run, new)

    def _forget_io(self, run: Run, lines: str) -> None:
        """Take limits of devices away; one that is gone has none."""
        for line in lines.splitlines():
            if run.tree is not None and self._cgroups is not None:
                try:
                    self._cgroups.set(run.tree, "io.max", _with_number(f"{line.split()[0]} {_NO_IO_LIMIT}"))
                except OSError:
                    continue

    def _set(self, config: ProcessConfig, tree: str | None, file: str, value: str) -> None:
        option = file.replace(".", "_")
        why, lack = "", False
        if tree is None or self._cgroups is None:
            why = "programs have no cgroups here"
        elif missing := self._cgroups.enable((file.partition(".")[0],)):
            why = f"the controller {missing.pop()} is not there"
        else:
            try:
                for line in value.splitlines():
                    self._cgroups.set(tree, file, _with_number(line) if file == "io.max" else line)
            except OSError as error:
                why, lack = error.strerror or str(error), error.errno in LACKS
        if not why:
            return
        if lack or not config.limits_optional:
            raise SpawnError(f"cannot set {option} to {value!r}: {why}", lack)
        if (config.program, option) not in self._warned:
            self._warned.add((config.program, option))
            self._log.write("warn", f"{config.program} runs without {option}={value}: {why}")

    # ---- the end --------------------------------------------------------------------------------------------------

    def end(self, run: Run, killed: bool) -> bool:
        """The leader was reaped, `killed` by a SIGKILL that is not ours or not, or never made: whether it was for lack
        of memory.
        """
        self.thaw(run)                  # who is left behind is not held for ever
        fd, seen, when = self._events.pop(run.tag, (-1, 0, 0.0))
        if fd >= 0:
            self._loop.unwatch(fd)
            os.close(fd)
        # an earlier kill was of another process of the run
        return killed and (self._kills(run) > seen or (seen > 0 and monotonic() - when < NEWS_SECONDS))

    def _watch(self, run: Run, config: ProcessConfig) -> None:
        if run.tree is None or self._cgroups is None or run.tag in self._events:
            return
        if not any(file.startswith("memory.") for file, _value in config.limits):
            return
        try:
            fd = self._cgroups.open(run.tree, "memory.events")
        except OSError:
            return                      # no controller, and that is optional; or no descriptor is left
        self._events[run.tag] = fd, self._kills(run), 0.0
        self._loop.watch(fd, EPOLLPRI, lambda _events: self._look(run))

    def _look(self, run: Run) -> None:
        """Something has happened to the memory of a run."""
        fd, before, _when = self._events[run.tag]
        try:
            kills = _number(os.pread(fd, 4096, 0).decode(), "oom_kill")
        except OSError:
            return                      # the cgroup is gone; the end of the run is on its way
        if kills > before:
            self._events[run.tag] = fd, kills, monotonic()
            config = run.slot.config
            limit = f" (memory_max={dict(config.limits)['memory.max']})" if "memory.max" in dict(config.limits) else ""
            self._log.write("warn", f"{config.name}: out of memory{limit}, the kernel has killed {kills - before} of "
                                    "its processes")
            self._log.flush()

    # ---- freezing -------------------------------------------------------------------------------------------------

    def _kills(self, run: Run) -> int:
        if run.tree is None or self._cgroups is None:
            return 0
        return _number(self._cgroups.get(run.tree, "memory.events"), "oom_kill")

    def frozen(self, key: Key) -> bool:
        """Whether the present run of a process is frozen."""
        return key in self._frozen

    def freeze(self, run: Run, frozen: bool) -> None:
        """Let nothing of the run get CPU time, or let it go on. Raises OSError."""
        if run.tree is None or self._cgroups is None:
            raise OSError(EOPNOTSUPP, "programs have no cgroups here")
        self._cgroups.freeze(run.tree, frozen)
        (self._frozen.add if frozen else self._frozen.discard)(run.slot.key)
        for hear in () if frozen else self.thawed:
            hear(run)

    def thaw(self, run: Run) -> None:
        """A frozen run is to hear a signal."""
        if run.slot.key in self._frozen:
            self._frozen.discard(run.slot.key)
            try:
                self.freeze(run, False)
            except OSError:
                return              # it has ended; the news is on its way

    def close(self) -> None:
        """Give back the descriptors."""
        for fd, _kills, _when in self._events.values():
            self._loop.unwatch(fd)
            os.close(fd)
        self._events.clear()


def _number(text: str, name: str) -> int:
    """The number after a name in a file of lines `name number`."""
    for line in text.splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return int(value)
    return 0


def _with_number(line: str) -> str:
    """A line of io.max with the device's number for its path: that of the disk, where it is a part of one. Raises
    OSError.
    """
    path, _, limits = line.partition(" ")
    facts = os.stat(path)
    device = facts.st_rdev if S_ISBLK(facts.st_mode) else facts.st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    if os.path.exists(f"/sys/dev/block/{number}/partition"):
        with open(f"/sys/dev/block/{number}/../dev", encoding="ascii") as file:
            number = file.read().strip()
    return f"{number} {limits}"
