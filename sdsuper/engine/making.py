"""A child for a new run: everything that is opened and made for it, and given back when nothing comes of it.

Promises: either there is a child, or nothing is left of the attempt. Must not: decide when there is to be one.
"""

import os
from collections.abc import Callable
from itertools import count

from sdsuper.core.slot import Slot
from sdsuper.engine.launching import Launching, failure
from sdsuper.engine.outputs import CHANNELS, Outputs
from sdsuper.engine.resources import Resources
from sdsuper.engine.trees import Run, Trees
from sdsuper.errors import SpawnError
from sdsuper.logs.main import MainLog
from sdsuper.logs.pipes import Pump, Stream, Tap
from sdsuper.system.process import Launcher

#: What a run is given besides its logs: it may add to the environment, and to the descriptors, by what they are for in
#: the child (`stdin`, `ready`), which are closed after the start. Raises OSError.
Giver = Callable[[Run, dict[str, str], dict[str, int]], object]


class Taps:
    """Two taps, one behind the other."""

    def __init__(self, first: Tap, then: Tap) -> None:
        self._first, self._then = first, then

    @property
    def prompt(self) -> bool:
        """Whether one of them waits."""
        return self._first.prompt or self._then.prompt

    def feed(self, data: memoryview) -> memoryview:
        """What both let through."""
        return self._then.feed(self._first.feed(data))

    def end(self) -> bytes:
        """What both have held back."""
        held = self._first.end()
        return bytes(self._then.feed(memoryview(held))) + self._then.end()


class Making:
    """Children of one daemon."""

    def __init__(self, launcher: Launcher, launching: Launching, trees: Trees, outputs: Outputs, resources: Resources,
                 pump: Pump, log: MainLog) -> None:
        self.givers: list[Giver] = []
        #: who hears of the end of a run, or that it has not come to be
        self.ends: list[Callable[[Run], object]] = []
        #: who sees what a run writes on a channel before its log does; without one a stream has its log alone
        self.taps: list[Callable[[Run, str], Tap | None]] = []
        self._launcher, self._launching, self._trees, self._outputs = launcher, launching, trees, outputs
        self._resources, self._pump, self._log = resources, pump, log
        self._tags = count(1)

    def tag(self) -> int:
        """A number that no other launch of this daemon has."""
        return next(self._tags)

    def make(self, slot: Slot, number: int) -> Run:
        """A child for a new run. Raises SpawnError."""
        config, key = slot.config, slot.key
        own = self._launching.own_environment(slot, self._log.write)
        path, argv = self._launching.command(slot, own)
        run = Run(slot, number, self.tag())
        given: dict[str, int] = {}
        try:
            for give in self.givers:
                give(run, own, given)
            self._outputs.open(key)
            for channel in CHANNELS:
                tap = self._tap(run, channel)
                if tap is not None or self._outputs.sinks(key, channel):
                    given[channel] = self._open_pipe(run, channel, tap)
            run.tree = self._trees.create(run, own)
            self._resources.begin(run)
            self._launching.sandboxes.begin(run, own)
            environment = self._launching.environment(own)
            run.pid = self._launcher.spawn(self._launching.launch(run, path, argv, environment, given))
        except (OSError, ValueError, SpawnError) as error:      # ValueError: a text that the locale's encoding has not
            self._resources.end(run, False)
            self._launching.sandboxes.end(run)
            self._trees.discard(run)
            for stream in tuple(run.streams):
                self._pump.end(stream)
            for end in self.ends:
                end(run)
            if isinstance(error, SpawnError):
                raise
            raise failure(config.name, error) from error
        finally:
            for fd in given.values():
                os.close(fd)
        return run

    def _tap(self, run: Run, channel: str) -> Tap | None:
        """Everybody who wants to see the stream, as one."""
        first: Tap | None = None
        for make in self.taps:
            tap = make(run, channel)
            if tap is not None:
                first = tap if first is None else Taps(first, tap)
        return first

    def _open_pipe(self, run: Run, channel: str, tap: Tap | None) -> int:
        """A pipe for a stream; returns the end for the child, reads the other."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        sinks = self._outputs.of_run(run.slot.key, channel, run.number)
        stream = Stream(reader, sinks, self._launching.strip_ansi, run.streams.remove, tap)
        run.streams.append(stream)
        self._pump.add(stream)
        return writer
