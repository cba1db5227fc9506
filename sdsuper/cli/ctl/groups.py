"""reread, update, add, remove: the configuration and the groups that are in use."""

from sdsuper.cli.ctl.help import explain
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session

_CHANGES = {
    "added": "added process group", "updated": "updated process group", "removed": "removed process group",
    "stopped": "stopped", "failed": "has problems; not removing",
}  # fmt: skip


def reread(session: "Session", argument: str) -> None:
    """`reread`: compare the configuration files with what is in use; nothing is changed."""
    if argument:
        session.wrong("Error: reread accepts no arguments")
        explain(session, "reread")
        return
    try:
        found = session.call("Reread")
    except Refusal as refusal:
        if refusal.fault == "SHUTDOWN_STATE":
            session.wrong("ERROR: supervisor shutting down")
        elif refusal.fault == "CANT_REREAD":
            session.wrong(f"ERROR: {refusal}")
        else:
            raise
        return
    words = {"added": "available", "changed": "changed", "removed": "disappeared"}
    news = sorted((group, word) for kind, word in words.items() for group in found[kind])
    for group, word in news:
        session.say(f"{group}: {word}")
    if not news:
        session.say("No config updates to processes")


def update(session: "Session", argument: str) -> None:
    """`update [group …|all]`: reread, then make it so; the daemon's steps are shown in its order. With `--dry-run` only
    what would be done.
    """
    named = argument.split()
    if "--dry-run" in named:
        from sdsuper.cli.ctl.difference import compare

        compare(session, [word for word in named if word != "--dry-run"], "update")
        return
    if "all" in named:
        named = []
    try:
        added = session.call("Reread")["added"]
    except Refusal as refusal:
        if refusal.fault != "SHUTDOWN_STATE":
            raise
        session.wrong("ERROR: already shutting down")
        return
    if named:
        groups = {process["group"] for process in session.call("List")["processes"]} | set(added)
        for group in named:
            if group not in groups:
                session.wrong(f"ERROR: no such group: {group}")
        named = [group for group in named if group in groups]
        if not named:
            return
    for change in session.call("Update", groups=named or None)["changes"]:
        session.say(f"{change['group']}: {_CHANGES[change['kind']]}")
        if change["kind"] == "failed":
            session.status = 1


def add(session: "Session", argument: str) -> None:
    """`add group …`: use groups that the last reread found; one that is in use already is no error."""
    for name in argument.split():
        try:
            session.call("AddGroup", name=name)
        except Refusal as refusal:
            if refusal.fault == "SHUTDOWN_STATE":
                session.wrong("ERROR: shutting down")
            elif refusal.fault == "ALREADY_ADDED":
                session.say("ERROR: process group already active")
            elif refusal.fault == "BAD_NAME":
                session.wrong(f"ERROR: no such process/group: {name}")
            else:
                raise
        else:
            session.say(f"{name}: added process group")


def remove(session: "Session", argument: str) -> None:
    """`remove group …`: no longer use groups; their processes must have been stopped."""
    for name in argument.split():
        try:
            session.call("RemoveGroup", name=name)
        except Refusal as refusal:
            if refusal.fault == "STILL_RUNNING":
                session.wrong(f"ERROR: process/group still running: {name}")
            elif refusal.fault == "BAD_NAME":
                session.wrong(f"ERROR: no such process/group: {name}")
            else:
                raise
        else:
            session.say(f"{name}: removed process group")
