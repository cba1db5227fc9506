"""What clients write to programs: as much as fits at once, the rest as the program reads.

Promises: bytes arrive in the order in which they were taken, all or, when the run ends before, none after some point;
what waits for a program that does not read is bounded. Must not: hold a descriptor of a program that has all it was
given.
"""

import os

from sdsuper.engine.trees import Run
from sdsuper.system.loop import EPOLLOUT, Loop
from sdsuper.system.process import open_stdin

PENDING_BYTES = 1024 * 1024       # for one run


class Stdins:
    """The stdin of all runs."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pending: dict[int, tuple[int, bytearray]] = {}      # run's tag -> descriptor, what waits

    def write(self, run: Run, data: bytes) -> None:
        """Take data for a program.

        Raises OSError: BlockingIOError when too much waits already (nothing is taken then), BrokenPipeError when its
        stdin is no pipe, FileNotFoundError when it is closed or the child gone.
        """
        fd, waiting = self._pending.get(run.tag, (-1, bytearray()))
        if len(waiting) + len(data) > PENDING_BYTES:
            raise BlockingIOError
        if fd >= 0:
            waiting += data
            return
        fd = open_stdin(run.pid)
        try:
            done = os.write(fd, data)
        except BlockingIOError:
            done = 0
        except OSError:
            os.close(fd)
            raise
        if done == len(data):
            os.close(fd)
            return
        self._pending[run.tag] = fd, bytearray(data[done:])
        self._loop.watch(fd, EPOLLOUT, lambda _events: self._go_on(run))

    def _go_on(self, run: Run) -> None:
        fd, waiting = self._pending[run.tag]
        try:
            del waiting[:os.write(fd, waiting)]
        except BlockingIOError:
            return
        except OSError:
            waiting.clear()              # it has closed its stdin: what was to come is for nobody
        if not waiting:
            self.end(run)

    def end(self, run: Run) -> None:
        """The run is over, or has all that it was given."""
        fd, _waiting = self._pending.pop(run.tag, (-1, None))
        if fd >= 0:
            self._loop.unwatch(fd)
            os.close(fd)
