"""Names as XML-RPC has them: exact ones. The control socket takes shell patterns and `all`, too; none gets there.

Promises: what a name means here is one process or one group, or BAD_NAME. Must not: guess.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sdsuper.api.daemon import Daemon
from sdsuper.errors import Refusal

_PATTERN = frozenset("*?[")


class Target(NamedTuple):
    """What a name means: a process, or with None a whole group."""

    asked: str
    group: str
    process: str | None

    @property
    def full(self) -> str:
        """The name for the control socket."""
        return f"{self.group}:{self.process or '*'}"

    @property
    def risky(self) -> bool:
        """Whether the control socket could take it for a pattern if there is nothing of that very name."""
        return not _PATTERN.isdisjoint(self.group) or not _PATTERN.isdisjoint(self.process or "")


def target(name: str) -> Target:
    """`group:process`, `group:*`, `group:`, or `process` in a group of its own name."""
    group, colon, process = name.partition(":")
    if not colon:
        process = group
    return Target(name, group, None if colon and process in ("", "*") else process)


def process(name: str) -> Target:
    """The same, for one process alone. Raises Refusal BAD_NAME."""
    found = target(name)
    if found.process is None:
        raise Refusal("BAD_NAME", name)
    return found


def whole_group(name: str) -> Target:
    """All of the group `name`. Raises Refusal BAD_NAME for what can be no group's name."""
    if ":" in name:
        raise Refusal("BAD_NAME", name)
    return Target(name, name, None)


def shown(group: str, name: str) -> str:
    """How a process is called: its name alone where the group has the same."""
    return name if group == name else f"{group}:{name}"


def among(rows: Sequence[dict[str, Any]], wanted: Target) -> bool:
    """Whether these processes are exactly the wanted ones, and not what a pattern found."""
    return bool(rows) and all(row["group"] == wanted.group and wanted.process in (None, row["name"]) for row in rows)


async def exact(daemon: Daemon, wanted: Target) -> str:
    """The name to ask the daemon by. Raises Refusal BAD_NAME, SHUTDOWN_STATE."""
    if wanted.risky:
        try:
            rows = (await daemon.call("List", name=wanted.full))["processes"]
        except Refusal as refusal:
            raise renamed(refusal, wanted.asked) from None
        if not among(rows, wanted):
            raise Refusal("BAD_NAME", wanted.asked)
    return wanted.full


def renamed(refusal: Refusal, asked: str) -> Refusal:
    """The refusal with the name that was asked for, as Supervisor says it."""
    return Refusal(refusal.fault, asked) if refusal.fault in ("BAD_NAME", "NOT_RUNNING") else refusal
