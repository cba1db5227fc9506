"""is-active, is-ready, health: questions of scripts, answered by a word and an exit status.

Exit status: 0 yes, for all that were named; 3 no; 4 for an unknown name, or no daemon. `-q` says nothing.
"""

from sdsuper.cli.ctl.each import miss, named
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.session import STATUS_NOT_RUNNING, STATUS_UNKNOWN
from sdsuper.cli.ctl.show import output, say_json
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_HEADER = ("NAME", "STATE", "HEALTH", "READY", "")
_ILL = ("unhealthy", "unready")


def is_active(session: "Session", argument: str) -> None:
    """`is-active [-q] name …`: the state, in small letters; yes is RUNNING."""
    _ask(session, argument, "is-active", lambda one: (one["state"].lower(), one["state"] == "RUNNING"))


def is_ready(session: "Session", argument: str) -> None:
    """`is-ready [-q] name …`: `ready` or `unready`; where nothing checks that, RUNNING is ready."""
    _ask(session, argument, "is-ready", lambda one: ("ready" if ready(one) else "unready", ready(one)))


def ready(one: "dict[str, Any]") -> bool:
    """Whether a process of `List` is up and ready, as far as anybody asks it."""
    return one["state"] == "RUNNING" and one.get("ready") is not False


def _ask(session: "Session", argument: str, command: str,
         judge: "Callable[[dict[str, Any]], tuple[str, bool]]") -> None:
    if not session.up():
        session.status = STATUS_UNKNOWN
        return
    words = argument.split()
    quiet = [word for word in words if word in ("-q", "--quiet")]
    names: Sequence[str] = [word for word in words if word not in quiet]
    if option := next((name for name in names if name.startswith("-")), ""):
        session.wrong(f"Error: no such option: {option}", STATUS_UNKNOWN)
        explain(session, command)
        return
    names = named(session, command, names, STATUS_UNKNOWN)
    if not names:
        return
    no = missing = False
    for name in names:
        found = _found(session, name)
        missing = missing or found is None
        for one in found or []:
            word, yes = judge(one)
            no = no or not yes
            if not quiet:
                session.say(word)
        if found is None and not quiet:
            session.say("unknown")
    session.status = STATUS_UNKNOWN if missing else STATUS_NOT_RUNNING if no else 0


def _found(session: "Session", name: str) -> "list[dict[str, Any]] | None":
    try:
        processes: list[dict[str, Any]] = session.call("List", name=name)["processes"]
    except Refusal as refusal:
        if refusal.fault != "BAD_NAME":
            raise
        return None
    return processes


def health(session: "Session", argument: str) -> None:
    """`health [name …]`: what checks say; exit 3 when one that is checked is not well, or one is not RUNNING that was
    named or is wanted up.
    """
    if not session.up():
        session.status = STATUS_UNKNOWN
        return
    words, as_json = output(session, argument.split())
    if words is None:
        return
    found: list[dict[str, Any]] = []
    status = 0
    for name in words or ["all"]:
        processes = _found(session, name)
        if processes is None:
            miss(session, name, as_json, STATUS_UNKNOWN)
            status = STATUS_UNKNOWN
            continue
        found += processes
    if not status and any(map(_ill, found) if not words else (one["state"] != "RUNNING" or _ill(one) for one in found)):
        status = STATUS_NOT_RUNNING
    if as_json:
        keys = ("name", "group", "state", "goal", "health", "ready", "description")
        say_json(session, {"schema": "sdsuper.health/1",
                           "processes": [{key: one[key] for key in keys if key in one} for one in found]})
    elif found:
        _table(session, found)
    session.status = status


def _ill(one: "dict[str, Any]") -> bool:
    down = one["state"] == "FATAL" or (one.get("goal") == "up" and one["state"] in ("BACKOFF", "STOPPING"))
    return down or one.get("health") in _ILL or (one["state"] == "RUNNING" and one.get("ready") is False)


def _table(session: "Session", found: "list[dict[str, Any]]") -> None:
    rows = [_HEADER]
    for one in found:
        checked = "health" in one and one["health"] is not None
        rows.append((shown(one["group"], one["name"]), one["state"], one["health"] if checked else "-",
                     ("yes" if ready(one) else "no") if checked else "-", one["description"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        session.say("  ".join([*cells, row[-1]]).rstrip())
