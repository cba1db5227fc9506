"""The settings table, part seven: logs beyond Supervisor's, and syslog servers.

Promises: rows only; without any of these options a log is as Supervisor writes it. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import logs, lookup, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")
_D = ("supervisord",)


def _stream(name: str) -> tuple[Row, ...]:
    """The rows of one output stream."""
    return (
        Row(f"{name}_logfile_rotate", _P, "never", "When the log is rotated besides `maxbytes`: `hourly`, `daily`, "
            "`weekly`, or each so many seconds from midnight on, in local time. It is done by the next write.",
            logs.every, since="sdsuper", change=Change.LIVE, scope=Scope.SECTION,
            field=f"{name}.every"),
        Row(f"{name}_logfile_compress", _P, "none", "What compresses rotated logs, as a process of its own: `gzip`, "
            "`zstd`, `xz` or `bzip2`.", logs.compression, since="sdsuper", change=Change.LIVE, scope=Scope.SECTION,
            field=f"{name}.compress"),
        Row(f"{name}_logfile_format", _P, "plain", "How lines are written to files, consoles and memory: `plain`, or "
            "`json` for an object a line.", values.either("plain", "json", "a format"), since="sdsuper",
            change=Change.RESTART, scope=Scope.SECTION, field=f"{name}.form"),
        Row(f"{name}_logfile_timestamp", _P, "false", "A date before each line in files, on consoles and in memory: "
            "`true` for that of RFC 3339, or a format of strftime(3), with `%L` for milliseconds and `%f` for "
            "microseconds. Percent signs are not doubled.", logs.timestamp, since="sdsuper", change=Change.RESTART,
            scope=Scope.NOTHING, field=f"{name}.form"),
        Row(f"{name}_logfile_prefix", _P, None, "What stands before each line in files, on consoles and in memory, "
            "followed by a blank.", logs.printable, since="sdsuper", change=Change.RESTART, scope=Scope.PROCESS,
            field=f"{name}.form"),
    )


def _syslog(name: str, default: str | None, doc: str, read: Callable[[str], object]) -> Row:
    return Row(name, _P, default, doc, read, since="go", change=Change.RESTART, scope=Scope.SECTION, field="syslog")


LOG_ROWS = (
    *_stream("stdout"),
    *_stream("stderr"),
    _syslog("syslog_facility", "user", "The facility of the program's lines in syslog and in the journal.",
            logs.facility),
    _syslog("syslog_tag", None, "What the program is called in syslog and in the journal; the name of the process when "
            "nothing is said.", logs.printable),
    _syslog("syslog_stdout_priority", "info", "The severity of the standard output in syslog and in the journal.",
            logs.severity),
    _syslog("syslog_stderr_priority", "err", "The severity of the standard error in syslog and in the journal.",
            logs.severity),

    Row("logfile_rotate", _D, "never", "When the daemon's log is rotated besides `logfile_maxbytes`, as "
        "`stdout_logfile_rotate` of a program.", logs.every, since="sdsuper"),
    Row("logfile_compress", _D, "none", "What compresses the daemon's rotated logs, as `stdout_logfile_compress` of a "
        "program.", logs.compression, since="sdsuper"),
    Row("syslog_ca", _D, None, "A file with the certificates (PEM) of those who may vouch for syslog servers with TLS. "
        "The system's are used when nothing is said.", find=lookup.path, since="sdsuper"),
    Row("syslog_cert", _D, None, "A file with the daemon's own certificate (PEM) for syslog servers with TLS that want "
        "one. Needs `syslog_key`.", find=lookup.path, since="sdsuper"),
    Row("syslog_key", _D, None, "A file with the key (PEM, without a password) of `syslog_cert`.", find=lookup.path,
        since="sdsuper"),
)
