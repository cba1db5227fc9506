"""The settings table, part eleven: checks of programs, and the watchdog.

Promises: rows only; without any of these options nothing is checked. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import health_values as read
from sdsuper.config import values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")
_MOST = 1_000_000


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], since: str = "sdsuper",
         scope: Scope = Scope.SECTION) -> Row:
    return Row(name, _P, default, doc, read, since=since, change=Change.LIVE, scope=scope, field="health")


def _family(name: str, doc: str, since: str, times: tuple[str, str, str], thresholds: tuple[str, str], reached: str,
            failed: str) -> tuple[Row, ...]:
    """The rows of one kind of check. `times` are initial delay, period and timeout."""
    least = 0 if thresholds[1] == "0" else 1
    return (
        _row(f"{name}_check_script", None, doc, read.check_text, since, Scope.PROCESS),
        _row(f"{name}_check_initial_delay", times[0], "How many seconds pass before the first of these checks.",
             read.span(0), since),
        _row(f"{name}_check_period", times[1], "How many seconds pass from one of these checks to the next; up to a "
             "tenth more by chance, so that not all programs are checked together.", read.span(0.1), since),
        _row(f"{name}_check_timeout", times[2], "How many seconds such a check may take before it has failed.",
             read.span(0.1), since),
        _row(f"{name}_check_success_threshold", thresholds[0], f"How many in a row must succeed {reached}.",
             values.between(1, _MOST), since),
        _row(f"{name}_check_failure_threshold", thresholds[1], f"How many in a row must fail {failed}.",
             values.between(least, _MOST), since),
    )


HEALTH_ROWS = (
    *_family("startup", "STARTING lasts until this check succeeds, and not for `startsecs`; `ready_timeout` is how "
             "long that may take. Written like `liveness_check_script`.", "sdsuper", ("0", "1", "5"), ("1", "0"),
             "until the process is RUNNING", "for the start to have failed; 0: only `ready_timeout` says so"),
    *_family("ready", "Shows whether a RUNNING process is ready for work; it is not until this check has succeeded. "
             "It is never restarted because of it. Written like `liveness_check_script`.", "sdsuper",
             ("0", "10", "5"), ("1", "3"), "for it to be ready", "for it not to be ready any more"),
    *_family("liveness", "Shows whether a RUNNING process is well: an `http://` or `https://` URL (well is 200 to 399; "
             "with `-H 'name: value'`, `-d data`, `--ca-file`, `--cert-file`, `--key-file` or `--insecure` behind it), "
             "`tcp://host:port`, `unix:///path`, or a command (well is exit status 0).", "go", ("60", "60", "30"),
             ("1", "3"), "for the process to be well", "for it not to be, and `liveness_check_failure_action` to "
             "follow"),
    _row("liveness_check_success_action", None, "What to run when the process is found to be well: a command, or what "
         "else a check can be.", read.check_text, "go", Scope.PROCESS),
    _row("liveness_check_failure_action", "restart", "What follows when it is not well: `restart`, `stop`, `signal "
         "NAME`, `none` (it is only told), or what to run.", read.action, "go", Scope.PROCESS),
    _row("watchdog_sec", "0", "How often, in seconds, the program has to send `WATCHDOG=1` (sd_notify) while it is "
         "RUNNING; it finds the time in WATCHDOG_USEC. If it does not, `liveness_check_failure_action` follows. 0 is "
         "no watchdog. A new value holds from the next start on.", read.span(0)),
)
