"""The local syslog: what arrives at the other end of its socket."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.logs.syslog import SyslogSink


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Stands where the syslog daemon listens."""
    monkeypatch.setattr(SyslogSink, "PATH", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(SyslogSink.PATH)
        listener.setblocking(False)
        yield listener


@pytest.fixture
def sink() -> Iterator[SyslogSink]:
    said: list[str] = []
    made = SyslogSink("web", 14, said.append)
    yield made
    made.close()


def received(listener: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(listener.recv(1 << 16))
        except BlockingIOError:
            return found


def test_a_line_is_a_message(syslog: socket.socket, sink: SyslogSink) -> None:
    sink.pid = 42
    sink.write(memoryview(b"one\ntwo\n\nthr"))
    one, two = received(syslog)
    assert re.fullmatch(rb"<14>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d web\[42\]: one", one)
    assert two.endswith(b" web[42]: two")
    sink.write(memoryview(b"ee\n"))
    assert [line.rpartition(b": ")[2] for line in received(syslog)] == [b"three"]
    sink.write(memoryview(b"four"))
    assert received(syslog) == []
    sink.end()
    assert [line.rpartition(b": ")[2] for line in received(syslog)] == [b"four"]
    assert sink.lost == 0


def test_a_line_without_end_is_sent_in_pieces(syslog: socket.socket, sink: SyslogSink) -> None:
    sink.write(memoryview(b"x" * 20000))
    sink.end()
    assert [len(line.rpartition(b": ")[2]) for line in received(syslog)] == [8192, 8192, 3616]


def test_without_a_pid_there_is_none(syslog: socket.socket, sink: SyslogSink) -> None:
    sink.write(memoryview(b"one\n"))
    assert re.fullmatch(rb"<14>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d web: one", *received(syslog))


def test_a_restarted_syslog_is_found_again(syslog: socket.socket, sink: SyslogSink) -> None:
    sink.write(memoryview(b"one\n"))
    Path(SyslogSink.PATH).unlink()
    sink.write(memoryview(b"two\n"))
    syslog.close()
    sink.write(memoryview(b"lost\n"))
    assert sink.lost == 5
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(SyslogSink.PATH)
        listener.setblocking(False)
        sink.write(memoryview(b"three\n"))
        assert received(listener)[0].endswith(b": three")


def test_without_a_syslog_everything_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyslogSink, "PATH", str(tmp_path / "none"))
    said: list[str] = []
    sink = SyslogSink("web", 14, said.append)
    sink.write(memoryview(b"one\ntwo\n"))
    assert sink.lost == 8
    assert said == [f"cannot write to {tmp_path}/none: No such file or directory; 4 bytes lost so far"]


def test_a_syslog_that_does_not_read_holds_up_nobody(syslog: socket.socket, sink: SyslogSink) -> None:
    sink.write(memoryview((b"x" * 100 + b"\n") * 5000))
    assert sink.lost > 0
    assert sink.lost + 101 * len(received(syslog)) == 101 * 5000
