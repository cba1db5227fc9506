"""Text to typed value: the converters that the settings table names.

Promises: each takes the expanded text of an option and returns a plain value, or raises ValueError with a text like
`cannot read 'soon' as seconds (number >= 0 expected)`. A value that Supervisor takes without a word although it cannot
be meant comes as `Noted`. Must not: look at the system (see lookup.py), know where the text came from.
"""

import re
import signal
from collections.abc import Callable
from typing import NamedTuple

from sdsuper.config.model import AutoRestart


class Noted(NamedTuple):
    """A value that is accepted, and what a person should know about it."""

    value: object
    note: str


def refused(text: str, what: str, expected: str) -> ValueError:
    """The error of every converter."""
    return ValueError(f"cannot read {text!r} as {what} ({expected} expected)")


def as_text(text: str) -> str:
    """Any text."""
    return text


_TRUE = frozenset(("yes", "true", "on", "1"))
_FALSE = frozenset(("no", "false", "off", "0"))


def boolean(text: str) -> bool:
    """yes, true, on, 1 and no, false, off, 0, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise refused(text, "a boolean", "true or false")


def autorestart(text: str) -> AutoRestart:
    """A boolean word, or `unexpected`."""
    word = text.lower()
    if word == "unexpected":
        return AutoRestart.UNEXPECTED
    if word in _TRUE:
        return AutoRestart.ALWAYS
    if word in _FALSE:
        return AutoRestart.NEVER
    raise refused(text, "autorestart", "true, false or unexpected")


#: More digits than this are no number that anybody means, and Python is slow with them.
_DIGITS = 20


def number(text: str, what: str = "a number", expected: str = "whole number") -> int:
    """A whole number as Python reads it: sign, blanks around and underscores are fine."""
    try:
        if len(text) > _DIGITS:
            raise ValueError
        return int(text)
    except ValueError:
        raise refused(text, what, expected) from None


def between(low: int, high: int, what: str = "a number") -> Callable[[str], int]:
    """A converter of whole numbers from `low` to `high`."""
    expected = f"number from {low} to {high}"

    def convert(text: str) -> int:
        value = number(text, what, expected)
        if not low <= value <= high:
            raise refused(text, what, expected)
        return value
    return convert


def _natural(value: int, expected: str) -> int | Noted:
    """Supervisor accepts negative numbers everywhere, where they act like 0."""
    return value if value >= 0 else Noted(0, f"{value} is read as 0 ({expected} expected)")


def count(text: str) -> int | Noted:
    """A number of things."""
    return _natural(number(text, "a number", "number >= 0"), "number >= 0")


def seconds(text: str) -> int | Noted:
    """Whole seconds."""
    return _natural(number(text, "seconds", "number >= 0"), "number >= 0")


_UNITS = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_SIZE = "number with KB, MB, GB or no unit"


def size(text: str) -> int | Noted:
    """Bytes; units are powers of 1024, in any case."""
    return _natural(_signed_size(text), _SIZE)


def _signed_size(text: str) -> int:
    unit = _UNITS.get(text[-2:].lower())
    try:
        return number(text[:-2]) * unit if unit else number(text)
    except ValueError:
        raise refused(text, "a size", _SIZE) from None


def octal(text: str) -> int:
    """A file mode or mask, 0 to 7777 octal."""
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o7777:
        raise refused(text, "a mode", "octal number like 022")
    return value


def nice(text: str) -> int:
    """A nice value."""
    value = number(text, "a nice value", "number from -20 to 19")
    if not -20 <= value <= 19:
        raise refused(text, "a nice value", "number from -20 to 19")
    return value


def exitcodes(text: str) -> tuple[int, ...]:
    """A comma list of exit statuses; empty is none."""
    if not text:
        return ()
    try:
        codes = tuple(number(part) for part in text.split(","))
    except ValueError:
        codes = (-1,)
    if any(not 0 <= code <= 255 for code in codes):
        raise refused(text, "exit codes", "numbers from 0 to 255 with commas")
    return codes


_SIGNALS = {name[3:]: int(value) for name, value in vars(signal).items()
            if name.startswith("SIG") and not name.startswith("SIG_")}


def signal_number(text: str) -> int:
    """A signal by name, with or without SIG and in any case, or by number from 1 to 64."""
    word = text.strip().upper().removeprefix("SIG")
    if word in _SIGNALS:
        return _SIGNALS[word]
    if word.isascii() and word.isdigit() and len(word) < 3 and 1 <= int(word) <= 64:
        return int(word)
    raise refused(text, "a signal", "name like TERM, or number")


def signals(text: str) -> tuple[int, ...] | Noted:
    """One signal, or several with blanks between (Go's supervisord)."""
    if text.strip() == "0":
        return Noted((0,), "0 sends no signal: a stop waits stopwaitsecs and then kills")
    found = tuple(signal_number(word) for word in text.split())
    if not found:
        raise refused(text, "a signal", "name like TERM, or number")
    return found


_LEVELS = ("critical", "error", "warn", "info", "debug", "trace", "blather")
_OTHER_LEVELS = {"warning": "warn", "fatal": "critical", "panic": "critical"}


def loglevel(text: str) -> str | Noted:
    """One of Supervisor's levels; the words that Go's supervisord documents are understood too."""
    word = text.lower()
    if word in _LEVELS:
        return word
    if word in _OTHER_LEVELS:
        return Noted(_OTHER_LEVELS[word], f"{text!r} is read as {_OTHER_LEVELS[word]!r}, Supervisor does not know it")
    raise refused(text, "a log level", ", ".join(_LEVELS))


def names(text: str) -> tuple[str, ...]:
    """A comma list of names."""
    if not text.strip():
        return ()
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise refused(text, "a list of names", "names with single commas between")
    return found


def name(text: str) -> str:
    """A program's, process's or group's name."""
    word = text.strip()
    for character in word:
        if character in " :/" or not character.isprintable():
            raise ValueError(f"cannot use {word!r} as a name, for it has {character!r}")
    return word


def spec(text: str) -> str:
    """A Python callable, `module:name`."""
    module, _, callee = text.partition(":")
    if not module.strip() or not callee.strip():
        raise refused(text, "a callable", "module:name")
    return text


def url(text: str) -> str:
    """A server's URL."""
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "unix") or not rest:
        raise refused(text, "a URL", "http://host:port or unix:///path")
    return text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535


def inet_address(text: str) -> tuple[str, int]:
    """`port`, `host:port`, `*:port`, `:port`; an empty host is all interfaces, an IPv6 address keeps its brackets."""
    host, _, port = text.rpartition(":")
    if _is_port(port):
        return "" if host == "*" else host.lower(), int(port)
    raise refused(text, "an address", "host:port with a port from 1 to 65535")


def is_loopback(host: str) -> bool:
    """Whether a host of `inet_address` can only be reached from this machine."""
    bare = host.strip("[]")
    return bare in ("localhost", "::1") or (bare.startswith("127.") and bare.replace(".", "").isdigit())


def idle(text: str) -> int:
    """Seconds, at least 1; 0 for `always`."""
    if text.lower() == "always":
        return 0
    if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31:
        return int(text)
    raise refused(text, "an idle time", "seconds >= 1, or always")


def cgroup(text: str) -> str:
    """auto, off, or a directory."""
    if text.lower() in ("auto", "off"):
        return text.lower()
    if text.startswith("/"):
        return text
    raise refused(text, "a cgroup", "auto, off or an absolute path")


def either(no: str, yes: str, what: str) -> Callable[[str], bool]:
    """A converter of one of two words, the second of which is True."""
    def convert(text: str) -> bool:
        if text.lower() in (no, yes):
            return text.lower() == yes
        raise refused(text, what, f"{no} or {yes}")
    return convert


#: The resources of getrlimit(2), and whether they are counted in bytes.
RLIMITS = {
    "as": True, "core": True, "cpu": False, "data": True, "fsize": True, "locks": False, "memlock": True,
    "msgqueue": True, "nice": False, "nofile": False, "nproc": False, "rss": True, "rtprio": False, "rttime": False,
    "sigpending": False, "stack": True,
}


def rlimit(resource: str) -> Callable[[str], tuple[int, int]]:
    """The converter of one resource limit: `soft[:hard]` to (soft, hard), -1 for unlimited."""
    in_bytes = RLIMITS[resource]
    expected = f"soft[:hard], each {'a size' if in_bytes else 'a number >= 0'} or unlimited"

    def one(text: str) -> int:
        if text.strip().lower() in ("unlimited", "infinity"):
            return -1
        value = _signed_size(text.strip()) if in_bytes else number(text)
        if not 0 <= value < 1 << 63:
            raise ValueError
        return value

    def convert(text: str) -> tuple[int, int]:
        soft_text, colon, hard_text = text.partition(":")
        try:
            soft = one(soft_text)
            hard = one(hard_text) if colon else soft
        except ValueError:
            raise refused(text, "a limit", expected) from None
        if hard >= 0 and not 0 <= soft <= hard:
            raise refused(text, "a limit", "soft <= hard")
        return soft, hard
    return convert


#: Supervisor's event types.
EVENTS = frozenset((
    "EVENT", "PROCESS_STATE", "PROCESS_STATE_STOPPED", "PROCESS_STATE_EXITED", "PROCESS_STATE_STARTING",
    "PROCESS_STATE_STOPPING", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_FATAL", "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_UNKNOWN", "PROCESS_COMMUNICATION", "PROCESS_COMMUNICATION_STDOUT", "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_LOG", "PROCESS_LOG_STDOUT", "PROCESS_LOG_STDERR", "REMOTE_COMMUNICATION", "SUPERVISOR_STATE_CHANGE",
    "SUPERVISOR_STATE_CHANGE_RUNNING", "SUPERVISOR_STATE_CHANGE_STOPPING", "TICK", "TICK_5", "TICK_60", "TICK_3600",
    "PROCESS_GROUP", "PROCESS_GROUP_ADDED", "PROCESS_GROUP_REMOVED",
))
OWN_EVENTS = frozenset(("PROCESS_HEALTH",))       # ours: for those alone who name them


def events(text: str) -> tuple[str, ...]:
    """A comma list of event types, in any case."""
    found = tuple(dict.fromkeys(word.upper() for word in names(text)))
    for word in found:
        if word not in EVENTS | OWN_EVENTS:
            raise ValueError(f"no such event type: {word!r}")
    if not found:
        raise ValueError("cannot be empty (event types expected)")
    return found


def fcgi_socket(text: str) -> str:
    """`tcp://host:port` or `unix:///path`."""
    if text.startswith("unix:///"):
        return text
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if text.startswith("tcp://") and host and ":" not in host and _is_port(port):
        return text
    raise refused(text, "a socket", "tcp://host:port or unix:///path")


# --- commands ---------------------------------------------------------------------------------------------------------

_BLANK = " \t\r\n"
_WORDS = re.compile(f"[^{_BLANK}]+")


def split_command(text: str) -> list[str]:
    """Split a command into words exactly as shlex.split does, whose import is too slow for the daemon.

    Raises ValueError: `No closing quotation`, `No escaped character` (shlex's words, which Supervisor shows).
    """
    if "'" not in text and '"' not in text and "\\" not in text:
        return _WORDS.findall(text)
    words: list[str] = []
    word: list[str] | None = None
    at, end = 0, len(text)
    while at < end:
        character = text[at]
        at += 1
        if character in _BLANK:
            if word is not None:
                words.append("".join(word))
                word = None
            continue
        if word is None:
            word = []
        if character == "'":
            close = text.find("'", at)
            if close < 0:
                raise ValueError("No closing quotation")
            word.append(text[at:close])
            at = close + 1
        elif character == '"':
            part, at = _quoted(text, at)
            word.append(part)
        elif character == "\\":
            if at == end:
                raise ValueError("No escaped character")
            word.append(text[at])
            at += 1
        else:
            word.append(character)
    if word is not None:
        words.append("".join(word))
    return words


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands in double quotes from `at` on, and the place behind; a backslash escapes a quote and itself only."""
    part: list[str] = []
    end = len(text)
    while at < end:
        character = text[at]
        at += 1
        if character == '"':
            return "".join(part), at
        if character == "\\":
            if at == end:
                raise ValueError("No escaped character")
            if text[at] not in '"\\':
                part.append(character)
            part.append(text[at])
            at += 1
        else:
            part.append(character)
    raise ValueError("No closing quotation")
