"""The command that lets programs read their own configuration again: `reload_command`, or `reload_signal`.

Promises: answers when the last command has ended; a program without either, or that is not RUNNING, is refused and
untouched; of one process one reload is under way at a time. Must not: decide whether a program took it well.
"""

from functools import partial
from typing import Any

from sdsuper.control.server import Call
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import State, signal_name
from sdsuper.engine.errands import ErrandResult, Errands
from sdsuper.engine.supervise import Engine
from sdsuper.engine.waiting import result

LINES = 5               # of a command's output that the log has when it fails


class ReloadCommand:
    """`ReloadProcess` of the control interface."""

    def __init__(self, engine: Engine, errands: Errands) -> None:
        self._engine, self._errands = engine, errands
        self._under_way: set[Key] = set()

    def reload(self, call: Call) -> None:
        """Reload the processes of a name; of several only those that are RUNNING and know how."""
        slots, single = self._engine.roster.select(call.parameters["name"])
        if not single:
            slots = [slot for slot in slots if slot.process.state is State.RUNNING and _way(slot)]
        results: list[dict[str, Any] | None] = [None] * len(slots)
        left = len(slots)
        if not slots:
            call.reply({"results": []})

        def done(index: int, fault: str, description: str = "") -> None:
            nonlocal left
            results[index] = result(slots[index], fault, description)
            left -= 1
            if not left:
                call.reply({"results": [each for each in results if each is not None]})

        for index, slot in enumerate(slots):
            self._reload(slot, partial(done, index))

    def _reload(self, slot: Slot, done: "partial[None]") -> None:
        name, hooks = slot.config.name, slot.config.hooks
        if not _way(slot):
            done("FAILED", f"{name}: has neither reload_command nor reload_signal")
        elif slot.process.state is not State.RUNNING:
            done("NOT_RUNNING", name)
        elif slot.key in self._under_way:
            done("FAILED", f"{name}: another reload of it is under way")
        elif hooks.reload_command:
            self._under_way.add(slot.key)
            self._errands.run(slot, hooks.reload_command, hooks.timeout,
                              lambda outcome: self._ended(slot, outcome, done),
                              {"SDSUPER_PID": str(slot.process.pid), "SDSUPER_RUN": str(slot.process.run)})
        else:
            try:
                self._engine.signal_process(slot, hooks.reload_signal)
            except ProcessLookupError:
                done("NOT_RUNNING", name)
            except OSError as error:
                done("FAILED", f"{name}: {error.strerror}")
            else:
                self._engine.log.write("info", f"{name}: sent {signal_name(hooks.reload_signal)} to reload it")
                done("SUCCESS")

    def _ended(self, slot: Slot, outcome: ErrandResult, done: "partial[None]") -> None:
        name, log = slot.config.name, self._engine.log
        self._under_way.discard(slot.key)
        if outcome.ok:
            log.write("info", f"{name}: reload_command is done")
        else:
            for line in (outcome.reason, *outcome.output.splitlines()[-LINES:]):
                log.write("warn", f"{name}: reload_command: {line}")
        log.flush()
        if outcome.ok:
            done("SUCCESS")
        else:
            done("FAILED", f"{name}: reload_command: {outcome.reason}")


def _way(slot: Slot) -> bool:
    """Whether its options say how to reload it."""
    return bool(slot.config.hooks.reload_command or slot.config.hooks.reload_signal)
