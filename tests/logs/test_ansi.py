"""Taking terminal sequences out: nothing else goes, wherever the output is cut."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.logs.ansi import AnsiStripper


def strip(*pieces: bytes) -> bytes:
    stripper = AnsiStripper()
    return b"".join(stripper.feed(piece) for piece in pieces)


@pytest.mark.parametrize(("written", "left"), [
    (b"\x1b[1;31mred\x1b[0m text\n", b"red text\n"),
    (b"\x1b[K\x1b[2J\x1b[?25l\x1b[38:2::1:2:3mx", b"x"),
    (b"\x1b]0;the title\x07shell\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", b"shelllink"),
    (b"bold\x1b(B\x1b[m plain", b"bold plain"),                 # what `tput sgr0` prints
    (b"\x1b7\x1b8\x1bc\x1b=\x1bM-", b"-"),
    (b"\x1b[12\nline", b"\nline"),                              # not a sequence after all
    (b"\x1b\x1b[31mx", b"x"),
    (b"\x1b\xc3\xa9", b"\xc3\xa9"),
    (b"\x1b]open \x1b[1mtext", b"open text"),                   # a title without an end
    (b"\x9b31m stays, it is UTF-8's", b"\x9b31m stays, it is UTF-8's"),
    (b"half \x1b[3", b"half "),
])
def test_sequences(written: bytes, left: bytes) -> None:
    assert strip(written) == left


@settings(deadline=None)
@given(st.binary(max_size=2000).map(lambda data: data.replace(b"\x1b", b"E")))
def test_what_has_none_is_untouched(data: bytes) -> None:
    assert strip(data) == data


#: Bytes of which sequences are likely.
pieces = [b"\x1b", b"[", b"]", b"\\", b"\x07", b"1;", b"m", b"(", b"B", b"text\n", b"\xff", b"\0"]
likely = st.lists(st.sampled_from(pieces), max_size=40).map(b"".join)


@settings(deadline=None)
@given(data=likely | st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_where_it_is_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    assert strip(*(data[a:b] for a, b in pairwise(edges))) == strip(data)
    assert strip(*(data[i:i + 1] for i in range(len(data)))) == strip(data)


@pytest.mark.parametrize("length", [4094, 4095, 4096, 4097, 9000])
def test_long_ones_too(length: int) -> None:
    data = b"a\x1b]" + b"t" * (length - 3) + b"\x07b\x1b[1mc"
    whole = strip(data)
    assert whole == (b"abc" if length <= 4096 else data[:-5] + b"c")
    for size in (1, 7, 4000, 4096, 4097):
        assert strip(*(data[i:i + size] for i in range(0, len(data), size))) == whole


@pytest.mark.parametrize("begun", [b"\x1b", b"\x1b[31", b"\x1b]0;title", b"\x1b("])
def test_what_is_unfinished_at_the_end_comes_out(begun: bytes) -> None:
    stripper = AnsiStripper()
    assert stripper.feed(b"text" + begun) == b"text"
    assert stripper.end() == begun
    assert stripper.end() == b""


def test_little_is_held_back() -> None:
    stripper = AnsiStripper()
    data = b"\x1b]" + b"t" * 100_000
    out = b"".join(stripper.feed(data[i:i + 10]) for i in range(0, len(data), 10))
    assert out == data


@pytest.mark.parametrize("data", [b"\x1b]" * 131_072, b"\x1b[" * 131_072, b"\x1b" * 262_144, b"\x1b[1" * 87_000])
def test_hostile_output_costs_no_more_than_its_length(data: bytes) -> None:
    before = time.process_time()
    strip(data)
    assert time.process_time() - before < 2
