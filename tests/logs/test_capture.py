"""Messages between Supervisor's tokens."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.capture import BEGIN, END, Capture


def joined(pieces: list[tuple[bool, bytes]]) -> list[tuple[bool, bytes]]:
    """Pieces of the same kind that follow each other put together; messages stay apart."""
    found: list[tuple[bool, bytes]] = []
    for is_message, group in groupby(pieces, key=lambda piece: piece[0]):
        run = list(group)
        found += run if is_message else [(False, b"".join(data for _kind, data in run))]
    return found


def heard(*data: bytes, most: int = 1000) -> list[tuple[bool, bytes]]:
    capture, found = Capture(), []
    for part in data:
        found += capture.feed(part, most)
    rest = capture.end()
    return joined(found + ([(False, rest)] if rest else []))


def test_the_tokens_are_supervisors() -> None:
    assert (BEGIN, END) == (b"<!--XSUPERVISOR:BEGIN-->", b"<!--XSUPERVISOR:END-->")


def test_text_and_messages_in_one_read() -> None:
    assert heard(b"a" + BEGIN + b"one" + END + b"b" + BEGIN + END + BEGIN + b"two" + END) == [
        (False, b"a"), (True, b"one"), (False, b"b"), (True, b""), (True, b"two")]


def test_text_is_not_held_back() -> None:
    capture = Capture()
    assert capture.feed(b"short\n", 10) == [(False, b"short\n")]
    assert capture.feed(b"<", 10) == [] and capture.feed(b"p>", 10) == [(False, b"<p>")]


def test_no_more_than_the_newest_bytes_are_kept() -> None:
    assert heard(BEGIN + b"0123456789" + END, most=4) == [(True, b"6789")]
    assert heard(BEGIN + b"0123", b"4567", b"89" + END, most=4) == [(True, b"6789")]


def test_a_message_without_end_was_none() -> None:
    assert heard(b"a" + BEGIN + b"lost?" + END[:9]) == [(False, b"a" + BEGIN + b"lost?" + END[:9])]
    assert heard(b"tail" + BEGIN[:5]) == [(False, b"tail" + BEGIN[:5])]


PARTS = st.lists(st.one_of(
    st.tuples(st.just(False), st.sampled_from([b"text", b"<", b"<!--", BEGIN[:-1], END, b"\n", b"-->"])),
    st.tuples(st.just(True), st.sampled_from([b"", b"word", b"<!--XSUPERVISOR:", b"\xff", b"two words\n"])),
), max_size=8)


@given(PARTS, st.data())
def test_cuts_do_not_matter(parts: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    text = b"".join(BEGIN + part + END if is_message else part for is_message, part in parts)
    whole = heard(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert heard(*pieces) == whole
    assert b"".join(BEGIN + part + END if is_message else part for is_message, part in whole) == text, "nothing is lost"
