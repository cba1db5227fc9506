"""Lines with dates, prefixes, and as JSON, on their way to a file."""

import json
import os
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.model import ISO, Form
from sdsuper.logs.forms import FormedSink, rfc3339, stamp
from sdsuper.logs.journal import LONGEST
from sdsuper.logs.sinks import Sink

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


class Kept(Sink):
    """What arrives."""

    def __init__(self) -> None:
        super().__init__(print)
        self.data = b""

    def write(self, data: memoryview) -> None:
        self.data += data


def through(form: Form, *pieces: bytes, pid: int = 42) -> bytes:
    kept = Kept()
    sink = FormedSink(kept, form, {"group": "g", "process": "web", "stream": "stdout", "run": 3})
    sink.begin(pid)
    for piece in pieces:
        sink.write(memoryview(piece))
    sink.end()
    return kept.data


@pytest.fixture
def zone() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_dates(zone: None) -> None:
    assert rfc3339(0.25, 3) == "1970-01-01T05:30:00.250+05:30"
    assert rfc3339(1795286970.123456, 6) == "2026-11-22T00:34:30.123456+05:45"
    assert stamp(ISO, 1795286970.5) == "2026-11-22T00:34:30.500+05:45"
    assert stamp("%H:%M:%S.%L|%f|%%f", 1795286970.25) == "00:34:30.250|250000|%f"


def test_a_prefix_before_each_line() -> None:
    assert through(Form(prefix="web:"), b"one\ntw", b"o\n\nthree") == b"web: one\nweb: two\nweb: \nweb: three\n"


def test_a_date_before_each_line() -> None:
    made = through(Form(timestamp=ISO, prefix="web:"), b"one\ntwo\n").decode()
    assert re.fullmatch(f"{DATE} web: one\n{DATE} web: two\n", made)
    assert re.fullmatch(r"\[\d\d:\d\d\] x\n", through(Form(timestamp="[%H:%M]"), b"x\n").decode())


def test_a_line_is_written_whole_or_not_yet() -> None:
    kept = Kept()
    sink = FormedSink(kept, Form(prefix=">"), {})
    sink.write(memoryview(b"one\ntw"))
    assert kept.data == b"> one\n"
    sink.write(memoryview(b"o\n"))
    assert kept.data == b"> one\n> two\n"


def test_a_long_line_has_one_prefix() -> None:
    line = b"x" * (2 * LONGEST + 5)
    assert through(Form(prefix=">"), line, b"\nnext\n") == b"> " + line + b"\n> next\n"
    assert through(Form(prefix=">"), line) == b"> " + line + b"\n"


def test_json() -> None:
    made = through(Form(json=True), b'a "b"\\\n\xff\x00\xc3\xa9\nlast', pid=7).splitlines()
    objects = [json.loads(line) for line in made]
    assert [found["message"] for found in objects] == ['a "b"\\', "\\xff\x00é", "last"]
    assert all(next(iter(found)) == "time" and re.fullmatch(r".*\.\d{6}[+-]\d\d:\d\d", found.pop("time"))
               for found in objects)
    assert objects[2].pop("break") == "eof"
    for found in objects:
        del found["message"]
        assert found == {"group": "g", "process": "web", "stream": "stdout", "run": 3, "pid": 7}


def test_json_with_another_date() -> None:
    assert json.loads(through(Form(json=True, timestamp="%Y"), b"x\n"))["time"] == time.strftime("%Y")


def test_a_long_line_of_json_is_cut_between_characters() -> None:
    text = "x" + "é" * LONGEST
    objects = [json.loads(line) for line in through(Form(json=True), text.encode() + b"\n").splitlines()]
    assert [found.get("break") for found in objects] == ["line-max", "line-max", None]
    assert "".join(found["message"] for found in objects) == text


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_nothing_is_lost_however_it_comes(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    plain = through(Form(prefix="|"), *pieces)
    lines = data.split(b"\n")
    expected = b"".join(b"| " + line + b"\n" for line in (lines if lines[-1] else lines[:-1]))
    assert plain == expected
    for line in through(Form(json=True), *pieces).decode().splitlines():
        json.loads(line)


