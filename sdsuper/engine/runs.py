"""Commands that are about the cgroup of a run: where it is, freezing it, and letting it go on.

Promises: refuses with Supervisor's faults, as all commands do. Must not: set limits (engine.resources does).
"""

from collections.abc import Callable
from typing import Any

from sdsuper.control.server import Call
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import CHILD_STATES
from sdsuper.engine.supervise import Engine
from sdsuper.engine.waiting import result


class RunCommands:
    """`ListRuns`, `Freeze` and `Thaw` of the control interface."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.methods: dict[str, Callable[[Call], None]] = {
            "ListRuns": self._list, "Freeze": lambda call: self._set(call, True),
            "Thaw": lambda call: self._set(call, False)}

    def _list(self, call: Call) -> None:
        slots = self._engine.roster.listed(call.parameters.get("name"))
        call.reply({"runs": [self._row(slot) for slot in slots]})

    def _row(self, slot: Slot) -> dict[str, Any]:
        run = self._engine.run(slot)
        row = {"name": slot.config.name, "group": slot.group, "pid": run.pid if run else 0,
               "frozen": self._engine.resources.frozen(slot.key)}
        return row | {"cgroup": run.tree} if run and run.tree else row

    def _set(self, call: Call, frozen: bool) -> None:
        slots, single = self._engine.roster.select(call.parameters["name"])
        if not single:
            slots = [slot for slot in slots if slot.process.state in CHILD_STATES]
        results = []
        for slot in slots:
            run = self._engine.run(slot)
            if run is None:
                results.append(result(slot, "NOT_RUNNING", slot.config.name))
                continue
            try:
                self._engine.resources.freeze(run, frozen)
                results.append(result(slot, "SUCCESS"))
            except OSError as error:
                results.append(result(slot, "FAILED", f"{slot.config.name}: {error.strerror}"))
        call.reply({"results": results})
