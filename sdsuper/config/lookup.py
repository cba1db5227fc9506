"""Values that need the system to be read: accounts, directories, paths.

Promises: the same converters as in values.py, but asking a `Host`, so that a test can be another system. Must not:
ask the system itself.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from sdsuper.config.model import LogTarget, TargetKind, User
from sdsuper.config.targets import log_targets
from sdsuper.config.values import Noted, refused


class File(NamedTuple):
    """A configuration file; `distrust` says why somebody else could have written it, None when nobody could."""

    data: bytes
    distrust: str | None


class Host(Protocol):
    """What a configuration needs to know of the system. The attributes are as they were when the daemon started."""

    environ: Mapping[str, str]
    cwd: str
    node: str
    uid: int
    tempdir: str

    def read(self, path: str) -> File:
        """Raises OSError, or ValueError when it is no file that may be read (`is not a regular file`)."""

    def read_private(self, path: str) -> bytes:
        """A file that is read for a program when it starts, opened with the same care. Raises OSError."""

    def glob(self, pattern: str) -> Sequence[str]:
        """The matching paths, sorted."""

    def exists(self, path: str) -> bool: ...

    def is_dir(self, path: str) -> bool: ...

    def user(self, name: str | int, gid: int | None = None) -> User | None:
        """An account by name or uid, its groups initialised; `gid` replaces the primary group."""

    def group(self, name: str | int) -> int | None:
        """A group's gid by name or gid."""

    def has_zone(self, name: str) -> bool:
        """Whether the tz database has a time zone of that name."""

    def expand_user(self, path: str) -> str:
        """`~` and `~name` at the start of a path."""


def normal(path: str) -> str:
    """An absolute path without `.`, `..`, double and final slashes (as os.path.normpath, links are not looked at)."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def absolute(text: str, host: Host) -> str:
    """`~` expanded, joined to the starting directory when relative, normalised."""
    path = host.expand_user(text) if text[:1] == "~" else text
    return normal(path if path[:1] == "/" else f"{host.cwd}/{path}")


def parent(path: str) -> str:
    """The directory part of an absolute path."""
    return path[:path.rfind("/")] or "/"


def directory(text: str, host: Host) -> str:
    """An existing directory."""
    path = absolute(text, host)
    if not text or not host.is_dir(path):
        raise ValueError(f"no such directory: {text!r}")
    return path


def path(text: str, host: Host) -> str:
    """A file's path; its directory must exist."""
    if not text:
        raise ValueError("cannot be empty (path expected)")
    found = absolute(text, host)
    if not host.is_dir(parent(found)):
        raise ValueError(f"no such directory: {parent(found)!r}")
    return found


def socket_path(text: str, host: Host) -> str:
    """A socket's path, whose directory may come later."""
    if not text.strip():
        raise ValueError("cannot be empty (path expected)")
    return absolute(text.strip(), host)


def history_path(text: str, host: Host) -> str | None:
    """A path or nothing."""
    return absolute(text, host) if text else None


def server_url(text: str, host: Host) -> str:
    """A server's URL; the path of a unix URL is made absolute, anything else is the client's to judge."""
    return f"unix://{absolute(text[7:], host)}" if text.startswith("unix://") else text


def _number(text: str) -> str | int:
    """A user or group as given: an id only when it is all digits, for `0day` or `0x0` must never become root."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else text


def _account(text: str, host: Host, gid: int | None = None) -> User:
    user = host.user(_number(text), gid)
    if user is None:
        raise ValueError(f"no such user: {text!r}")
    return user


def _gid(text: str, host: Host) -> int:
    gid = host.group(_number(text))
    if gid is None:
        raise ValueError(f"no such group: {text!r}")
    return gid


def user(text: str, host: Host) -> User:
    """`name` or `uid`, and Go's `name:group`."""
    name, colon, group = text.partition(":")
    return _account(name, host, _gid(group, host) if colon else None)


def unprivileged(text: str, host: Host) -> User:
    """An account that is not root's."""
    found = user(text, host)
    if found.uid == 0:
        raise ValueError(f"cannot be {text!r}: it is there to have no privileges")
    return found


def group(text: str, host: Host) -> int:
    """A group's name or gid."""
    return _gid(text, host)


def owner(text: str, host: Host) -> tuple[int, int]:
    """`user` or `user:group` as (uid, gid); gid -1 is unchanged."""
    name, colon, group = text.partition(":")
    return _account(name, host).uid, _gid(group, host) if colon else -1


def targets(text: str, host: Host) -> object:
    """Log destinations; files become absolute, and their directories must exist."""
    found, note = log_targets(text)
    placed = tuple(_placed(target, host) for target in found)
    return Noted(placed, note) if note else placed


def _placed(target: LogTarget, host: Host) -> LogTarget:
    return LogTarget(target.kind, path(target.path, host)) if target.kind is TargetKind.FILE else target


def main_log(text: str, host: Host) -> object:
    """Where the daemon's own log goes: files, consoles, syslog, servers, the journal. Supervisor has no NONE here."""
    if text == "/dev/null":
        return (LogTarget(TargetKind.FILE, text),)
    if text.lower() in ("none", "off", "auto", "memory"):
        keyword = f"{text} is no keyword here: a file of this name is written"
        return Noted((LogTarget(TargetKind.FILE, path(text, host)),), keyword)
    found, note = log_targets(text)
    if not found:
        raise ValueError("cannot be empty (path expected)")
    if any(target.kind in (TargetKind.AUTO, TargetKind.MEMORY) for target in found):
        raise refused(text, "the daemon's log", "path, /dev/stdout, syslog, syslog @host or journal")
    targets = tuple(_placed(target, host) for target in found)
    return Noted(targets, note) if note else targets
