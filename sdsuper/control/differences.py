"""What is different in a new configuration, as text.

Promises: every difference of two records is named, if only as `(changed)`; values of variables, and what looks like a
password, are not shown. Must not: compare Models (config.reload does), or know the engine.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from sdsuper.config.health_values import shown
from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.config.places import variable
from sdsuper.config.settings import ROWS, TABLE
from sdsuper.control.effective import masked, options

CHANGED = "(changed)"
#: Fields of records that are not named as their options are.
_NAMES = {
    "depends.needs": "depends_on", "depends.timeout": "depends_timeout", "depends.unmet": "depends_unmet",
    "depends.lost": "depends_lost", "readiness.kind": "readiness", "readiness.detail": "readiness",
    "readiness.timeout": "ready_timeout", "readiness.everybody": "notify_access", "readiness.pidfile": "pidfile",
    "hooks.pre_start": "pre_start_hook", "hooks.post_start": "post_start_hook", "hooks.pre_stop": "pre_stop_hook",
    "hooks.post_stop": "post_stop_hook", "hooks.timeout": "hook_timeout", "hooks.reload_command": "reload_command",
    "hooks.reload_signal": "reload_signal", "cron.text": "cron",
    "health.startup": "startup_check_script", "health.ready": "ready_check_script",
    "health.live": "liveness_check_script", "health.well": "liveness_check_success_action",
    "health.ill": "liveness_check_failure_action", "health.watchdog": "watchdog_sec",
    "health.startup_seconds": "ready_timeout", "cron.schedule": "cron", "cron.overlap": "cron_overlap",
    "cron.missed": "cron_missed", "cron.jitter": "cron_jitter",
}


class Difference(NamedTuple):
    """One option; None where it is not written. `key` is the word under which its place is kept."""

    option: str
    key: str
    old: str | None
    new: str | None


def differences(old: ProcessConfig, new: ProcessConfig) -> list[Difference]:
    """The options in which two records of a process differ, in the order of the settings table."""
    before, after = _texts(old), _texts(new)
    found = {name: Difference(name, name, before.get(name), after.get(name))
             for name in (*before, *after) if before.get(name) != after.get(name)}
    told = {_field(name) for name in found}
    for name, value in _other(old, new).items():
        if name not in found and _field(name) not in told:
            found[name] = Difference(name, name, *value)
    order = {row.name: number for number, row in enumerate(ROWS["program"].values())}
    return [*sorted(found.values(), key=lambda one: order.get(one.option, len(order))), *_variables(old, new)]


def of_group(old: GroupConfig, new: GroupConfig) -> list[Difference]:
    """The options of the group itself."""
    return [Difference(name, name, _plain(before), _plain(after))
            for name, before, after in zip(GroupConfig._fields, old, new, strict=True)
            if before != after and name != "processes"]


def _texts(config: ProcessConfig) -> dict[str, str]:
    """Options that are not the default, without the variables."""
    return {name: text for name, text in options(config) if name != "environment"}


def _field(option: str) -> str:
    """The record's field that an option is part of."""
    row = ROWS["program"].get(option.lower())
    return (row.field if row is not None and row.field else option).partition(".")[0]


def _other(old: ProcessConfig, new: ProcessConfig) -> dict[str, tuple[str | None, str | None]]:
    """What differs, field by field: for options that have no text in `options`, or the same one."""
    found: dict[str, tuple[str | None, str | None]] = {}
    pairs: Iterable[tuple[str, Any, Any]] = zip(ProcessConfig._fields, old, new, strict=True)
    for name, before, after in pairs:
        if before == after or name == "environment":
            continue
        if name == "program" or type(before) is not type(after) or not hasattr(before, "_fields"):
            found[name] = _shown(before, after)
            continue
        for part, one, other in zip(before._fields, before, after, strict=True):
            if one != other:
                field = f"{name}.{part}"
                found.setdefault(_NAMES.get(field) or _option(field), _shown(one, other))
    return found


def _option(field: str) -> str:
    """The option of a field of a record, if it is the only one."""
    names = [row.name for row in TABLE if row.field == field]
    return names[0] if len(names) == 1 else field


def _shown(before: Any, after: Any) -> tuple[str | None, str | None]:
    texts = _plain(before), _plain(after)
    return texts if texts[0] != texts[1] else (CHANGED, CHANGED)


def _plain(value: Any) -> str | None:
    """A simple value as text, `(changed)` for a record of its own."""
    if value is None or value == "" or value == ():
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str | int | float):
        return masked(shown(str(value)))
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        texts = [_need(one) if hasattr(one, "condition") else _plain(one) for one in value]
        return CHANGED if None in texts or CHANGED in texts else ", ".join(filter(None, texts))
    return CHANGED


def _need(need: Any) -> str:
    name: str = need.process if need.group == need.process else f"{need.group}:{need.process}"
    return f"{name}:{need.condition.value}{'?' if need.optional else ''}"


def _variables(old: ProcessConfig, new: ProcessConfig) -> list[Difference]:
    """Of a variable only that it is another one."""
    before, after = dict(old.environment), dict(new.environment)
    return [Difference(f"environment {name}", variable(name), CHANGED if name in before else None,
                       CHANGED if name in after else None)
            for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
