"""The settings table, part two: programs, event listeners, FastCGI programs.

Promises: rows only. Must not: decide anything.
"""

from sdsuper.config import lookup, restart, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")
_L = ("eventlistener",)
_F = ("fcgi-program",)
_RESTART, _LIVE = Change.RESTART, Change.LIVE
_ONCE, _EACH = Scope.SECTION, Scope.PROCESS


def _stream(name: str, other: str) -> tuple[Row, ...]:
    """The rows of one output stream."""
    return (
        Row(f"{name}_logfile", _P, "AUTO", f"Where the standard {other} goes: a path, `AUTO` (a file in "
            "`childlogdir`), `NONE`, `journal` (systemd's), `syslog` (the journal where there is one, else /dev/log), "
            "`syslog @[udp:|tcp:|tls:]host[:port]` (a syslog server), `memory` (the newest 64 KiB, in the daemon), "
            "`/dev/stdout` or `/dev/stderr` (the daemon's own), or several of them with a comma and a blank between.",
            find=lookup.targets, change=_RESTART, scope=_EACH, field=f"{name}.targets"),
        Row(f"{name}_logfile_maxbytes", _P, "50MB", "The size at which the log is rotated; 0 is never.", values.size,
            change=_LIVE, scope=_EACH, field=f"{name}.maxbytes"),
        Row(f"{name}_logfile_backups", _P, "10", "How many rotated logs are kept; 0 is none.", values.count,
            change=_LIVE, scope=_EACH, field=f"{name}.backups"),
        Row(f"{name}_capture_maxbytes", _P, "0", "How many bytes between Supervisor's capture tags make one event; "
            "0 is no capture.", values.size, change=_LIVE, scope=_ONCE, field=f"{name}.capture_maxbytes"),
        Row(f"{name}_events_enabled", _P, "false", "Whether output makes PROCESS_LOG events.", values.boolean,
            change=_LIVE, scope=_ONCE, field=f"{name}.events_enabled"),
        Row(f"{name}_syslog", _P, "false", "Whether output goes to `syslog` as well.",
            values.boolean, change=_RESTART, scope=_EACH, field=f"{name}.targets"),
    )


PROGRAM_ROWS = (
    Row("command", _P, None, "Required. What to run: words with shell quoting, but no shell, so no variables, patterns "
        "or pipes. A first word without a slash is looked up in PATH.", change=_RESTART, scope=_EACH, field="command"),
    Row("process_name", _P, "%(program_name)s", "The name of each process. With `numprocs` above 1 it must have "
        "`%(process_num)` in it.", change=_RESTART, scope=_EACH, field="name"),
    Row("numprocs", _P, "1", "How many processes are made of this section.", values.count, change=_LIVE, scope=_ONCE),
    Row("numprocs_start", _P, "0", "The first `process_num`.", values.number, change=_LIVE, scope=_ONCE),
    Row("priority", _P, "999", "Lower numbers start first and stop last, among groups and inside a group. A group of "
        "event listeners has -1 when nothing is said.", values.number, change=_LIVE, scope=_ONCE, field="priority"),
    Row("autostart", _P, "true", "Start with the daemon, or when a reload adds the program.", values.boolean,
        change=_LIVE, scope=_ONCE, field="autostart"),
    Row("autorestart", _P, "unexpected", "Start again after an exit: `true` always, `false` never, `unexpected` when "
        "the exit status is not one of `exitcodes`. A start that ends before `startsecs` is retried in any case.",
        values.autorestart, change=_LIVE, scope=_ONCE, field="autorestart"),
    Row("startsecs", _P, "1", "How many seconds a process must stay up to count as running; 0 asks nothing.",
        values.seconds, change=_LIVE, scope=_ONCE, field="startsecs"),
    Row("startretries", _P, "3", "How often a failed start is tried again, each time one second later, before the "
        "process is FATAL; `-1` or `unlimited` is for ever.", restart.retries, change=_LIVE, scope=_ONCE,
        field="startretries"),
    Row("exitcodes", _P, "0", "The exit statuses that are expected, with commas between.", values.exitcodes,
        change=_LIVE, scope=_ONCE, field="exitcodes"),
    Row("stopsignal", _P, "TERM", "The signal that asks the process to end, by name or number. Several, with blanks "
        "between, are sent one after the other, each with `stopwaitsecs` to wait.", values.signals, change=_LIVE,
        scope=_ONCE, field="stopsignals"),
    Row("stopwaitsecs", _P, "10", "How many seconds a process has to end before it is killed.", values.seconds,
        change=_LIVE, scope=_ONCE, field="stopwaitsecs"),
    Row("stopasgroup", _P, "false", "Send the stop signal to the whole process group.", values.boolean, change=_LIVE,
        scope=_ONCE, field="stopasgroup"),
    Row("killasgroup", _P, None, "Kill everything the process has started, not the process alone. The default is the "
        "value of `stopasgroup`.", values.boolean, change=_LIVE, scope=_ONCE, field="killasgroup"),
    Row("user", _P, None, "The account to run as, by name or uid; `name:group` gives it another primary group. Needs "
        "root.", find=lookup.user, change=_RESTART, scope=_ONCE, field="user"),
    Row("redirect_stderr", _P, "false", "Send the standard error to where the standard output goes. Not for event "
        "listeners.", values.boolean, change=_RESTART, scope=_ONCE, field="redirect_stderr"),
    *_stream("stdout", "output"),
    *_stream("stderr", "error"),
    Row("environment", _P, None, "Variables for the process, `NAME=\"value\"` with commas between, added to those of "
        "the daemon and of `[supervisord]`.", change=_RESTART, scope=_EACH, field="environment"),
    Row("directory", _P, None, "The directory to change to before the command is run.", change=_RESTART, scope=_EACH,
        field="directory"),
    Row("umask", _P, None, "The file mode mask of the process; the daemon's when nothing is said.", values.octal,
        change=_RESTART, scope=_ONCE, field="umask"),
    Row("serverurl", _P, "AUTO", "The value of SUPERVISOR_SERVER_URL; `AUTO` is the first server of the daemon.",
        change=_RESTART, scope=_ONCE, field="serverurl"),

    Row("nice", _P, None, "The nice value, from -20 (first served) to 19.", values.nice, since="sdsuper",
        change=_RESTART, scope=_ONCE, field="nice"),
    *(Row(f"rlimit_{name}", _P, None, f"The limit RLIMIT_{name.upper()} of getrlimit(2), `soft` or `soft:hard`, "
          + ("with KB, MB or GB" if in_bytes else "a plain number") + ", or `unlimited`.", values.rlimit(name),
          since="sdsuper", change=_RESTART, scope=_ONCE, field="rlimits") for name, in_bytes in values.RLIMITS.items()),
    Row("leftovers", _P, "keep", "What to do with processes that the program leaves behind when it ends: `keep` counts "
        "and shows them, `kill` ends them.", values.either("keep", "kill", "leftovers"), since="sdsuper",
        change=_LIVE, scope=_ONCE, field="leftovers"),
    Row("user_environment", _P, "false", "Set HOME, USER, LOGNAME and SHELL for the account of `user`. Supervisor "
        "leaves the daemon's.", values.boolean, since="sdsuper", change=_RESTART, scope=_ONCE,
        field="user_environment"),

    Row("events", _L, None, "Required. The event types the listeners get, with commas between.", values.events,
        change=_LIVE),
    Row("buffer_size", _L, None, "How many events wait for a free listener before the oldest is dropped. The default "
        "is 8 for each process of the daemon, and 10 at least, so that a crash of everything finds room.",
        values.between(1, 1 << 31), change=_LIVE),
    Row("result_handler", _L, "supervisor.dispatchers:default_handler", "The Python callable that judges a listener's "
        "answer, `module:name`. Supervisor's own is always used: `OK` is well done, all else is a rejection.",
        values.spec, change=_LIVE),
    Row("listener_timeout", _L, "0", "How many seconds a listener may be busy with one event before it is killed, the "
        "event given to another run and the listener restarted as `autorestart` says; 0 is for ever.", values.seconds,
        since="sdsuper", change=_LIVE),
    Row("payload_length", _L, "characters", "What `len` of an event counts: `characters` as Supervisor does, which "
        "suits listeners that read text, or `bytes`.", values.either("characters", "bytes", "a unit"), since="sdsuper",
        change=_LIVE),

    Row("socket", _F, None, "Required. The socket of the FastCGI processes: `tcp://host:port` or `unix:///path`.",
        values.fcgi_socket, change=_RESTART, scope=_ONCE),
    Row("socket_backlog", _F, None, "The length of the socket's queue; the kernel's largest when nothing is said.",
        values.between(1, 65535), change=_RESTART),
    Row("socket_owner", _F, None, "The owner of a unix socket, `user` or `user:group`. The default is the program's "
        "`user` and its group.", find=lookup.owner, change=_RESTART),
    Row("socket_mode", _F, None, "The mode of a unix socket, 0700 when nothing is said.", values.octal,
        change=_RESTART),
)
