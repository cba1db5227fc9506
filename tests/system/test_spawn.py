"""The starter of children that are born in a cgroup (test_launcher.py has what both ways have in common)."""

import errno
import os
import signal
from pathlib import Path

import pytest

from sdsuper.system import process
from sdsuper.system.cgroup import CgroupTree
from sdsuper.system.process import Launch, Launcher
from tests.conftest import Wait

pytestmark = pytest.mark.root


@pytest.fixture
def tree(tmp_path: Path):
    found = CgroupTree.find("auto", "test", str(tmp_path / "pid"))
    assert found is not None
    yield found
    found.close()


@pytest.fixture
def launcher():
    made = Launcher()
    yield made
    made.close()


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_it_was_built() -> None:
    assert process.spawn_into is not None


def test_it_leads_its_group_and_blocks_no_signal(tree: CgroupTree, launcher: Launcher, wait_for: Wait) -> None:
    place = tree.create("a:a.1")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        pid = launcher.spawn(Launch(1, "/bin/sleep", ["sleep", "100"], {}, cgroup=place))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}, "the daemon's own mask is as it was"
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert os.getpgid(pid) == pid
    wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    status = Path(f"/proc/{pid}/status").read_text()
    assert all(f"{field}:\t{0:016x}" in status for field in ("SigBlk", "SigIgn", "SigCgt"))
    os.kill(pid, signal.SIGTERM)
    assert ended(pid) == -signal.SIGTERM
    assert tree.remove(place)


def test_what_cannot_be_executed_is_an_error_and_leaves_no_child(tree: CgroupTree) -> None:
    assert process.spawn_into is not None
    place = tree.create("a:a.1")
    directory = os.open(place, os.O_PATH)
    with pytest.raises(OSError) as caught:
        process.spawn_into("/nowhere", [], directory)
    os.close(directory)
    assert caught.value.errno == errno.ENOENT
    assert tree.remove(place)


def test_a_descriptor_that_is_no_cgroup_is_refused() -> None:
    assert process.spawn_into is not None
    directory = os.open("/", os.O_PATH)
    with pytest.raises(OSError) as caught:
        process.spawn_into("/bin/true", [], directory)
    os.close(directory)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("arguments", [
    (), ("/bin/true",), ("/bin/true", [(1, 2)] * 9, 3), ("/bin/true", [(1,)], 3), ("/bin/true", ["no"], 3),
    ("/bin/true", ((1, 2),), 3), (7, [], 3), ("/bin/\0", [], 3), ("/bin/true", [(1, 1 << 40)], 3),
    ("/bin/true", [], "x"),
])
def test_wrong_arguments_are_an_exception(arguments: tuple[object, ...]) -> None:
    assert process.spawn_into is not None
    with pytest.raises((TypeError, ValueError, OverflowError)):
        process.spawn_into(*arguments)  # type: ignore[arg-type]


def test_a_kernel_that_refuses_is_asked_once(tree: CgroupTree, launcher: Launcher) -> None:
    asked = []

    def refuses(*_arguments: object) -> int:
        asked.append(1)
        raise OSError(errno.ENOSYS, "no clone3 here")

    launcher._born = refuses
    for number in (1, 2):
        place = tree.create(f"a:a.{number}")
        assert ended(launcher.spawn(Launch(number, "/bin/true", ["true"], {}, cgroup=place))) == 0
        assert tree.remove(place)
    assert asked == [1]
