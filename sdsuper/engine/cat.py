"""The command that shows what a process was asked to be, and what it is.

Promises: the options come from the configuration in force, the rest from the kernel; the two are not mixed. Places are
those of the files as they were read last. Must not:
show a value of the environment, or a credential.
"""

from collections.abc import Callable
from typing import Any

from sdsuper.config.model import GroupConfig, GroupKind, Model
from sdsuper.config.places import Place, variable
from sdsuper.config.rows_sandbox import SANDBOX_OPTIONS
from sdsuper.control.effective import options
from sdsuper.control.server import Call
from sdsuper.core.slot import Slot
from sdsuper.engine.supervise import Engine
from sdsuper.system.inforce import in_force

#: What an option follows from that is not written itself.
_BEHIND = {**dict.fromkeys(SANDBOX_OPTIONS, "sandbox"), "stdout_logfile": "stdout_syslog",
           "stderr_logfile": "stderr_syslog"}


class CatCommand:
    """`Cat` of the control interface. `model` gives the configuration as it was read last."""

    def __init__(self, engine: Engine, model: Callable[[], Model]) -> None:
        self._engine, self._model = engine, model

    def cat(self, call: Call) -> None:
        """Reply with the processes of a name."""
        slots = self._engine.roster.listed(call.parameters["name"])
        groups = {group.name: group for group in self._model().groups}
        call.reply({"processes": [self._shown(slot, groups.get(slot.group)) for slot in slots]})

    def _shown(self, slot: Slot, group: GroupConfig | None) -> dict[str, Any]:
        run = self._engine.run(slot)
        # what has another line by now is the same; what has another value is not what this process has been given
        read = group is not None and slot.config in group.processes
        return {"name": slot.config.name, "group": slot.group, "pid": run.pid if run else 0, "current": read,
                "options": [self._written(option, slot, group if read else None) for option in options(slot.config)],
                "in_force": [{"name": name, "value": value} for name, value in in_force(run.pid)] if run else []}

    def _written(self, option: tuple[str, str], slot: Slot, group: GroupConfig | None) -> dict[str, Any]:
        """An option and, for a process of `group`, its place; one that follows from others has none."""
        name, value = option
        shown: dict[str, Any] = {"name": name, "value": value}
        place = None if group is None else self._place(option, slot, group)
        if place is not None:
            shown |= {"file": place.file, "line": place.line}
            if place.section:
                shown["section"] = place.section
        return shown

    def _place(self, option: tuple[str, str], slot: Slot, group: GroupConfig) -> Place | None:
        """A variable is looked for by its name, and may be one of all programs."""
        name = variable(option[1].partition("=")[0]) if option[0] == "environment" else option[0]
        program = slot.config.program
        kind = GroupKind.FCGI if program in dict(group.sockets) else group.kind
        places = self._model().places
        own = places[f"{kind.value}:{program}"]
        return own.find(name) or own.find(_BEHIND.get(name, "")) or places["supervisord"].find(name)
