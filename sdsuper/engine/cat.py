"""The command that shows what a process was asked to be, and what it is.

Promises: the options come from the configuration in force, the rest from the kernel; the two are not mixed. Must not:
show a value of the environment, or a credential.
"""

from typing import Any

from sdsuper.control.effective import options
from sdsuper.control.server import Call
from sdsuper.core.roster import Slot
from sdsuper.engine.supervise import Engine
from sdsuper.system.inforce import in_force


class CatCommand:
    """`Cat` of the control interface."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cat(self, call: Call) -> None:
        """Reply with the processes of a name."""
        slots = self._engine.roster.listed(call.parameters["name"])
        call.reply({"processes": [self._shown(slot) for slot in slots]})

    def _shown(self, slot: Slot) -> dict[str, Any]:
        run = self._engine.run(slot)
        return {"name": slot.config.name, "group": slot.group, "pid": run.pid if run else 0,
                "options": _settings(options(slot.config)),
                "in_force": _settings(in_force(run.pid)) if run else []}


def _settings(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]
