"""scale, enable, disable: what is kept over a restart of the daemon."""

from sdsuper.cli.ctl.each import collect, named
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.session import INVALID_ARGS
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session

_DIGITS = 9


def scale(session: "Session", argument: str) -> None:
    """`scale program N|-`: exit 2 for what is no number, 1 for what the daemon refuses."""
    if not session.up():
        return
    words = argument.split()
    if len(words) != 2:
        session.wrong("Error: scale requires a program and a number", INVALID_ARGS)
        explain(session, "scale")
        return
    program, text = words
    if text != "-" and not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        session.wrong(f"Error: cannot read {text!r} as a number of processes (a number, or - for the configured one)",
                      INVALID_ARGS)
        return
    try:
        session.call("Scale", program=program, count=None if text == "-" else int(text))
    except Refusal as refusal:
        said = {"BAD_NAME": f"{program}: ERROR (no such program)", "FAILED": f"ERROR: {refusal.detail}",
                "BAD_ARGUMENTS": f"ERROR: {refusal.detail}", "CANT_REREAD": f"ERROR: {refusal}"}
        if refusal.fault not in said:
            raise
        session.wrong(said[refusal.fault])
        return
    session.say(f"{program}: as configured" if text == "-" else f"{program}: scaled to {int(text)}")


def enable(session: "Session", argument: str) -> None:
    """`enable name …`: exit 1 for an unknown name."""
    _able(session, argument, "enable", "Enable")


def disable(session: "Session", argument: str) -> None:
    """`disable name …`: exit 1 for an unknown name."""
    _able(session, argument, "disable", "Disable")


def _able(session: "Session", argument: str, command: str, method: str) -> None:
    if not session.up():
        return
    for name in named(session, command, argument.split()):
        try:
            results = list(collect(session, method, [name], "results"))
        except Refusal as refusal:
            if refusal.fault != "FAILED":
                raise
            session.wrong(f"ERROR: {refusal.detail}")
            continue
        for result in results:
            session.say(f"{shown(result['group'], result['name'])}: {command}d")
