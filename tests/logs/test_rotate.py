"""When a log is rotated, and in which order its files are renamed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.logs.rotate import due, renames


@pytest.mark.parametrize(("size", "maxbytes", "expected"), [
    (0, 0, False), (10**12, 0, False), (9, 10, False), (10, 10, True), (11, 10, True), (0, 1, False),
])
def test_due(size: int, maxbytes: int, expected: bool) -> None:
    assert due(size, maxbytes) is expected


def test_the_oldest_first() -> None:
    assert renames("x.log", 3) == [("x.log.2", "x.log.3"), ("x.log.1", "x.log.2"), ("x.log", "x.log.1")]
    assert renames("x.log", 1) == [("x.log", "x.log.1")]
    assert renames("x.log", 0) == []


@settings(deadline=None)
@given(backups=st.integers(1, 12), rotations=st.integers(0, 30))
def test_the_newest_backups_are_kept_in_order(backups: int, rotations: int) -> None:
    files: dict[str, int] = {}
    for number in range(rotations):
        files["x"] = number
        for source, target in renames("x", backups):
            if source in files:
                files[target] = files.pop(source)
    expected = range(rotations - 1, max(rotations - 1 - backups, -1), -1)
    assert files == {f"x.{place}": number for place, number in enumerate(expected, 1)}


def test_many_backups_on_a_disk(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / "x").write_text(str(number))
        for source, target in renames("x", 100):
            if (tmp_path / source).exists():
                (tmp_path / source).rename(tmp_path / target)
    assert [int((tmp_path / f"x.{place}").read_text()) for place in range(1, 101)] == list(range(119, 19, -1))
    assert len(list(tmp_path.iterdir())) == 100
