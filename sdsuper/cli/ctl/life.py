"""shutdown, reload, open, quit: the daemon's life and the shell's."""

import sys

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.options import without_userinfo
from sdsuper.cli.ctl.session import GENERIC
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session


def shutdown(session: "Session", argument: str) -> None:
    """`shutdown`: stop everything and end the daemon; already ending is no error."""
    if argument:
        session.wrong("Error: shutdown accepts no arguments")
        explain(session, "shutdown")
        return
    if not session.confirm("Really shut the remote supervisord process down y/N? "):
        return
    try:
        session.call("Shutdown")
    except Refusal as refusal:
        if refusal.fault != "SHUTDOWN_STATE":
            raise
        session.say("ERROR: already shutting down")
    except ConnectionRefusedError:
        session.wrong(f"ERROR: {session.url} refused connection (already shut down?)")
    except FileNotFoundError:
        session.wrong(f"ERROR: {session.url} no such file (already shut down?)")
    else:
        session.say("Shut down")


def reload(session: "Session", argument: str) -> None:
    """`reload`: read the configuration again and make all of it so; a bad one changes nothing and is exit 1."""
    if argument:
        session.wrong("Error: reload accepts no arguments")
        explain(session, "reload")
        return
    if not session.confirm("Really restart the remote supervisord process y/N? "):
        return
    try:
        sys.stdout.flush()
        session.backend.reload()
    except Refusal as refusal:
        if refusal.fault == "SHUTDOWN_STATE":
            session.wrong("ERROR: already shutting down")
        elif refusal.fault == "CANT_REREAD":
            session.wrong(f"ERROR: {refusal}")
        else:
            raise
    else:
        session.say("Restarted supervisord")


def open(session: "Session", argument: str) -> None:
    """`open URL`: talk to another daemon from now on, and show its processes. The exit status stays as it was."""
    from sdsuper.cli.ctl.show import status

    if argument.partition(":")[0].lower() not in ("unix", "http"):
        session.wrong("ERROR: url must be http:// or unix://", GENERIC)
        return
    session.disconnect()
    session.url = without_userinfo(argument)
    before = session.status
    status(session, "")
    session.status = before


def quit(session: "Session", argument: str) -> bool:
    """`quit`, `exit` and the end of the input: leave the shell."""
    session.say("")
    return True
