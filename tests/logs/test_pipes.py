"""Reading what programs write: every byte, in order, nobody starved, nothing waited for."""

import fcntl
import hashlib
import os
import re
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sdsuper.config.model import Form
from sdsuper.logs import pipes
from sdsuper.logs.forms import FormedSink
from sdsuper.logs.pipes import Pump, Stream
from sdsuper.logs.sinks import ConsoleSink, FileSink, Sink
from sdsuper.logs.syslog import SyslogSink
from sdsuper.system.loop import Loop
from tests.looping import child, fresh_loop, turn_until


class Kept(Sink):
    """Keeps all, and when it came."""

    def __init__(self) -> None:
        super().__init__(print)
        self.data = bytearray()
        self.calls: list[tuple[float, int]] = []

    def write(self, data: memoryview) -> None:
        self.data += data
        self.calls.append((time.monotonic(), len(data)))


class Pipes:
    """Streams of one pump, and the ends that programs write to."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.pump = loop, Pump(loop)
        self.streams: list[Stream] = []
        self.ended: list[Stream] = []

    def add(self, *into: Sink, strip: bool = False) -> tuple[Stream, int]:
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        stream = Stream(read, into, strip, self.ended.append)
        self.streams.append(stream)
        self.pump.add(stream)
        return stream, write

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        turn_until(self.loop, condition, what)


@pytest.fixture
def loop() -> Iterator[Loop]:
    with fresh_loop() as made:
        yield made


@pytest.fixture
def all_pipes(loop: Loop) -> Iterator[Pipes]:
    made = Pipes(loop)
    yield made
    for stream in made.streams:
        made.pump.end(stream)


def text(seed: int, length: int) -> bytes:
    """Bytes that are different everywhere."""
    blocks = (hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def write_all(fd: int, data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        piece = data[at:at + step]
        while piece:
            piece = piece[os.write(fd, piece):]


@pytest.mark.parametrize(("step", "length"), [(4096, 8 << 20), (100, 1 << 20)])
def test_every_byte_of_eight(all_pipes: Pipes, tmp_path: Path, step: int, length: int) -> None:
    files = [FileSink(str(tmp_path / f"{n}.log"), 0, 0, None, print) for n in range(8)]
    with ExitStack() as children:
        for number, file in enumerate(files):
            _stream, end = all_pipes.add(file)
            data = text(number, length)
            children.enter_context(child(lambda end=end, data=data: write_all(end, data, step)))
            os.close(end)
        all_pipes.until(lambda: len(all_pipes.ended) == 8, "the end of all writers")
    for number, file in enumerate(files):
        assert (tmp_path / f"{number}.log").read_bytes() == text(number, length)
        assert file.lost == 0
        file.close()


def test_a_quiet_line_beside_floods(all_pipes: Pipes) -> None:
    quiet, null = Kept(), [Kept() for _ in range(4)]

    def flood(end: int) -> None:
        while True:
            os.write(end, b"y\n" * 2048)

    def speak(end: int) -> None:
        for _ in range(60):
            os.write(end, b"%.6f\n" % time.monotonic())
            time.sleep(0.01)

    with ExitStack() as children:
        for sink in null:
            _stream, end = all_pipes.add(sink)
            children.enter_context(child(lambda end=end: flood(end)))
            os.close(end)
        stream, end = all_pipes.add(quiet)
        children.enter_context(child(lambda: speak(end)))
        os.close(end)

        def over() -> bool:
            for sink in null:
                sink.data.clear()
            return stream.fd < 0

        all_pipes.until(over)
    assert len(quiet.calls) >= 50          # line by line, as it was written
    arrivals = [when for when, count in quiet.calls for _ in range(count // len(quiet.data.splitlines()[0]))]
    late = sorted(when - float(line) for when, line in zip(arrivals, quiet.data.splitlines(), strict=False))
    assert late[len(late) // 2] < 0.05 and late[-1] < 1
    for sink in null:
        assert sum(count for _when, count in sink.calls) > 1 << 20
        assert max(count for _when, count in sink.calls) <= pipes.READ_BYTES
    shares = [sum(count for _when, count in sink.calls) for sink in null]
    assert max(shares) < 4 * min(shares)


def test_a_line_is_seen_at_once_and_nobody_wakes_up_then(all_pipes: Pipes) -> None:
    sink = Kept()
    _stream, end = all_pipes.add(sink)
    os.write(end, b"line\n")
    all_pipes.loop.turn()
    assert sink.data == b"line\n"
    all_pipes.loop.turn()                   # the look after a millisecond
    turns: list[int] = []
    all_pipes.loop.soon(0.2, lambda: turns.append(0))
    count = 0
    while not turns:
        all_pipes.loop.turn()
        count += 1
    assert count <= 3
    os.close(end)


def test_lines_are_gathered(all_pipes: Pipes) -> None:
    """A program that writes line by line is read about once a millisecond, not once a line."""
    sink = Kept()
    _stream, end = all_pipes.add(sink)
    with child(lambda: write_all(end, b"x" * 1_000_000, 100)):
        os.close(end)
        all_pipes.until(lambda: all_pipes.ended)
    assert len(sink.data) == 1_000_000
    assert len(sink.calls) < 2500           # of 10,000 writes


def test_the_end(all_pipes: Pipes) -> None:
    sink = Kept()
    stream, end = all_pipes.add(sink)
    os.write(end, b"last words")
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert all_pipes.ended == [stream] and stream.fd == -1 and sink.data == b"last words"
    all_pipes.pump.end(stream)
    all_pipes.pump.drain(stream)
    assert all_pipes.ended == [stream]


def test_drained_while_a_grandchild_holds_the_pipe(all_pipes: Pipes) -> None:
    sink = Kept()
    stream, end = all_pipes.add(sink)
    holder = os.dup(end)
    data = text(1, 60_000)
    write_all(end, data, 1000)
    os.close(end)
    all_pipes.pump.drain(stream)
    assert bytes(sink.data) == data and stream.fd >= 0 and not all_pipes.ended
    os.write(holder, b"later")
    all_pipes.until(lambda: sink.data.endswith(b"later"))
    os.close(holder)
    all_pipes.until(lambda: all_pipes.ended)


def test_the_last_words_are_a_line_while_a_grandchild_holds_the_pipe(all_pipes: Pipes) -> None:
    sink = Kept()
    _stream, end = all_pipes.add(FormedSink(sink, Form(prefix="web:"), {}))
    os.write(end, b"last words")
    all_pipes.pump.drain(all_pipes.streams[-1])
    assert sink.data == b"web: last words\n"
    all_pipes.pump.drain(all_pipes.streams[-1])
    os.write(end, b"later\n")
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert sink.data == b"web: last words\nweb: later\n"


def test_a_grandchild_that_floods_does_not_keep_us(all_pipes: Pipes) -> None:
    sink = Kept()
    stream, end = all_pipes.add(sink)

    def flood() -> None:
        while True:
            os.write(end, b"y" * 65_536)

    with child(flood):
        os.close(end)
        all_pipes.until(lambda: sink.data)
        for _ in range(10):
            before = len(sink.data)
            all_pipes.pump.drain(stream)
            assert len(sink.data) - before < pipes.DRAIN_BYTES + pipes.READ_BYTES
        assert stream.fd >= 0


def test_ended_in_the_middle(all_pipes: Pipes) -> None:
    """By a sink's reaction, or while a look was still to come: nothing happens to the next owner of the number."""
    sink, next_sink = Kept(), Kept()
    stream, end = all_pipes.add(sink)
    os.write(end, b"line\n")
    all_pipes.until(lambda: sink.data)
    number = stream.fd
    all_pipes.pump.end(stream)
    os.close(end)
    other, other_end = all_pipes.add(next_sink)
    assert other.fd == number
    os.write(other_end, b"other\n")
    os.close(other_end)
    all_pipes.until(lambda: other in all_pipes.ended)
    assert next_sink.data == b"other\n" and sink.data == b"line\n" and all_pipes.ended == [stream, other]


def test_all_at_once_while_data_is_there(all_pipes: Pipes) -> None:
    kept = [Kept() for _ in range(20)]
    made = [all_pipes.add(sink) for sink in kept]
    for _stream, end in made:
        os.write(end, b"x" * 1000)
    all_pipes.loop.turn()
    for stream, end in made:
        all_pipes.pump.end(stream)
        os.close(end)
    for _ in range(5):
        all_pipes.loop.turn(wait=False)
    assert len(all_pipes.ended) == 20
    assert all(len(sink.data) in (0, 1000) for sink in kept)


def test_several_sinks(all_pipes: Pipes, tmp_path: Path) -> None:
    kept, file = Kept(), FileSink(str(tmp_path / "x.log"), 0, 0, None, print)
    _stream, end = all_pipes.add(kept, file)
    write_all(end, text(2, 50_000), 700)
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert bytes(kept.data) == (tmp_path / "x.log").read_bytes() == text(2, 50_000)
    file.close()


def test_two_streams_into_one_rotating_file(all_pipes: Pipes, tmp_path: Path) -> None:
    file = FileSink(str(tmp_path / "x.log"), 20_000, 100, None, print)
    lines = [b"%s %d\n" % (word, number) for word in (b"out", b"err") for number in range(20_000)]
    with ExitStack() as children:
        for half in (lines[:20_000], lines[20_000:]):
            _stream, end = all_pipes.add(file)
            children.enter_context(child(lambda end=end, half=half: [os.write(end, line) for line in half]))
            os.close(end)
        all_pipes.until(lambda: len(all_pipes.ended) == 2)
    file.close()
    names = sorted(tmp_path.iterdir(), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 0)
    data = b"".join(path.read_bytes() for path in names)
    for word in (b"out", b"err"):           # reads may end within a line; each stream's bytes are in order
        numbers = [int(n) for n in re.findall(word + rb" (\d+)\n", data)]
        assert numbers == sorted(numbers) and len(numbers) > 19_500
    assert sorted(data) == sorted(b"".join(lines))


def test_sequences_are_taken_out(all_pipes: Pipes) -> None:
    sink = Kept()
    _stream, end = all_pipes.add(sink, strip=True)
    for piece in (b"\x1b[31", b"mred\x1b", b"[0m\n\x1b]0;ti", b"tle\x07plain\n"):
        os.write(end, piece)
        all_pipes.until(lambda: not _waiting(end))
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert sink.data == b"red\nplain\n"


def test_an_unfinished_sequence_is_the_last_output(all_pipes: Pipes) -> None:
    sink = Kept()
    _stream, end = all_pipes.add(sink, strip=True)
    os.write(end, b"\x1b[1mbold\x1b[0")
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert sink.data == b"bold\x1b[0"


def test_binary_output(all_pipes: Pipes) -> None:
    sink = Kept()
    _stream, end = all_pipes.add(sink)
    data = bytes(range(256)) * 100 + b"\0" * 5000 + b"\xff\xfe"
    os.write(end, data)
    os.close(end)
    all_pipes.until(lambda: all_pipes.ended)
    assert bytes(sink.data) == data


def test_the_last_line_goes_to_syslog(all_pipes: Pipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyslogSink, "PATH", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        sink = SyslogSink("web", 14, print)
        _stream, end = all_pipes.add(sink)
        os.write(end, b"one\ntwo")
        os.close(end)
        all_pipes.until(lambda: all_pipes.ended)
        assert [syslog.recv(100).partition(b": ")[2] for _ in range(2)] == [b"one", b"two"]
        sink.close()


def _waiting(fd: int) -> int:
    """Bytes in a pipe."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


# ---- a console that nobody reads for a while ----------------------------------------------------------------------

@pytest.fixture
def console() -> Iterator[tuple[int, ConsoleSink]]:
    read, write = os.pipe()
    sink = ConsoleSink(write, print)
    os.set_blocking(read, False)
    yield read, sink
    sink.close()
    os.close(read)
    os.close(write)


def numbered(end: int, word: bytes, count: int) -> None:
    for number in range(count):
        write_all(end, b"%s %06d %s\n" % (word, number, b"." * 100), 1 << 20)


def test_a_slow_console_holds_the_program(all_pipes: Pipes, console: tuple[int, ConsoleSink]) -> None:
    read, sink = console
    other = Kept()
    stream, end = all_pipes.add(sink)
    _beside, beside_end = all_pipes.add(other)
    with child(lambda: numbered(end, b"line", 50_000)):
        os.close(end)
        all_pipes.until(lambda: sink.full)
        pending = len(sink.pending)
        assert pending <= pipes.READ_BYTES
        for number in range(20):            # the others go on
            os.write(beside_end, b"%d\n" % number)
            all_pipes.until(lambda number=number: other.data.endswith(b"%d\n" % number))
        assert len(sink.pending) == pending and stream.fd >= 0
        got = bytearray()

        def taken() -> bool:
            try:
                got.extend(os.read(read, 1 << 16))
            except BlockingIOError:
                pass
            return got.count(b"\n") == 50_000

        all_pipes.until(taken, "all that the program wrote")
    all_pipes.until(lambda: stream.fd < 0)
    assert bytes(got) == b"".join(b"line %06d %s\n" % (number, b"." * 100) for number in range(50_000))
    assert sink.lost == 0 and not sink.full
    os.close(beside_end)


def test_many_programs_at_a_slow_console_are_held_and_take_turns(
    all_pipes: Pipes, console: tuple[int, ConsoleSink],
) -> None:
    read, sink = console
    words = [b"a", b"b", b"c", b"d", b"e"]
    got = bytearray()
    most = 0
    for word in words:          # all of it is there before the first read, so no scheduler decides who is first
        _stream, end = all_pipes.add(sink)
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)
        write_all(end, b"".join(b"%s %06d %s\n" % (word, number, b"." * 100) for number in range(8000)), 1 << 20)
        os.close(end)

    def taken() -> bool:
        nonlocal most
        most = max(most, len(sink.pending))
        try:
            got.extend(os.read(read, 1 << 15))
        except BlockingIOError:
            pass
        return got.count(b"\n") == 8000 * len(words)

    all_pipes.until(taken)
    assert most <= 2 * pipes.READ_BYTES     # not a read of each
    half = got[:len(got) // 2]
    shares = [len(re.findall(rb"%s (\d{6}) " % word, half)) for word in words]
    assert min(shares) > max(shares) / 3            # the same number of reads each, or one less
    for word in words:
        numbers = [int(number) for number in re.findall(rb"\b%s (\d{6}) \.{100}\n" % word, got)]
        assert numbers == sorted(numbers)
    assert sink.lost == 0


def test_a_held_stream_that_ends(all_pipes: Pipes, console: tuple[int, ConsoleSink]) -> None:
    read, sink = console
    stream, end = all_pipes.add(sink)
    with child(lambda: numbered(end, b"line", 50_000)):
        os.close(end)
        all_pipes.until(lambda: sink.full)
        all_pipes.pump.end(stream)
    got = 0
    while sink.full:
        got += len(os.read(read, 1 << 20))
        all_pipes.loop.soon(0.01, lambda: None)
        all_pipes.loop.turn()
    assert got > 0 and all_pipes.ended == [stream]
    later, later_end = all_pipes.add(sink)
    os.write(later_end, b"later\n")
    os.close(later_end)
    # what waited has been sent, but may still fill the console's pipe: its reader has to go on
    take_all(all_pipes, read, 1 << 30, lambda: later.fd < 0)


def take_all(pipes: Pipes, read: int, count: int, enough: Callable[[], bool] = lambda: False) -> bytes:
    """Read so many bytes while the loop turns, or until it is enough."""
    got = bytearray()

    def taken() -> bool:
        try:
            got.extend(os.read(read, 1 << 14))
        except BlockingIOError:
            pass
        return len(got) >= count or enough()

    pipes.until(taken, f"{count} bytes")
    return bytes(got)


def test_what_waits_is_sent_after_its_program_has_ended(all_pipes: Pipes, console: tuple[int, ConsoleSink]) -> None:
    read, sink = console
    stream, end = all_pipes.add(sink)
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 18)
    data = text(3, 200_000)
    write_all(end, data, 1 << 16)
    os.close(end)
    all_pipes.pump.drain(stream)
    assert stream.fd < 0 and sink.full
    assert take_all(all_pipes, read, len(data)) == data
    assert not sink.full and sink.lost == 0


@pytest.mark.parametrize("full_before", [False, True])
def test_what_waits_is_sent_without_any_program(
    all_pipes: Pipes, console: tuple[int, ConsoleSink], full_before: bool,
) -> None:
    """The daemon's own lines."""
    read, sink = console
    data = text(4, 200_000)
    if full_before:
        sink.write(memoryview(data))
        all_pipes.pump.attend(sink)
    else:
        all_pipes.pump.attend(sink)
        sink.write(memoryview(data))
    assert sink.full
    assert take_all(all_pipes, read, len(data)) == data
    assert take_again(all_pipes, read, sink)


def take_again(pipes: Pipes, read: int, sink: ConsoleSink) -> bool:
    """Whether a console that was full once can be full again."""
    pipes.until(lambda: not sink.full)
    sink.write(memoryview(bytes(100_000)))
    return sink.full and take_all(pipes, read, 100_000) == bytes(100_000)


def test_a_console_that_goes_away_frees_the_program(all_pipes: Pipes) -> None:
    read, write = os.pipe()
    said: list[str] = []
    sink = ConsoleSink(write, said.append)
    stream, end = all_pipes.add(sink)

    def work() -> None:
        os.close(read)
        numbered(end, b"line", 20_000)

    with child(work):
        os.close(end)
        all_pipes.until(lambda: sink.full)
        os.close(read)
        all_pipes.until(lambda: stream.fd < 0, "the end of the program")
    assert sink.lost > 1 << 20 and len(said) == 1
    sink.close()
    os.close(write)
