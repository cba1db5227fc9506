"""cgroups: where they are made, what they are called, and that nothing gets out of them alive."""

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper.errors import StartError
from sdsuper.system.cgroup import CgroupTree, own_directories
from sdsuper.system.process import Launch, Launcher

from .conftest import BOMB, NOBODY, reap_all, run

Wait = Callable[..., None]
Program = Callable[[str, str], str]

pytestmark = pytest.mark.root


@pytest.fixture
def tree(cgroups: Path) -> CgroupTree:
    return CgroupTree(f"{cgroups}/tree")


# ---- where --------------------------------------------------------------------------------------------------------

HYBRID = "35 30 0:29 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw\n"
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
BIND = "99 23 0:26 /user.slice /mnt/a\\040b ro - cgroup2 cgroup2 rw\n"
OTHERS = "36 30 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize(("mounts", "membership", "directories"), [
    (HYBRID, "9:cpu:/x\n0::/\n", ["/sys/fs/cgroup/unified"]),
    (UNIFIED, "0::/system.slice/x.service\n", ["/sys/fs/cgroup/system.slice/x.service"]),
    (BIND, "0::/user.slice/u1\n", ["/mnt/a b/u1"]),
    (BIND, "0::/user.slice\n", ["/mnt/a b"]),
    (BIND, "0::/user.slicer\n", []),
    (BIND + UNIFIED, "0::/user.slice/u1\n", ["/mnt/a b/u1", "/sys/fs/cgroup/user.slice/u1"]),
    (UNIFIED, "0::/../outside\n", []),
    (UNIFIED, "9:cpu:/x\n", []),
    (OTHERS, "0::/\n", []),
    ("", "", []),
])
def test_own_directories(mounts: str, membership: str, directories: list[str]) -> None:
    assert own_directories(OTHERS + mounts, membership) == directories


def test_find_auto_is_stable_and_apart() -> None:
    paths = ("/run/a.pid", "/run/a.pid", "/run/b.pid")
    first, again, other = (CgroupTree.find("auto", "super visor", path) for path in paths)
    assert first is not None and again is not None and other is not None
    assert first.directory == again.directory != other.directory
    assert os.path.basename(first.directory).startswith("sdsuper-super_visor-")
    for found in (first, again, other):
        found.close()
    assert not os.path.exists(first.directory)


def test_find_off() -> None:
    assert CgroupTree.find("off", "x", "/run/x.pid") is None


def test_find_by_path(cgroups: Path) -> None:
    tree = CgroupTree.find(f"{cgroups}/mine/", "x", "/run/x.pid")
    assert tree is not None and tree.directory == f"{cgroups}/mine"
    tree.close()
    assert not (cgroups / "mine").exists()
    kept = CgroupTree.find(str(cgroups), "x", "/run/x.pid")
    assert kept is not None
    kept.close()
    assert cgroups.exists(), "what it did not make it does not remove"


@pytest.mark.parametrize(("path", "why"), [
    ("tmp", "not in a cgroup2 file system"), ("none/none", "No such file or directory"),
])
def test_find_by_a_useless_path(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        CgroupTree.find(f"{tmp_path}/{path}", "x", "/run/x.pid")
    assert not (tmp_path / "tmp").exists()


def test_find_by_a_threaded_one(cgroups: Path) -> None:
    (cgroups / "threaded").mkdir()
    (cgroups / "threaded/cgroup.type").write_text("threaded")
    with pytest.raises(StartError, match="of type 'threaded'"):
        CgroupTree.find(f"{cgroups}/threaded", "x", "/run/x.pid")


def test_after_privileges_were_dropped(cgroups: Path, release: str) -> None:
    """The daemon becomes somebody else and goes on making cgroups and moving children into them."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            tree = CgroupTree.find(f"{cgroups}/tree", "x", "/run/x.pid", NOBODY)
            assert tree is not None
            os.setgroups([])
            os.setresgid(NOBODY.gid, NOBODY.gid, NOBODY.gid)
            os.setresuid(NOBODY.uid, NOBODY.uid, NOBODY.uid)
            launcher = Launcher(release)
            path = tree.create("web:web.1")
            ended = run(launcher, "grep ^0:: /proc/self/cgroup", cgroup=path)
            assert ended.output.strip().endswith("/tree/web:web.1") and tree.remove(path) and tree.leftovers() == []
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


# ---- names --------------------------------------------------------------------------------------------------------

def test_names(tree: CgroupTree) -> None:
    assert tree.create("web:web_00.1") == f"{tree.directory}/web:web_00.1"
    for name in ("a/b:c.1", "../x:y.1", "ü:n\n.1", "x" * 300, "g" * 250 + ":" + "p" * 250 + ".1"):
        path = tree.create(name)
        assert os.path.dirname(path) == tree.directory and os.path.isdir(path)
        assert tree.remove(path)


def test_names_that_look_alike_stay_apart(tree: CgroupTree) -> None:
    assert tree.create("a/b.1") != tree.create("a b.1")
    assert tree.create("x" * 300) != tree.create("x" * 301)


def test_two_runs_never_share_one(tree: CgroupTree, quick: Launcher) -> None:
    path = tree.create("web:web.1")
    assert tree.create("web:web.1") == path, "an empty one is made anew"
    pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60"), cgroup=path))
    wait_until_joined(tree, path)
    other = tree.create("web:web.1")
    assert other == path + "~1" and tree.count(other) == 0 and tree.count(path) == 1
    assert tree.leftovers() == [path]
    tree.kill(path)
    os.waitpid(pid, 0)


# ---- life and death -----------------------------------------------------------------------------------------------

def wait_until_joined(tree: CgroupTree, path: str, number: int = 1) -> None:
    end = time.monotonic() + 20
    while tree.count(path) < number:
        assert time.monotonic() < end, "nobody came"
        time.sleep(0.002)


def test_remove_takes_nested_ones(tree: CgroupTree, quick: Launcher) -> None:
    path = tree.create("web:web.1")
    os.makedirs(f"{path}/a/b")
    os.mkdir(f"{path}/c")
    pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60"), cgroup=f"{path}/a/b"))
    wait_until_joined(tree, path)
    assert not tree.remove(path) and tree.count(path) == 1
    tree.kill(path)
    os.waitpid(pid, 0)
    assert tree.remove(path) and tree.remove(path)


def test_populated_wakes(tree: CgroupTree, quick: Launcher) -> None:
    path = tree.create("web:web.1")
    fd = tree.populated_fd(path)
    poll = select.epoll()
    try:
        assert not tree.populated(fd)
        poll.register(fd, select.EPOLLPRI)
        assert poll.poll(0) == []
        pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60"), cgroup=path))
        assert poll.poll(20) and tree.populated(fd)
        assert poll.poll(0) == []
        os.kill(pid, signal.SIGKILL)
        assert poll.poll(20) and not tree.populated(fd)     # though it is a zombie still
        assert tree.remove(path)
        os.waitpid(pid, 0)
        assert not tree.populated(fd)
    finally:
        poll.close()
        os.close(fd)


def test_one_that_is_gone(tree: CgroupTree) -> None:
    path = f"{tree.directory}/gone"
    tree.kill(path)
    assert tree.count(path) == 0 and tree.remove(path)
    with pytest.raises(FileNotFoundError):
        tree.populated_fd(path)


def test_freeze(tree: CgroupTree, quick: Launcher, wait_for: Wait) -> None:
    path = tree.create("web:web.1")
    pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60"), cgroup=path))
    wait_until_joined(tree, path)
    tree.freeze(path, True)
    wait_for(lambda: "frozen 1" in Path(f"{path}/cgroup.events").read_text())
    tree.kill(path)                 # reaches the frozen, too
    os.waitpid(pid, 0)


@pytest.mark.usefixtures("subreaper")
def test_no_fork_bomb_escapes(tree: CgroupTree, quick: Launcher, program: Program, wait_for: Wait) -> None:
    path = tree.create("bomb:bomb.1")
    quick.spawn(Launch(1, program("bomb", BOMB), ("bomb", "500"), dict(os.environ), cgroup=path))
    wait_until_joined(tree, path, 500)
    fd = tree.populated_fd(path)
    tree.kill(path)
    wait_for(lambda: not tree.populated(fd), "an empty cgroup")
    os.close(fd)
    assert tree.remove(path)
    reap_all(wait_for)


@pytest.mark.usefixtures("subreaper")
def test_nor_where_the_kernel_has_no_kill(tree: CgroupTree, quick: Launcher, program: Program, wait_for: Wait) -> None:
    path = tree.create("bomb:bomb.1")
    os.mkdir(f"{path}/inner")
    for directory in (path, f"{path}/inner"):
        quick.spawn(Launch(1, program("bomb", BOMB), ("bomb", "250"), dict(os.environ), cgroup=directory))
    wait_until_joined(tree, path, 500)

    def dead() -> bool:
        tree.kill_each(path)
        return tree.count(path) == 0

    wait_for(dead, "an empty cgroup")
    assert tree.remove(path)
    reap_all(wait_for)
