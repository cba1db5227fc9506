"""Opening log files, and others that a configuration names, as root without being led astray.

Promises: no symbolic link that somebody else could have planted is followed, on no part of the path; what is opened
is a regular file with one name; from the first directory on that belongs to somebody else, everything is done as the
program's user, never as root; until then nothing is opened that belongs to a third; nothing here ever blocks (a FIFO or
a device is refused, not waited for). Must not: create directories, change owners or modes of what exists.

Sources: openat(2), symlink(7), path_resolution(7). Directories are walked one by one, each opened relative to the one
before, because checking a path and then using it is a race. The effective ids are changed for the few calls in
between: the daemon has one thread, and a process with a real and saved uid of 0 can be neither signalled nor traced
by the user.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from sdsuper.config.model import User

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40       # as the kernel's own limit


def open_append(path: str, user: User | None, mode: int = 0o644) -> int:
    """A descriptor that appends to the log file, which is created where it is missing. With a `mode` that lets nobody
    else in, one that exists must be the daemon's own. Raises OSError, `filename` the path.
    """
    with _directory(path, user) as (directory, name):
        owners = _owners(user) if mode & 0o077 else (os.geteuid(),)
        return _checked(name, directory, path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode, owners)


def open_read(path: str, user: User | None) -> int:
    """A read-only descriptor of an existing log file, for a client. Raises OSError."""
    with _directory(path, user) as (directory, name):
        return _checked(name, directory, path, os.O_RDONLY, 0, _owners(user))


def open_own(path: str, user: User | None) -> int:
    """A read-only descriptor of a program's own file, with its user's rights from the root directory on: what that user
    may not read is refused. Raises OSError.
    """
    before = (os.geteuid(), os.getegid(), os.getgroups())
    acting = user is not None and before[0] == 0 != user.uid
    try:
        if acting and user is not None:
            _act_as(user)
        with _directory(path, user) as (directory, name):
            return _checked(name, directory, path, os.O_RDONLY, 0, _owners(user))
    finally:
        if acting:
            _act_again_as(*before)


def read_given(path: str, user: User | None, most: int) -> bytes:
    """The contents of a file that the configuration names and that is no log: it may as well be a symbolic link, if
    only we or root can have made it. Raises OSError; EFBIG for more than `most` bytes.
    """
    with _directory(path, user, links=True) as (directory, name):
        fd = _checked(name, directory, path, os.O_RDONLY, 0, _owners(user))
    try:
        return contents(fd, path, most)
    finally:
        os.close(fd)


def contents(fd: int, path: str, most: int) -> bytes:
    """All that can be read from a descriptor. Raises OSError; EFBIG for more than `most` bytes."""
    found = b""
    while more := os.read(fd, most + 1 - len(found)):
        found += more
        if len(found) > most:
            raise OSError(errno.EFBIG, f"has more than {most >> 20} MiB", path)
    return found


def create(path: str, user: User | None = None) -> int:
    """A new file for its owner alone; an existing one of that name is FileExistsError."""
    with _directory(path, user) as (directory, name):
        return _checked(name, directory, path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600, ())


def rename_all(path: str, user: User | None, pairs: list[tuple[str, str | None]]) -> None:
    """Rename files in the log's directory, remove those whose new name is None; names that do not exist are skipped.
    Raises OSError; what was renamed has its old name then.
    """
    with _directory(path, user) as (directory, _name):
        done: list[tuple[str, str]] = []
        for source, target in pairs:
            try:
                if target is None:
                    os.unlink(source, dir_fd=directory)
                    continue
                os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)
                done.append((source, target))
            except FileNotFoundError:
                continue
            except OSError:
                for before, after in reversed(done):
                    os.rename(after, before, src_dir_fd=directory, dst_dir_fd=directory)
                raise


def remove(path: str, user: User | None) -> None:
    """Remove the log file; one that is missing is fine. Raises OSError."""
    with _directory(path, user) as (directory, name):
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass


def _owners(user: User | None) -> tuple[int, ...]:
    """Whose files may be opened in a directory that everybody may write to.

    Empty: anybody's, for we act as the user and his own rights say it.
    """
    if os.geteuid() != os.getuid():
        return ()
    return (0, os.geteuid()) if user is None else (0, os.geteuid(), user.uid)


def _checked(name: str, directory: int, path: str, flags: int, mode: int, owners: tuple[int, ...]) -> int:
    try:
        fd = os.open(name, flags | _FILE, mode, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a symbolic link", path) from None
        if error.errno == errno.ENXIO:      # a FIFO that nobody reads, or a socket
            raise OSError(errno.EINVAL, "is not a regular file", path) from None
        raise OSError(error.errno, error.strerror, path) from None
    facts = os.fstat(fd)
    # where everybody may make files, one that somebody else has made may be a trap; elsewhere its owner was chosen, but
    # for a private one (of the daemon alone) there is no choice
    if len(owners) > 1 and not os.fstat(directory).st_mode & stat.S_IWOTH:
        owners = ()
    wrong = ("is not a regular file" if not stat.S_ISREG(facts.st_mode)
             else "has more than one name (hard link)" if facts.st_nlink > 1
             else f"belongs to uid {facts.st_uid}" if owners and facts.st_uid not in owners else "")
    if wrong:
        os.close(fd)
        raise OSError(errno.EINVAL, wrong, path)
    return fd


@contextmanager
def _directory(path: str, user: User | None, links: bool = False) -> Iterator[tuple[int, str]]:
    """The file's directory, safely reached, and its name; acting as the user where the directory is not ours. With
    `links` the file itself may be a link, and it is that of its target.
    """
    folder, name = os.path.split(os.path.abspath(path))
    before = (os.geteuid(), os.getegid(), os.getgroups())
    fd, acting = os.open("/", _DIRECTORY), False
    parts, followed = [p for p in reversed(folder.split("/")) if p], 0
    try:
        while parts or (links and _is_link(name, fd)):
            last = not parts
            part = name if last else parts.pop()
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=fd)
            except NotADirectoryError:
                target, followed = _followed(part, fd, acting, path), followed + 1
                if followed > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                ahead = [p for p in reversed(target.split("/")) if p]
                if last:
                    name, ahead = ahead[0] if ahead else ".", ahead[1:]
                parts += ahead
                inner = os.open("/", _DIRECTORY) if target.startswith("/") else os.dup(fd)
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from None
            os.close(fd)
            fd = inner
            if not acting and user is not None and before[0] == 0 != user.uid and _belongs_to_others(fd):
                acting = True               # only root can, and only root needs to
                _act_as(user)
        yield fd, name
    finally:
        if acting:
            _act_again_as(*before)
        os.close(fd)


def _is_link(name: str, directory: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False            # whoever opens it is told why


def _followed(part: str, directory: int, acting: bool, path: str) -> str:
    """The target of a link on the way, if only we or root can have made it."""
    try:
        link = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    try:                                    # whose it is and where it leads, of one and the same link
        facts = os.fstat(link)
        if not stat.S_ISLNK(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if acting or facts.st_uid not in (0, os.geteuid()) or _belongs_to_others(directory):
            raise OSError(errno.ELOOP, f"has a symbolic link of another user on its way ('{part}')", path)
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _belongs_to_others(directory: int) -> bool:
    return os.fstat(directory).st_uid not in (0, os.geteuid())


def _act_as(user: User) -> None:
    """Take the user's effective ids."""
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)


def _act_again_as(uid: int, gid: int, groups: list[int]) -> None:
    """Take our own effective ids back."""
    os.seteuid(uid)
    os.setegid(gid)
    os.setgroups(groups)
