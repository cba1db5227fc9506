"""fg: a process as if it ran in the terminal: its output is shown, lines typed go to its standard input.

Ends at ^C, at the end of the input (after what the last line brought), and when the process is gone.
"""

import select
import sys

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.logs import HEAD_BYTES, POLL_SECONDS, show_bytes
from sdsuper.cli.ctl.session import fault_text
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.backend import Log
    from sdsuper.cli.ctl.session import Session

_RUNNING = 20
#: Quiet polls after which the process is looked at, and after which a finished input ends it.
_POLLS_PER_LOOK = 3


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
        _attach(session, names[0], run, logs)
    except KeyboardInterrupt:
        pass
    finally:
        session.say("Exiting foreground")
        for log in logs:
            log.close()


def _run(session: "Session", name: str) -> int:
    """The number of the run that is RUNNING, 0 when none is. Raises Refusal; BAD_NAME for more than one process."""
    processes = session.call("List", name=name)["processes"]
    if len(processes) != 1:
        raise Refusal("BAD_NAME", name)
    return int(processes[0]["run"]) if processes[0]["statecode"] == _RUNNING else 0


def _logs(session: "Session", name: str) -> "list[Log]":
    logs = []
    for channel in ("stdout", "stderr"):
        try:
            log = session.backend.log(name, channel)
        except Refusal:
            continue  # not captured, or the two streams are one
        log.follow(HEAD_BYTES)
        logs.append(log)
    return logs


def _attach(session: "Session", name: str, run: int, logs: "list[Log]") -> None:
    sys.stdout.flush()
    quiet, ended = 0, False
    while not (ended and quiet >= _POLLS_PER_LOOK):
        news = [data for log in logs if (data := log.news())]
        for data in news:
            show_bytes(data)
        quiet = 0 if news else quiet + 1
        if quiet and quiet % _POLLS_PER_LOOK == 0 and _run(session, name) != run:
            session.say("Process got killed")
            return
        if ended or not session.lines.ready:
            readable = [] if ended else [session.lines.fd]
            if select.select(readable, [], [], 0 if news else POLL_SECONDS)[0]:
                session.lines.fill()
        while not ended and session.lines.ready:
            line = session.lines.read()
            ended = line is None
            if line is not None and not _send(session, name, line):
                return
            quiet = 0


def _send(session: "Session", name: str, line: str) -> bool:
    try:
        session.call("WriteStdin", name=name, data=line + "\n")
    except Refusal as refusal:
        killed = refusal.fault == "NOT_RUNNING"
        session.say("Process got killed" if killed else f"ERROR: {fault_text(refusal)}")
        return False
    return True
