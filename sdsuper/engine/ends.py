"""How the newest runs of each process have ended.

Promises: a few ends for each process that is in the roster, and nothing of those that are not; a run is told of once.
Must not: say anything of what follows.
"""

from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sdsuper.control.interface import Level
from sdsuper.control.server import Call
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Exit, Goal, Publish, State
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run

KEPT = 5                # ends of each process


class End(NamedTuple):
    """One end. `at` and `seconds` are monotonic; with pid 0 there was no child. `wanted` and `by` are as in the
    interface's type End.
    """

    run: int
    pid: int
    at: float
    seconds: float
    exit: Exit | None
    wanted: str
    reason: str
    by: str = ""


class Ends:
    """The ends that one engine has seen."""

    def __init__(self, engine: Engine) -> None:
        self._ends: WeakKeyDictionary[Slot, deque[End]] = WeakKeyDictionary()
        self._asked: WeakKeyDictionary[Slot, tuple[int, int, str]] = WeakKeyDictionary()
        engine.making.ends.append(self._ended)
        engine.listeners.append(self._heard)

    def of(self, slot: Slot) -> Iterable[End]:
        """The ends of a process, the newest first."""
        return reversed(self._ends.get(slot, deque()))

    def asked(self, slot: Slot, call: Call, number: int) -> None:
        """A client wants the present run to end, by a stop or (`number`) by a signal."""
        run, signalled, _by = self._asked.get(slot, (0, 0, ""))
        if not number or run != slot.process.run or signalled:          # a stop is more than a signal after it
            self._asked[slot] = slot.process.run, number, "HTTP" if call.level is Level.FACE else f"uid {call.uid}"

    def _ended(self, run: Run) -> None:
        """A child has ended, and its process does not know yet."""
        process = run.slot.process
        if run.exit is None or process.run != run.number:
            return                      # there was none: what the process makes of it is heard
        now = monotonic()
        wanted = "itself"
        if process.state is State.STOPPING:
            wanted = "check" if process.fault else "restart" if process.goal is Goal.UP else "stop"
        number, signalled, by = self._asked.pop(run.slot, (0, 0, ""))
        if number != run.number:
            by = ""
        elif wanted == "itself" and signalled and signalled == run.exit.signal:
            wanted = "signal"
        elif signalled or wanted not in ("stop", "restart"):
            by = ""
        self._keep(run.slot, End(run.number, process.pid, now, now - process.started, run.exit, wanted,
                                 process.fault or process.spawnerr, by))

    def _heard(self, slot: Slot, change: Publish) -> None:
        """A start may have failed before there was a child."""
        process = slot.process
        if change.state is State.BACKOFF and change.from_state is State.STARTING and not change.pid:
            self._keep(slot, End(process.run, 0, monotonic(), 0.0, None, "itself", process.spawnerr))

    def _keep(self, slot: Slot, end: End) -> None:
        kept = self._ends.get(slot)
        if kept is None:
            kept = self._ends[slot] = deque(maxlen=KEPT)
        kept.append(end)
