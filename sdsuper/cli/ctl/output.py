"""logs: what programs have written, out of the journal or out of their log files.

Promises: of the journal only what this daemon has written itself is shown (see `trusted`): another process can write
entries with any fields of ours, but not with those that journald adds. Must not: need python-systemd for log files.
"""

import sys
from typing import NamedTuple

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.logs import show_bytes, show_news
from sdsuper.cli.ctl.names import as_typed, shown, unknown
from sdsuper.cli.options import Table, UsageError, parse_anywhere
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.backend import Log
    from sdsuper.cli.ctl.session import Session

DEFAULT_LINES = 100
FORMATS = ("short", "cat", "json")
_CHUNK = 64 * 1024
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TABLE: Table = {
    "-n": ("lines", True), "--lines": ("lines", True), "-f": ("follow", False), "--follow": ("follow", False),
    "--since": ("since", True), "--run": ("run", True), "-o": ("output", True), "--output": ("output", True),
}  # fmt: skip


LATEST = 1e11      # seconds since the epoch; beyond it there are no dates


class Wish(NamedTuple):
    """What is to be shown. `lines` -1: all; `since` in seconds since the epoch, 0: from the beginning; `run` 0: all."""

    names: tuple[str, ...]
    channel: str | None
    lines: int
    follow: bool
    since: float
    run: int
    output: str


def logs(session: "Session", argument: str) -> None:
    """`logs [-n LINES] [-f] [--since WHEN] [--run N] [-o short|cat|json] name … [stdout|stderr]`."""
    if not session.up():
        return
    try:
        wish = _wish(argument.split())
    except UsageError as error:
        session.wrong(f"Error: {error}")
        explain(session, "logs")
        return
    names: set[tuple[str, str]] = set()
    for name in wish.names:
        try:
            names |= {(one["group"], one["name"]) for one in session.call("List", name=name)["processes"]}
        except Refusal as refusal:
            if refusal.fault != "BAD_NAME":
                raise
            session.wrong(unknown(name))
    if names:
        _show(session, names, wish)


def _show(session: "Session", names: set[tuple[str, str]], wish: Wish) -> None:
    asked = as_typed(wish.names[0]) if len(wish.names) == 1 else "these"
    sys.stdout.flush()
    try:
        in_journal = _in_the_journal(session, names, wish.channel)
        if in_journal:
            from sdsuper.cli.ctl.journal import JournalError, show

            for name in sorted(names - in_journal):
                session.wrong(f"{shown(*name)}: ERROR (it has a log file, the others are in the journal)")
            sys.stdout.flush()
            try:
                show(session, in_journal, wish)
            except JournalError as error:
                session.wrong(f"{asked}: ERROR ({error})")
        elif wish.since or wish.run or wish.output != "short":
            has = f"{asked} has a log file" if len(names) == 1 else "these have log files"
            session.wrong(f"Error: {has}: --since, --run and -o are for the journal")
        elif len(names) == 1:
            _show_file(session, shown(*names.pop()), wish)
        else:
            from sdsuper.cli.ctl import several

            several.show(session, [shown(*name) for name in names], wish.channel, wish.lines, wish.follow)
    except KeyboardInterrupt:
        session.say("")


def _in_the_journal(session: "Session", names: set[tuple[str, str]], channel: str | None) -> set[tuple[str, str]]:
    """Those of them that write to the journal, as far as it can be known: a Supervisor does not tell."""
    configs: list[dict[str, Any]] = session.call("ListConfigs")["configs"]
    return names.intersection((one["group"], one["name"]) for one in configs
                              for each in ([channel] if channel else ["stdout", "stderr"])
                              if one.get(each, {}).get("journal"))


# ---- what is wished --------------------------------------------------------------------------------------------------

def _wish(words: list[str]) -> Wish:
    """Raises UsageError."""
    values, names = parse_anywhere(words, _TABLE)
    channel = names.pop().lower() if len(names) > 1 and names[-1].lower() in ("stdout", "stderr") else None
    if not names:
        raise UsageError("too few arguments")
    output = values.get("output", "short")
    if output not in FORMATS:
        raise UsageError(f"cannot read {output!r} as a format (short, cat or json expected)")
    since = _when(values["since"]) if "since" in values else 0.0
    run = _number(values, "run", 0)
    lines = _number(values, "lines", -1 if since or run else DEFAULT_LINES)
    return Wish(tuple(names), channel, lines, "follow" in values, since, run, output)


def _number(values: dict[str, str], key: str, default: int) -> int:
    text = values.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"cannot read {text!r} as a number")
    return int(text)


def _when(text: str) -> float:
    """`90s`, `10m`, `2h`, `3d`, `1w` ago; `2026-11-21`, `2026-11-21T10:00`; `@1795251600`. Raises UsageError."""
    from datetime import datetime
    from time import time

    try:
        if text[-1:] in _UNITS:
            found = time() - float(text[:-1]) * _UNITS[text[-1]]
        else:
            found = float(text[1:]) if text[:1] == "@" else datetime.fromisoformat(text).timestamp()
        if not abs(found) < LATEST:
            raise ValueError
        return found
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"cannot read {text!r} as a time (10m, 2h, 2026-11-21T10:00 or @1795251600 expected)"
                         ) from None


# ---- log files -------------------------------------------------------------------------------------------------------

def _show_file(session: "Session", name: str, wish: Wish) -> None:
    log = None
    try:
        log = session.backend.log(name, wish.channel or "stdout")
        last = last_lines(log, wish.lines)
        if wish.follow:
            log.follow(len(last))
            show_news(log)
        else:
            show_bytes(last)
    except Refusal as refusal:
        session.wrong(f"{name}: ERROR ({why_no_log(refusal)})")
    finally:
        if log is not None:
            log.close()


def why_no_log(refusal: Refusal) -> str:
    """Why a log cannot be shown. Raises the Refusal if it says another thing."""
    if refusal.fault not in ("NO_FILE", "FAILED"):
        raise refusal
    return "no log file" if refusal.fault == "NO_FILE" else refusal.detail


def last_lines(log: "Log", lines: int) -> bytes:
    """The last so many lines of a log file, read backwards in growing pieces."""
    size, data = _CHUNK, b""
    while lines:
        data = b"".join(log.text(-size))
        starts = [0, *(at + 1 for at, byte in enumerate(data[:-1]) if byte == 10)] if data else []
        if len(starts) > lines:
            return data[starts[-lines]:]
        if len(data) < size:
            break
        size *= 4
    return data
