"""The settings table, part ten: files whose change restarts a program.

Promises: rows only; without any of these options nothing is watched. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import values, watch
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], since: str = "go",
         scope: Scope = Scope.PROCESS) -> Row:
    return Row(name, _P, default, doc, read, since=since, change=Change.LIVE, scope=scope, field="watch")


WATCH_ROWS = (
    _row("restart_when_binary_changed", "false", "Restart when the file of the command has changed, or the script that "
         "it names for an interpreter.", values.boolean),
    _row("restart_cmd_when_binary_changed", None, "A command to run instead of that restart.", values.as_text),
    _row("restart_signal_when_binary_changed", None, "Signals to send to the process instead of that restart; each "
         "further one follows after `stopwaitsecs` if it still runs.", values.signals),
    _row("restart_directory_monitor", None, "Restart when a file below one of these directories has changed, has come "
         "or has gone; several with commas between.", watch.directories),
    _row("restart_file_pattern", "*", "Which files below `restart_directory_monitor` count: shell patterns of their "
         "names, with commas between.", watch.listed, scope=Scope.NOTHING),
    _row("restart_file_exclude", watch.USUALLY_LEFT_OUT, "Which files and directories below "
         "`restart_directory_monitor` do not count: shell patterns of their names, or of their paths below it where "
         "there is a slash, with commas between.", watch.listed, "sdsuper", Scope.NOTHING),
    _row("restart_cmd_when_file_changed", None, "A command to run instead of that restart.", values.as_text),
    _row("restart_signal_when_file_changed", None, "Signals to send to the process instead of that restart, as with "
         "`restart_signal_when_binary_changed`.", values.signals),
    _row("restart_delay", "1.0", "How many seconds without any further change pass before anything is done about "
         "changes; after ten times as many it is done in any case.", watch.delay, "sdsuper", Scope.NOTHING),
)
