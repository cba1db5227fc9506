"""The settings table, part six: when a process is started again by itself, and how often.

Promises: rows only; without any of these options everything is as Supervisor does it. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import restart, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], since: str = "sdsuper",
         scope: Scope = Scope.SECTION) -> Row:
    return Row(name, _P, default, doc, read, since=since, change=Change.LIVE, scope=scope, field="restart")


RESTART_ROWS = (
    _row("restartpause", "0", "How many seconds pass after a failed start before the next; 0 is one second more each "
         "time, as Supervisor does it, or 1 with a `backoff_factor`.", values.seconds, since="go"),
    _row("backoff_factor", "1", "What the pause is multiplied by after each further failed start, from 1 to 10.",
         restart.factor),
    _row("backoff_max", None, "The longest pause in seconds. Without it there is none for Supervisor's pauses; as soon "
         "as one of `restartpause`, `backoff_factor`, `backoff_jitter`, `backoff_reset`, `restart_limit` or "
         "`startretries=unlimited` is used, it is 60, or `restartpause` if that is longer.",
         values.between(1, 1 << 31, "seconds")),
    _row("backoff_jitter", "0%", "By how much a pause may be longer, by chance, so that what failed together does not "
         "start together; from 0% to 100%.", restart.percent, scope=Scope.NOTHING),
    _row("backoff_reset", "0", "How many seconds a good run lasts. A shorter one that leads to another start counts as "
         "a failed start, with its pause, even if it has been RUNNING; a good one makes the count of failed starts "
         "begin anew. 0 calls every run good that has been RUNNING, `unlimited` none.", restart.reset),
    _row("restart_limit", "unlimited", "How often the process is started by itself, whatever the reason: `3` times "
         "since somebody started it, or `5/60s` in any minute (s, m, h, d).", restart.limit),
    _row("restart_limit_action", "fatal", "What follows when `restart_limit` is used up: `fatal`, `stop` (it stays "
         "EXITED, or STOPPED if it could not start), or `wait` until the time allows another start.", restart.action),
)
