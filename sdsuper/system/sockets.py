"""Listening sockets, made as the configuration says and safe from their first moment.

Promises: a unix socket is never connectable with a wider mode than it is given, and never somebody else's file; a stale
one is replaced, one that answers is not. Must not: accept. Sources: unix(7), ip(7), ipv6(7), open(2) for O_PATH.
"""

import fcntl
import os
import socket
import stat
from collections.abc import Callable, Mapping
from errno import EADDRINUSE, EEXIST, ENOENT, ENOTSOCK

LISTEN_FDS_START = 3  # sd_listen_fds(3)
BACKLOG = 1024        # as Supervisor asks for; the kernel cuts it to net.core.somaxconn


class InUse(OSError):
    """Somebody listens there already."""


def listen_unix(path: str, mode: int, uid: int = -1, gid: int = -1, backlog: int = BACKLOG,
                replace: bool = False) -> socket.socket:
    """A socket at `path` with that mode and owner (-1: as it is), listening and not blocking. With `replace` one that
    answers is replaced, too, if it is ours, root's, or of that owner.

    Raises OSError: InUse, ENOTSOCK for a file that is none, EPERM with the path as its `filename` when the owner cannot
    be set.
    """
    _remove_stale(path, {os.geteuid(), 0, uid} if replace else set())
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        _open_to(path, mode, uid, gid)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_tcp(host: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """A socket at an address, listening and not blocking; an empty host is every IPv4 address. `host` is a name, an
    IPv4 address, or an IPv6 address with or without brackets. Raises OSError: InUse, socket.gaierror.
    """
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _name, address = sorted(found, key=lambda row: row[0] != socket.AF_INET)[0]
    listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == EADDRINUSE:
            raise InUse(error.errno, error.strerror) from None
        raise
    return listener


class Passed:
    """The listening sockets that systemd has opened for this process, some of them at `paths`: sd_listen_fds(3),
    systemd.socket(5).
    """

    def __init__(self, environment: Mapping[str, str], pid: int, lowest: int) -> None:
        """Take them. They get descriptors of `lowest` or more, which no child inherits."""
        self._sockets: list[socket.socket] = []
        self.paths: frozenset[str] = frozenset()
        count = environment.get("LISTEN_FDS", "")
        if environment.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit() and len(count) < 5):
            return
        behind = LISTEN_FDS_START + int(count)
        for fd in range(LISTEN_FDS_START, behind):
            try:
                moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(lowest, behind))     # none is taken for another
            except OSError:
                continue
            os.close(fd)
            try:
                found = socket.socket(fileno=moved)
            except OSError:                     # a FIFO or the like
                os.close(moved)
                continue
            found.setblocking(False)
            self._sockets.append(found)
        self.paths = frozenset(str(one.getsockname()) for one in self._sockets
                               if one.family == socket.AF_UNIX and _listens(one))

    def unix(self, path: str) -> socket.socket | None:
        """The one that listens at a path; it is the caller's from now on."""
        return self._take(lambda one: one.family == socket.AF_UNIX and one.getsockname() == path)

    def tcp(self, host: str, port: int) -> socket.socket | None:
        """The one that listens at an address, named as for `listen_tcp`. Raises socket.gaierror."""
        if not self._sockets:
            return None
        found = socket.getaddrinfo(host.strip("[]") or "0.0.0.0", port, type=socket.SOCK_STREAM)
        addresses = {row[4][0] for row in found} | ({"::"} if not host else set())

        def fits(one: socket.socket) -> bool:
            return one.family != socket.AF_UNIX and one.getsockname()[1] == port and one.getsockname()[0] in addresses
        return self._take(fits)

    def _take(self, fits: Callable[[socket.socket], bool]) -> socket.socket | None:
        for one in self._sockets:
            if _listens(one) and fits(one):
                self._sockets.remove(one)
                return one
        return None

    def close(self) -> list[str]:
        """Close those that nobody wants; what they listen at."""
        left = [str(one.getsockname()) for one in self._sockets]
        for one in self._sockets:
            one.close()
        self._sockets.clear()
        return left


def _listens(one: socket.socket) -> bool:
    return one.type == socket.SOCK_STREAM and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


#: What a daemon has that systemd has given no sockets.
NONE_PASSED = Passed({}, 0, 0)


def identity(path: str) -> tuple[int, int] | None:
    """What tells the file at `path` from any other; None: there is none."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def remove(path: str, known: tuple[int, int] | None) -> None:
    """Remove the socket at `path` if it is still the one that was known."""
    if known is not None and identity(path) == known:
        try:
            os.unlink(path)
        except OSError:
            pass            # gone, or its directory is another's now: it is stale, which the next one sees


def _open_to(path: str, mode: int, uid: int, gid: int) -> None:
    """Let others in. The directory may be another user's: what he puts at `path` now is neither followed nor taken.

    Not by the effective group while binding: only root may take any, a member by setgroups(2) may not, and in a
    set-group-ID directory it has no effect. A descriptor with O_PATH is changed by its name in /proc (open(2)).
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(fd)
        if (facts.st_mode, facts.st_uid, facts.st_nlink) != (stat.S_IFSOCK | 0o600, os.geteuid(), 1):
            raise OSError(EEXIST, "somebody else has replaced it")
        try:
            if (uid, gid) != (-1, -1):
                os.chown(f"/proc/self/fd/{fd}", uid, gid)
        except PermissionError as error:
            raise PermissionError(error.errno, error.strerror, path) from None
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _remove_stale(path: str, owners: set[int]) -> None:
    try:
        facts = os.lstat(path)
        if not stat.S_ISSOCK(facts.st_mode):
            raise OSError(ENOTSOCK, "it exists and is not a socket")
        if facts.st_uid in owners:
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass                        # it lives, and is very busy
        except OSError as error:
            if error.errno == ENOENT:
                return
            raise
    raise InUse(EADDRINUSE, os.strerror(EADDRINUSE))
