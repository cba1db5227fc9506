"""What to do about a new configuration.

Promises: compares two Models and says what must change; a process whose record is equal is not named at all. The first
start is a reload from nothing. Must not: do it.
"""

from typing import NamedTuple

from sdsuper.config.lifecycle import Readiness
from sdsuper.config.model import GroupConfig, LogConfig, Model, ProcessConfig, Server, Where
from sdsuper.config.row import Change
from sdsuper.config.settings import ROWS, TABLE


class GroupChange(NamedTuple):
    """A group that is in both Models and differs. A process is in one of the lists at most."""

    new: GroupConfig
    added: tuple[ProcessConfig, ...]
    removed: tuple[str, ...]
    restarted: tuple[ProcessConfig, ...]    # needs a new run to have its new settings
    applied: tuple[ProcessConfig, ...]      # its new settings hold from now on


class ReloadPlan(NamedTuple):
    """Groups in start order, names sorted. `daemon` are sections and options that a running daemon cannot change."""

    added: tuple[GroupConfig, ...]
    changed: tuple[GroupChange, ...]
    removed: tuple[str, ...]
    daemon: tuple[str, ...]


def _restarting_fields() -> frozenset[str]:
    """The fields of ProcessConfig (`stdout.targets` for those inside a log) whose new value needs a new run."""
    return frozenset(row.field for row in TABLE if row.field and row.change is Change.RESTART)


_RESTART = _restarting_fields()


def needs_restart(old: ProcessConfig, new: ProcessConfig) -> bool:
    """Whether the difference of two records needs a new run."""
    # `program` has no rule: a process of the same name from another section with the same content is the same process.
    for name, before, after in zip(ProcessConfig._fields, old, new, strict=True):
        if before is after or before == after:
            continue
        if isinstance(before, LogConfig) and isinstance(after, LogConfig):
            if _log_needs_restart(name, before, after):
                return True
        elif isinstance(before, Readiness) and isinstance(after, Readiness):
            if before._replace(timeout=after.timeout, everybody=after.everybody) != after:
                return True
        elif name in _RESTART:
            return True
    return False


def _log_needs_restart(name: str, old: LogConfig, new: LogConfig) -> bool:
    # A stream that nobody captures is /dev/null in the child: it cannot become a pipe, nor a pipe /dev/null.
    if captured(old) != captured(new):
        return True
    return any(f"{name}.{field}" in _RESTART and before != after
               for field, before, after in zip(LogConfig._fields, old, new, strict=True))


def captured(log: LogConfig) -> bool:
    """Whether the daemon reads this stream."""
    return bool(log.targets or log.capture_maxbytes or log.events_enabled)


def plan(old: Model | None, new: Model) -> ReloadPlan:
    """What turns a daemon that runs `old` (None: nothing) into one that runs `new`."""
    before = {group.name: group for group in old.groups} if old else {}
    after = {group.name for group in new.groups}
    added = tuple(group for group in new.groups if group.name not in before)
    changed = tuple(_compare(before[group.name], group) for group in new.groups
                    if group.name in before and before[group.name] != group)
    removed = tuple(sorted(name for name in before if name not in after))
    return ReloadPlan(added, changed, removed, _daemon(old, new) if old else ())


def _compare(old: GroupConfig, new: GroupConfig) -> GroupChange:
    before = {process.name: process for process in old.processes}
    names = {process.name for process in new.processes}
    # A FastCGI socket is a program's standard input from its start on.
    moved = {program for program, _ in set(old.sockets) ^ set(new.sockets)}
    restarted: list[ProcessConfig] = []
    applied: list[ProcessConfig] = []
    for process in new.processes:
        known = before.get(process.name)
        if known is None:
            continue
        if old.kind is not new.kind or process.program in moved:
            restarted.append(process)
        elif known != process:
            (restarted if needs_restart(known, process) else applied).append(process)
    return GroupChange(new, tuple(process for process in new.processes if process.name not in before),
                       tuple(sorted(name for name in before if name not in names)), tuple(restarted), tuple(applied))


def _daemon(old: Model, new: Model) -> tuple[str, ...]:
    """What only a restart of the daemon changes: options of [supervisord], and servers by section."""
    rows = ROWS["supervisord"]
    found = {name for name, before, after in zip(old.supervisord._fields, old.supervisord, new.supervisord, strict=True)
             if before != after and name in rows and rows[name].change is Change.DAEMON}
    before_servers, after_servers = _servers(old), _servers(new)
    names = before_servers.keys() | after_servers.keys()
    found.update(name for name in names if before_servers.get(name) != after_servers.get(name))
    return tuple(sorted(found))


def _servers(model: Model) -> dict[str, Server]:
    """The servers by section, without the line they are on."""
    return {server.section: server._replace(where=Where("", 0)) for server in model.servers}
