"""Converters for options that only Go's supervisord has.

Promises: refuses what that program would drop without a word. Must not: evaluate a schedule or know syslog's numbers.
"""

import re

from sdsuper.config.values import refused

_SCHEDULE_FIELD = re.compile(r"[0-9A-Za-z*/,?#-]+")


def schedule(text: str) -> str:
    """Five cron fields, or six with seconds first, `@daily` and the like, `@every 90s`; `TZ=zone` may go before."""
    words = text.split()
    if words and words[0].startswith(("TZ=", "CRON_TZ=")):
        del words[0]
    if (len(words) == 2 and words[0] == "@every") or (len(words) == 1 and words[0].startswith("@")):
        return text
    if len(words) in (5, 6) and all(_SCHEDULE_FIELD.fullmatch(word) for word in words):
        return text
    raise refused(text, "a schedule", "five or six cron fields, or @every 90s")


_FACILITIES = frozenset((
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    *(f"local{number}" for number in range(8))))
_SEVERITIES = frozenset(("emerg", "alert", "crit", "err", "error", "warning", "warn", "notice", "info", "debug"))


def syslog_facility(text: str) -> str:
    """A facility of syslog(3), with or without LOG_ and in any case."""
    word = text.lower().removeprefix("log_")
    if word not in _FACILITIES:
        raise refused(text, "a syslog facility", "name like local0")
    return word


def syslog_severity(text: str) -> str:
    """A severity of syslog(3), with or without LOG_ and in any case."""
    word = text.lower().removeprefix("log_")
    if word not in _SEVERITIES:
        raise refused(text, "a syslog severity", "name like info")
    return word
