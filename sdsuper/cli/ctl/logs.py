"""tail, maintail, clear, rotate, logtail: the log files of processes and of the daemon.

Log bytes are shown as they are: neither invalid UTF-8 nor control characters can make a command fail.
"""

import sys

from sdsuper.cli.ctl.each import collect, named
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import as_typed, shown
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.backend import Log
    from sdsuper.cli.ctl.session import Session

_DEFAULT_BYTES = 1600
#: A followed log begins with this much of what there was.
HEAD_BYTES = 1024
POLL_SECONDS = 0.1
_POLLS_PER_CHECK = 10


def tail(session: "Session", argument: str) -> None:
    """`tail [-f|-BYTES] name [stdout|stderr]`: the last 1600 bytes, that many, all (-0), or on and on."""
    if not session.up():
        return
    words = argument.split()
    if not 1 <= len(words) <= 3:
        session.wrong(f"Error: too {'many' if words else 'few'} arguments")
        explain(session, "tail")
        return
    modifier = words.pop(0) if words[0].startswith("-") else f"-{_DEFAULT_BYTES}"
    if not words:
        session.wrong("Error: tail requires process name")
        return
    channel = words[-1].lower() if len(words) > 1 else "stdout"
    if channel not in ("stdout", "stderr"):
        session.wrong(f"Error: bad channel {channel!r}")
        return
    _show(session, words[0], channel, modifier)


def maintail(session: "Session", argument: str) -> None:
    """`maintail [-f|-BYTES]`: the daemon's own log."""
    if not session.up():
        return
    words = argument.split()
    if len(words) > 1:
        session.wrong("Error: too many arguments")
        explain(session, "maintail")
    elif words and not words[0].startswith("-"):
        session.wrong(f"Error: bad argument {words[0]}")
    else:
        _show(session, None, "stdout", words[0] if words else f"-{_DEFAULT_BYTES}")


def logtail(session: "Session", argument: str) -> None:
    """Go's `logtail [-t stdout|stderr] name`: `tail name channel`."""
    words = argument.split()
    channel = "stdout"
    if "-t" in words[:-1]:
        at = words.index("-t")
        channel = words[at + 1]
        del words[at : at + 2]
    tail(session, " ".join([*words, channel] if words else words))


def clear(session: "Session", argument: str) -> None:
    """`clear name …|all`: empty the log files."""
    _act(session, argument, "clear", "ClearLogs", "cleared")


def rotate(session: "Session", argument: str) -> None:
    """`rotate name …|all`: rotate the log files now."""
    _act(session, argument, "rotate", "RotateLogs", "rotated")


def _act(session: "Session", argument: str, action: str, method: str, word: str) -> None:
    if not session.up():
        return
    for name in named(session, action, argument.split()):
        try:
            results = list(collect(session, method, [name], "results"))
        except Refusal as refusal:
            if refusal.fault != "FAILED":
                raise
            session.wrong(f"{as_typed(name)}: ERROR (failed)")
            continue
        for result in results:
            if action == "rotate" and result["fault"] == "NO_FILE" and len(results) > 1:
                continue                # of many, those that have no log file are passed over
            # Supervisor's word for what it clears
            failed = result["description"] if action == "rotate" else "failed"
            wrong = "no log file" if result["fault"] == "NO_FILE" else failed
            done = result["fault"] == "SUCCESS"
            session.say(f"{shown(result['group'], result['name'])}: {word if done else f'ERROR ({wrong})'}")
            session.note(result["fault"])


def _show(session: "Session", name: str | None, channel: str, modifier: str) -> None:
    if modifier == "-f":
        _follow(session, name, channel)
        return
    try:
        count = int(modifier[1:])
    except ValueError:
        session.wrong(f"Error: bad argument {modifier}")
        return
    sys.stdout.flush()
    try:
        log = session.backend.log(name, channel)
        for data in log.text(-count):
            show_bytes(data)
        log.close()
    except Refusal as refusal:
        said = {"NO_FILE": "no log file", "FAILED": "unknown error reading log", "BAD_NAME": "no such process name"}
        if refusal.fault not in said:
            raise
        session.wrong(f"{name or 'supervisord'}: ERROR ({said[refusal.fault]})")
        if name and refusal.fault == "NO_FILE" and not session.options.compatible:
            sys.stdout.flush()
            sys.stderr.write(f"(where output goes to the journal, `sdsuper ctl logs {name}` shows it)\n")
    else:
        show_bytes(b"\n")


def show_bytes(data: bytes) -> None:
    """Write log bytes as they are, after what was said before them."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _follow(session: "Session", name: str | None, channel: str) -> None:
    """Show what comes; an unknown name or a missing log is said on stderr and is exit 0, as in Supervisor."""
    try:
        session.say("==> Press Ctrl-C to exit <==")
        sys.stdout.flush()
        log = session.backend.log(name, channel)
        log.follow(HEAD_BYTES)
        show_news(log)
        log.close()
    except Refusal as refusal:
        code = 404 if refusal.fault in ("NO_FILE", "BAD_NAME") else 500
        path = f"/logtail/{name}/{channel}" if name else "/mainlogtail"
        sys.stderr.write(f"{session.url}{path} Cannot read, status code {code}\n")
    except KeyboardInterrupt:
        session.say("")


def show_news(log: "Log") -> None:
    """Until the daemon is gone: its logs have no more news then."""
    import time

    quiet = 0
    while quiet == 0 or quiet % _POLLS_PER_CHECK or not log.ended():
        data = log.news()
        if data:
            show_bytes(data)
            quiet = 0
        else:
            quiet += 1
            time.sleep(POLL_SECONDS)
