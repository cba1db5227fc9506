"""When a log is rotated, and in which order its files are renamed."""

import calendar
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.model import WEEK
from sdsuper.logs.rotate import boundary, due, renames


@pytest.mark.parametrize(("size", "maxbytes", "expected"), [
    (0, 0, False), (10**12, 0, False), (9, 10, False), (10, 10, True), (11, 10, True), (0, 1, False),
])
def test_due(size: int, maxbytes: int, expected: bool) -> None:
    assert due(size, maxbytes) is expected


def test_the_oldest_first() -> None:
    assert renames("x.log", 3) == [("x.log.3", "x.log.oldest"), ("x.log.2", "x.log.3"), ("x.log.1", "x.log.2"),
                                   ("x.log", "x.log.1"), ("x.log.oldest", None)]
    assert renames("x.log", 1) == [("x.log.1", "x.log.oldest"), ("x.log", "x.log.1"), ("x.log.oldest", None)]
    assert renames("x.log", 0) == []


@settings(deadline=None)
@given(backups=st.integers(1, 12), rotations=st.integers(0, 30))
def test_the_newest_backups_are_kept_in_order(backups: int, rotations: int) -> None:
    files: dict[str, int] = {}
    for number in range(rotations):
        files["x"] = number
        apply(files, backups, "")
    expected = range(rotations - 1, max(rotations - 1 - backups, -1), -1)
    assert files == {f"x.{place}": number for place, number in enumerate(expected, 1)}


def test_many_backups_on_a_disk(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / "x").write_text(str(number))
        for source, target in renames("x", 100):
            if target is None:
                (tmp_path / source).unlink(missing_ok=True)
            elif (tmp_path / source).exists():
                (tmp_path / source).rename(tmp_path / target)
    assert [int((tmp_path / f"x.{place}").read_text()) for place in range(1, 101)] == list(range(119, 19, -1))
    assert len(list(tmp_path.iterdir())) == 100


def apply(files: dict[str, int], backups: int, suffix: str) -> None:
    """Rotate in memory."""
    for source, target in renames("x", backups, suffix):
        content = files.pop(source, None)
        if content is not None and target is not None:
            files[target] = content


@settings(deadline=None)
@given(backups=st.integers(1, 8), steps=st.lists(st.sets(st.integers(1, 8)), max_size=30))
def test_compressed_files_move_with_the_others(backups: int, steps: list[set[int]]) -> None:
    """Between two rotations some of the rotated files are compressed, in any order, or none: a crash, say."""
    files: dict[str, int] = {}
    for number, compressed in enumerate(steps):
        files["x"] = number
        apply(files, backups, ".gz")
        for place in compressed:
            if f"x.{place}" in files:
                files[f"x.{place}.gz"] = files.pop(f"x.{place}")
    newest = range(len(steps) - 1, max(len(steps) - 1 - backups, -1), -1)
    assert {name.removesuffix(".gz"): number for name, number in files.items()} == {
        f"x.{place}": number for place, number in enumerate(newest, 1)}
    assert len(files) == len(newest)


def test_a_file_that_is_there_twice_goes_with_its_time() -> None:
    """A crash between the appearance of the compressed file and the end of the other."""
    files = {"x.2": 1, "x.2.gz": 1, "x.1.gz": 2, "x": 3}
    apply(files, 3, ".gz")
    assert files == {"x.3": 1, "x.3.gz": 1, "x.2.gz": 2, "x.1": 3}
    files["x"] = 4
    apply(files, 3, ".gz")
    assert files == {"x.3.gz": 2, "x.2": 3, "x.1": 4}


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def end(every: int, date: str) -> str:
    """The end of the period of a local date."""
    now = time.mktime((*time.strptime(date, "%Y-%m-%d %H:%M:%S")[:8], -1))
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.mktime(boundary(every, time.localtime(now)))))


@pytest.mark.parametrize(("every", "date", "expected"), [
    (86400, "2026-11-21 18:49:30", "2026-11-22 00:00:00"), (86400, "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
    (86400, "2026-10-25 00:00:00", "2026-10-26 00:00:00"), (86400, "2026-03-29 01:00:00", "2026-03-30 00:00:00"),
    (3600, "2026-11-21 18:00:00", "2026-11-21 19:00:00"), (3600, "2026-11-21 23:10:00", "2026-11-22 00:00:00"),
    (600, "2026-11-21 18:49:30", "2026-11-21 18:50:00"), (7, "2026-11-21 23:59:58", "2026-11-22 00:00:00"),
    (WEEK, "2026-11-21 18:49:30", "2026-11-23 00:00:00"), (WEEK, "2026-11-23 00:00:00", "2026-11-30 00:00:00"),
    (WEEK, "2026-11-22 23:59:59", "2026-11-23 00:00:00"),
])
def test_the_end_of_a_period(every: int, date: str, expected: str, berlin: None) -> None:
    assert end(every, date) == expected


@given(every=st.integers(1, 86400) | st.just(WEEK), now=st.integers(0, 1 << 32))
def test_a_period_ends_within_its_length(every: int, now: int) -> None:
    """In UTC, where no hour is missing or twice."""
    local = time.gmtime(now)
    year, month, day, hour, minute, second = boundary(every, local)[:6]
    begin = time.strptime(f"{year} {month}", "%Y %m")
    found = calendar.timegm(begin) + (day - 1) * 86400 + (hour * 60 + minute) * 60 + second
    assert now < found <= now + every
