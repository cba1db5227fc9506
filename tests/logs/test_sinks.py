"""Where output goes: files that move, fill up and rotate, consoles that nobody reads, a syslog that comes and goes."""

import errno
import fcntl
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.logs import sinks
from sdsuper.logs.sinks import ConsoleSink, FileSink
from sdsuper.logs.syslog import SyslogSink
from tests.looping import OTHER, within

root = pytest.mark.root


class Said(list[str]):
    """The complaints."""

    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def make(tmp_path: Path, said: Said) -> Iterator[Callable[..., FileSink]]:
    made = []

    def build(maxbytes: int = 0, backups: int = 10, path: Path = tmp_path / "x.log", **options: object) -> FileSink:
        made.append(FileSink(str(path), maxbytes, backups, options.get("user"), said))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for sink in made:
        sink.close()


class Clock:
    """The time that sinks see."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sinks, "monotonic", made)
    return made


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def write(sink: sinks.Sink, data: bytes) -> None:
    """As the pump does: a view of a buffer that is used again at once."""
    buffer = bytearray(data)
    with memoryview(buffer) as view:
        sink.write(view)
    buffer[:] = bytes(len(buffer))


# ---- files --------------------------------------------------------------------------------------------------------

def test_appends_and_keeps_what_was_there(make: Callable[..., FileSink], tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"before\n")
    sink = make()
    sink.open()
    everything = bytes(range(256)) * 10
    write(sink, everything)
    write(sink, b"")
    assert (tmp_path / "x.log").read_bytes() == b"before\n" + everything
    assert sink.lost == 0


def test_opens_by_itself(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make()
    write(sink, b"one\n")
    sink.close()
    sink.close()
    write(sink, b"two\n")
    assert (tmp_path / "x.log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("backups", [0, 1, 3])
@pytest.mark.parametrize("maxbytes", [0, 50])
def test_rotation(make: Callable[..., FileSink], tmp_path: Path, maxbytes: int, backups: int) -> None:
    sink = make(maxbytes, backups)
    lines = [b"line number %04d\n" % number for number in range(60)]     # 17 bytes: three make 51
    for line in lines[:59]:
        write(sink, line)
    names = ["x.log", *(f"x.log.{n}" for n in range(1, 5))]
    there = [name for name in names if (tmp_path / name).exists()]
    if maxbytes == 0:
        assert there == ["x.log"]
        assert (tmp_path / "x.log").read_bytes() == b"".join(lines[:59])
        return
    assert there == names[:backups + 1]
    assert (tmp_path / "x.log").read_bytes() == b"".join(lines[57:59])
    for number in range(1, backups + 1):
        last = 57 - 3 * (number - 1)
        assert (tmp_path / f"x.log.{number}").read_bytes() == b"".join(lines[last - 3:last])


def test_a_file_that_is_too_large_already(make: Callable[..., FileSink], tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"x" * 100)
    sink = make(50, 2)
    write(sink, b"y")
    assert (tmp_path / "x.log.1").read_bytes() == b"x" * 100 + b"y"
    assert (tmp_path / "x.log").read_bytes() == b""


def test_two_streams_share_a_file(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make(1000, 50)
    written = {b"out": 0, b"err": 0}
    for _ in range(1000):
        word = random.choice([b"out", b"err"])
        write(sink, b"%s %d\n" % (word, written[word]))
        written[word] += 1
    names = [*(f"x.log.{n}" for n in range(50, 0, -1)), "x.log"]
    lines = b"".join((tmp_path / name).read_bytes() for name in names if (tmp_path / name).exists()).splitlines()
    for word, count in written.items():
        assert [line for line in lines if line.startswith(word)] == [b"%s %d" % (word, n) for n in range(count)]


def test_deleted(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make()
    write(sink, b"one\n")
    (tmp_path / "x.log").unlink()
    write(sink, b"two\n")
    assert (tmp_path / "x.log").read_bytes() == b"two\n"


def test_moved_away(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make(10, 3)
    write(sink, b"one\n")
    (tmp_path / "x.log").rename(tmp_path / "old")
    write(sink, b"two\n")
    assert (tmp_path / "old").read_bytes() == b"one\n"
    assert (tmp_path / "x.log").read_bytes() == b"two\n"
    (tmp_path / "other").write_bytes(b"new ")
    (tmp_path / "other").rename(tmp_path / "x.log")
    write(sink, b"three\n")
    assert (tmp_path / "x.log.1").read_bytes() == b"new three\n"        # its size counts


def test_truncated_by_somebody(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make(100, 1)
    write(sink, b"x" * 90)
    os.truncate(tmp_path / "x.log", 0)
    write(sink, b"y" * 20)
    assert (tmp_path / "x.log").read_bytes() == b"y" * 20                 # no hole, and no rotation yet
    write(sink, b"z" * 80)
    assert (tmp_path / "x.log.1").read_bytes() == b"y" * 20 + b"z" * 80


def test_its_directory_goes_and_comes(
    make: Callable[..., FileSink], tmp_path: Path, said: Said, clock: Clock,
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = make(path=folder / "x.log")
    write(sink, b"one\n")
    folder.rename(tmp_path / "gone")
    for _ in range(100):
        write(sink, b"lost\n")
        clock.now += 0.01
    assert sink.lost == 500 and len(said) == 1 and "No such file" in said[0]
    folder.mkdir()
    clock.now += sinks.REOPEN_PAUSE
    write(sink, b"two\n")
    assert (folder / "x.log").read_bytes() == b"two\n" and sink.lost == 500


def test_reopen_and_clear(make: Callable[..., FileSink], tmp_path: Path) -> None:
    sink = make(10, 2)
    write(sink, b"0123456789")
    write(sink, b"two\n")
    (tmp_path / "x.log").rename(tmp_path / "old")
    sink.reopen()
    assert (tmp_path / "x.log").read_bytes() == b""
    write(sink, b"three\n")
    sink.clear()
    assert (tmp_path / "x.log").read_bytes() == b""
    assert (tmp_path / "x.log.1").read_bytes() == b"0123456789" and (tmp_path / "old").read_bytes() == b"two\n"
    write(sink, b"four\n")
    assert (tmp_path / "x.log").read_bytes() == b"four\n"
    (tmp_path / "x.log").unlink()
    sink.clear()
    assert (tmp_path / "x.log").exists()


def test_what_is_closed_stays_closed(make: Callable[..., FileSink], tmp_path: Path) -> None:
    """A resting process keeps no descriptor, whatever is done to its log."""
    sink, before = make(), open_fds()
    sink.reopen()
    assert not (tmp_path / "x.log").exists()
    (tmp_path / "x.log").write_text("old\n")
    sink.clear()
    assert (tmp_path / "x.log").read_bytes() == b"" and open_fds() == before
    write(sink, b"new\n")
    assert (tmp_path / "x.log").read_bytes() == b"new\n" and open_fds() == before + 1


def test_a_retired_one_is_open_for_a_write_only(make: Callable[..., FileSink], tmp_path: Path) -> None:
    before = open_fds()
    sink = make(10, 2)
    write(sink, b"one\n")
    sink.retire()
    for line in (b"two\n", b"three\n", b"four\n"):
        write(sink, line)
        assert open_fds() == before
    assert (tmp_path / "x.log.1").read_bytes() == b"one\ntwo\nthree\n"
    assert (tmp_path / "x.log").read_bytes() == b"four\n"


def test_what_others_write_counts(make: Callable[..., FileSink], tmp_path: Path) -> None:
    one, two = make(20, 2), make(20, 2)
    for _ in range(3):
        write(one, b"01234\n")
        write(two, b"56789\n")
    assert (tmp_path / "x.log.1").read_bytes() == b"01234\n56789\n" * 2


def test_a_mistake_is_seen_at_the_start(make: Callable[..., FileSink], tmp_path: Path) -> None:
    for path, number in ((tmp_path / "no/x.log", errno.ENOENT), (tmp_path, errno.EISDIR)):
        with pytest.raises(OSError) as caught:
            make(path=path).open()
        assert caught.value.errno == number


def test_a_rotation_that_is_not_possible(make: Callable[..., FileSink], tmp_path: Path, said: Said) -> None:
    (tmp_path / "x.log.1").mkdir()
    sink = make(10, 1)
    for number in range(20):
        write(sink, b"line %d\n" % number)
    assert (tmp_path / "x.log").read_bytes() == b"".join(b"line %d\n" % number for number in range(20))
    assert len(said) == 1 and "cannot rotate" in said[0] and sink.lost == 0


@root
@pytest.mark.parametrize("which", ["x.log", "x.log.1", "x.log.3"])
def test_a_rotation_that_fails_costs_no_backup(make: Callable[..., FileSink], tmp_path: Path, said: Said, clock: Clock,
                                               which: str) -> None:
    """A directory that root cannot rename stands for it: something is mounted there."""
    for number in (1, 2, 3):
        (tmp_path / f"x.log.{number}").write_text(f"{number}\n")
    sink = make(10, 3)
    write(sink, b"first\n")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    subprocess.run(["mount", "--bind", tmp_path / which, tmp_path / which], check=True)
    try:
        sink.reopen()
        for number in range(3):
            write(sink, b"line %d\n" % number)
            clock.now += sinks.TURN_PAUSE / 2
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
            **before, "x.log": "first\nline 0\nline 1\nline 2\n"}
        assert len([text for text in said if "cannot rotate" in text]) == 2
    finally:
        subprocess.run(["umount", "-l", tmp_path / which], check=True)
    clock.now += sinks.TURN_PAUSE
    write(sink, b"last\n")
    assert (tmp_path / "x.log.2").read_text() == "1\n" and (tmp_path / "x.log").read_bytes() == b""
    assert sorted(os.listdir(tmp_path)) == ["x.log", "x.log.1", "x.log.2", "x.log.3"]


@root
def test_as_the_user_where_the_directory_is_his(make: Callable[..., FileSink], tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, OTHER.uid, OTHER.gid)
    sink = make(10, 2, path=folder / "x.log", user=OTHER)
    for number in range(4):
        write(sink, b"0123456%d\n" % number)
    sink.clear()
    assert {path.name: path.stat().st_uid for path in folder.iterdir()} == {"x.log": OTHER.uid, "x.log.1": OTHER.uid,
                                                                            "x.log.2": OTHER.uid}


@root
def test_a_link_that_is_laid_while_it_runs(make: Callable[..., FileSink], tmp_path: Path, said: Said) -> None:
    folder, secret = tmp_path / "theirs", tmp_path / "secret"
    folder.mkdir()
    os.chown(folder, OTHER.uid, OTHER.gid)
    secret.write_text("secret")
    sink = make(path=folder / "x.log", user=OTHER)
    write(sink, b"one\n")
    (folder / "x.log").unlink()
    (folder / "x.log").symlink_to(secret)
    write(sink, b"two\n")
    sink.reopen()
    assert secret.read_text() == "secret" and sink.lost == 4 and "symbolic link" in said[0]
    sink.clear()
    assert secret.read_text() == "secret" and not (folder / "x.log").is_symlink()


# ---- a disk that is full, or read-only ----------------------------------------------------------------------------

@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@root
def test_a_full_disk(make: Callable[..., FileSink], disk: Path, said: Said, clock: Clock) -> None:
    sink = make(path=disk / "x.log")
    line = b"x" * 99 + b"\n"
    for _ in range(1000):
        write(sink, line)
    kept = (disk / "x.log").stat().st_size
    assert 0 < kept < 65537 and sink.lost == 100_000 - kept
    assert len(said) == 1 and "No space left" in said[0]
    clock.now += sinks.COMPLAINT_PAUSE
    for _ in range(3):
        write(sink, line)
    assert len(said) == 2 and f"{kept + sink.lost - kept - 200} bytes lost so far" in said[1]
    lost = sink.lost
    os.truncate(disk / "x.log", 0)
    write(sink, line)
    assert (disk / "x.log").read_bytes() == line and sink.lost == lost


@root
def test_a_disk_that_is_full_from_the_start(
    make: Callable[..., FileSink], disk: Path, said: Said, clock: Clock,
) -> None:
    for number in range(1000):          # until there is no room for another file
        try:
            (disk / str(number)).write_bytes(b"x" * 4096)
        except OSError:
            break
    for number in range(1000, 2000):
        try:
            (disk / str(number)).touch()
        except OSError:
            break
    sink = make(path=disk / "x.log")
    sink.open()
    write(sink, b"lost\n")
    assert sink.lost == 5 and len(said) == 1
    for path in disk.iterdir():
        path.unlink()
    clock.now += sinks.REOPEN_PAUSE
    write(sink, b"kept\n")
    assert (disk / "x.log").read_bytes() == b"kept\n" and sink.lost == 5


@root
def test_a_read_only_disk(make: Callable[..., FileSink], disk: Path, said: Said, clock: Clock) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    sink = make(path=disk / "x.log")
    sink.open()                                                         # no reason not to start the program
    for _ in range(10):
        write(sink, b"lost\n")
    assert sink.lost == 50 and len(said) == 1 and "Read-only" in said[0]
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    clock.now += sinks.REOPEN_PAUSE
    write(sink, b"kept\n")
    assert (disk / "x.log").read_bytes() == b"kept\n"


# ---- the console --------------------------------------------------------------------------------------------------

@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_console_that_nobody_reads(pipe: tuple[int, int], said: Said) -> None:
    read, end = pipe
    sink = ConsoleSink(end, said)
    lines = [b"line %06d\n" % number for number in range(20_000)]
    with within(5):
        for line in lines:
            write(sink, line)
    assert sink.full and sink.lost == 0
    got = bytearray()
    while sink.full:
        got += os.read(read, 10_000)
        sink.flush()
    write(sink, b"the end\n")
    os.set_blocking(read, False)
    while True:
        try:
            got += os.read(read, 1 << 20)
        except BlockingIOError:
            break
    assert bytes(got) == b"".join(lines) + b"the end\n"
    assert not fcntl.fcntl(end, fcntl.F_GETFL) & os.O_NONBLOCK          # the shell's end is as it was
    sink.close()
    os.fstat(end)


def test_a_write_takes_along_what_waits(pipe: tuple[int, int], said: Said) -> None:
    """The daemon's own lines have nobody who watches the console for them."""
    read, end = pipe
    sink = ConsoleSink(end, said)
    write(sink, b"x" * 100_000)
    assert sink.full
    got = os.read(read, 65_536)
    write(sink, b"y")
    assert not sink.full
    got += os.read(read, 65_536)
    assert got == b"x" * 100_000 + b"y"
    sink.close()


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that another user opened, so that it cannot be opened again: there is no /proc to do it by."""
    real = os.open

    def refuse(path: str, *more: object, **named: object) -> int:
        if str(path).startswith("/proc/self/fd/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.usefixtures("shared")
def test_a_console_that_cannot_be_opened_again_never_blocks(pipe: tuple[int, int], said: Said) -> None:
    read, end = pipe
    data = bytes(random.choices(b"abcdefgh", k=300_000))
    got = bytearray()
    with within(5):
        sink = ConsoleSink(end, said)
        assert sink.fd == end
        for at in range(0, len(data), 30_000):
            write(sink, data[at:at + 30_000])
        assert sink.full and sink.lost == 0
        while sink.full:
            got += os.read(read, 10_000)
            sink.flush()
        got += os.read(read, 1 << 20)
    assert bytes(got) == data
    with within(5):
        write(sink, b"x" * 100_000)
        os.close(read)
        sink.flush()
    assert not sink.full and sink.lost > 0
    sink.close()


def test_it_is_told_that_output_waits(pipe: tuple[int, int], said: Said) -> None:
    sink = ConsoleSink(pipe[1], said)
    told: list[ConsoleSink] = []
    sink.on_full = told.append
    write(sink, b"x" * 65_536)
    assert not told
    for _ in range(3):
        write(sink, b"y" * 10_000)
    assert told == [sink]
    while sink.full:
        os.read(pipe[0], 1 << 16)
        sink.flush()
    write(sink, b"z" * 70_000)
    assert told == [sink, sink]
    sink.close()


def test_the_last_output_is_waited_for(pipe: tuple[int, int], said: Said) -> None:
    read, end = pipe
    sink = ConsoleSink(end, said)
    write(sink, b"x" * 300_000)
    got = bytearray()

    def take() -> None:
        while len(got) < 300_000:
            got.extend(os.read(read, 1 << 16))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    sink.flush_last(time.monotonic() + 10)
    thread.join(10)
    assert len(got) == 300_000 and sink.lost == 0 and not said
    sink.close()


def test_the_last_output_is_not_waited_for_without_end(pipe: tuple[int, int], said: Said) -> None:
    sink = ConsoleSink(pipe[1], said)
    write(sink, b"x" * 100_000)
    with within(5):
        sink.flush_last(time.monotonic() + 0.05)
    assert sink.lost == 100_000 - 65_536 and not sink.full and len(said) == 1
    sink.close()


def test_what_waits_has_a_limit(pipe: tuple[int, int], said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "PENDING_BYTES", 1 << 20)
    sink = ConsoleSink(pipe[1], said)
    for _ in range(40):
        write(sink, b"x" * 50_000)
    assert sink.lost > 0 and len(sink.pending) <= 1 << 20
    in_pipe = len(os.read(pipe[0], 65_536))
    assert sink.lost + len(sink.pending) + in_pipe == 2_000_000
    assert len(said) == 1
    sink.close()


def test_a_console_that_is_gone(pipe: tuple[int, int], said: Said) -> None:
    sink = ConsoleSink(pipe[1], said)
    os.close(pipe[0])
    for _ in range(3):
        write(sink, b"lost\n")
    assert sink.lost == 15 and not sink.full and len(said) == 1 and "cannot write to the console" in said[0]
    sink.close()


def test_a_console_that_goes_while_output_waits(pipe: tuple[int, int], said: Said) -> None:
    sink = ConsoleSink(pipe[1], said)
    write(sink, b"x" * 100_000)
    os.close(pipe[0])
    sink.flush()
    assert not sink.full and sink.lost == 100_000 - 65_536
    sink.close()


def test_a_file_as_the_console(tmp_path: Path, said: Said) -> None:
    with open(tmp_path / "out", "wb") as file:
        file.write(b"the shell's, ")
        file.flush()
        sink = ConsoleSink(file.fileno(), said)
        write(sink, b"ours")
        sink.close()
    assert (tmp_path / "out").read_bytes() == b"the shell's, ours"


def test_a_socket_as_the_console(said: Said) -> None:
    """What systemd gives a service: the journal's stream socket, blocking and shared."""
    journal, ours = socket.socketpair()
    with journal, ours:
        sink = ConsoleSink(ours.fileno(), said)
        lines = [b"line %06d\n" % number for number in range(100_000)]
        with within(5):
            for line in lines:
                write(sink, line)
        assert sink.full and sink.lost == 0
        got = bytearray()
        while sink.full:
            got += journal.recv(65_536)
            sink.flush()
        journal.setblocking(False)
        while True:
            try:
                got += journal.recv(65_536)
            except BlockingIOError:
                break
        assert bytes(got) == b"".join(lines)
        assert ours.getblocking() and not fcntl.fcntl(ours, fcntl.F_GETFL) & os.O_NONBLOCK
        sink.close()
        ours.send(b"still open")
        journal.close()
        sink = ConsoleSink(ours.fileno(), said)
        write(sink, b"lost\n")
        assert sink.lost == 5 and not sink.full
        sink.close()


def test_a_terminal_as_the_console(said: Said) -> None:
    ours, theirs = os.openpty()
    sink = ConsoleSink(theirs, said)
    with within(5):
        write(sink, b"x" * 200_000)
    assert sink.full and not fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK
    sink.close()
    os.close(ours)
    os.close(theirs)


# ---- syslog -------------------------------------------------------------------------------------------------------

class Syslog:
    """A syslog daemon, as far as its socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)

    def stop(self) -> None:
        self.socket.close()
        self.path.unlink()

    def messages(self) -> list[bytes]:
        got = []
        while True:
            try:
                got.append(self.socket.recv(1 << 17))
            except BlockingIOError:
                return got

    def texts(self) -> list[bytes]:
        return [message.partition(b": ")[2] for message in self.messages()]


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Syslog]:
    made = Syslog(tmp_path / "log")
    monkeypatch.setattr(SyslogSink, "PATH", str(tmp_path / "log"))
    yield made
    made.socket.close()


@pytest.fixture
def sent(said: Said) -> Iterator[SyslogSink]:
    sink = SyslogSink("web", 14, said)
    yield sink
    sink.close()


def test_a_line_is_a_message(syslog: Syslog, sent: SyslogSink) -> None:
    sent.pid = 42
    write(sent, b"one\ntwo\n\n\xff\0three\n")
    messages = syslog.messages()
    assert [message.partition(b": ")[2] for message in messages] == [b"one", b"two", b"\xff\0three"]
    head = messages[0].partition(b": ")[0]
    assert head.startswith(b"<14>") and head.endswith(b" web[42]") and head[4:7].isalpha()


def test_lines_in_pieces(syslog: Syslog, sent: SyslogSink) -> None:
    for piece in (b"on", b"e", b"\ntw", b"o\nthr"):
        write(sent, piece)
    assert syslog.texts() == [b"one", b"two"]
    sent.end()
    sent.end()
    assert syslog.texts() == [b"thr"]
    write(sent, b"four\n")
    assert syslog.texts() == [b"four"]


@pytest.mark.parametrize("step", [1000, 8192, 10_000, 300_000])
def test_long_lines_go_in_pieces(syslog: Syslog, sent: SyslogSink, step: int) -> None:
    line = bytes(random.choices(b"abcdefgh", k=30_000))
    data = line + b"\nshort\n" + line
    got = []
    for at in range(0, len(data), step):
        write(sent, data[at:at + step])
        got += syslog.texts()
    sent.end()
    got += syslog.texts()
    pieces = [line[at:at + SyslogSink.LONGEST] for at in range(0, len(line), SyslogSink.LONGEST)]
    assert got == [*pieces, b"short", *pieces]
    assert sent.lost == 0


def test_the_syslog_daemon_starts_anew(syslog: Syslog, sent: SyslogSink, said: Said) -> None:
    write(sent, b"one\n")
    syslog.stop()
    write(sent, b"lost\n")
    assert sent.lost == 5 and len(said) == 1
    syslog.start()
    write(sent, b"two\n")
    assert syslog.texts() == [b"two"]
    syslog.stop()
    syslog.start()
    write(sent, b"three\n")                     # not even the first one is lost
    sent.reopen()
    write(sent, b"four\n")
    assert syslog.texts() == [b"three", b"four"] and sent.lost == 5


def test_a_syslog_daemon_that_does_not_read(syslog: Syslog, sent: SyslogSink, said: Said) -> None:
    with within(5):
        for number in range(2000):
            write(sent, b"line %04d %s\n" % (number, b"x" * 990))
    kept = syslog.texts()
    assert 0 < len(kept) < 2000 and len(said) == 1
    assert sent.lost == (2000 - len(kept)) * 1001
    assert [int(text.split()[1]) for text in kept] == list(range(len(kept)))
    write(sent, b"again\n")
    assert syslog.texts() == [b"again"]
