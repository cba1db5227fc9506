"""Programs without which the daemon has nothing to do: when one is over for good, so is the daemon.

Promises: it is said in the log, and `status` is what the daemon ends with: the program's exit status, or 128 and its
signal; 1 for a program that is FATAL for another reason. With several the first counts; what was stopped by somebody is
not over. Whom a reload makes essential is judged as it is then. Must not: stop anything itself.
"""

from collections.abc import Callable

from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import State
from sdsuper.engine.ends import Ends
from sdsuper.engine.supervise import Engine

_OVER = frozenset((State.EXITED, State.FATAL))


class Essential:
    """What the daemon's exit status will be. `end` begins its end."""

    def __init__(self, engine: Engine, ends: Ends, end: Callable[[], object]) -> None:
        self.status = 0
        self._engine, self._ends, self._end, self._over = engine, ends, end, False
        self._comparing = False
        engine.listeners.append(lambda slot, _change: self._judge(slot))
        engine.group_listeners.append(self._group_heard)

    def _judge(self, slot: Slot) -> None:
        state = slot.process.state          # not the one that was published, which may only be passed through
        if self._over or not slot.config.essential or state not in _OVER or not self._engine.starting:
            return
        self._over = True
        newest = next(iter(self._ends.of(slot)), None)
        exit = newest.exit if newest is not None and newest.run == slot.process.run else None
        if exit is None:
            status, how = 1, slot.process.spawnerr
        else:
            status, how = 128 + exit.signal if exit.signal else exit.code, str(exit)
        if state is State.FATAL:
            status = status or 1            # what never came up is no success
        self.status = status
        text = f"{slot.config.name} is essential and over, {state.name} ({how}): the daemon ends with status {status}"
        self._engine.loop.soon(0, lambda: self._finish(text))       # when all has been said of the program's own end

    def _group_heard(self, _name: str, _what: str) -> None:
        if not self._comparing:             # once for all groups, when their options are what they will be
            self._comparing = True
            self._engine.loop.soon(0, self._compare)

    def _compare(self) -> None:
        """A reload may have made somebody essential who is over already."""
        self._comparing = False
        for slot in self._engine.roster:
            self._judge(slot)

    def _finish(self, text: str) -> None:
        self._engine.log.write("error", text)
        self._end()
