"""The grammar of `stdout_logfile=` and `stderr_logfile=`.

Promises: Supervisor's words and the comma lists of Go's supervisord, told apart so that a file name with a comma
stays one. Must not: look whether a path can be written.
"""

import re

from sdsuper.config.hosts import is_host
from sdsuper.config.model import LogTarget, TargetKind
from sdsuper.config.values import refused

_NO_TARGET = frozenset(("", "none", "off", "/dev/null"))
#: Ways to say the daemon's own output. /proc/1 is how a program in a container says it, where the daemon is process 1.
_CONSOLES = {f"{prefix}{suffix}": f"/dev/{name}"
             for name, number in (("stdout", "1"), ("stderr", "2"))
             for prefix, suffix in (("/dev/", name), ("/dev/fd/", number), ("/proc/self/fd/", number),
                                    ("/proc/1/fd/", number))}
_REMOTE = re.compile(r"syslog\s*@\s*(.*)", re.IGNORECASE | re.DOTALL)
_SERVER = re.compile(r"(?:(udp|tcp|tls):)?(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?\]|[^\s:@\[\]/]+)(?::([0-9]{1,5}))?",
                     re.IGNORECASE)
#: Without a port: syslog's own (RFC 5426), Go's, and that of RFC 5425.
_PORTS = {"udp": 514, "tcp": 6514, "tls": 6514}


def log_target(text: str) -> LogTarget | None:
    """One destination; a file's path is as written."""
    word = text.lower()
    if word in _NO_TARGET:
        return None
    if word == "auto":
        return LogTarget(TargetKind.AUTO)
    if word == "syslog":
        return LogTarget(TargetKind.SYSLOG)
    if word == "journal":
        return LogTarget(TargetKind.JOURNAL)
    if word == "memory":
        return LogTarget(TargetKind.MEMORY)
    if text in _CONSOLES:
        return LogTarget(TargetKind.CONSOLE, _CONSOLES[text])
    remote = _REMOTE.fullmatch(text)
    if remote is not None:
        return LogTarget(TargetKind.REMOTE, _server(remote[1], text))
    return LogTarget(TargetKind.FILE, text)


def _server(address: str, text: str) -> str:
    found = _SERVER.fullmatch(address)
    if found is not None and is_host(found[2]):
        kind = (found[1] or "udp").lower()
        port = int(found[3] or _PORTS[kind])
        if 0 < port < 65536:
            return f"{kind}:{found[2]}:{port}"
    raise refused(text, "a syslog server", "syslog @[udp:|tcp:|tls:]host[:port], with an IPv6 address in brackets")


def log_targets(text: str) -> tuple[tuple[LogTarget, ...], str | None]:
    """Supervisor's one destination, or Go's comma list of them; and a note, if there is anything to say.

    A file's name may have a comma in Supervisor, so a comma alone does not make a list: at least one item must be no
    plain relative name without a blank before it.
    """
    if "," not in text:
        target = log_target(text)
        return (() if target is None else (target,)), None
    parts = text.split(",")
    targets = [log_target(part.strip()) for part in parts]
    plain = all(target is not None and target.kind is TargetKind.FILE for target in targets)
    if not plain or any(part.startswith((" ", "/", "~", "\n", "\t")) for part in parts[1:]):
        return tuple(dict.fromkeys(target for target in targets if target is not None)), None
    return ((LogTarget(TargetKind.FILE, text),),
            "is read as one file whose name has a comma; put a blank after the comma for several targets")
