"""The system as a configuration sees it: files, directories, accounts.

Promises: the snapshot (environment, directory, host name) is taken once, so that a reload means the same as the start;
one method per question. Must not: judge what it finds.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Mapping, Sequence

from sdsuper.config.lookup import File
from sdsuper.config.model import User
from sdsuper.logs.opening import read_given

#: A configuration is never this large; a device or a log given by mistake may be.
MAX_BYTES = 16 << 20
#: Nor is a file with variables, of which the kernel takes a few MiB at most.
MAX_ENVIRONMENT_BYTES = 1 << 20


class RealHost:
    """`sdsuper.config.lookup.Host` of this machine."""

    def __init__(self) -> None:
        self.environ: Mapping[str, str] = dict(os.environ)
        self.cwd = os.getcwd()
        self.node = os.uname().nodename
        self.uid = os.getuid()
        self.tempdir = self._temporary()

    def _temporary(self) -> str:
        """Where Python's tempfile would write, without its trial file."""
        for name in ("TMPDIR", "TEMP", "TMP"):
            path = self.environ.get(name)
            if path and os.access(path, os.W_OK | os.X_OK):
                return os.path.abspath(path)
        return next((p for p in ("/tmp", "/var/tmp", "/usr/tmp") if os.access(p, os.W_OK | os.X_OK)), self.cwd)

    def read(self, path: str) -> File:
        """A configuration file and whether others can write it. Raises OSError, ValueError (`is not a file`)."""
        # A FIFO must not hang the daemon; for regular files O_NONBLOCK means nothing.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is not a regular file")
            with open(fd, "rb", buffering=0, closefd=False) as stream:
                data = stream.read(MAX_BYTES + 1) or b""
            if len(data) > MAX_BYTES or status.st_size > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES >> 20} MiB")
            return File(data, self._distrust(status))
        finally:
            os.close(fd)

    def read_private(self, path: str) -> bytes:
        """An environment file, as the daemon opens it for a program of its own account. Raises OSError."""
        return read_given(path, None, MAX_ENVIRONMENT_BYTES)

    def _distrust(self, status: os.stat_result) -> str | None:
        """Why somebody who is not root could have written what root is about to run."""
        if self.uid != 0:
            return None
        if status.st_uid not in (0, self.uid):
            return f"the file belongs to uid {status.st_uid}, who can run anything as root"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            who = "everybody" if status.st_mode & stat.S_IWOTH else "its group"
            return f"the file can be written by {who}, who can run anything as root"
        return None

    def glob(self, pattern: str) -> Sequence[str]:
        """The matching paths, sorted; the meaning of a pattern is Python's glob, which Supervisor uses."""
        if not any(character in pattern for character in "*?["):
            return [pattern] if os.path.lexists(pattern) else []
        import glob  # not needed by most configurations
        return sorted(glob.glob(pattern))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def user(self, name: str | int, gid: int | None = None) -> User | None:
        """An account by name or uid; `gid` replaces the primary group, the others are those of the group database."""
        try:
            found = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except (KeyError, OverflowError, ValueError):
            return None
        primary = found.pw_gid if gid is None else gid
        groups = tuple(sorted(set(os.getgrouplist(found.pw_name, primary))))
        return User(found.pw_name, found.pw_uid, primary, groups, found.pw_dir, found.pw_shell)

    def group(self, name: str | int) -> int | None:
        try:
            return (grp.getgrgid(name) if isinstance(name, int) else grp.getgrnam(name)).gr_gid
        except (KeyError, OverflowError, ValueError):
            return None

    def has_zone(self, name: str) -> bool:
        from zoneinfo import ZoneInfo  # needed by few configurations, as the glob above
        try:
            return bool(ZoneInfo(name))
        except (OSError, ValueError, LookupError):      # LookupError: ZoneInfoNotFoundError
            return False

    def expand_user(self, path: str) -> str:
        return os.path.expanduser(path)
