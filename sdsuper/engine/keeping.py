"""The commands whose effect is kept over a restart of the daemon: the number of a program's processes, and who does not
start by itself.

Promises: what cannot be written down is refused and changes nothing; a new number is taken over as an update takes a
new `numprocs`, and nothing else with it. Must not: start or stop anything but so.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from sdsuper.config.model import GroupConfig, Model
from sdsuper.control.server import Call
from sdsuper.engine.kept import Kept
from sdsuper.engine.supervise import Engine
from sdsuper.engine.update import Changes, Updates
from sdsuper.engine.waiting import result
from sdsuper.errors import ConfigError, Refusal

MOST = 10_000           # processes that a program can be scaled to


class Source(Protocol):
    """The daemon, as far as it is needed here."""

    model: Model

    def reloaded(self, changes: Changes) -> None:
        """A new configuration has been taken over."""

    def reload_refused(self, error: ConfigError) -> None:
        """It cannot be read."""


class KeepingCommands:
    """`Scale`, `Enable` and `Disable` of the control interface."""

    def __init__(self, daemon: Source, engine: Engine, updates: Updates, kept: Kept) -> None:
        self._daemon, self._engine, self._updates, self._kept = daemon, engine, updates, kept
        self.methods: dict[str, Callable[[Call], None]] = {
            "Scale": self._scale, "Enable": lambda call: self._able(call, True),
            "Disable": lambda call: self._able(call, False),
        }

    # ---- scale ----------------------------------------------------------------------------------------------------

    def _scale(self, call: Call) -> None:
        program, count = call.parameters["program"], call.parameters.get("count")
        if count is not None and not 1 <= count <= MOST:
            raise Refusal("BAD_ARGUMENTS", f"count: {count} processes of a program (1 to {MOST} expected)")
        self._check(program, count is None)
        groups = self._taken(program, count)

        def done(changes: Changes) -> None:
            self._daemon.reloaded(changes)
            call.reply({"changes": changes})

        try:
            self._updates.update(groups, done)
        except ConfigError as error:
            self._daemon.reload_refused(error)
            raise

    def _check(self, program: str, back: bool) -> None:
        """Raises Refusal for a program that is not active, or whose group waits for an update of another kind, and
        ConfigError, but not on the way `back`: the number may be what is wrong.
        """
        groups = _with(program, self._engine.roster.groups.values())
        if not groups:
            raise Refusal("BAD_NAME", program)
        try:
            changed = {change.new.name for change in self._updates.reread().changed}
        except ConfigError:
            if not back:
                raise
            return
        waiting = sorted(changed.intersection(groups))
        if waiting:
            raise Refusal("FAILED", f"the configuration of {', '.join(waiting)} has changed; update it first")

    def _taken(self, program: str, count: int | None) -> list[str]:
        """Write the number down, if the configuration can have it; returns the groups that change. Raises Refusal."""
        scale = self._kept.scale
        before = dict(scale)
        if count is None:
            scale.pop(program, None)
        else:
            scale[program] = count
        try:
            plan = self._updates.reread()
            if count is not None and not self._has(program, count):
                raise Refusal("FAILED", f"{program}: its process_name must have %(process_num) in it")
            self._save()
        except (Refusal, ConfigError):
            self._kept.scale = before
            try:
                self._updates.reread()
            except ConfigError:
                pass                    # as it was before
            raise
        return _with(program, (change.new for change in plan.changed))

    def _has(self, program: str, count: int) -> bool:
        """Whether the program has so many processes in each group that has it."""
        found = ([one for one in group.processes if one.program == program] for group in self._daemon.model.groups)
        return all(len(processes) == count for processes in found if processes)

    # ---- enable, disable ------------------------------------------------------------------------------------------

    def _able(self, call: Call, able: bool) -> None:
        slots = self._engine.roster.select(call.parameters["name"]).slots
        before = set(self._kept.disabled)
        keys = {slot.key for slot in slots}
        self._kept.disabled = before - keys if able else before | keys
        try:
            if self._kept.disabled != before:
                self._save()
        except Refusal:
            self._kept.disabled = before
            raise
        call.reply({"results": [result(slot, "SUCCESS") for slot in slots]})

    def _save(self) -> None:
        try:
            self._kept.save()
        except OSError as error:
            raise Refusal("FAILED", f"{self._kept.path}: {error.strerror}; state_file= in [supervisord] can name "
                                    "another place") from None


def _with(program: str, groups: Iterable[GroupConfig]) -> list[str]:
    """The groups that have processes of a program."""
    return [group.name for group in groups if any(process.program == program for process in group.processes)]
