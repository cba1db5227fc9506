"""cat: what the configuration says of a process, and what is in force for it.

The first part are the options that are not the default, with the places where they are written, the second is what the
kernel says of the running process.
`-o json` gives the records of the control interface.
"""

from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.show import say_json, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session


def cat(session: "Session", argument: str) -> None:
    """`cat name …`: exit 1 for a name that is unknown."""
    found, as_json = told(session, argument, "cat", "Cat")
    if found is None:
        return
    if as_json:
        say_json(session, {"schema": "sdsuper.cat/1", "processes": found})
        return
    for one in found:
        _say(session, one)


def _say(session: "Session", one: "dict[str, Any]") -> None:
    old = "" if one["current"] else ", from files that have changed since (update takes them over)"
    lines = [shown(one["group"], one["name"]), f"  options that are not the default{old}"]
    lines += _pairs(one["options"])
    if one["pid"]:
        lines += [f"  in force, pid {one['pid']}", *_pairs(one["in_force"])]
    else:
        lines.append("  does not run")
    session.say("\n".join(lines))


def _pairs(pairs: "list[dict[str, Any]]") -> list[str]:
    return [f"    {pair['name']:<24} {pair['value']}{_place(pair)}" for pair in pairs] or ["    none"]


def _place(pair: "dict[str, Any]") -> str:
    """Where an option is written, as a comment; nothing for what follows from others or is in force."""
    if not pair.get("file"):
        return ""
    return f"  # {pair['file']}:{pair['line']}" + (f" [{pair['section']}]" if pair.get("section") else "")
