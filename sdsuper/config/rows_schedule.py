"""The settings table, part ten: programs that are started by the clock, and programs that the daemon ends with.

Promises: rows only; without any of these options everything is as Supervisor does it. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import lookup, values
from sdsuper.config import schedule_values as read
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], since: str = "sdsuper",
         field: str = "cron") -> Row:
    return Row(name, _P, default, doc, read, since=since, change=Change.LIVE, scope=Scope.SECTION, field=field)


SCHEDULE_ROWS = (
    Row("cron", _P, None, "When to start the program, if it is not up then: five cron fields (minute, hour, day of the "
        "month, month, day of the week), six with seconds first, `@hourly`, `@daily`, `@weekly`, `@monthly`, "
        "`@yearly`, or `@every 90s`. `TZ=Europe/Berlin` may go before. `autostart` keeps its meaning.",
        find=read.schedule, since="go", change=Change.LIVE, scope=Scope.SECTION, field="cron"),
    Row("cron_timezone", _P, None, "The time zone of `cron`, such as `Europe/Berlin` or `UTC`; the machine's when "
        "nothing is said.", find=read.zone, since="sdsuper", change=Change.LIVE, scope=Scope.SECTION, field="cron"),
    _row("cron_overlap", "skip", "What follows when it is time and the program is still up: `skip`, `queue` (it starts "
         "again when it has ended) or `kill` (it is stopped as usual, and starts again).", read.overlap),
    _row("cron_missed", "skip", "What follows when a time has passed unnoticed, for the machine slept, its clock was "
         "set or no daemon ran: `skip`, or `once`, which starts the program as soon as that is seen, once.",
         read.missed),
    _row("cron_jitter", "0", "How many seconds a start may be later, by chance, so that many machines do not begin at "
         "once.", values.between(0, 86400, "seconds")),

    _row("essential", "false", "End the daemon, everything in order, when this program is over for good: FATAL, or "
         "EXITED and not started again. The daemon's exit status is the program's. For containers.", values.boolean,
         field="essential"),
    _row("killwaitsecs", None, "How many seconds pass after SIGKILL until it is said and sent again to what is still "
         "there. The default is `stopwaitsecs`.", values.between(1, 86400, "seconds"), since="go",
         field="killwaitsecs"),
    Row("conf_file", _P, None, "A file, usually the program's own configuration, that clients may read: GET "
        "`/conf/NAME`. It is opened anew for each, as the program's user, and never through a symbolic link.",
        find=lookup.path, since="go", change=Change.LIVE, scope=Scope.PROCESS, field="conf_file"),
)
