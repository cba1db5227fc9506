"""Programs without which the daemon has nothing to do: when one is over for good, so is the daemon.

Promises: it is said in the log, and `status` is what the daemon ends with: the program's exit status, or 128 and its
signal; 1 for a program that is FATAL for another reason. With several the first counts; what was stopped by somebody is
not over. Of what was over before a reload made it essential it is said that the daemon goes on. Must not: stop anything
itself.
"""

from collections.abc import Callable

from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import Exit, Publish, State
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run

_OVER = frozenset((State.EXITED, State.FATAL))


class Essential:
    """What the daemon's exit status will be. `end` begins its end."""

    def __init__(self, engine: Engine, end: Callable[[], object]) -> None:
        self.status = 0
        self._engine, self._end, self._over = engine, end, False
        self._exits: dict[Key, tuple[int, Exit | None]] = {}        # of the newest run, also if it was a failed start
        engine.making.ends.append(self._ended)
        engine.listeners.append(self._heard)
        self._known: set[Key] = set()
        self._comparing = False
        engine.group_listeners.append(self._group_heard)

    def _ended(self, run: Run) -> None:
        if run.slot.config.essential:
            self._exits[run.slot.key] = run.number, run.exit

    def _heard(self, slot: Slot, _change: Publish) -> None:
        state = slot.process.state          # not the one that was published, which may only be passed through
        if self._over or not slot.config.essential or state not in _OVER or not self._engine.starting:
            return
        self._over = True
        run, exit = self._exits.get(slot.key, (0, None))
        if exit is None or run != slot.process.run:
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
        """Say of whom a reload has made essential too late."""
        self._comparing = False
        before, self._known = self._known, {slot.key for slot in self._engine.roster if slot.config.essential}
        for slot in self._engine.roster:
            state = slot.process.state
            if slot.key in self._known - before and state in _OVER and not self._over and self._engine.starting:
                self._engine.log.write("warn", f"{slot.config.name} is essential now, but was over before, "
                                               f"{state.name}: the daemon goes on until it is over once more")
        self._engine.log.flush()

    def _finish(self, text: str) -> None:
        self._engine.log.write("error", text)
        self._end()
