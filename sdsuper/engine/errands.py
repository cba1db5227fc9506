"""Errands: short commands that the daemon runs for a program, such as a check, a hook, or what a changed file asks for.

Promises: an errand has the program's user, environment, directory, limits and sandbox, and a cgroup of its own beside
the program's runs; whoever is left of it when it ends is killed; its time is limited; `done` is called exactly once, in
a turn of the loop of its own. Nobody waits for the end of its pipe. Must not: decide what follows from a result, touch
a process of the program itself, or tell of more of a command than its first word.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import Exit
from sdsuper.engine.launching import failure, lacks
from sdsuper.engine.trees import Run
from sdsuper.errors import SpawnError
from sdsuper.system.loop import EPOLLIN, Timer

if TYPE_CHECKING:
    from sdsuper.engine.supervise import Engine

AT_ONCE = 8                 # errands of one process
OUTPUT_BYTES = 4096         # of the output that are kept, the last ones
LINE_BYTES = 2000           # of the output in one line of the log
READ_BYTES = 65536          # in one turn of the loop
READS_AT_END = 16           # against somebody left behind who floods the pipe
DEATH_SECONDS = 5.0         # for one that was killed; one that hangs in the kernel is waited for no longer
_FIRST_TAG = 1 << 62        # tags of runs count from 1


class ErrandResult(NamedTuple):
    """How an errand ended. `exit` is None if it never began or was ended by us; `reason` is empty if all is well, else
    `exit status 3`, `took longer than 5 seconds`, `can't find command 'x'`, `cancelled`; `output` is the end of what it
    wrote to stdout and stderr. `lack`: it could not be made, and that is no fault of the program's.
    """

    exit: Exit | None
    reason: str
    output: str
    lack: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit status 0."""
        return not self.reason


Done = Callable[[ErrandResult], object]


class Errand:
    """One errand, from `Errands.run`. `key` is that of the process it is run for."""

    __slots__ = ("_errands", "done", "key", "lack", "name", "output", "pipe", "reason", "rest", "run", "timer")

    def __init__(self, errands: "Errands", key: Key, run: Run, name: str, done: Done) -> None:
        self._errands, self.key, self.run, self.name = errands, key, run, name
        self.done: Done | None = done
        self.output, self.rest, self.reason = b"", b"", ""
        self.pipe, self.lack = -1, False
        self.timer: Timer | None = None

    def cancel(self) -> None:
        """It is not wanted any more: all of it is killed, and the result says `cancelled`. Later calls do nothing."""
        self._errands.end(self, "cancelled")


class Errands:
    """The errands of one daemon."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._number = 0
        self._running: dict[int, Errand] = {}       # by the tag of its run
        self._forget_run = engine.trees.on_empty
        engine.trees.on_empty = self._emptied
        engine.on_close.append(self.close)

    def run(self, slot: Slot, command: str, seconds: float, done: Done,
            extra_environment: Mapping[str, str] | None = None) -> Errand:
        """Start a command for a process; it may take so many seconds. Raises nothing: what is wrong is told to `done`.

        The command is split as `command` is, and found in the program's PATH.
        """
        self._number += 1
        own = slot.config._replace(command=command, redirect_stderr=False, killasgroup=True)
        copy = Slot(slot.group, own)
        copy.key = ("", f"errand {self._number}")       # a process has a group with a name
        run = Run(copy, self._number, _FIRST_TAG + self._number)
        errand = Errand(self, slot.key, run, f"{slot.config.name}: {(command.split() or [''])[0]}", done)
        if sum(other.key == slot.key for other in self._running.values()) >= AT_ONCE:
            self._finish(errand, None, f"{AT_ONCE} of its errands are under way already", True)
            return errand
        try:
            run.pid = self._start(errand, extra_environment or {})
        except SpawnError as error:
            self._finish(errand, None, str(error), error.lack)
        except (OSError, ValueError) as error:          # ValueError: a text that the locale's encoding has not
            why = failure(slot.config.name, error)
            self._finish(errand, None, str(why), why.lack)
        else:
            self._running[run.tag] = errand
            errand.timer = self._engine.loop.soon(
                seconds, lambda: self.end(errand, f"took longer than {seconds:g} seconds"))
        return errand

    def busy(self, key: Key) -> bool:
        """Whether an errand of a process is under way."""
        return any(errand.key == key for errand in self._running.values())

    def end(self, errand: Errand, why: str) -> None:
        """Kill all of an errand, if it is still under way."""
        if errand.run.tag not in self._running or errand.reason:
            return
        errand.reason = why
        if errand.timer is not None:
            errand.timer.cancel()
        self._engine.trees.kill(errand.run.slot.key, errand.run.number)
        errand.timer = self._engine.loop.soon(DEATH_SECONDS, lambda: self._finish(errand, None, why))

    def close(self) -> None:
        """The daemon ends, and every errand with it; nobody is told."""
        until, last = monotonic() + DEATH_SECONDS, tuple(self._running.values())
        for errand in last:
            errand.done = None
            self.end(errand, "cancelled")
        while monotonic() < until:
            self._engine.reap()
            left = [errand for errand in last if self._engine.trees.left_behind(errand.run.slot.key)]
            if not left and not self._running:
                break
            sleep(0.002)
        for errand in last:
            self._close_pipe(errand)

    # ---- beginning ------------------------------------------------------------------------------------------------

    def _start(self, errand: Errand, extra: Mapping[str, str]) -> int:
        """Make the child; returns its pid. Raises SpawnError, OSError, ValueError, with nothing left."""
        engine, run = self._engine, errand.run
        launching = engine.launching
        environment = {**launching.own_environment(run.slot), **extra}
        path, argv = launching.command(run.slot, environment)
        given: dict[str, int] = {}
        try:
            given["stdin"] = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            errand.pipe, given["stdout"] = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(errand.pipe, False)
            run.tree = engine.trees.create(run, environment)
            engine.resources.begin(run)
            launching.sandboxes.begin(run, environment)
            launch = launching.launch(run, path, argv, launching.environment(environment),
                                      {**given, "stderr": given["stdout"]})
            pid = engine.launch(launch, partial(self._ended, errand), partial(self._failed, errand))
            engine.loop.watch(errand.pipe, EPOLLIN, lambda _events: self._read(errand), bulk=True)
        except (OSError, ValueError, SpawnError):
            engine.resources.end(run, False)
            launching.sandboxes.end(run)
            engine.trees.discard(run)
            self._close_pipe(errand)
            raise
        finally:
            for fd in given.values():
                os.close(fd)
        return pid

    # ---- output ---------------------------------------------------------------------------------------------------

    def _read(self, errand: Errand) -> bool:
        """Take a piece of the output; whether there was one."""
        try:
            data = os.read(errand.pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_pipe(errand)
            return False
        errand.output = (errand.output + data)[-OUTPUT_BYTES:]
        if self._engine.log.takes("debug"):
            *lines, errand.rest = (errand.rest + data).split(b"\n")
            if len(errand.rest) > LINE_BYTES:
                lines.append(errand.rest)
                errand.rest = b""
            self._tell(errand, lines)
        return True

    def _tell(self, errand: Errand, lines: list[bytes]) -> None:
        for line in lines:
            if line:
                text = line[:LINE_BYTES].decode(errors="backslashreplace")
                self._engine.log.write("debug", f"{errand.name}: {text}")
        self._engine.log.flush()

    def _close_pipe(self, errand: Errand) -> None:
        if errand.pipe >= 0:
            self._engine.loop.unwatch(errand.pipe)
            os.close(errand.pipe)
            errand.pipe = -1

    # ---- the end --------------------------------------------------------------------------------------------------

    def _failed(self, errand: Errand, why: str, error: int) -> None:
        """The child could not become the command; its end follows."""
        if not errand.reason:
            errand.reason, errand.lack = why, lacks(errand.run.slot.config, error)

    def _ended(self, errand: Errand, exit: Exit) -> None:
        """Its first process was reaped."""
        engine, run = self._engine, errand.run
        engine.resources.end(run, False)
        if errand.pipe >= 0:
            for _ in range(READS_AT_END):
                if not self._read(errand):
                    break
            self._close_pipe(errand)
        self._tell(errand, [errand.rest])
        if engine.trees.bury(run):
            engine.trees.kill(run.slot.key, run.number)
        else:
            engine.launching.sandboxes.end(run)
        if errand.reason:
            self._finish(errand, None, errand.reason, errand.lack)
        else:
            self._finish(errand, exit, "" if exit.code == 0 else str(exit))

    def _emptied(self, run: Run) -> None:
        """The last process of a run is gone: one of ours, or a program's."""
        if run.tag >= _FIRST_TAG:
            self._engine.launching.sandboxes.end(run)
        else:
            self._forget_run(run)

    def _finish(self, errand: Errand, exit: Exit | None, reason: str, lack: bool = False) -> None:
        """Tell the result in the next turn, once."""
        self._running.pop(errand.run.tag, None)
        if errand.timer is not None:
            errand.timer.cancel()
        done, errand.done = errand.done, None
        if done is not None:
            result = ErrandResult(exit, reason, errand.output.decode(errors="replace"), lack)
            self._engine.loop.soon(0, lambda: done(result))
