"""fg: a process as if it ran in the terminal: its output is shown, lines typed go to its standard input.

Ends at ^C, at the end of the input (after what the last line brought), and when the process is gone.
"""

import select
import sys
from time import monotonic

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.logs import HEAD_BYTES, POLL_SECONDS, show_bytes
from sdsuper.cli.ctl.session import fault_text
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.backend import Log
    from sdsuper.cli.ctl.session import Session

_RUNNING = 20
#: Quiet polls after which the process is looked at.
_POLLS_PER_LOOK = 3
#: After so many times the quiet that is waited for, what never falls silent is left to itself.
_NEVER_QUIET = 5


def fg(session: "Session", argument: str) -> None:
    """`fg name`: exit 1 for a bad name or a process that does not run, else 0."""
    if not session.up():
        return
    names = argument.split()
    if not names:
        session.wrong("ERROR: no process name supplied")
        explain(session, "fg")
        return
    if len(names) > 1:
        session.wrong("ERROR: too many process names supplied")
        return
    try:
        run = _run(session, names[0])
    except Refusal as refusal:
        if refusal.fault == "BAD_NAME":
            session.wrong("ERROR: bad process name supplied")
        else:
            session.say(f"ERROR: {fault_text(refusal)}")
        return
    if not run:
        session.wrong("ERROR: process not running")
        return
    logs = _logs(session, names[0])
    try:
        session.say("==> Press Ctrl-C to exit <==")
        sys.stdout.flush()
        _attach(session, names[0], run, logs)
    except KeyboardInterrupt:
        pass
    finally:
        session.say("Exiting foreground")
        for log in logs:
            log.close()


def _run(session: "Session", name: str) -> tuple[object, object] | None:
    """Run and pid of what is RUNNING, None when nothing is; a Supervisor does not number runs.

    Raises Refusal; BAD_NAME for more than one process.
    """
    processes = session.call("List", name=name)["processes"]
    if len(processes) != 1:
        raise Refusal("BAD_NAME", name)
    found = processes[0]
    return (found["run"], found["pid"]) if found["statecode"] == _RUNNING else None


def _logs(session: "Session", name: str) -> "list[Log]":
    logs = []
    for channel in ("stdout", "stderr"):
        try:
            log = session.backend.log(name, channel)
            log.follow(HEAD_BYTES)
        except Refusal:
            continue  # not captured, or the two streams are one
        logs.append(log)
    return logs


def _attach(session: "Session", name: str, run: object, logs: "list[Log]") -> None:
    quiet, ended, until = 0, False, 0.0
    settle = session.backend.settle_seconds
    while not (ended and (quiet * POLL_SECONDS >= settle or monotonic() > until)):
        news = [data for log in logs if (data := log.news())]
        for data in news:
            show_bytes(data)
        quiet = 0 if news else quiet + 1
        if quiet and quiet % _POLLS_PER_LOOK == 0 and _run(session, name) != run:
            _show_rest(session, logs)
            session.say("Process got killed")
            return
        if ended or not session.lines.ready:
            readable = [] if ended else [session.lines.fd]
            if select.select(readable, [], [], 0 if news else POLL_SECONDS)[0]:
                session.lines.fill()
        while not ended and session.lines.ready:
            line = session.lines.read()
            ended, until = line is None, monotonic() + _NEVER_QUIET * settle
            if line is not None and not _send(session, name, line):
                return
            quiet = 0


def _show_rest(session: "Session", logs: "list[Log]") -> None:
    """What the run that is gone has said last."""
    until = monotonic() + session.backend.settle_seconds
    while monotonic() < until:
        select.select([], [], [], POLL_SECONDS)
        for log in logs:
            show_bytes(log.news())


def _send(session: "Session", name: str, line: str) -> bool:
    try:
        session.call("WriteStdin", name=name, data=line + "\n")
    except Refusal as refusal:
        killed = refusal.fault == "NOT_RUNNING"
        session.say("Process got killed" if killed else f"ERROR: {fault_text(refusal)}")
        return False
    return True
