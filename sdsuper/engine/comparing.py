"""The command that says what an update would do, and why.

Promises: the same comparison as that of an update, and nothing is changed; each new value has its place. Must not:
show a value of the environment.
"""

from collections.abc import Callable
from typing import Any

from sdsuper.config.model import GroupConfig, Model, ProcessConfig
from sdsuper.config.reload import GroupChange
from sdsuper.control.differences import Difference, differences, of_group
from sdsuper.control.server import Call
from sdsuper.engine.supervise import Engine
from sdsuper.engine.update import Updates
from sdsuper.engine.why import section
from sdsuper.errors import Refusal


class DiffCommand:
    """`Diff` of the control interface. `model` gives the configuration as it was read last."""

    def __init__(self, engine: Engine, updates: Updates, model: Callable[[], Model]) -> None:
        self._engine, self._updates, self._model = engine, updates, model

    def diff(self, call: Call) -> None:
        """Reply with what would change, for the groups named or for all."""
        names = call.parameters.get("groups")
        plan = self._updates.reread()
        wanted = None if names is None or "all" in names else set(names)
        known = {group.name for group in self._model().groups} | set(self._engine.roster.groups)
        for name in names or ():
            if name not in known and name != "all":
                raise Refusal("BAD_NAME", name)
        found = [_whole(group, "added") for group in plan.added]
        found += [self._changed(change) for change in plan.changed]
        found += [_whole(self._engine.roster.groups[name], "removed") for name in plan.removed]
        call.reply({"groups": [group for group in found if wanted is None or group["group"] in wanted],
                    "daemon": list(plan.daemon)})

    def _changed(self, change: GroupChange) -> dict[str, Any]:
        old = self._engine.roster.groups[change.new.name]
        before = {process.name: process for process in old.processes}
        processes: list[dict[str, Any]] = []
        for kind, names in (("added", [process.name for process in change.added]), ("removed", change.removed)):
            processes += [{"name": name, "kind": kind, "options": []} for name in names]
        for kind, configs in (("restarted", change.restarted), ("applied", change.applied)):
            processes += [{"name": new.name, "kind": kind, "options": [
                self._placed(one, new, change.new) for one in differences(before[new.name], new)]} for new in configs]
        return {"group": change.new.name, "kind": "changed", "processes": processes,
                "options": [_plain(one) for one in of_group(old, change.new)]}

    def _placed(self, one: Difference, config: ProcessConfig, group: GroupConfig) -> dict[str, Any]:
        """A difference with the place of the new value."""
        places = self._model().places
        own = places.get(section(config, group))
        place = own.find(one.key) if own is not None else None
        if place is None and "supervisord" in places:
            place = places["supervisord"].find(one.key)
        shown = _plain(one)
        if place is not None:
            shown |= {"file": place.file, "line": place.line}
            if place.section:
                shown["section"] = place.section
        return shown


def _whole(group: GroupConfig, kind: str) -> dict[str, Any]:
    return {"group": group.name, "kind": kind, "options": [],
            "processes": [{"name": process.name, "kind": kind, "options": []} for process in group.processes]}


def _plain(one: Difference) -> dict[str, Any]:
    texts = {"old": one.old, "new": one.new}
    return {"option": one.option, **{name: text for name, text in texts.items() if text is not None}}
