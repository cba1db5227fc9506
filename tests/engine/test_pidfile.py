"""The pidfile against what others put in its place, and against daemons that start and end at the same moment."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsuper.engine.pidfile import TRIES_MOST, Pidfile
from sdsuper.errors import StartError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.pid"


def before_each_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let `act` happen in the moment between the opening of the file and its lock; the lock itself is the real one."""
    lock = fcntl.fcntl

    def late(*arguments: Any) -> Any:
        act()
        return lock(*arguments)

    monkeypatch.setattr(fcntl, "fcntl", late)


def test_written_and_removed(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n" and not pidfile.trouble
    pidfile.remove()
    assert not path.exists()


def test_a_second_name_of_another_file(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("important")
    path.hardlink_to(victim)
    with pytest.raises(StartError, match=f"^pidfile {path} has more than one name$"):
        Pidfile(str(path))
    assert victim.read_text() == "important"


@pytest.mark.root
def test_the_file_of_another_user(path: Path) -> None:
    path.write_text("7\n")
    os.chown(path, 65534, 65534)
    with pytest.raises(StartError, match=rf"^pidfile {path} belongs to another user \(uid 65534\)$"):
        Pidfile(str(path))
    assert path.read_text() == "7\n"


def test_one_that_ends_while_another_starts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = [Pidfile(str(path))]
    before_each_lock(monkeypatch, lambda: ending and ending.pop().remove())
    started = Pidfile(str(path))
    monkeypatch.undo()
    started.write()
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(StartError, match="is locked"):
        Pidfile(str(path))
    started.remove()
    assert not path.exists()


def test_it_is_not_tried_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[None] = []
    fds = len(os.listdir("/proc/self/fd"))
    before_each_lock(monkeypatch, lambda: removed.append(path.unlink()))
    with pytest.raises(StartError, match="replaced again and again"):
        Pidfile(str(path))
    assert len(removed) == TRIES_MOST and len(os.listdir("/proc/self/fd")) == fds
