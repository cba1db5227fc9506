"""Options about what a start waits for and what else happens around a run: their values, the records they make, and
what of it makes no sense together.

Promises: without any of these options the records are Supervisor's way. Must not: know other sections (dependencies.py
looks at all of them), or say when anything happens (core does).
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from sdsuper.config.lifecycle import Condition, Depends, Hooks, Lost, Readiness, ReadyKind, Unmet, Wanted
from sdsuper.config.values import names, refused

#: To say that something is wrong with an option.
_Say = Callable[[str, str], None]
_WANTED = re.compile(r"([^\s:?]+(?::[^\s:?]+)?)(?::(started|ready|healthy|completed))?(\?)?")
_READY_TIMEOUT = 90
_CONDITIONS = frozenset(condition.value for condition in Condition)


# ---- values -------------------------------------------------------------------------------------------------------

def wanted(text: str) -> tuple[Wanted, ...]:
    """`db:ready, migrate:completed, cache?` to its items. A condition is the last word after a colon."""
    found: dict[str, Wanted] = {}
    for item in names(text):
        match = _WANTED.fullmatch(item.strip())
        if match is None:
            raise refused(item, "a dependency", "NAME, NAME:CONDITION or NAME? with started, ready, healthy or "
                                                "completed as the condition")
        name, condition = match[1], match[2] or "ready"
        head, colon, last = name.rpartition(":")
        if colon and match[2] is None and last in _CONDITIONS:
            name, condition = head, last
        if name in found:
            raise refused(text, "dependencies", f"{name} once")
        found[name] = Wanted(name, Condition(condition), bool(match[3]))
    return tuple(found.values())


def lost(text: str) -> Lost:
    """ignore, stop or restart."""
    try:
        return Lost(text.lower())
    except ValueError:
        raise refused(text, "an action", "ignore, stop or restart") from None


def unmet(text: str) -> Unmet:
    """wait or fail."""
    try:
        return Unmet(text.lower())
    except ValueError:
        raise refused(text, "an action", "wait or fail") from None


def readiness(text: str) -> tuple[ReadyKind, str]:
    """`startsecs`, `notify`, `fd:N` or `log:PATTERN`."""
    word, colon, detail = text.partition(":")
    kind = word.strip().lower()
    if kind in ("startsecs", "notify") and not colon:
        return ReadyKind(kind), ""
    if kind == "fd" and re.fullmatch("[0-9]{1,3}", detail) and 3 <= int(detail) <= 255 and int(detail) != 4:
        return ReadyKind.FD, str(int(detail))
    if kind == "log" and detail:
        try:
            re.compile(detail.encode())
        except re.error as error:
            raise refused(text, f"a pattern, {error}", "regular expression") from None
        return ReadyKind.LOG, detail
    raise refused(text, "a kind of readiness", "startsecs, notify, fd:NUMBER (3, or 5 to 255) or log:PATTERN")


def notify_access(text: str) -> bool:
    """main or all; True is all."""
    if text.lower() not in ("main", "all"):
        raise refused(text, "an access", "main or all")
    return text.lower() == "all"


def program_type(text: str) -> bool:
    """simple or forking; True is forking."""
    if text.lower() not in ("simple", "forking"):
        raise refused(text, "a type", "simple or forking")
    return text.lower() == "forking"


# ---- the records --------------------------------------------------------------------------------------------------

def depends(found: dict[str, Any]) -> Depends:
    """The record of a section's values, its needs still to be looked up."""
    return Depends((), found["depends_timeout"], found["depends_unmet"], found["depends_lost"])


def ready(found: dict[str, Any]) -> Readiness:
    """The record of a section's values."""
    kind, detail = found["readiness"]
    pidfile = found["pidfile"] if found["type"] else None
    timeout = found["ready_timeout"]
    if timeout is None:
        timeout = _READY_TIMEOUT if kind is not ReadyKind.STARTSECS or pidfile else 0
    return Readiness(kind, detail, timeout, found["notify_access"], pidfile)


def hooks(found: dict[str, Any]) -> Hooks:
    """The record of a section's values."""
    return Hooks(found["pre_start_hook"] or "", found["post_start_hook"] or "", found["pre_stop_hook"] or "",
                 found["post_stop_hook"] or "", found["hook_timeout"], found["reload_command"] or "",
                 found["reload_signal"] or 0)


def check(found: dict[str, Any], _given: Collection[str], error: _Say, warn: _Say) -> None:
    """Say which options cannot be meant, and which of them change nothing."""
    kind = found["readiness"][0]
    if found["type"] and not found["pidfile"]:
        error("type", "forking needs pidfile=, which says who the main process is")
    if found["type"] and kind is not ReadyKind.STARTSECS:
        error("readiness", f"cannot be {kind.value} with type=forking, whose start is over when its pidfile is there")
    if found["pidfile"] and not found["type"]:
        warn("pidfile", "has no effect without type=forking")
    if found["reload_command"] and found["reload_signal"]:
        error("reload_command", "cannot be used together with reload_signal")
    if found["notify_access"] and kind is not ReadyKind.NOTIFY and not found.get("watchdog_sec"):
        warn("notify_access", "has no effect without readiness=notify")

