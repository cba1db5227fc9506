"""The daemon's own log: its lines, levels, order, files."""

import re
import time
from pathlib import Path

import pytest

from sdsuper.logs.main import LEVELS, MainLog
from sdsuper.logs.sinks import FileSink, Sink


class Kept(Sink):
    """Keeps what it is given, write by write."""

    def __init__(self) -> None:
        super().__init__(print)
        self.writes: list[str] = []

    def write(self, data: memoryview) -> None:
        self.writes.append(bytes(data).decode())


def opened(path: Path) -> FileSink:
    sink = FileSink(str(path), 0, 0, None, print)
    sink.open()
    return sink


def test_lines_are_supervisors() -> None:
    log, kept = MainLog("blather"), Kept()
    log.sinks = [kept]
    before = int(time.time())
    for level in LEVELS:
        log.write(level, f"a line with {level}")
    log.flush()
    lines = "".join(kept.writes).splitlines()
    for line, (level, word) in zip(
            lines, [("critical", "CRIT"), ("error", "ERRO"), ("warn", "WARN"), ("info", "INFO"), ("debug", "DEBG"),
                    ("trace", "TRAC"), ("blather", "BLAT")], strict=True):
        match = re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} (\w{4}) (.*)", line)
        assert match is not None
        assert match[2] == word and match[3] == f"a line with {level}"
        assert before <= time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")) <= time.time()


@pytest.mark.parametrize(("level", "written"), [
    ("critical", "critical"), ("warn", "critical error warn"), ("info", "critical error warn info"),
    ("blather", "critical error warn info debug trace blather"),
])
def test_levels(level: str, written: str) -> None:
    log, kept = MainLog(level), Kept()
    log.sinks = [kept]
    for name in LEVELS:
        log.write(name, name)
        assert log.takes(name) == (name in written.split())
    log.flush()
    assert [line.split()[-1] for line in "".join(kept.writes).splitlines()] == written.split()
    log.level = "error"
    log.write("warn", "no more")
    log.flush()
    assert log.level == "error" and len(kept.writes) == 1


def test_lines_wait_for_sinks_and_leave_together() -> None:
    log, one, two = MainLog("info"), Kept(), Kept()
    log.write("info", "before anything is open")
    log.flush()
    log.sinks = [one, two]
    log.write("info", "after")
    log.flush()
    log.flush()
    assert len(one.writes) == 1 and one.writes == two.writes
    assert [line.split(" ", 3)[3] for line in one.writes[0].splitlines()] == ["before anything is open", "after"]


def test_any_text_can_be_written(tmp_path: Path) -> None:
    log = MainLog("info")
    log.sinks = [opened(tmp_path / "log")]
    log.write("info", "\udcff\ud800 é €")
    log.reopen()
    assert (tmp_path / "log").read_text().endswith("INFO \\udcff\\ud800 é €\n")
    log.sinks[0].close()


def test_reopen(tmp_path: Path) -> None:
    log = MainLog("info")
    log.sinks = [Kept(), opened(tmp_path / "log")]
    log.write("info", "first")
    log.flush()
    (tmp_path / "log").rename(tmp_path / "old")
    log.write("info", "second")
    log.reopen()
    log.write("info", "third")
    log.flush()
    words = [line.split()[-1] for name in ("old", "log") for line in (tmp_path / name).read_text().splitlines()]
    assert words == ["first", "second", "third"]
    assert log.files == [log.sinks[1]]
    log.sinks[1].close()
    log.sinks = [Kept()]
    assert not log.files
