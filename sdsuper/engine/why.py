"""The command that says why a process is as it is: what it waits for, how it has ended, where it is written.

Promises: one answer with everything that the daemon knows; the client adds the newest lines of its logs. Must not:
change anything, show a value of the environment.
"""

from collections.abc import Callable
from time import monotonic, time
from typing import Any

from sdsuper.config.model import GroupConfig, GroupKind, Model, ProcessConfig
from sdsuper.config.places import Place, Places
from sdsuper.control.effective import masked
from sdsuper.control.server import Call
from sdsuper.control.show import describe
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import signal_name
from sdsuper.engine.ends import End, Ends
from sdsuper.engine.kept import Kept
from sdsuper.engine.readiness import Readiness
from sdsuper.engine.supervise import Engine
from sdsuper.engine.waits import Waits


class WhyCommand:
    """`Why` of the control interface. `model` gives the configuration as it was read last."""

    def __init__(self, engine: Engine, model: Callable[[], Model], kept: Kept, readiness: Readiness,
                 ends: Ends) -> None:
        self._engine, self._model, self._kept, self._readiness = engine, model, kept, readiness
        self._waits, self._ends = Waits(engine.roster), ends

    def note(self, slot: Slot) -> str:
        """What `status` says besides of a process, where options are in use that Supervisor does not have."""
        waits, said, enabled = self._waits.note(slot), self._readiness.status(slot), self._kept.enabled(slot.key)
        if enabled and not waits and not said:
            return ""                   # as with most of many
        return "; ".join(filter(None, (waits, said, "" if enabled else "disabled")))

    def why(self, call: Call) -> None:
        """Reply with the processes of a name."""
        slots = self._engine.roster.listed(call.parameters["name"])
        groups = {group.name: group for group in self._model().groups}
        call.reply({"processes": [self._explained(slot, groups.get(slot.group)) for slot in slots]})

    def _explained(self, slot: Slot, group: GroupConfig | None) -> dict[str, Any]:
        process, now = slot.process, monotonic()
        offset = time() - now
        place = self._place(section(slot.config, group))
        found: dict[str, Any] = {
            "name": slot.config.name, "group": slot.group, "state": process.state.name, "goal": process.goal.value,
            "run": process.run, "pid": 0 if process.reaped else process.pid,
            "description": describe(process, now, offset), "spawnerr": masked(process.spawnerr),
            "waits": self._waits.lines(slot), "ends": [_end(end, offset) for end in self._ends.of(slot)],
            "health": process.health, "trouble": process.trouble, "said": self._readiness.status(slot),
            "restarts": self._waits.restarts(slot), "disabled": not self._kept.enabled(slot.key),
            "section": section(slot.config, group), "scale": self._kept.scale.get(slot.config.program),
        }
        if place is not None:
            found |= {"file": place.file, "line": place.line}
        return {name: value for name, value in found.items() if value is not None}

    def _place(self, name: str) -> Place | None:
        places: Places | None = self._model().places.get(name)
        if places is None:
            return None
        file = next((file for file, other in places.sources if not other), None)
        return None if file is None else Place(file, places.first)


def section(config: ProcessConfig, group: GroupConfig | None) -> str:
    """`program:web`: the section that a process was made of. `group` is its group, None for one that is not known."""
    if group is None:
        kind = GroupKind.PROGRAM
    else:
        kind = GroupKind.FCGI if config.program in dict(group.sockets) else group.kind
    return f"{kind.value}:{config.program}"


def _end(end: End, offset: float) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "run": end.run, "pid": end.pid, "time": int(end.at + offset), "seconds": int(end.seconds),
        "core": False, "oom": False, "wanted": end.wanted, "reason": masked(end.reason),
    }
    if end.by:
        shown["by"] = end.by
    if end.exit is None:
        return shown
    shown |= {"core": end.exit.core, "oom": end.exit.oom}
    return shown | ({"signal": signal_name(end.exit.signal)} if end.exit.signal else {"status": end.exit.code})
