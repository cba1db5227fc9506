"""logs of several processes that have log files: each line with the name of its process before it.

Promises: lines of different processes are never mixed within a line; rotation and truncation are followed. Must not:
know where a log is kept.
"""

import time
from typing import NamedTuple

from sdsuper.cli.ctl.logs import POLL_SECONDS, show_bytes
from sdsuper.cli.ctl.output import last_lines, why_no_log
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdsuper.cli.ctl.backend import Log
    from sdsuper.cli.ctl.session import Session

#: Quiet polls after which a line that has no end is shown all the same, and the daemon is asked whether it is there.
_PATIENCE = 10
_LINE_BYTES = 1 << 16


class _Source(NamedTuple):
    """One stream: what is written before its lines, and the beginning of a line that has no end yet."""

    prefix: bytes
    log: "Log"
    rest: bytearray


def show(session: "Session", names: "Iterable[str]", channel: str | None, lines: int, follow: bool) -> None:
    """The last lines of each, and with `follow` what comes, until ^C or until the daemon is gone."""
    names = sorted(names)
    width = max(map(len, names))
    sources: list[_Source] = []
    try:
        for name in names:
            for log in _logs(session, name, channel):
                source = _Source(f"{name:<{width}} | ".encode(), log, bytearray())
                sources.append(source)
                last = last_lines(log, lines)
                if follow:
                    log.follow(len(last))
                else:
                    _say(source, last)
                    _finish(source)
        if follow and sources:
            _follow(sources)
    finally:
        for source in sources:
            source.log.close()


def _logs(session: "Session", name: str, channel: str | None) -> "list[Log]":
    """The logs of a process; it is said if there are none, and which cannot be read."""
    found, wrong = [], []
    for one in [channel] if channel else ["stdout", "stderr"]:
        try:
            found.append(session.backend.log(name, one))
        except Refusal as refusal:
            why = why_no_log(refusal)
            if refusal.fault != "NO_FILE":
                wrong.append(why)
    if not found and not wrong:
        wrong.append("no log file")
    for why in wrong:
        session.wrong(f"{name}: ERROR ({why})")
    return found


def _follow(sources: list[_Source]) -> None:
    quiet = 0
    while quiet == 0 or quiet % _PATIENCE or not sources[0].log.ended():
        news = False
        for source in sources:
            if data := source.log.news():
                _say(source, data)
                news = True
        quiet = 0 if news else quiet + 1
        if not news:
            if quiet == _PATIENCE:
                for source in sources:
                    _finish(source)
            time.sleep(POLL_SECONDS)


def _say(source: _Source, data: bytes) -> None:
    """Show the whole lines among what has come, and keep the rest."""
    source.rest.extend(data)
    end = source.rest.rfind(b"\n") + 1
    if not end and len(source.rest) < _LINE_BYTES:
        return
    whole = bytes(source.rest[:end or len(source.rest)])
    del source.rest[:len(whole)]
    show_bytes(b"".join(source.prefix + line + b"\n" for line in whole.removesuffix(b"\n").split(b"\n")))


def _finish(source: _Source) -> None:
    """Show a line that has no end."""
    if source.rest:
        _say(source, b"\n")
