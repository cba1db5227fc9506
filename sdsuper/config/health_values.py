"""Options about checks: what a check's text means, the records, and what of it makes no sense together.

Promises: without any of these options the record is `Health()`. A text is refused with what is wrong with it, and never
shown with a header's value, data, a password or a query. Must not: ask anybody anything.
"""

import re
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, NamedTuple

from sdsuper.config.health import UNCHECKED, Action, ActionKind, Check, CheckKind, Health
from sdsuper.config.hosts import is_host
from sdsuper.config.lifecycle import ReadyKind
from sdsuper.config.values import refused, signal_number, split_command

#: To say that something is wrong with an option.
_Say = Callable[[str, str], None]
_DAY = 86400
_READY_TIMEOUT = 90
_SUFFIXES = ("initial_delay", "period", "timeout", "success_threshold", "failure_threshold")
_ACTIONS = ("liveness_check_success_action", "liveness_check_failure_action")

_SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
#: Of a URL: scheme, user part, place, host, port, and the rest.
_URL = re.compile(rf"(https?://)(?:((?:(?![/?#\[\]])[!-~])*)@)?({_HOST}(?::([0-9]{{1,5}}))?)((?:[/?][!-~]*)?)",
                  re.IGNORECASE)
_ADDRESS = re.compile(rf"tcp://{_HOST}:([0-9]{{1,5}})", re.IGNORECASE)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x1f\x7f]*)")
#: What the request itself says of these holds.
_OWN_HEADERS = frozenset(("content-length", "transfer-encoding", "connection"))
_WITH_VALUE = {"-H": "header", "-d": "data", "--ca-file": "ca", "--cert-file": "cert", "--key-file": "key"}


# ---- the text of a check ------------------------------------------------------------------------------------------

class ProbeKind(Enum):
    """How somebody is asked."""

    HTTP = "http"
    TCP = "tcp"
    UNIX = "unix"
    COMMAND = "command"


class Probe(NamedTuple):
    """What is asked: `target` is a URL, `host:port`, a path or a command; the rest is for HTTP alone. `data` that
    begins with `@` is the path of a file, as `ca`, `cert` and `key` are.
    """

    kind: ProbeKind
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    data: str | None = None
    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False

    def __repr__(self) -> str:
        return f"Probe({self.kind.value})"


def probe(text: str) -> Probe:
    """`http(s)://…`, `tcp://host:port`, `unix:///path`, or a command, which may begin with `script://`. Raises
    ValueError, with nothing secret in it.
    """
    scheme = _SCHEME.match(text)
    word = scheme[1].lower() if scheme else "script"
    if word in ("http", "https"):
        return _http(text)
    if word == "tcp":
        match = _ADDRESS.fullmatch(text.strip())
        if match is None or not 0 < int(match[2]) < 65536 or not is_host(match[1]):
            raise refused(_doubted(text), "a check", "tcp://host:port")
        return Probe(ProbeKind.TCP, text.strip()[6:])
    if word == "unix":
        path = text.strip()[7:]
        if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > 107:
            raise refused(_doubted(text), "a check", "unix:///path of a socket, 107 bytes at most")
        return Probe(ProbeKind.UNIX, path)
    if word != "script":
        raise ValueError(f"cannot check with {word}:// (http://, https://, tcp://, unix:///, or a command expected)")
    command = text[scheme.end():] if scheme else text
    try:
        words = split_command(command)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    if not words:
        raise ValueError("cannot be empty (http://, https://, tcp://, unix:///, or a command expected)")
    return Probe(ProbeKind.COMMAND, command.strip())


def _http(text: str) -> Probe:
    try:
        url, *words = split_command(text)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[5] or 80) < 65536 or not is_host(match[4]):
        raise refused(_doubted(text), "a URL", "http://host:port/path in ASCII")
    found: dict[str, str] = {}
    headers: list[tuple[str, str]] = []
    insecure, count = False, len(words)
    while words:
        option = words.pop(0)
        if option == "--insecure":
            insecure = True
            continue
        name = _WITH_VALUE.get(option)
        if name is None:            # which may be a secret, where quotes were forgotten
            raise ValueError(f"does not know word {count - len(words)} after the URL (-H 'Name: value', -d 'data', "
                             "--ca-file, --cert-file, --key-file or --insecure expected)")
        if not words:
            raise ValueError(f"has nothing behind {option}")
        if name == "header":
            headers.append(_header(words.pop(0)))
        else:
            found[name] = words.pop(0)
    if ("cert" in found) != ("key" in found):
        raise ValueError("--cert-file and --key-file go together")
    for name, path in found.items():
        if name != "data" and not path.startswith("/"):
            raise refused(path, "a file", "absolute path")
    return Probe(ProbeKind.HTTP, url, tuple(headers), found.get("data"), found.get("ca", ""), found.get("cert", ""),
                 found.get("key", ""), insecure)


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None:
        raise ValueError("has a header that is none (-H 'Name: value' expected)")
    if match[1].lower() in _OWN_HEADERS:
        raise ValueError(f"cannot set the header {match[1]}")
    return match[1], match[2].strip()


def _doubted(text: str) -> str:
    """The beginning of what is no URL, without what may be a secret: all before an @, also where blanks are in it, and
    what is behind a ?."""
    head, slashes, rest = text.strip().partition("://")
    first, *more = rest.split(None, 1) or ("",)
    if more and "@" in more[0]:
        return f"{head}{slashes}…"
    first, question, _query = first.rpartition("@")[2].partition("?")
    return f"{head}{slashes}{first}{question}{'…' if question else ''}{' …' * len(more)}"


def _bare(url: str) -> str:
    """A URL without what may be a secret."""
    match = _URL.fullmatch(url)
    assert match is not None
    path, question, _query = match[6].partition("?")
    return f"{match[1]}{match[3]}{path}{question}{'…' if question else ''}"


def shown(text: str) -> str:
    """A text as it may be shown: headers without values, URLs without password and query. Raises nothing."""
    if not text.lower().startswith(("http://", "https://")):
        return text
    found = _http(text)
    parts = [_bare(found.target), *(f"-H '{name}: …'" for name, _value in found.headers)]
    parts += ["-d …"] * (found.data is not None)
    parts += [f"--{name}-file {path}" for name in ("ca", "cert", "key") if (path := getattr(found, name))]
    return " ".join(parts + ["--insecure"] * found.insecure)


def first_word(text: str) -> str:
    """All of a text that is fit for a log."""
    return shown(text).split(" ", 1)[0]


# ---- values -------------------------------------------------------------------------------------------------------

def check_text(text: str) -> str:
    """The text of a check, as it is."""
    probe(text)
    return text.strip()


def hook_text(text: str) -> str:
    """A command, which is looked at when it is run, or what else a check may be."""
    return check_text(text) if _SCHEME.match(text) else text


def span(low: float) -> Callable[[str], float]:
    """A converter of seconds from `low` to a day, with up to three decimals."""
    def convert(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text.strip()) and low <= float(text) <= _DAY:
            return float(text)
        raise refused(text, "seconds", f"number from {low:g} to {_DAY}, such as 2.5")
    return convert


def action(text: str) -> Action:
    """restart, stop, none, `signal NAME`, or what to run."""
    words = text.split()
    if len(words) == 1 and words[0].lower() in ("restart", "stop", "none"):
        return Action(ActionKind(words[0].lower()))
    if words and words[0].lower() == "signal":
        if len(words) != 2:
            raise refused(text, "an action", "signal NAME")
        return Action(ActionKind.SIGNAL, "", signal_number(words[1]))
    return Action(ActionKind.RUN, check_text(text))


# ---- the record ---------------------------------------------------------------------------------------------------

def health(found: dict[str, Any]) -> Health:
    """The record of a section's values."""
    checks = {kind: _check(found, kind.value) for kind in CheckKind}
    if not any(checks.values()) and not found["watchdog_sec"]:
        return UNCHECKED
    live = checks[CheckKind.LIVE]
    timeout = _READY_TIMEOUT if found["ready_timeout"] is None else found["ready_timeout"]
    return Health(checks[CheckKind.STARTUP], timeout if checks[CheckKind.STARTUP] else 0, checks[CheckKind.READY], live,
                  (found["liveness_check_success_action"] or "") if live else "",
                  found["liveness_check_failure_action"], found["watchdog_sec"])


def _check(found: dict[str, Any], family: str) -> Check | None:
    text = found[f"{family}_check_script"]
    return Check(text, *(found[f"{family}_check_{suffix}"] for suffix in _SUFFIXES)) if text else None


def check(found: dict[str, Any], given: Collection[str], error: _Say, warn: _Say) -> None:
    """Say which options cannot be meant, and which of them change nothing. `given` are the names of those written."""
    for kind in CheckKind:
        script = f"{kind.value}_check_script"
        for suffix in _SUFFIXES:
            if f"{kind.value}_check_{suffix}" in given and script not in given:
                warn(f"{kind.value}_check_{suffix}", f"has no effect without {script}")
    for name in _ACTIONS:
        enough = name == _ACTIONS[1] and found["watchdog_sec"]
        if name in given and "liveness_check_script" not in given and not enough:
            warn(name, "has no effect without liveness_check_script" + " or watchdog_sec" * (name == _ACTIONS[1]))
    if "startup_check_script" in given:
        kind, _detail = found["readiness"]
        if found["type"]:
            error("startup_check_script", "cannot be used with type=forking, whose start is over when its pidfile is "
                                          "there")
        elif kind is not ReadyKind.STARTSECS:
            error("startup_check_script", f"cannot be used with readiness={kind.value}: one of them says when the "
                                          "process is ready")
