"""start, stop, restart, signal, reload-program: what changes processes, and how each result is worded.

A name is a process, `group:*`, `all`, or a shell pattern. Groups, patterns and `all` answer with a line for each
process that the command applied to; a single name always answers.
"""

from sdsuper.cli.ctl.each import named
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import as_typed, shown, split, unknown
from sdsuper.cli.ctl.session import GENERIC, INVALID_ARGS
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_START = {
    "BAD_NAME": "no such process", "NO_FILE": "no such file", "NOT_EXECUTABLE": "file is not executable",
    "ALREADY_STARTED": "already started", "SPAWN_ERROR": "spawn error", "ABNORMAL_TERMINATION": "abnormal termination",
}  # fmt: skip
_SIGNAL = {"BAD_NAME": "no such process", "BAD_SIGNAL": "bad signal name", "NOT_RUNNING": "not running"}


def start(session: "Session", argument: str) -> None:
    """`start name …`: exit 7 for what does not come up, 2 for no name or an unknown group, 1 for the rest."""
    _start(session, argument.split())


def start_group(session: "Session", argument: str) -> None:
    """Go's `start-group group …`: `start group:*`."""
    _start(session, _groups(argument))


def stop(session: "Session", argument: str) -> None:
    """`stop name …`: exit 1 for an unknown name; not running is no error."""
    _stop(session, argument.split())


def stop_group(session: "Session", argument: str) -> None:
    """Go's `stop-group group …`: `stop group:*`."""
    _stop(session, _groups(argument))


def restart(session: "Session", argument: str) -> None:
    """`restart name …`: stop them all, then start them all. `restart --rolling …`: one after the other."""
    if not session.up():
        return
    words = argument.split()
    if any(word.startswith("--") for word in words):
        from sdsuper.cli.ctl.rolling import rolling

        rolling(session, words)
        return
    names = named(session, "restart", words)
    if names:
        _stop(session, names)
        _start(session, names)


def signal(session: "Session", argument: str) -> None:
    """`signal NAME process …`: exit 7 for what does not run, 1 for a bad name or signal."""
    if not session.up():
        return
    words = argument.split()
    if len(words) < 2:
        session.wrong("Error: signal requires a signal name and a process name")
        explain(session, "signal")
        return
    for name in named(session, "signal", words[1:]):
        operate(session, name, "Signal", GENERIC, signal=words[0])


def reload_program(session: "Session", argument: str) -> None:
    """`reload-program name …`: exit 7 for what does not run, 1 for what cannot be reloaded or says that it was not."""
    if not session.up():
        return
    for name in named(session, "reload-program", argument.split()):
        operate(session, name, "ReloadProcess", GENERIC)


def _start(session: "Session", names: "Sequence[str]") -> None:
    if not session.up():
        return
    for name in named(session, "start", names, INVALID_ARGS):
        operate(session, name, "Start", INVALID_ARGS)


def _stop(session: "Session", names: "Sequence[str]") -> None:
    if not session.up():
        return
    for name in named(session, "stop", names):
        operate(session, name, "Stop", GENERIC)


def _groups(argument: str) -> list[str]:
    return [f"{group}:*" for group in argument.split()]


#: Method -> (word for success, texts of faults, fault that leaves the exit status alone).
_OUTCOMES: dict[str, tuple[str, dict[str, str], str]] = {
    "Start": ("started", _START, "ALREADY_STARTED"),
    "Stop": ("stopped", _SIGNAL, "NOT_RUNNING"),
    "Signal": ("signalled", _SIGNAL, ""),
    "ReloadProcess": ("reloaded", _SIGNAL, ""),
    "Freeze": ("frozen", _SIGNAL, ""),
    "Thaw": ("thawed", _SIGNAL, ""),
}


def operate(session: "Session", name: str, method: str, unknown_group: int, **more: str) -> None:
    """Call a method for a name, and say what became of each process it means."""
    done, texts, harmless = _OUTCOMES[method]
    try:
        results: list[dict[str, Any]] = session.call(method, name=name, **more)["results"]
    except Refusal as refusal:
        if refusal.fault == "BAD_NAME":
            session.wrong(unknown(name), unknown_group if split(name)[1] is None else GENERIC)
        elif refusal.fault in texts:
            session.say(f"{as_typed(name)}: ERROR ({texts[refusal.fault]})")
            session.note(refusal.fault, harmless)
        elif refusal.fault == "FAILED":
            session.wrong(str(refusal))
        else:
            raise
        return
    for result in results:
        fault, subject = result["fault"], shown(result["group"], result["name"])
        if fault == "SUCCESS":
            session.say(f"{subject}: {done}")
        elif fault in texts:
            session.say(f"{subject}: ERROR ({texts[fault]})")
        else:
            session.say(result["description"])
        session.note(fault, harmless)
