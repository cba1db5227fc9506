"""Messages of RFC 5424 and where long lines are cut."""

import re

from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.messages import FRAME, LONGEST, data, frame, head, message, name, whole

PRINTABLE = r"[!-~]"
#: RFC 5424 section 6, with one element of structured data.
MESSAGE = re.compile(
    rf"<(\d{{1,3}})>1 (\S+) ({PRINTABLE}{{1,255}}) ({PRINTABLE}{{1,48}}) ({PRINTABLE}{{1,128}}) ({PRINTABLE}{{1,32}}) "
    r'(\[[!-~]+(?: [a-z-]+="(?:[^"\\\]]|\\.)*")*\]) (.*)', re.DOTALL)


def test_a_message() -> None:
    tail = head("host", "web", "42", "stdout", {"group": "g", "run": "1"})
    assert message(16, 5, "2026-11-21T18:49:30.123456+00:00", tail, b"text \xff") == (
        b'<133>1 2026-11-21T18:49:30.123456+00:00 host web 42 stdout [sdsuper@32473 group="g" run="1"] text \xff')


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.binary(max_size=50))
def test_nothing_in_a_value_breaks_out(host: str, app: str, procid: str, msgid: str, value: str, line: bytes) -> None:
    found = MESSAGE.fullmatch(message(1, 6, "-", head(host, app, procid, msgid, {"a": value}), line).decode("latin-1"))
    assert found is not None and found[1] == "14" and found[8] == line.decode("latin-1")


def test_names() -> None:
    assert (name("", 5), name("a b\tc", 5), name("x" * 9, 5), name("ü", 5)) == ("-", "a_b_c", "xxxxx", "_")
    assert data({"a": 'x"]\\'}) == '[sdsuper@32473 a="x\\"\\]\\\\"]'


def test_a_frame() -> None:
    made = frame(b"udp:h:1", b"text", 3)
    assert FRAME.unpack_from(made) == (4, 3, 7) and made[FRAME.size:] == b"udp:h:1text"


@given(st.text(min_size=10).map(str.encode) | st.binary(min_size=10), st.integers(4, 9))
def test_where_a_line_is_cut(line: bytes, most: int) -> None:
    end = whole(line, most) if len(line) > most else most
    assert most - 3 <= end <= most
    try:
        line.decode()
    except UnicodeDecodeError:
        return
    line[:end].decode()


def test_a_message_is_below_what_receivers_take() -> None:
    fields = {"identifier": "supervisor", "group": "g" * 60, "process": "p" * 60, "program": "p" * 60,
              "stream": "stdout", "run": "100000", "break": "line-max"}
    tail = head("h" * 64, "a" * 48, "4194304", "stdout", fields)
    assert len(message(23, 7, "2026-11-21T18:49:30.123456+00:00", tail, b"x" * LONGEST)) <= 8192
