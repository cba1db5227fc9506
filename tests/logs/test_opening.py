"""Opening logs as root where somebody else may have laid a trap: targets stay as they are, nothing ever waits."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import User
from sdsuper.logs import opening
from tests.looping import OTHER, child, within

root = pytest.mark.root
#: A name of its own for somebody who is neither root nor OTHER.
THIRD = 12345


def ids() -> tuple[object, ...]:
    return os.getresuid(), os.getresgid(), os.getgroups(), os.umask(os.umask(0o022))


@pytest.fixture(autouse=True)
def still_ourselves() -> Iterator[None]:
    before = ids()
    yield
    assert ids() == before


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.mkdir(mode=0o755)
    os.chown(path, OTHER.uid, OTHER.gid)
    return path


class Victim:
    """A file of ours that nobody may reach by way of a log."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder, self.path = folder, folder / "secret"
        self.path.write_bytes(b"the secret\n")
        self.path.chmod(0o600)
        self.before = self.facts()

    def facts(self) -> tuple[object, ...]:
        facts = self.path.stat()
        return (self.path.read_bytes(), facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns,
                sorted(os.listdir(self.folder)))

    def check(self) -> None:
        assert self.facts() == self.before


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path / "private")
    yield made
    made.check()


def append(path: Path | str, user: User | None, data: bytes = b"data\n") -> None:
    fd = opening.open_append(str(path), user)
    os.write(fd, data)
    os.close(fd)


def attempt(what: Callable[[], object]) -> OSError | None:
    with within(5):
        try:
            what()
        except OSError as error:
            return error
    return None


# ---- traps --------------------------------------------------------------------------------------------------------

def a_symlink(log: Path, victim: Victim) -> None:
    log.symlink_to(victim.path)


def a_dangling_link(log: Path, victim: Victim) -> None:
    log.symlink_to(victim.folder / "new")


def a_fifo(log: Path, _victim: Victim) -> None:
    os.mkfifo(log)


def a_socket(log: Path, _victim: Victim) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(log))


def a_device(log: Path, _victim: Victim) -> None:
    os.mknod(log, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def a_directory(log: Path, _victim: Victim) -> None:
    log.mkdir()


def a_hard_link(log: Path, victim: Victim) -> None:
    os.link(victim.path, log)


def a_hard_link_that_the_user_may_write(log: Path, _victim: Victim) -> None:
    other = log.parent.parent / "their-own"
    other.write_text("")
    os.chown(other, OTHER.uid, OTHER.gid)
    os.link(other, log)


TRAPS = [a_symlink, a_dangling_link, a_fifo, a_socket, a_device, a_directory, a_hard_link,
         a_hard_link_that_the_user_may_write]


@root
@pytest.mark.parametrize("user", [OTHER, None], ids=["their-program", "root-program"])
@pytest.mark.parametrize("place", ["ours", "theirs"])
@pytest.mark.parametrize("trap", TRAPS)
def test_nothing_but_a_plain_file(
    trap: Callable[[Path, Victim], None], place: str, user: User | None, victim: Victim, request: pytest.FixtureRequest,
) -> None:
    log = request.getfixturevalue(place) / "x.log"
    trap(log, victim)
    before = os.lstat(log)
    for what in (opening.open_append, opening.open_read):
        error = attempt(lambda what=what: what(str(log), user))
        assert error is not None and error.filename == str(log)
        assert error.errno in (errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EACCES)
    assert isinstance(attempt(lambda: opening.create(str(log))), FileExistsError)
    after = os.lstat(log)
    assert (before.st_mode, before.st_uid, before.st_ino, before.st_nlink) == \
           (after.st_mode, after.st_uid, after.st_ino, after.st_nlink)


@root
@pytest.mark.parametrize("place", ["ours", "theirs"])
@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap is not a_directory])
def test_removing_and_renaming_touch_only_the_name(
    trap: Callable[[Path, Victim], None], place: str, victim: Victim, request: pytest.FixtureRequest,
) -> None:
    log = request.getfixturevalue(place) / "x.log"
    trap(log, victim)
    opening.rename_all(str(log), OTHER, [("x.log.1", "x.log.2"), ("x.log", "x.log.1")])
    assert os.path.lexists(f"{log}.1") and not os.path.lexists(log)
    opening.remove(f"{log}.1", OTHER)
    opening.remove(f"{log}.1", OTHER)
    assert os.listdir(log.parent) == []


@root
@pytest.mark.parametrize("reader", [True, False])
def test_a_fifo_never_blocks(ours: Path, reader: bool) -> None:
    os.mkfifo(ours / "x.log")
    end = os.open(ours / "x.log", os.O_RDONLY | os.O_NONBLOCK) if reader else -1
    for what in (opening.open_append, opening.open_read):
        error = attempt(lambda what=what: what(str(ours / "x.log"), None))
        assert error is not None and error.strerror == "is not a regular file"
    if reader:
        os.close(end)


def test_a_link_as_the_log_is_refused_even_if_it_is_ours(ours: Path, victim: Victim) -> None:
    (ours / "x.log").symlink_to(victim.path)
    error = attempt(lambda: append(ours / "x.log", None))
    assert error is not None and error.errno == errno.ELOOP and error.strerror == "is a symbolic link"


# ---- links on the way ---------------------------------------------------------------------------------------------

@root
def test_a_link_of_somebody_else_on_the_way(ours: Path, victim: Victim) -> None:
    ours.chmod(0o777)
    (ours / "logs").symlink_to(victim.folder)
    os.lchown(ours / "logs", OTHER.uid, OTHER.gid)
    for user in (OTHER, None):
        error = attempt(lambda user=user: append(ours / "logs/x.log", user))
        assert error is not None and error.errno == errno.ELOOP and "'logs'" in error.strerror


@root
@pytest.mark.parametrize("owner", [0, OTHER.uid])
def test_a_link_in_a_directory_of_somebody_else(theirs: Path, victim: Victim, owner: int) -> None:
    (theirs / "logs").symlink_to(victim.folder)
    os.lchown(theirs / "logs", owner, owner)
    for user in (OTHER, None):
        for what in (opening.open_append, opening.open_read, opening.remove):
            error = attempt(lambda what=what, user=user: what(str(theirs / "logs/secret"), user))
            assert error is not None and error.errno == errno.ELOOP
        error = attempt(lambda user=user: opening.rename_all(str(theirs / "logs/secret"), user, [("secret", "gone")]))
        assert error is not None and error.errno == errno.ELOOP


def test_our_own_links_are_followed(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (ours / "absolute").symlink_to(tmp_path / "real")
    (ours / "relative").symlink_to("../real/./deep/..")
    (ours / "chain").symlink_to("relative/deep")
    append(ours / "absolute/1.log", None)
    append(ours / "relative/2.log", None)
    append(ours / "chain/3.log", None)
    assert sorted(os.listdir(tmp_path / "real")) == ["1.log", "2.log", "deep"]
    assert os.listdir(tmp_path / "real/deep") == ["3.log"]


def test_links_in_a_circle_end(ours: Path) -> None:
    (ours / "a").symlink_to("b")
    (ours / "b").symlink_to("a")
    error = attempt(lambda: append(ours / "a/x.log", None))
    assert error is not None and error.errno == errno.ELOOP


def test_two_dots_and_relative_paths(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ours)
    append("x.log", None)
    append("../ours/../y.log", None)
    append(f"{ours}//./../ours/z.log", None)
    assert sorted(os.listdir(ours)) == ["x.log", "z.log"]
    assert (tmp_path / "y.log").read_bytes() == b"data\n"


def test_what_is_not_there(ours: Path) -> None:
    for path in (ours / "no/x.log", ours / "no/such/x.log"):
        error = attempt(lambda path=path: append(path, None))
        assert error is not None and error.errno == errno.ENOENT and error.filename == str(path)
    (ours / "file").write_text("")
    error = attempt(lambda: append(ours / "file/x.log", None))
    assert error is not None and error.errno == errno.ENOTDIR and error.filename == str(ours / "file/x.log")
    error = attempt(lambda: opening.open_read(str(ours / "x.log"), None))
    assert error is not None and error.errno == errno.ENOENT
    assert os.listdir(ours) == ["file"]


# ---- whose files they are -----------------------------------------------------------------------------------------

@root
def test_in_a_users_directory_as_the_user(theirs: Path) -> None:
    append(theirs / "x.log", OTHER)
    append(theirs / "x.log", OTHER, b"more\n")
    facts = (theirs / "x.log").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (OTHER.uid, OTHER.gid, 0o644)
    fd = opening.open_read(str(theirs / "x.log"), OTHER)
    assert os.read(fd, 100) == b"data\nmore\n"
    with pytest.raises(OSError):
        os.write(fd, b"x")
    os.close(fd)


@root
def test_below_a_users_directory_too(theirs: Path, ours: Path) -> None:
    (theirs / "roots").mkdir(mode=0o755)
    error = attempt(lambda: append(theirs / "roots/x.log", OTHER))
    assert error is not None and error.errno == errno.EACCES
    assert os.listdir(theirs / "roots") == []
    append(theirs / "roots/x.log", None)
    assert (theirs / "roots/x.log").stat().st_uid == 0
    append(ours / "x.log", OTHER)
    assert (ours / "x.log").stat().st_uid == 0


@root
def test_what_the_user_may_not_is_refused(theirs: Path) -> None:
    (theirs / "x.log").write_text("root's\n")
    (theirs / "x.log").chmod(0o600)
    for what in (opening.open_append, opening.open_read):
        error = attempt(lambda what=what: what(str(theirs / "x.log"), OTHER))
        assert error is not None and error.errno == errno.EACCES
    assert (theirs / "x.log").read_text() == "root's\n"
    theirs.chmod(0o555)
    error = attempt(lambda: append(theirs / "new.log", OTHER))
    assert error is not None and error.errno == errno.EACCES
    for operation in (lambda: opening.remove(str(theirs / "x.log"), OTHER),
                      lambda: opening.rename_all(str(theirs / "x.log"), OTHER, [("x.log", "y.log")])):
        error = attempt(operation)
        assert error is not None and error.errno == errno.EACCES
    assert os.listdir(theirs) == ["x.log"]


@root
def test_with_the_users_groups(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    os.chown(folder, THIRD, 100)
    folder.chmod(0o770)
    append(folder / "x.log", OTHER)
    assert (folder / "x.log").stat().st_uid == OTHER.uid
    error = attempt(lambda: append(folder / "y.log", OTHER._replace(groups=(OTHER.gid,))))
    assert error is not None and error.errno == errno.EACCES
    error = attempt(lambda: append(folder / "y.log", OTHER._replace(groups=())))
    assert error is not None and error.errno == errno.EACCES


@root
def test_with_none_of_roots_groups(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    os.chown(folder, THIRD, 4)
    folder.chmod(0o770)
    before = os.getgroups()
    os.setgroups([0, 4])
    try:
        error = attempt(lambda: append(folder / "x.log", OTHER))
        assert error is not None and error.errno == errno.EACCES
        assert os.getgroups() == [0, 4]
    finally:
        os.setgroups(before)


@root
@pytest.mark.parametrize("wrong", [{"gid": -1}, {"uid": -1}, {"groups": (-1,) * 70_000}])
def test_ids_come_back_when_they_cannot_be_taken(theirs: Path, wrong: dict[str, object]) -> None:
    user = OTHER._replace(**wrong)  # type: ignore[arg-type]
    with pytest.raises((OSError, ValueError)):
        opening.open_append(str(theirs / "x.log"), user)
    assert os.listdir(theirs) == []


@root
def test_a_program_of_root_acts_as_nobody_else(theirs: Path) -> None:
    append(theirs / "x.log", User("root", 0, 0, (0,), "/root", "/bin/sh"))
    assert (theirs / "x.log").stat().st_uid == 0


def test_made_with_the_mode_at_once(ours: Path) -> None:
    fd = opening.open_append(str(ours / "x.log"), None, 0o600)
    made = opening.create(str(ours / "y.log"))
    for each in (fd, made):
        assert stat.S_IMODE(os.fstat(each).st_mode) == 0o600
        assert not os.get_inheritable(each)
        os.close(each)
    (ours / "x.log").chmod(0o640)
    append(ours / "x.log", None)
    assert stat.S_IMODE((ours / "x.log").stat().st_mode) == 0o640


@root
def test_what_belongs_to_a_third_is_refused(ours: Path) -> None:
    log = ours / "x.log"
    log.write_text("")
    os.chown(log, THIRD, THIRD)
    assert attempt(lambda: append(log, OTHER)) is None, "somebody who may do so has chosen the owner"
    ours.chmod(0o1777)
    for what in (lambda: append(log, None), lambda: append(log, OTHER), lambda: opening.open_read(str(log), OTHER)):
        error = attempt(what)
        assert error is not None and error.strerror == f"belongs to uid {THIRD}" and error.filename == str(log)
    os.chown(log, OTHER.uid, OTHER.gid)
    assert attempt(lambda: append(log, OTHER)) is None
    assert attempt(lambda: append(log, None)) is not None


@root
def test_a_private_log_must_be_ours(theirs: Path) -> None:
    """Somebody may have put a file of his own where an AUTO file was."""
    log = theirs / "x.log"
    log.write_text("")
    log.chmod(0o666)
    os.close(opening.open_append(str(log), None, 0o600))
    os.chown(log, OTHER.uid, OTHER.gid)
    with pytest.raises(OSError, match=f"belongs to uid {OTHER.uid}"):
        opening.open_append(str(log), None, 0o600)


def test_renames_skip_what_is_missing(ours: Path) -> None:
    (ours / "x.log").write_text("newest")
    (ours / "x.log.2").write_text("oldest")
    opening.rename_all(str(ours / "x.log"), None,
                       [("x.log.2", "x.log.3"), ("x.log.1", "x.log.2"), ("x.log", "x.log.1")])
    assert sorted(os.listdir(ours)) == ["x.log.1", "x.log.3"]


# ---- races --------------------------------------------------------------------------------------------------------

def storm(log: Path, user: User, count: int = 2000) -> int:
    """Open again and again what somebody else keeps replacing; how often it could be opened.

    As often as is said, and on a machine where that was never the moment, until it is."""
    opened = tried = 0
    while tried < count or (not opened and tried < 500 * count):
        tried += 1
        try:
            fd = opening.open_append(str(log), user)
        except OSError:
            continue
        opened += 1
        os.write(fd, b"x\n")
        os.close(fd)
    return opened


@root
def test_a_directory_that_becomes_a_link(theirs: Path, victim: Victim) -> None:
    (theirs / "logs").mkdir()
    os.chown(theirs / "logs", OTHER.uid, OTHER.gid)
    target = str(victim.folder)

    def swap() -> None:
        while True:
            os.rename("logs", "away")
            os.symlink(target, "logs")
            os.unlink("logs")
            os.rename("away", "logs")

    with child(swap, OTHER, theirs):
        opened = storm(theirs / "logs/x.log", OTHER)
    assert opened > 0
    for name in ("logs", "away"):
        if (theirs / name / "x.log").exists() and not (theirs / name).is_symlink():
            assert (theirs / name / "x.log").stat().st_uid == OTHER.uid


@root
def test_our_link_that_is_exchanged_for_theirs(ours: Path, victim: Victim, tmp_path: Path) -> None:
    """In a directory that others may write, a link must be judged and read as one and the same."""
    (tmp_path / "good").mkdir()
    (ours / "logs").symlink_to(tmp_path / "good")
    ours.chmod(0o777)
    target = str(victim.folder)

    def swap() -> None:
        while True:
            os.symlink(target, "bad")
            os.rename("logs", "away")
            os.rename("bad", "logs")
            os.rename("away", "logs")

    with child(swap, OTHER, ours):
        opened = storm(ours / "logs/x.log", OTHER)
    assert opened > 0
    assert os.listdir(tmp_path / "good") == ["x.log"]


@root
def test_a_log_that_becomes_a_link(theirs: Path, victim: Victim) -> None:
    target = str(victim.path)

    def swap() -> None:
        while True:
            os.symlink(target, "bad")
            os.rename("bad", "x.log")
            os.close(os.open("good", os.O_WRONLY | os.O_CREAT, 0o644))
            os.rename("good", "x.log")

    with child(swap, OTHER, theirs):
        assert storm(theirs / "x.log", OTHER) > 0
        # their own file may be written to, what a link leads to never
        storm(theirs / "x.log", User("root", 0, 0, (0,), "/root", "/bin/sh"))
