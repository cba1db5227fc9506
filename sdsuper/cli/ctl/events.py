"""events: what happens, as it happens, one event a line.

Promises: an event that this reader was too slow for is not passed over in silence. Must not: act on an event.
"""

import sys
from time import localtime, strftime

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.session import INVALID_ARGS
from sdsuper.cli.options import Table, UsageError, parse_anywhere
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_TABLE: Table = {
    "-f": ("follow", False), "--follow": ("follow", False), "-n": ("count", True), "--count": ("count", True),
    "--json": ("json", False), "-o": ("output", True), "--output": ("output", True),
}  # fmt: skip


def events(session: "Session", argument: str) -> None:
    """`events [-f] [-n COUNT] [--json] [TYPE …]`: until ^C, COUNT have come, or the daemon ends (exit 1)."""
    if not session.up():
        return
    try:
        values, words = parse_anywhere(argument.split(), _TABLE)
        count = values.get("count", "0")
        if not (count.isascii() and count.isdigit() and len(count) < 10):
            raise UsageError(f"cannot read {count!r} as a number")
        if values.get("output", "json") not in ("json", "table"):
            raise UsageError(f"cannot read {values['output']!r} as a format (table or json expected)")
    except UsageError as error:
        session.wrong(f"Error: {error}", INVALID_ARGS)
        explain(session, "events")
        return
    as_json = "json" in values or values.get("output", session.output) == "json"
    try:
        _show(session, [word.upper() for word in words], int(count), as_json)
    except Refusal as refusal:
        if refusal.fault not in ("BAD_ARGUMENTS", "FAILED"):
            raise
        session.wrong(f"Error: {refusal.detail}")
    except KeyboardInterrupt:
        session.say("")
    except BrokenPipeError:
        raise                               # nobody reads us any more; that is not the daemon's end
    except ConnectionError:
        sys.stdout.flush()
        sys.stderr.write("the daemon has ended, or this was too slow for it\n")
        session.status = 1


def _show(session: "Session", types: list[str], count: int, as_json: bool) -> None:
    told = 0
    for event in session.backend.subscribe(types or None):
        if event["lost"]:
            sys.stderr.write(f"{event['lost']} events lost: they came faster than they were read\n")
        if "event" not in event:
            continue
        session.say(_as_json(event) if as_json else _line(event))
        sys.stdout.flush()
        told += 1
        if told == count:
            return


def _line(event: "dict[str, Any]") -> str:
    """`16:20:05 PROCESS_STATE_RUNNING processname:web groupname:web …`, whatever a program has put into it."""
    text = event["payload"].rstrip("\n")
    safe = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return f"{strftime('%H:%M:%S', localtime(event['time']))} {event['event']} {safe}".rstrip()


def _as_json(event: "dict[str, Any]") -> str:
    import json

    head = event["payload"].partition("\n")[0]
    fields = {key: value for key, colon, value in (word.partition(":") for word in head.split(" ")) if colon}
    return json.dumps({"schema": "sdsuper.event/1", **event, "fields": fields})
