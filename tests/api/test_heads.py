"""Heads of requests: what is refused before anything is parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.api import heads

GOOD = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


def test_ordinary_ones_pass() -> None:
    assert heads.split(GOOD + b"abc") == len(GOOD) and heads.wrong(GOOD) == 0
    assert heads.wrong(b"GET / HTTP/1.0\r\n\r\n") == 0
    assert heads.wrong(b"GET /a%20b?x=1&y=%3c HTTP/1.1\r\nhost:x\r\nX-Empty:\r\n\r\n") == 0
    raw = "POST /logtail/é HTTP/1.1\r\nHost: x\r\nX: ü\r\n\r\n".encode()
    assert heads.wrong(raw) == 0
    assert heads.quoted(raw) == "POST /logtail/%C3%A9 HTTP/1.1\r\nHost: x\r\nX: ü\r\n\r\n".encode()


def test_chunks_are_for_others() -> None:
    assert heads.wrong(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n") == 411
    assert heads.wrong(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(99)) + b"\r\n") == 0


@pytest.mark.parametrize("head", [
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nX: y\r\n continued\r\n\r\n",
    b"POST / HTTP/1.1\r\n Host: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\nY: z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /\r\nHost: x\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\nAuthorization: Basic eDp6\r\n\r\n",
])
def test_what_two_parsers_could_read_differently(head: bytes) -> None:
    assert heads.wrong(head) == 400


def test_sizes() -> None:
    assert heads.wrong(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * heads.BYTES + b"\r\n\r\n") == 431
    assert heads.wrong(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n") == 431
    assert heads.early(b"GET / HTTP/1.1\r\nA: " + b"b" * heads.BYTES) == 431
    assert heads.early(b"GET / HTTP/1.1\nA: b") == 400
    assert heads.early(b"GET / HTTP/1.1\r") == heads.early(b"GET / HTTP/1.1\r\nA") == 0


@given(st.binary(max_size=200))
def test_anything_has_an_answer(data: bytes) -> None:
    assert heads.wrong(data + b"\r\n\r\n") in (0, 400) and heads.early(data) in (0, 400)
