"""The newest output in memory."""

import os

from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.memory import BYTES, LINES, MemorySink


def sink_with(*pieces: bytes) -> MemorySink:
    sink = MemorySink(print)
    for piece in pieces:
        sink.write(memoryview(piece))
    return sink


def test_what_is_short_is_kept_as_it_came() -> None:
    assert sink_with(b"one\n", b"\xff\0tw").newest() == b"one\n\xff\0tw"


def test_so_many_lines() -> None:
    sink = sink_with(b"".join(b"%d\n" % n for n in range(LINES + 5)))
    assert sink.newest().split(b"\n")[0] == b"5" and sink.newest().count(b"\n") == LINES
    sink.write(memoryview(b"unfinished"))
    assert sink.newest().endswith(b"\nunfinished") and sink.newest().startswith(b"6\n")


def test_a_descriptor_and_clearing() -> None:
    sink = sink_with(b"one\n")
    fd = sink.open_copy()
    try:
        sink.write(memoryview(b"two\n"))
        assert os.pread(fd, 100, 0) == b"one\n"
    finally:
        os.close(fd)
    sink.clear()
    assert sink.newest() == b""


@given(st.lists(st.integers(0, 3 * BYTES // 2).map(lambda n: (b"x" * 99 + b"\n") * (n // 100)), max_size=6))
def test_the_end_of_what_was_written(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found = sink_with(*pieces).newest()
    assert data.endswith(found) and len(found) <= BYTES
    assert len(found) >= min(len(data), BYTES - 100)
    assert not found or found.startswith(b"x" * 99 + b"\n")
