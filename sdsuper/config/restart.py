"""Options about starting again: their values, the record they make, and which of them make no sense together.

Promises: without any of these options the record is `Restart()`, which is Supervisor's way. Must not: say when a
process starts again (core/policy.py does).
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from sdsuper.config.model import UNLIMITED, AutoRestart, LimitAction, Restart
from sdsuper.config.values import Noted, number, refused, seconds

#: The longest pause where nothing is said and the pauses are not Supervisor's, in seconds.
_LONGEST = 60
_MOST = 1000            # restarts that a limit can count
_YEAR = 366 * 86400
_ENDLESS = ("unlimited", "-1")
_LIMIT = re.compile(r"([0-9]{1,9})(?:\s*/\s*([0-9]{1,9})\s*([smhd]?))?")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: To say that something is wrong with an option.
_Say = Callable[[str, str], None]
_PAUSES = ("restartpause", "backoff_factor", "backoff_max", "backoff_jitter")


# ---- values -------------------------------------------------------------------------------------------------------

def retries(text: str) -> int | Noted:
    """A number of retries; `unlimited` and -1 are UNLIMITED. What is below is 0, as with Supervisor."""
    if text.strip().lower() in _ENDLESS:
        return UNLIMITED
    expected = "number >= 0, or unlimited"
    value = number(text, "a number", expected)
    return value if value >= 0 else Noted(0, f"{value} is read as 0 ({expected} expected)")


def factor(text: str) -> float:
    """A decimal number from 1 to 10."""
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) and 1 <= float(text) <= 10:
        return float(text)
    raise refused(text, "a factor", "number from 1 to 10, such as 1.5")


def percent(text: str) -> int:
    """A whole percentage, with or without its sign."""
    digits = text.removesuffix("%").rstrip()
    if re.fullmatch("[0-9]{1,3}", digits) and int(digits) <= 100:
        return int(digits)
    raise refused(text, "a percentage", "number from 0% to 100%")


def reset(text: str) -> int | Noted:
    """Seconds; -1 for `unlimited`."""
    return -1 if text.strip().lower() == "unlimited" else seconds(text)


def limit(text: str) -> tuple[int, int]:
    """`COUNT` or `COUNT/TIME` to (count, seconds): (-1, 0) for `unlimited`, no seconds without a time."""
    if text.strip().lower() == "unlimited":
        return -1, 0
    found = _LIMIT.fullmatch(text.strip().lower())
    if found:
        count = int(found[1])
        window = int(found[2]) * _UNITS[found[3]] if found[2] else 0
        if 1 <= count <= _MOST and (1 <= window <= _YEAR or found[2] is None):
            return count, window
    raise refused(text, "a restart limit", f"1 to {_MOST} restarts, such as 3 or 5/60s, or unlimited")


def action(text: str) -> LimitAction:
    """fatal, stop or wait."""
    try:
        return LimitAction(text.lower())
    except ValueError:
        raise refused(text, "an action", "fatal, stop or wait") from None


# ---- the record ---------------------------------------------------------------------------------------------------

def restart(found: dict[str, Any]) -> Restart:
    """The record of a section's values."""
    count, window = found["restart_limit"]
    made = Restart(found["restartpause"], found["backoff_factor"], found["backoff_max"] or 0, found["backoff_jitter"],
                   found["backoff_reset"], count, window, found["restart_limit_action"])
    if not made.longest and (made != Restart() or found["startretries"] == UNLIMITED):
        made = made._replace(longest=max(_LONGEST, made.pause))
    return made


def check(found: dict[str, Any], given: Collection[str], error: _Say, warn: _Say) -> None:
    """Say which options cannot be meant, and which of them change nothing. `given` are the names of those written."""
    rest = found["autorestart"] is AutoRestart.NEVER
    pauses = [option for option in _PAUSES if option in given]
    if found["startretries"] == 0 and pauses and not (found["backoff_reset"] and not rest):
        warn(pauses[0], "has no effect, for startretries=0 tries no failed start again")
    elif found["startsecs"] == 0 and pauses and not found["backoff_reset"]:
        warn(pauses[0], "holds only for a command that cannot be executed, for startsecs=0 calls every other start a "
                        "success; backoff_reset says how long a good run lasts")
    if 0 < (found["backoff_max"] or 0) < found["restartpause"]:
        warn("backoff_max", f"is less than restartpause={found['restartpause']}, and is what holds")
    if found["backoff_reset"] and rest:
        warn("backoff_reset", "has no effect, for autorestart=false starts nothing again that has been RUNNING")
    elif 0 < found["backoff_reset"] <= found["startsecs"]:
        warn("backoff_reset", f"has no effect, for a process is RUNNING after startsecs={found['startsecs']} only")
    count, window = found["restart_limit"]
    if count < 0:
        if found["restart_limit_action"] is not LimitAction.FATAL:
            warn("restart_limit_action", "has no effect without restart_limit")
        return
    if rest:
        warn("restart_limit", "counts the retries of failed starts alone, for autorestart=false makes no other restart")
    if found["restart_limit_action"] is LimitAction.WAIT and not window:
        error("restart_limit_action", f"cannot be wait, for restart_limit={count} has no time to wait for "
                                      f"(a limit like {count}/60s expected)")
