"""Secrets for programs: files that the daemon reads, and that only the program's user can read again.

Promises: a secret is in no environment, log, argument or answer; it is read at each start, from a regular file that is
not reached through a link; what was given is removed when nothing of the run is left. Where the program has its own
view of the file system the files are made there, by sdsuper-exec, and nobody else ever sees them; elsewhere they are
in a directory of /run. Must not: keep a secret longer than a start takes.

Made by root, in a directory that only root writes; a directory belongs to the program's user once all is in it.
"""

import os
from errno import EACCES, EEXIST, EINVAL, EISDIR, ELOOP, EPERM
from stat import S_IMODE, S_ISDIR, S_ISREG

from sdsuper.config.model import User
from sdsuper.errors import LACKS, SpawnError
from sdsuper.logs.opening import contents

MOST_BYTES = 1 << 20
_MOST_LEFT = 1000       # entries that are removed from a directory; a program could have made any number


def read_secret(path: str) -> bytes:
    """The contents of a file. Raises OSError; ELOOP for a symbolic link, EINVAL for no regular file, EFBIG for one of
    more than MOST_BYTES.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not S_ISREG(status.st_mode):
            raise OSError(EINVAL, "is not a regular file", path)
        return contents(fd, path, MOST_BYTES)
    finally:
        os.close(fd)


class Credentials:
    """The credentials that are given at present. `runtime` is XDG_RUNTIME_DIR, for a daemon that is not root."""

    def __init__(self, runtime: str | None) -> None:
        self._top = "/run" if os.geteuid() == 0 else runtime
        self._given: dict[int, str] = {}        # run's tag -> directory
        self._own: str | None = None

    def give(self, tag: int, name: str, wanted: tuple[tuple[str, str], ...], user: User | None, elsewhere: bool
             ) -> tuple[str, dict[str, bytes]]:
        """A directory for a run, and what is to be written there `elsewhere`. Raises SpawnError.

        `name` is unique in this daemon. Without `elsewhere` the files are there when this returns.
        """
        contents = {}
        for credential, path in wanted:
            try:
                contents[credential] = read_secret(path)
            except OSError as error:
                why = "is a symbolic link" if error.errno == ELOOP else error.strerror
                raise SpawnError(f"cannot read credential {credential}: {path}: {why}", error.errno in LACKS) from None
        try:
            directory = f"{self._directory()}/{name}"
            os.mkdir(directory, 0o700)
            self._given[tag] = directory
            if not elsewhere:
                _fill(directory, contents, user)
        except OSError as error:
            self.take_back(tag)
            raise SpawnError(f"cannot make a directory for credentials: {error.filename}: {error.strerror}",
                             error.errno in LACKS) from None
        return directory, contents

    def take_back(self, tag: int) -> None:
        """Remove what a run was given, if it was given something."""
        directory = self._given.pop(tag, None)
        if directory is not None:
            remove(directory)

    def close(self) -> None:
        """Remove everything: the daemon ends."""
        for tag in tuple(self._given):
            self.take_back(tag)
        if self._own is not None:
            try:
                os.rmdir(self._own)
            except OSError:
                pass

    def _directory(self) -> str:
        """The daemon's own directory. What daemons left that are no more is removed. Raises OSError."""
        if self._own is not None:
            return self._own
        if self._top is None:
            raise OSError(EACCES, "only for root, or with XDG_RUNTIME_DIR", "credential")
        above = f"{self._top}/sdsuper/credentials"
        _own_directory(f"{self._top}/sdsuper", 0o755)
        _own_directory(above, 0o711)
        for entry in os.listdir(above):
            if entry.isdigit() and not os.path.exists(f"/proc/{entry}"):
                remove(f"{above}/{entry}")
        _own_directory(f"{above}/{os.getpid()}", 0o711)
        self._own = f"{above}/{os.getpid()}"
        return self._own


def _own_directory(path: str, mode: int) -> None:
    """A directory that nobody else can write to, made if it is not there. Raises OSError."""
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)        # whatever the umask is
    except OSError as error:
        if error.errno != EEXIST:
            raise
    status = os.lstat(path)
    if not S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or S_IMODE(status.st_mode) & 0o022:
        raise OSError(EPERM, "is not a directory that only this daemon's account can write", path)


def _fill(directory: str, contents: dict[str, bytes], user: User | None) -> None:
    uid, gid = (user.uid, user.gid) if user is not None and os.geteuid() == 0 else (-1, -1)
    for name, content in contents.items():
        fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(content)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, 0o400)
        finally:
            os.close(fd)
    os.chmod(directory, 0o500)
    os.chown(directory, uid, gid)


def remove(directory: str) -> None:
    """Remove a directory with all in it, as far as that can be; no link is followed."""
    parent, _, name = directory.rpartition("/")
    try:
        above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _remove(above, name, [_MOST_LEFT])
    except OSError:
        pass            # a program may have filled it, or deepened it: what is left is its own
    finally:
        os.close(above)


def _remove(above: int, name: str, left: list[int]) -> None:
    if left[0] <= 0:
        return
    left[0] -= 1
    try:
        os.unlink(name, dir_fd=above)
        return
    except OSError as error:
        if error.errno not in (EISDIR, EPERM):
            raise
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        if os.geteuid() != 0:
            os.fchmod(here, 0o700)
        for entry in os.listdir(here)[:left[0]]:
            _remove(here, entry, left)
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=above)
