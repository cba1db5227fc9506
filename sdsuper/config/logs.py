"""Options about logs: how lines look, when a file is rotated, what syslog is told.

Promises: without any of these options the records are `Form()` and `Syslog()`, and a log is Supervisor's. Must not:
know how any of it is done (logs/ does).
"""

import re
from collections.abc import Callable
from typing import Any

from sdsuper.config.model import ISO, WEEK, Form, LogConfig, Syslog, TargetKind
from sdsuper.config.values import boolean, refused

_EVERY = {"never": 0, "hourly": 3600, "daily": 86400, "weekly": WEEK}
COMPRESSIONS = ("gzip", "zstd", "xz", "bzip2")
#: The numbers of RFC 5424, which are those of syslog(3).
FACILITIES = {name: number for number, name in enumerate((
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"))}
FACILITIES.update({f"local{number}": 16 + number for number in range(8)})
SEVERITIES = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
_SHORT = {"error": "err", "warn": "warning", "panic": "emerg"}
#: Targets that have a file or something like it; the form of lines holds for these.
FORMED = (TargetKind.AUTO, TargetKind.FILE, TargetKind.CONSOLE, TargetKind.MEMORY)
_FILES = (TargetKind.AUTO, TargetKind.FILE)


# ---- values -------------------------------------------------------------------------------------------------------

def every(text: str) -> int:
    """`never`, `hourly`, `daily`, `weekly`, or seconds up to a day."""
    word = text.strip().lower()
    if word in _EVERY:
        return _EVERY[word]
    if re.fullmatch("[0-9]{1,5}", word) and 0 <= int(word) <= 86400:
        return int(word)
    raise refused(text, "a time of rotation", "never, hourly, daily, weekly, or 1 to 86400 seconds")


def compression(text: str) -> str:
    """The name of a program, or nothing for `none`."""
    word = text.strip().lower()
    if word == "none":
        return ""
    if word in COMPRESSIONS:
        return word
    raise refused(text, "a compression", f"none, {', '.join(COMPRESSIONS[:-1])} or {COMPRESSIONS[-1]}")


def timestamp(text: str) -> str:
    """`true`, `false`, or a format of strftime(3)."""
    if "%" in text:
        if len(text) > 200 or not text.isprintable():
            raise refused(text, "a time", "at most 200 printable characters")
        return text
    try:
        return ISO if boolean(text) else ""
    except ValueError:
        raise refused(text, "a time", "true, false, or a format of strftime such as %Y-%m-%d %H:%M:%S") from None


def facility(text: str) -> int:
    """A facility of syslog(3), with or without LOG_ and in any case."""
    found = FACILITIES.get(text.strip().lower().removeprefix("log_"))
    if found is None:
        raise refused(text, "a syslog facility", "name like local0")
    return found


def severity(text: str) -> int:
    """A severity of syslog(3), with or without LOG_ and in any case."""
    word = text.strip().lower().removeprefix("log_")
    found = SEVERITIES.get(_SHORT.get(word, word))
    if found is None:
        raise refused(text, "a syslog severity", "name like info")
    return found


def printable(text: str) -> str:
    """Something to print in a line."""
    if not text.isprintable():
        raise refused(text, "part of a line", "printable characters")
    return text


def word_for(numbers: dict[str, int], number: int) -> str:
    """The word that a configuration has for a number: the converse of the converters above."""
    return next(word for word, each in numbers.items() if each == number)


def every_text(seconds: int) -> str:
    """What `every` read."""
    return word_for(_EVERY, seconds) if seconds in _EVERY.values() else str(seconds)


# ---- the records --------------------------------------------------------------------------------------------------

def form(found: dict[str, Any], stream: str) -> Form:
    """How a stream's lines look."""
    return Form(found[f"{stream}_logfile_format"], found[f"{stream}_logfile_timestamp"],
                found[f"{stream}_logfile_prefix"] or "")


def syslog(found: dict[str, Any]) -> Syslog:
    """What syslog is told."""
    return Syslog(found["syslog_facility"], found["syslog_tag"] or "", found["syslog_stdout_priority"],
                  found["syslog_stderr_priority"])


def check_log(log: LogConfig, stream: str, warn: Callable[[str, str], None]) -> None:
    """Say which options of a stream change nothing, or will be regretted."""
    kinds = {target.kind for target in log.targets}
    if TargetKind.AUTO in kinds and not log.maxbytes and not log.every:
        warn(f"{stream}_logfile_maxbytes", "0 lets the AUTO log grow without end")
    if log.form != Form() and kinds.isdisjoint(FORMED):
        option = "format" if log.form.json else "timestamp" if log.form.timestamp else "prefix"
        warn(f"{stream}_logfile_{option}", "has no effect: it is for files, consoles and memory")
    elif log.form.json and log.form.prefix:
        warn(f"{stream}_logfile_prefix", "has no effect, for a line of JSON has no prefix")
    if log.every and kinds.isdisjoint(_FILES):
        warn(f"{stream}_logfile_rotate", "has no effect without a file")
    if log.compress and kinds.isdisjoint(_FILES):
        warn(f"{stream}_logfile_compress", "has no effect without a file")
    elif log.compress and not log.backups:
        warn(f"{stream}_logfile_compress", f"has no effect, for {stream}_logfile_backups=0 keeps no rotated log")
