"""The settings table, part seven: what a start waits for, and what happens around a run.

Promises: rows only; without any of these options everything is as Supervisor does it. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import lifecycle_values as read
from sdsuper.config import lookup, values
from sdsuper.config.health_values import hook_text
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], field: str, since: str = "sdsuper",
         change: Change = Change.LIVE, scope: Scope = Scope.SECTION) -> Row:
    return Row(name, _P, default, doc, read, since=since, change=change, scope=scope, field=field)


def _hook(name: str, doc: str, since: str = "sdsuper") -> Row:
    return _row(name, None, doc, hook_text, "hooks", since, scope=Scope.PROCESS)


LIFECYCLE_ROWS = (
    Row("depends_on", (*_P, "group"), None, "What has to be there before the program starts: programs, groups or "
        "`group:process`, with commas between. Behind a colon stands what is waited for: `started`, `ready` (which is "
        "meant when nothing is said), `healthy` or `completed`; a `?` at the end makes it a wish.", read.wanted,
        since="go", change=Change.LIVE, scope=Scope.SECTION, field="depends"),
    _row("depends_timeout", "0", "How many seconds a start waits for `depends_on` before it has failed; 0 is as long "
         "as it takes.", values.seconds, "depends"),
    _row("depends_unmet", "wait", "What a start does when something of `depends_on` cannot be had, for it is FATAL, "
         "say: `wait` until it can, or `fail`.", read.unmet, "depends"),
    _row("depends_lost", "ignore", "What follows for a program that is up when something of `depends_on` goes down: "
         "`ignore`, `stop`, or `restart`, which stops it until everything is there again.", read.lost, "depends"),

    _row("readiness", "startsecs", "When a process is RUNNING: after `startsecs`, or as soon as it says so by `notify` "
         "(sd_notify), a line on descriptor N (`fd:N`), or a line of its output that has a pattern in it "
         "(`log:PATTERN`, a regular expression).", read.readiness, "readiness.kind", change=Change.RESTART,
         scope=Scope.NOTHING),
    _row("ready_timeout", None, "How many seconds a process may take to be ready before it has failed to start; 0 is "
         "no limit. 90 when it is to say so itself.", values.seconds, "readiness.timeout"),
    _row("notify_access", "main", "Whose notifications are believed: those of the `main` process, or of `all` of the "
         "program's.", read.notify_access, "readiness.everybody"),
    _row("type", "simple", "`forking` for a program that goes to the background: the command ends with 0, and the "
         "process that `pidfile` names is the program.", read.program_type, "readiness.pidfile", change=Change.RESTART),
    Row("pidfile", _P, None, "The file that names the main process of a program of `type=forking`.", find=lookup.path,
        since="sdsuper", change=Change.RESTART, scope=Scope.PROCESS, field="readiness.pidfile"),

    _hook("pre_start_hook", "A command to run, or a URL or address to ask as `liveness_check_script` does, before "
          "each start; if it fails, so has the start.", "go"),
    _hook("post_start_hook", "A command to run as soon as the process is RUNNING."),
    _hook("pre_stop_hook", "A command to run, or a URL or address to ask, before the stop signal.", "go"),
    _hook("post_stop_hook", "A command to run when the process has ended, for whatever reason. The next start waits "
          "for it."),
    _row("hook_timeout", "60", "How many seconds a hook, or `reload_command`, may take.",
         values.between(1, 86400, "seconds"), "hooks"),
    _hook("reload_command", "What `reload-program` runs, to let the program read its configuration again."),
    _row("reload_signal", None, "What `reload-program` sends to the program.", values.signal_number, "hooks"),
)
