"""Finding and ending a program's processes without a cgroup."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.system import process
from sdsuper.system.process import Launch, Launcher
from sdsuper.system.tree import MARK, find_tree, hunt, kill_tree

from .conftest import BOMB, reap_all

Wait = Callable[..., None]
Start = Callable[..., int]

pytestmark = pytest.mark.usefixtures("subreaper")
VALUE = f"{os.getpid()}-1"
BEFORE = """
import os, time
def ready():
    try: os.write(1, b"+")
    except BrokenPipeError: pass       # somebody else was first
def rest(): time.sleep(100)
def pair(): os.fork(); ready(); rest()
"""


@pytest.fixture
def start(quick: Launcher, wait_for: Wait) -> Iterator[Start]:
    """`start(python code, marker)`: a child of ours and its pid; `ready()` in the code says that it is set up."""
    pids: list[int] = []

    def start(code: str, value: str = VALUE) -> int:
        reader, writer = os.pipe()
        argv = (sys.executable, "-I", "-S", "-c", BEFORE + code)
        environment = os.environ | {MARK: value}
        pids.append(quick.spawn(Launch(1, sys.executable, argv, environment, stdout=writer)))
        os.close(writer)
        assert os.read(reader, 1) == b"+"
        os.close(reader)
        return pids[-1]

    yield start
    for pid in pids:
        kill_tree(pid, VALUE, reaped=True)
    reap_all(wait_for)


def found(leader: int, value: str = VALUE, reaped: bool = False) -> set[int]:
    return {seen.pid for seen in find_tree(leader, value, reaped)}


def end(leader: int, value: str = VALUE, reaped: bool = False) -> None:
    """Once is enough; the killed may take a moment to die."""
    kill_tree(leader, value, reaped)
    limit = time.monotonic() + 20
    while found(leader, value, reaped):
        assert time.monotonic() < limit
        time.sleep(0.002)


def wait_and_reap(pid: int) -> None:
    os.waitpid(pid, 0)


def test_a_leader_alone(start: Start) -> None:
    pid = start("ready(); rest()")
    assert found(pid) == {pid}
    end(pid)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_children_and_their_children(start: Start) -> None:
    pid = start("os.fork(); pair()")
    while len(found(pid)) < 4:
        time.sleep(0.002)
    end(pid)


@pytest.mark.parametrize("escape", [
    "os.setsid()",                                      # another session
    "os.setpgid(0, 0)",                                 # another group
    "os.setsid()\n    if os.fork(): os._exit(0)",       # the way of a daemon
])
def test_those_who_leave(start: Start, escape: str) -> None:
    pid = start(f"if os.fork() == 0:\n    {escape}\n    ready(); rest()\nrest()")
    assert len(found(pid)) == 2
    end(pid)


def test_the_leaders_end_hides_nobody(start: Start) -> None:
    pid = start("if os.fork() == 0:\n    os.setsid()\n    if os.fork(): rest()\n    ready(); rest()")
    wait_and_reap(pid)
    assert len(found(pid, reaped=True)) == 2
    end(pid, reaped=True)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def test_without_the_mark_the_group_still_tells(start: Start, wait_for: Wait) -> None:
    pid = start("""
if os.fork() == 0:
    if os.fork(): os._exit(0)       # an orphan without our environment, in our group
    ready()
    os.execve('/bin/sleep', ['sleep', '100'], {k: v for k, v in os.environ.items() if k.startswith('SDSUPER_T')})
os.wait(); rest()
""")
    wait_for(lambda: [name_of(member) for member in found(pid) - {pid}] == ["sleep"])
    end(pid)


def test_other_programs_are_left_alone(start: Start) -> None:
    one, other = start("pair()"), start("pair()", VALUE + "0")
    while len(found(one)) < 2 or len(found(other, VALUE + "0")) < 2:
        time.sleep(0.002)
    assert not found(one) & found(other, VALUE + "0")
    end(one)
    assert len(found(other, VALUE + "0")) == 2
    end(other, VALUE + "0")


def test_a_number_that_another_has_got_is_nobodys(start: Start) -> None:
    """The leader was reaped, and the pid is that of another of our programs, or of a stranger."""
    other = start("pair()", "another-run")
    assert found(other, VALUE, reaped=True) == set()
    stranger = os.getppid()
    assert stranger not in found(stranger, VALUE, reaped=True)
    end(other, "another-run")


def test_zombies_do_not_count(start: Start) -> None:
    pid = start("ready()")
    while " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.002)
    assert found(pid) == set()
    wait_and_reap(pid)


def test_a_hunt_is_stepped_by_the_caller(start: Start) -> None:
    pid = start("pair()")
    while len(found(pid)) < 2:
        time.sleep(0.002)
    assert list(hunt(pid, VALUE)) == [2, 0, 0]


def test_one_that_does_not_die_keeps_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an uninterruptible sleep, or of another user: two tries, then the daemon goes on."""
    pid = start("pair()")
    while len(found(pid)) < 2:
        time.sleep(0.002)
    sent: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", lambda _fd, number: sent.append(number))
        kill_tree(pid, VALUE)
    assert sent == [signal.SIGSTOP] * 2 + [signal.SIGKILL] * 4
    end(pid)


def test_new_ones_in_every_round(start: Start, wait_for: Wait) -> None:
    """However many come, a call ends, and whoever is seen in its last round is killed."""
    pid = start("ready(); rest()")
    more: list[int] = []
    for fresh in hunt(pid, VALUE):
        assert fresh == 1
        more.append(start("ready(); rest()"))
    assert len(more) == 20
    wait_for(lambda: found(pid) == {more[-1]})
    end(pid)


def test_a_fork_bomb(quick: Launcher, program: Callable[[str, str], str], wait_for: Wait) -> None:
    argv = ("bomb", "500")
    pid = quick.spawn(Launch(1, program("bomb", BOMB), argv, os.environ | {MARK: VALUE}))
    wait_for(lambda: len(found(pid)) >= 500)
    for _fresh in hunt(pid, VALUE):
        process.reap()
    wait_for(lambda: found(pid, reaped=True) == set())
    reap_all(wait_for)
