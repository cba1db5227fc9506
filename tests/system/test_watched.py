"""What is watched, without programs: lost events, file systems that go away, polling, and the loop's time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sdsuper.system import watched, watched_tree
from sdsuper.system.loop import Loop
from sdsuper.system.watch import Watches
from sdsuper.system.watched import Files, Source, trail
from sdsuper.system.watched_tree import Tree
from tests.looping import fresh_loop, turn_until


class Reader:
    """A subscriber that looks as soon as it hears of anything."""

    def __init__(self, source: Source) -> None:
        self.source, self.changed, self.stirs, self.looks = source, list[str](), 0, 0
        source.subscribers.append(self)
        source.look()

    def stirred(self) -> None:
        self.stirs += 1

    def looked(self, changed: Sequence[str], _number: int) -> None:
        self.changed += changed
        self.looks += 1


class World:
    def __init__(self, loop: Loop) -> None:
        self.loop, self.said = loop, list[str]()
        self.made: list[Source] = []
        self.all: list[Watches] = []

    def watches(self, inotify: bool = True) -> Watches:
        made = Watches(self.loop, self.said.append, inotify)
        self.all.append(made)
        return made

    def tree(self, path: Path, watches: Watches | None = None, logs: Sequence[str] = ()) -> Reader:
        watches = self.watches() if watches is None else watches
        tree = Tree(self.loop, watches, str(path), ("*",), ("*.tmp",), lambda: logs, time.time_ns())
        return self.reader(tree)

    def reader(self, source: Source) -> Reader:
        self.made.append(source)
        reader = Reader(source)
        self.until(lambda: reader.looks, "the first look")
        assert reader.changed == []
        return reader

    def until(self, condition: object, what: str) -> None:
        assert callable(condition)
        turn_until(self.loop, condition, what)

    def looked(self, reader: Reader) -> list[str]:
        """What one more look finds, once something has been heard of."""
        self.until(lambda: reader.stirs, "something is heard of")
        before, reader.changed, reader.stirs = reader.looks, [], 0
        reader.source.look()
        self.until(lambda: reader.looks > before and not reader.source.looking, "the look")
        return reader.changed


@pytest.fixture
def world(nothing_left_behind: None) -> Iterator[World]:
    with fresh_loop() as loop:
        made = World(loop)
        yield made
        for source in made.made:
            source.close()
        for watches in made.all:
            assert len(watches) == 0, "a source has left watches"
            watches.close()


def test_trail(tmp_path: Path) -> None:
    (tmp_path / "releases/1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/../releases/1")
    real, steps = trail(f"{tmp_path}/./current//app")
    assert real is None and steps[str(tmp_path)] == {"current", "releases"}
    assert steps[f"{tmp_path}/releases"] == {"1"} and steps[f"{tmp_path}/releases/1"] == {"app"}
    (tmp_path / "releases/1/app").touch()
    assert trail(f"{tmp_path}/current/app")[0] == f"{tmp_path}/releases/1/app"
    (tmp_path / "loop").symlink_to("loop")
    assert trail(f"{tmp_path}/loop")[0] is None
    (tmp_path / "root").symlink_to("/")
    assert trail(f"{tmp_path}/root/..")[0] == "/"


def test_lost_events_lose_no_change(world: World, tmp_path: Path) -> None:
    """More events than the kernel's queue has room for, while nobody reads them."""
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    watches = world.watches()
    reader = world.tree(tree, watches)
    lost: list[bool] = []

    def overflow() -> None:
        lost.append(True)
        reader.source.lost()

    watches.on_overflow = overflow
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    one, other = tree / "one", tree / "other"
    for _ in range(most // 2):          # two events each; equal ones in a row would be one
        one.touch()
        other.touch()
        if not _ % 4000:
            one.unlink()
            other.unlink()
    (tree / "a/b/last").write_text("nobody tells of this one")
    (tree / "a/new/deep").mkdir(parents=True)
    (tree / "a/new/deep/file").write_text("nor of this one")
    world.until(lambda: lost, "the overflow is told")
    assert set(world.looked(reader)) == {str(tree / name) for name in ("one", "other", "a/b/last", "a/new/deep/file")}
    (tree / "a/new/deep/file").write_text("of this one somebody does")
    assert world.looked(reader) == [str(tree / "a/new/deep/file")]


def test_polled(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "POLL_SECONDS", 0.05)
    (tmp_path / "tree/sub").mkdir(parents=True)
    watches = world.watches(inotify=False)
    reader = world.tree(tmp_path / "tree", watches)
    app = tmp_path / "app"
    files = Files(world.loop, watches, lambda: [str(app)], time.time_ns())
    other = world.reader(files)
    assert reader.source.polled and other.source.polled and len(watches) == 0
    (tmp_path / "tree/sub/new/deep").mkdir(parents=True)
    (tmp_path / "tree/sub/new/deep/x").write_text("x")
    (tmp_path / "tree/sub/x.tmp").write_text("x")
    app.touch(mode=0o755)
    world.until(lambda: reader.changed and other.changed, "both are found")
    assert reader.changed == [str(tmp_path / "tree/sub/new/deep/x")] and other.changed == [str(app)]
    looks = reader.looks
    world.until(lambda: reader.looks > looks + 3, "more looks")
    assert len(reader.changed) == 1


def test_without_pyinotify(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "POLL_SECONDS", 0.05)
    monkeypatch.setitem(sys.modules, "pyinotify", None)
    reader = world.tree(tmp_path)
    (tmp_path / "x").touch()
    world.until(lambda: reader.changed, "it is found")
    assert [text.partition(":")[0] for text in world.said] == ["pyinotify cannot be used"]


def test_which_file_systems_have_no_events(world: World) -> None:
    watches = world.watches()
    assert not watches.blind(os.stat("/").st_dev) and not watches.blind(os.stat("/tmp").st_dev)
    assert not watches.blind(os.makedev(0, 99999))


@pytest.mark.root
def test_a_file_system_that_is_unmounted_and_mounted_again(world: World, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "POLL_SECONDS", 0.05)
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tree], check=True)
    try:
        (tree / "sub").mkdir()
        (tree / "sub/x").write_text("x")
        reader = world.tree(tree)
        subprocess.run(["umount", tree], check=True)
        world.until(lambda: reader.stirs, "the unmount is heard of")
        assert world.looked(reader) == []
        looks = reader.looks
        world.until(lambda: reader.looks > looks + 3, "it is looked for")
        assert reader.changed == []             # nothing has changed, it is only away
        subprocess.run(["mount", "-t", "tmpfs", "none", tree], check=True)
        (tree / "sub").mkdir()
        (tree / "sub/x").write_text("yy")
        world.until(lambda: reader.changed, "the change is found")
        assert reader.changed == [str(tree / "sub/x")]
        reader.source.close()
    finally:
        subprocess.run(["umount", tree], check=False, stderr=subprocess.DEVNULL)


def test_the_loop_is_never_held_for_long(world: World, tmp_path: Path) -> None:
    """20,000 files are looked at in slices: between two of them the loop does what else is due."""
    files = [tmp_path / f"tree/{number % 10 if number < 10_000 else 'one'}/{number}" for number in range(20_000)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    tree = Tree(world.loop, world.watches(), str(tmp_path / "tree"), ("*",), (), lambda: (), time.time_ns())
    slices: list[float] = []
    inner = tree._slice

    def measured() -> None:
        began = time.thread_time()
        inner()
        slices.append(time.thread_time() - began)

    tree._slice = measured      # type: ignore[method-assign]
    reader = world.reader(tree)
    assert len(slices) > 5 and max(slices) < 0.02, slices
    for file in files:
        file.unlink()
        file.touch()
    slices.clear()
    tree.lost()         # so many events are more than the kernel keeps
    assert len(world.looked(reader)) == 20_000
    assert len(slices) > 5 and max(slices) < 0.02, slices
    world.made.clear()
    tree.close()


def test_directories_can_be_nested_deeply(world: World, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    reader = world.tree(root)
    tree = reader.source
    assert isinstance(tree, Tree)
    deep = os.open(root, os.O_RDONLY)
    names = ["d"] * 1500                    # as deep as a path can be
    for name in names:
        os.mkdir(name, dir_fd=deep)
        below = os.open(name, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=deep))
    os.close(deep)
    tree.look_everywhere()
    tree.look()
    world.until(lambda: any(path.endswith("/d/file") for path in reader.changed), "the file is found")
    reader.changed.clear()
    subprocess.run(["rm", "-r", str(root / "d")], check=True)
    tree.look_everywhere()
    tree.look()
    world.until(lambda: any(path.endswith("/d/file") for path in reader.changed), "it is gone")


def test_logs_and_what_rotation_makes_of_them_do_not_count(world: World, tmp_path: Path) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "tree").symlink_to("real")
    reader = world.tree(tmp_path / "tree", logs=[f"{tmp_path}/tree/sub/web.log"])
    for name in ("web.log", "web.log.1", "web.log.1.gz"):
        (tmp_path / "real/sub" / name).write_text("x")
    (tmp_path / "real/sub/web.logs").write_text("x")
    (tmp_path / "real/sub/web.log.d").mkdir()
    assert world.looked(reader) == [f"{tmp_path}/tree/sub/web.logs"]


def test_closed_while_it_looks(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "SLICE", 0)
    monkeypatch.setattr(watched_tree, "PIECE", 2)
    for number in range(10):
        (tmp_path / f"{number}").touch()
    tree = Tree(world.loop, world.watches(), str(tmp_path), ("*",), (), lambda: (), time.time_ns())
    tree.look()
    assert tree.looking
    tree.close()
    world.loop.turn(False)
    assert not tree.looking
