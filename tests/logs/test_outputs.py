"""Which sinks processes write to: shared files, what is left behind, what is counted, whom syslog names."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import LogConfig, LogTarget, ProcessConfig, TargetKind
from sdsuper.engine.outputs import Outputs
from sdsuper.logs.journal import Journal
from sdsuper.logs.sinks import ConsoleSink
from sdsuper.logs.syslog import SyslogSink
from tests.core.story import policy

KEY = ("web", "web")
NONE = LogConfig((), 0, 0, 0, False)


def to(*targets: LogTarget) -> LogConfig:
    return LogConfig(targets, 0, 0, 0, False)


def file(path: Path) -> LogTarget:
    return LogTarget(TargetKind.FILE, str(path))


def web(stdout: LogConfig, stderr: LogConfig = NONE) -> ProcessConfig:
    return policy()._replace(name="web", user=None, redirect_stderr=False, stdout=stdout, stderr=stderr)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


class Place:
    """Outputs with what they say, and a console that is full."""

    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, str]] = []
        self.copied: list[tuple[str, str]] = []
        self.read, self.write = os.pipe()
        self.console = ConsoleSink(self.write, lambda _text: None)
        self.journal = Journal(str(folder / "journal"))
        self.outputs = Outputs(str(folder), "supervisor", lambda _path: self.console, self.journal, self.say)
        self.copying = Outputs(str(folder), "supervisor", lambda _path: self.console, self.journal, self.say, self.copy)

    def say(self, level: str, text: str) -> None:
        self.said.append((level, text))

    def copy(self, level: str, text: str) -> None:
        self.copied.append((level, text))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.outputs.remove(KEY)
    made.copying.remove(KEY)
    made.console.close()
    os.close(made.read)
    os.close(made.write)


def test_what_is_left_behind_writes_on_and_keeps_nothing_open(place: Place, tmp_path: Path) -> None:
    before = open_fds()
    place.outputs.add(KEY, web(to(file(tmp_path / "x.log"))))
    place.outputs.open(KEY)
    (sink,) = place.outputs.sinks(KEY, "stdout")
    sink.write(memoryview(b"one\n"))
    place.outputs.remove(KEY)
    for line in (b"two\n", b"three\n"):
        sink.write(memoryview(line))
        assert open_fds() == before
    assert (tmp_path / "x.log").read_bytes() == b"one\ntwo\nthree\n"


def test_logs_of_who_rests_stay_closed(place: Place, tmp_path: Path) -> None:
    before = open_fds()
    place.outputs.add(KEY, web(to(file(tmp_path / "x.log"))))
    place.outputs.reopen()
    assert open_fds() == before and not (tmp_path / "x.log").exists()
    place.outputs.open(KEY)
    (tmp_path / "x.log").rename(tmp_path / "old")
    place.outputs.reopen()
    assert open_fds() == before + 1 and (tmp_path / "x.log").exists()


def test_what_is_lost_counts_once(place: Place, tmp_path: Path) -> None:
    stream = to(file(tmp_path / "gone" / "x.log"), LogTarget(TargetKind.CONSOLE, "/dev/stdout"))
    place.outputs.add(KEY, web(stream, stream))
    place.console.lost = 1000
    for channel in ("stdout", "stderr"):
        place.outputs.sinks(KEY, channel)[0].write(memoryview(b"0123456789"))
    assert place.outputs.lost(KEY) == 20
    ((level, text),) = place.said
    assert level == "error" and text.startswith(f"web stdout: cannot open {tmp_path}/gone/x.log")


def test_syslog_names_the_run(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyslogSink, "PATH", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(SyslogSink.PATH)
        place.outputs.add(KEY, web(NONE, to(LogTarget(TargetKind.SYSLOG, ""))))
        for pid in (42, 43):
            place.outputs.sinks(KEY, "stderr")[0].begin(pid)
            place.outputs.sinks(KEY, "stderr")[0].write(memoryview(b"line\n"))
            assert syslog.recv(100).endswith(b" web[%d]: line" % pid)


def test_the_log_gets_a_copy(place: Place, tmp_path: Path) -> None:
    place.copying.add(KEY, web(to(file(tmp_path / "x.log"))))
    assert place.copying.sinks(KEY, "stderr") == ()
    for sink in place.copying.sinks(KEY, "stdout"):
        sink.write(memoryview(b"one\n\xff\n"))
    assert place.copied == [("debug", "'web' stdout output:\none\n\\xff\n")]
    assert (tmp_path / "x.log").read_bytes() == b"one\n\xff\n"
    assert place.copying.path(KEY, "stdout") == str(tmp_path / "x.log")


def test_the_usual_form_costs_nothing(place: Place, tmp_path: Path) -> None:
    """A run without options for its lines writes to the file itself; nothing is in between."""
    place.outputs.add(KEY, web(to(file(tmp_path / "x.log"))))
    assert place.outputs.of_run(KEY, "stdout", 1) == place.outputs.sinks(KEY, "stdout")
    assert place.outputs.of_run(KEY, "stdout", 1)[0] is place.outputs.file(KEY, "stdout")
    assert place.outputs.of_run(KEY, "stderr", 1) == ()


def test_what_is_read_is_the_first_that_can_be(place: Place, tmp_path: Path) -> None:
    memory, console = LogTarget(TargetKind.MEMORY), LogTarget(TargetKind.CONSOLE, "/dev/stdout")
    place.outputs.add(KEY, web(to(console, memory, file(tmp_path / "x.log")), to(file(tmp_path / "y.log"), memory)))
    assert place.outputs.path(KEY, "stdout") == "memory" and place.outputs.memory(KEY, "stdout") is not None
    assert place.outputs.path(KEY, "stderr") == f"{tmp_path}/y.log" and place.outputs.memory(KEY, "stderr") is None


def test_auto_logs_of_an_earlier_daemon_go_with_all_their_backups(place: Place, tmp_path: Path) -> None:
    gone = [f"web-stdout---supervisor-abcdefgh.log{end}" for end in ("", ".1", ".2.gz", ".3.zst", ".compressing")]
    kept = ["web-stdout---other-abcdefgh.log", "web-stdout---supervisor-abcdefgh.log.old", "x.log.1.gz"]
    for name in (*gone, *kept):
        (tmp_path / name).touch()
    place.outputs.clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
