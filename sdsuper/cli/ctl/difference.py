"""diff, and update --dry-run: what an update would do, and why.

Promises: exit status 0 when nothing would change, 1 when something would, 2 when it cannot be said, as diff(1) has it.
Must not: change anything.
"""

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.show import output, say_json
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

CHANGES, TROUBLE = 1, 2
_MOST = 3               # names of processes that are alike
_WORDS = {"added": "is added", "removed": "is stopped and removed", "restarted": "is restarted",
          "applied": "goes on, with the new values"}


def diff(session: "Session", argument: str) -> None:
    """`diff [group …]`."""
    compare(session, argument.split(), "diff")


def compare(session: "Session", words: list[str], command: str) -> None:
    """Say what would change in the groups of `words` (none: all)."""
    if not session.up():
        session.status = TROUBLE
        return
    names, as_json = output(session, words)
    if names is None:
        return
    if wrong := [name for name in names if name.startswith("-")]:
        session.wrong(f"Error: no such option: {wrong[0]}", TROUBLE)
        explain(session, command)
        return
    try:
        found = session.call("Diff", groups=names or None)
    except Refusal as refusal:
        said = {"BAD_NAME": f"ERROR: no such group: {refusal.detail}", "CANT_REREAD": f"ERROR: {refusal}",
                "SHUTDOWN_STATE": "ERROR: supervisor shutting down", "FAILED": f"Error: {refusal.detail}"}
        if refusal.fault not in said:
            raise
        session.wrong(said[refusal.fault], TROUBLE)
        return
    if found["groups"] or found["daemon"]:
        session.status = CHANGES
    if as_json:
        say_json(session, {"schema": "sdsuper.diff/1", **found})
        return
    lines = [line for group in found["groups"] for line in _group(group)]
    lines += [f"[supervisord] {name}: needs a restart of the daemon" for name in found["daemon"]]
    session.say("\n".join(lines) or "No config updates to processes")


def _group(group: "dict[str, Any]") -> list[str]:
    lines = [f"{group['group']}: {group['kind']}", *_options(group["options"])]
    alike: dict[str, list[dict[str, Any]]] = {}
    for process in group["processes"]:
        alike.setdefault(repr((process["kind"], process["options"])), []).append(process)
    for processes in alike.values():
        names = [shown(group["group"], process["name"]) for process in processes]
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        lines.append(f"  {', '.join(names[:_MOST])}{more}: {_WORDS[processes[0]['kind']]}")
        lines += _options(processes[0]["options"])
    return lines


def _options(options: "list[dict[str, Any]]") -> list[str]:
    return [f"    {one['option']}: {_change(one)}{_place(one)}" for one in options]


def _change(one: "dict[str, Any]") -> str:
    old: str | None = one.get("old")
    new: str | None = one.get("new")
    if old == new and old is not None:
        return old
    return f"{'(not set)' if old is None else _added(old)} -> {'(not set)' if new is None else _added(new)}"


def _added(text: str) -> str:
    """A value that is not shown is, on one side alone, one that is set."""
    return "(set)" if text == "(changed)" else text


def _place(one: "dict[str, Any]") -> str:
    if not one.get("file"):
        return ""
    return f"  # {one['file']}:{one['line']}" + (f" [{one['section']}]" if one.get("section") else "")
