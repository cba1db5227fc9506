"""Making a new configuration so: the one path for the first start, `update`, SIGHUP, `add` and `remove`.

Promises: a configuration that cannot be read changes nothing; a process whose options did not change is not touched;
one that must be restarted gets its new options between its old run and its new one; updates do not overlap. Must not:
compare (config.reload does).
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from sdsuper.config.lifecycle import Depends
from sdsuper.config.model import GroupConfig, Model, ProcessConfig
from sdsuper.config.reload import GroupChange, ReloadPlan, plan
from sdsuper.core.dependencies import Inputs
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Goal, Input, Start
from sdsuper.engine.supervise import GROUP_ADDED, GROUP_CHANGED, GROUP_REMOVED, GROUP_RENEWED, Engine
from sdsuper.engine.waiting import Waiting, stopped
from sdsuper.errors import Refusal

Changes = list[dict[str, str]]


class Source(Protocol):
    """Where configurations come from: the daemon."""

    model: Model

    def read_config(self) -> Model:
        """Parse the files again, warnings to the log. Raises ConfigError."""

    def reloading(self, under_way: bool) -> None:
        """A new configuration is about to be taken over, or is not after all."""


class Updates:
    """Changes of the set of programs. `daemon.model` is the newest configuration that was read."""

    def __init__(self, daemon: Source, engine: Engine, waiting: Waiting) -> None:
        self._daemon, self._engine, self._waiting = daemon, engine, waiting
        self._started = daemon.model        # its [supervisord] and servers stay in force as long as the daemon lives
        self._under_way = False
        self._turns: deque[Callable[[], object]] = deque()

    def when_free(self, act: Callable[[], object]) -> None:
        """Call `act` when no update is under way, in turn. What adds, removes or updates groups begins in here."""
        self._turns.append(act)
        self._take_turns()

    def _take_turns(self) -> None:
        while self._turns and not self._under_way:
            self._turns.popleft()()

    def reread(self) -> ReloadPlan:
        """Read the configuration and compare; nothing else. Raises ConfigError."""
        self._daemon.model = new = self._daemon.read_config()
        active = self._started._replace(groups=tuple(self._engine.roster.groups.values()))
        return plan(active, new)

    def begin(self, added: Callable[[], object]) -> None:
        """The first start: a reload from nothing. `added` is called when all groups are there and none is started."""
        inputs: list[tuple[Slot, Input]] = []
        for group in plan(None, self._daemon.model).added:
            inputs += self._add_group(group)
        added()
        self._engine.submit_all(inputs)

    def update(self, groups: list[str] | None, done: Callable[[Changes], object]) -> None:
        """Reread and make it so, for the groups named or for all; `done` hears what was done once the last has stopped.

        Raises ConfigError, and Refusal BAD_NAME for a group that is neither configured nor active.
        """
        self._daemon.reloading(True)
        news = self.reread()
        wanted = None if groups is None or "all" in groups else set(groups)
        if wanted is not None:
            known = {group.name for group in self._daemon.model.groups} | set(self._engine.roster.groups)
            for name in groups or ():
                if name not in known:
                    self._daemon.reloading(False)
                    raise Refusal("BAD_NAME", name)
        for setting in news.daemon:
            self._engine.log.write("warn", f"{setting} has changed: it needs a restart of the daemon")
        self._apply(news, wanted, done)

    def add(self, name: str) -> None:
        """Activate a configured group. Raises Refusal."""
        if name in self._engine.roster.groups:
            raise Refusal("ALREADY_ADDED", name)
        config = next((group for group in self._daemon.model.groups if group.name == name), None)
        if config is None:
            raise Refusal("BAD_NAME", name)
        self._engine.submit_all(self._add_group(config))

    def remove(self, name: str) -> None:
        """Forget an active group. Raises Refusal."""
        roster = self._engine.roster
        if name not in roster.groups:
            raise Refusal("BAD_NAME", name)
        if not all(slot.resting for slot in roster.members(name)):
            raise Refusal("STILL_RUNNING", name)
        self._forget_group(name)

    # ---- carrying out ---------------------------------------------------------------------------------------------

    def _apply(self, news: ReloadPlan, wanted: set[str] | None, done: Callable[[Changes], object]) -> None:
        roster, groups = self._engine.roster, self._daemon.model.groups
        changes: Changes = []
        finish: list[tuple[Slot, Callable[[], Inputs]]] = []      # what is done with a process once it is down
        inputs: list[tuple[Slot, Input]] = []
        gone = [name for name in news.removed if wanted is None or name in wanted]
        renewed: list[str] = []
        for name in gone:
            changes += [{"group": name, "kind": "stopped"}, {"group": name, "kind": "removed"}]
            finish += [(slot, _nothing) for slot in roster.members(name)]
        for change in news.changed:
            if wanted is None or change.new.name in wanted:
                finish += self._change_group(change)
                if change.restarted or change.removed:
                    changes.append({"group": change.new.name, "kind": "stopped"})
                changes.append({"group": change.new.name, "kind": "updated"})
                renewed += [change.new.name] * bool(change.restarted or change.removed or change.added)
                inputs += self._added(change.new.name, change.added)
        for group in news.added:
            if wanted is None or group.name in wanted:
                inputs += self._add_group(group)
                changes.append({"group": group.name, "kind": "added"})

        def all_down(_faults: list[str]) -> None:
            if any(not slot.resting for slot, _act in finish):
                stop()                  # somebody has started it while the others were still going down
                return
            try:
                self._tell_renewed(renewed)
                starts = [pair for _slot, act in finish for pair in act()]
                for name in gone:
                    self._forget_group(name)
                self._renew_needs(groups)
                self._engine.submit_all([*starts, *inputs])     # only now: what is new may need what was to be replaced
            finally:
                self._under_way = False
                if self._turns:
                    self._engine.loop.soon(0, self._take_turns)
            done(changes)

        def stop() -> None:
            up = [slot for slot, _act in finish if not slot.resting]
            if up:
                names = ", ".join(slot.config.name for slot in up)
                self._engine.log.write("info", f"waiting for {names} to stop")
            self._waiting.gather(up, stopped, all_down)
            self._engine.submit_all(roster.stops(up))

        self._under_way = True
        stop()

    def _tell_renewed(self, names: list[str]) -> None:
        for name in names:
            self._engine.tell_of_group(name, GROUP_RENEWED)

    def _change_group(self, change: GroupChange) -> list[tuple[Slot, Callable[[], Inputs]]]:
        """Take over what needs no restart; returns what is to be done with the others once they are down."""
        roster, name = self._engine.roster, change.new.name
        roster.set_group(change.new)
        self._engine.tell_of_group(name, GROUP_CHANGED)
        for config in change.applied:
            before = roster.get((name, config.name))
            run = None if before is None else self._engine.run(before)
            if before is not None and run is not None:
                self._engine.resources.change(run, before.config, config)
            applied = roster.set_process(name, config)
            self._engine.outputs.adjust(applied.key, config)
        finish: list[tuple[Slot, Callable[[], Inputs]]] = []
        for gone in change.removed:
            slot = roster.get((name, gone))
            if slot is not None:
                finish.append((slot, partial(self._forget, slot)))
        for config in change.restarted:
            slot = roster.get((name, config.name))
            if slot is not None:
                finish.append((slot, partial(self._replace, slot, config, roster.dependencies.goal(slot) is Goal.UP)))
        return finish

    def _replace(self, slot: Slot, config: ProcessConfig, was_up: bool) -> Inputs:
        """New options for a process that is down; it comes up if it was up, or if it is to start by itself."""
        self._engine.outputs.remove(slot.key)
        self._engine.outputs.add(slot.key, config)
        self._engine.roster.set_process(slot.group, config)
        if was_up or (config.autostart and self._engine.may_begin(slot.key)):
            return [(slot, Start())]
        return []

    def _renew_needs(self, groups: Iterable[GroupConfig]) -> None:
        """What a group that is not touched depends on may have other processes."""
        roster = self._engine.roster
        for group in groups:
            active = roster.groups.get(group.name)
            if active is None or active == group:
                continue
            for config in group.processes:
                slot = roster.get((group.name, config.name))
                if slot is not None and slot.config != config == slot.config._replace(depends=config.depends):
                    roster.set_process(group.name, config)
            if _without_needs(active) == _without_needs(group):
                roster.set_group(group)

    def _add_group(self, group: GroupConfig) -> list[tuple[Slot, Input]]:
        self._engine.roster.set_group(group)
        self._engine.tell_of_group(group.name, GROUP_ADDED)
        return self._added(group.name, group.processes)

    def _added(self, group: str, configs: tuple[ProcessConfig, ...]) -> list[tuple[Slot, Input]]:
        """Make new processes ready; returns the inputs that start those which start by themselves."""
        inputs: list[tuple[Slot, Input]] = []
        for config in configs:
            slot = self._engine.roster.set_process(group, config)
            self._engine.outputs.add(slot.key, config)
            if config.autostart and self._engine.may_begin(slot.key):
                inputs.append((slot, Start()))
        return inputs

    def _forget_group(self, name: str) -> None:
        for slot in self._engine.roster.members(name):
            self._engine.outputs.remove(slot.key)
        self._engine.roster.remove_group(name)
        self._engine.tell_of_group(name, GROUP_REMOVED)
        self._engine.submit_all([])             # who waited for what is no more may go on

    def _forget(self, slot: Slot) -> Inputs:
        self._engine.outputs.remove(slot.key)
        self._engine.roster.remove_process(slot.key)
        return []


def _without_needs(group: GroupConfig) -> GroupConfig:
    return group._replace(processes=tuple(process._replace(depends=Depends()) for process in group.processes))


def _nothing() -> Inputs:
    """A process of a group that goes as a whole."""
    return []
