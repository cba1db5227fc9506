"""Options about starting by the clock: their values, the record they make, and what of it makes no sense together.

Promises: the grammar of Go's cron library (github.com/robfig/cron/v3) with five fields as well as six; what is not
known is refused, never left out. Must not: say when it is time (core/schedule.py does).
"""

import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from sdsuper.config.lookup import Host
from sdsuper.config.model import AutoRestart
from sdsuper.config.schedule import Cron, Missed, Overlap, Schedule
from sdsuper.config.values import refused

#: To say that something is wrong with an option.
_Say = Callable[[str, str], None]


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()        # names of the numbers from `low` on

    def expected(self, text: str) -> str:
        known = f"*, {self.low} to {self.high}" + (f" or {self.words[0]} to {self.words[-1]}" if self.words else "")
        more = ", without L, W and #" if re.search("[LW#]", text) else ""
        return f"{known}, a range that goes up, a step such as */2, or several of these with commas{more}"


_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = (_Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23), _Field("day of the month", 1, 31),
           _Field("month", 1, 12, _MONTHS), _Field("day of the week", 0, 6, _WEEKDAYS))
_NAMED = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
          "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?[hms])+")
_UNITS = {"h": 3600, "m": 60, "s": 1}
_YEAR = 366 * 86400


# ---- values -------------------------------------------------------------------------------------------------------

def schedule(text: str, host: Host) -> tuple[str, Schedule]:
    """Five cron fields, six with seconds first, `@daily` and the like, or `@every 90s`; `TZ=zone` may go before. As
    written, and as a record.
    """
    words = text.split()
    place = ""
    if words and words[0].startswith(("TZ=", "CRON_TZ=")):
        place = zone(words.pop(0).partition("=")[2], host)
    if len(words) == 2 and words[0].lower() == "@every":
        if place:
            raise refused(text, "a schedule", "no time zone with @every")
        return text, Schedule(every=_duration(words[1]))
    if len(words) == 1 and words[0].startswith("@"):
        named = _NAMED.get(words[0].lower())
        if named is None:
            raise refused(text, "a schedule", f"@every 90s, or one of {', '.join(_NAMED)}")
        words = named.split()
    if len(words) not in (5, 6):
        raise refused(text, "a schedule", "five or six cron fields, or @every 90s")
    found = _fields(words if len(words) == 6 else ["0", *words])._replace(zone=place)
    if not _comes(found):
        raise refused(text, "a schedule", "a day that there is in one of its months")
    return text, found


def zone(text: str, host: Host) -> str:
    """A time zone by its name in the tz database."""
    if not host.has_zone(text):
        raise refused(text, "a time zone", "a name such as Europe/Berlin or UTC that this machine's tz database has")
    return text


def overlap(text: str) -> Overlap:
    """skip, queue or kill."""
    try:
        return Overlap(text.lower())
    except ValueError:
        raise refused(text, "an action", "skip, queue or kill") from None


def missed(text: str) -> Missed:
    """skip or once."""
    try:
        return Missed(text.lower())
    except ValueError:
        raise refused(text, "an action", "skip or once") from None


def _duration(text: str) -> int:
    """Go's `1h30m`, `90s`: whole seconds."""
    if _DURATION.fullmatch(text):
        total = int(sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([hms])", text)))
        if 1 <= total <= _YEAR:
            return total
    raise refused(text, "a time", "at least 1s and at most a year, such as 90s or 1h30m")


def _fields(words: list[str]) -> Schedule:
    found = [_field(word, field) for word, field in zip(words, _FIELDS, strict=True)]
    seconds, minutes, hours, days, months, weekdays = (tuple(sorted(numbers)) for numbers, _star in found)
    return Schedule("", 0, seconds, minutes, hours, days, months, weekdays, not (found[3][1] or found[5][1]))


def _field(text: str, field: _Field) -> tuple[set[int], bool]:
    """The numbers of one field, and whether it is a `*`, which says nothing of the day."""
    numbers: set[int] = set()
    star = False
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            low, high = field.low, field.high
            star = star or step in ("", "1")
        else:
            low = _number(first, field, text)
            high = _number(last, field, text) if dash else field.high if slash else low
            if dash and high == 0 and low and field.words == _WEEKDAYS:
                high = 7                    # a week may end with its Sunday
        if (slash and not re.fullmatch("0*[1-9][0-9]{0,3}", step)) or low > high:
            raise refused(text, f"the {field.name} of a schedule", field.expected(text))
        numbers.update(number % 7 if field.words == _WEEKDAYS else number
                       for number in range(low, high + 1, int(step or 1)))
    return numbers, star


def _number(text: str, field: _Field, whole: str) -> int:
    """A number of a field, or the name of one; 7 is a Sunday, too."""
    word = text.lower()
    if word in field.words:
        return field.words.index(word) + field.low
    if re.fullmatch("[0-9]{1,4}", text):
        number = int(text)
        if field.low <= number <= field.high or (number == 7 and field.words == _WEEKDAYS):
            return number
    raise refused(whole, f"the {field.name} of a schedule", field.expected(whole))


def _comes(found: Schedule) -> bool:
    """Whether there is such a day: no 30 February."""
    return found.either or any(found.days[0] <= _LONGEST[month - 1] for month in found.months)


# ---- the record ---------------------------------------------------------------------------------------------------

def cron(found: dict[str, Any]) -> Cron:
    """The record of a section's values."""
    if found["cron"] is None:
        return Cron()
    text, made = found["cron"]
    if not made.zone and not made.every:
        made = made._replace(zone=found["cron_timezone"] or "")
    return Cron(text, made, found["cron_overlap"], found["cron_missed"], found["cron_jitter"])


def check(found: dict[str, Any], given: Collection[str], error: _Say, warn: _Say) -> None:
    """Say which options cannot be meant, and which of them change nothing. `given` are the names of those written."""
    always = found["autorestart"] is AutoRestart.ALWAYS
    if found["essential"] and always:
        warn("essential", "ends the daemon only when the program is FATAL, for autorestart=true starts it again after "
                          "every exit")
    if found["essential"] and found["restart_limit_action"].value == "stop":
        error("essential", "cannot be used together with restart_limit_action=stop (fatal expected)")
    if found["cron"] is None:
        for option in ("cron_timezone", "cron_overlap", "cron_missed", "cron_jitter"):
            if option in given:
                warn(option, "has no effect without cron")
        return
    if always and found["cron_overlap"] is not Overlap.KILL:
        warn("cron", "finds the program up every time, for autorestart=true starts it again after every exit")
    made = found["cron"][1]
    if found["cron_timezone"] and (made.zone or made.every):
        why = "has a TZ of its own" if made.zone else "is no time of day"
        warn("cron_timezone", f"has no effect, for cron {why}")
