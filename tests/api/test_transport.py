"""Connections: keep-alive, limits in size and time, smuggling, slow clients. Time is that of transport's constants,
which the tests make short, in a server of their own in the same process; the rest is the real face.
"""

import asyncio
import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from uvicorn.server import ServerState

from sdsuper.api import transport
from sdsuper.api.transport import Connections, HttpConnection, Peer, settings
from tests.api.web import Connection, ask, basic, call, connect, proxy, raw, serve
from tests.engine.conftest import Start

STATE = call("supervisor.getState")
PASS = basic("user", "secret")
HEAD = b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n"


def post(body: bytes, *lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def statuses(data: bytes) -> list[int]:
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


# ---- the real face ---------------------------------------------------------------------------------------------------


def test_keep_alive_and_its_end(start: Start) -> None:
    path = serve(start).path
    connection = Connection(path)
    connection.connect()
    first = connection.sock
    for _ in range(5):
        connection.request("POST", "/RPC2", STATE)
        reply = connection.getresponse()
        assert (reply.status, reply.reason) == (200, "OK") and b"RUNNING" in reply.read()
        assert connection.sock is first
    connection.close()
    assert raw(path, post(STATE, b"Connection: close")).count(b"RUNNING") == 1
    old = STATE + b"\r\n"
    found = raw(path, b"POST /RPC2 HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(STATE) + old)
    assert found.startswith(b"HTTP/1.1 200 OK\r\n") and found.count(b"RUNNING") == 1       # 1.0 ends with its answer


def test_several_requests_in_one_piece(start: Start) -> None:
    path = serve(start).path
    ok = b"GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /ok.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert statuses(raw(path, ok + b"\r\n\r\n" + ok + b"\r\n" + last)) == [200, 200, 200]
    assert statuses(raw(path, b"\r\n\r\n" + last)) == [200]
    assert statuses(raw(path, *[last[i:i + 1] for i in range(len(last))])) == [200]
    assert statuses(raw(path, post(STATE) + b"\r\n" + post(STATE) + last)) == [200, 200, 200]
    assert statuses(raw(path, post(STATE) + HEAD + b"Content-Length: 1\n\r\n")) == [200, 400]
    chunks = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(STATE), STATE)
    assert statuses(raw(path, chunks + last)) == [411]      # and nothing of what follows is taken


@pytest.mark.parametrize("data", [
    HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n",
    HEAD + b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd",
    HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 4\n\r\nabcd",
    HEAD.replace(b"\r\n", b"\n") + b"\n",
    HEAD + b"X: y\r\n z\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"x\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
])
def test_ambiguous_requests_are_refused_and_the_connection_ends(start: Start, data: bytes) -> None:
    path = serve(start).path
    (status,) = statuses(raw(path, data, b"GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert status == 400
    assert ask(path, "GET", "/ok.html").status == 200


def test_heads_have_a_size(start: Start) -> None:
    path = serve(start).path
    assert statuses(raw(path, b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 17_000 + b"\r\n\r\n")) == [431]
    assert statuses(raw(path, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n")) == [431]
    assert statuses(raw(path, b"GET / HTTP/1.1\r\nA: ", *[b"b" * 1000] * 20_000)) in ([431], [])
    assert ask(path, "GET", "/ok.html").status == 200


def test_bodies_have_a_size(start: Start) -> None:
    path = serve(start, main={"api_body_maxbytes": "100KB"}).path
    big = b"x" * 200_000
    assert ask(path, "POST", "/RPC2", {}, big).status == 413
    assert ask(path, "POST", "/RPC2", {"Content-Type": "application/x-www-form-urlencoded"}, big).status == 413
    assert ask(path, "POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, big).status == 413
    assert ask(path, "POST", "/RPC2", {}, iter([b"x" * 50_000] * 5)).status == 411       # chunked
    assert statuses(raw(path, HEAD + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")) == [413]
    assert ask(path, "POST", "/RPC2", {"Content-Encoding": "gzip"}, STATE).status == 415
    exact = STATE + b" " * (102_400 - len(STATE))
    assert ask(path, "POST", "/RPC2", {}, exact).status == 200
    assert ask(path, "POST", "/RPC2", {}, exact + b" ").status == 413


def test_empty_cut_and_wrong_requests(start: Start) -> None:
    path = serve(start).path
    for body in (b"", b"x", STATE[:-5]):
        assert ask(path, "POST", "/RPC2", {}, body).status == 400
    for method, place, status in (("GET", "/RPC2", 405), ("PUT", "/RPC2", 405), ("GET", "/nosuch", 404),
                                  ("POST", "/nosuch", 404), ("DELETE", "/", 405), ("GET", "/../etc/passwd", 404),
                                  ("GET", "/static/..%2fapp.py", 404), ("GET", "/static/app.py", 404)):
        assert ask(path, method, place).status == status, (method, place)
    with connect(path) as peer:                 # it goes before its body is complete
        peer.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
    assert ask(path, "GET", "/ok.html").status == 200


def test_many_connections_wait_their_turn_and_harm_nobody(start: Start, wait_for: Callable[..., None]) -> None:
    served = serve(start, "[program:cat]\ncommand=/bin/cat\nstartsecs=0\n")
    idle = [connect(served.port) for _ in range(120)]
    halves = [connect(served.port) for _ in range(20)]
    try:
        for peer in halves:
            peer.sendall(b"POST /RPC2 HTTP/1.1\r\nHost:")
        with proxy(served.path) as server:      # the unix socket has its own count
            for _ in range(50):
                assert server.supervisor.getState()["statename"] == "RUNNING"
            assert server.supervisor.stopProcess("cat") and server.supervisor.startProcess("cat")
        assert len(list(Path(f"/proc/{served.face}/fd").iterdir())) < 100
        assert served.daemon.log.count("http:") == 0
    finally:
        for peer in [*idle, *halves]:
            peer.close()
    assert ask(served.port, "POST", "/RPC2", PASS, STATE).status == 200


def test_idle_kept_connections_make_room(start: Start) -> None:
    served = serve(start)
    kept = []
    for _ in range(64):
        connection = Connection(served.port)
        connection.request("POST", "/RPC2", STATE, PASS)
        assert connection.getresponse().read()
        kept.append(connection)
    for _ in range(5):
        assert ask(served.port, "POST", "/RPC2", PASS, STATE).status == 200
    for connection in kept:
        connection.close()


# ---- time ------------------------------------------------------------------------------------------------------------


class Small:
    """A server with one connection class and a trivial application, in a thread."""

    def __init__(self) -> None:
        self.ended: list[HttpConnection] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.connections = Connections()
        config = settings(Router([Route("/", self.answer, methods=["GET", "POST"])]))

        def made() -> HttpConnection:
            one = HttpConnection(config, ServerState(), Peer(0, False, "x"), self.connections.timed, self.gone)
            self.connections.all.add(one)
            return one

        server = await self._loop.create_server(made, sock=self.listener)
        self._ready.set()
        await self._end.wait()
        server.close()
        for one in list(self.connections.all):
            one.transport.abort()
        await asyncio.sleep(0)

    def gone(self, one: HttpConnection) -> None:
        self.connections.all.discard(one)
        self.ended.append(one)

    async def answer(self, request: Request) -> Response:
        if request.method == "GET":
            async def endless() -> Any:
                while True:
                    yield b"x" * 60_000
            return StreamingResponse(endless())
        return PlainTextResponse(await request.body())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "STALL_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(transport, name, 0.3)
    monkeypatch.setattr(Connections, "LOOK_SECONDS", 0.05)
    server = Small()
    yield server
    server.close()


@pytest.mark.parametrize("data", [
    b"", b"G", b"\r\n", b"POST / HTTP/1.1\r\nHost:", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
])
def test_half_a_request_is_given_up(small: Small, data: bytes) -> None:
    assert statuses(raw(small.port, data)) == []        # and it returns: the connection has ended


@pytest.mark.parametrize("head", [b"POST / HTTP/1.1\r\nHost: ",
                                  b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"])
def test_a_byte_now_and_then_does_not_help(small: Small, head: bytes) -> None:
    with connect(small.port) as peer:
        peer.sendall(head)
        until = time.monotonic() + 20
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < until:
                peer.sendall(b"x")
                time.sleep(0.02)


def test_a_kept_connection_may_be_idle(small: Small) -> None:
    with connect(small.port) as peer:
        for _ in range(2):
            peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
            found = b""
            while not found.endswith(b"ab"):
                found += peer.recv(1000)
            time.sleep(1.0)     # longer than any of the deadlines; nothing can be observed of what must not happen
        assert not small.ended


def test_nothing_of_an_ended_connection_stays(small: Small, wait_for: Callable[..., None]) -> None:
    with connect(small.port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        found = b""
        while not found.endswith(b"ab"):
            found += peer.recv(1000)
    wait_for(lambda: small.ended, "it has ended")
    one = weakref.ref(small.ended.pop())

    def gone() -> bool:
        gc.collect()
        return one() is None

    wait_for(gone, "it is forgotten")


def test_who_does_not_read_is_dropped_and_holds_little(small: Small, wait_for: Callable[..., None]) -> None:
    with connect(small.port) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(small.connections.all) == 1, "it is there")
        (one,) = small.connections.all
        wait_for(lambda: one.transport.get_write_buffer_size() > 0 or small.ended, "what it does not read waits")
        assert one.transport.get_write_buffer_size() < 200_000
        wait_for(lambda: small.ended == [one], "it is dropped")


def test_who_reads_slowly_is_served(small: Small) -> None:
    with connect(small.port) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert peer.recv(65536)
            time.sleep(0.01)
        assert not small.ended


def test_what_follows_a_refusal_is_thrown_away_for_a_while(small: Small) -> None:
    with connect(small.port) as peer:
        peer.sendall(b"x\r\n\r\n" + b"y" * 100_000)
        assert peer.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        until = time.monotonic() + 20
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < until:
                peer.sendall(b"x" * 1000)
                time.sleep(0.02)
