"""Logs over HTTP: followed live as supervisorctl does, read in parts of any size, whatever bytes are in them."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.web import Connection, ask, call, connect, proxy, serve
from tests.engine.conftest import ROOT, Daemon, Start

CAT = "[program:cat]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile={dir}/cat.log\nstderr_logfile=NONE\n"
Wait = Callable[..., None]


class Tail:
    """A `tail -f` over HTTP."""

    def __init__(self, path: str, place: str) -> None:
        self.peer = connect(path, 0.05)
        # with the two empty lines of the real supervisorctl
        self.peer.sendall(f"GET {place} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: chunked\r\n\r\n\r\n".encode())
        self.data = b""

    def has(self, data: bytes) -> bool:
        """Whether that has come, chunks undone."""
        try:
            self.data += self.peer.recv(65536)
        except TimeoutError:
            pass
        _head, _end, rest = self.data.partition(b"\r\n\r\n")
        body = b""
        while b"\r\n" in rest:
            size, _end, rest = rest.partition(b"\r\n")
            body, rest = body + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        return data in body

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode()


@pytest.fixture
def tail() -> Iterator[Callable[[str, str], Tail]]:
    made: list[Tail] = []

    def make(path: str, place: str) -> Tail:
        made.append(Tail(path, place))
        return made[-1]

    yield make
    for one in made:
        one.peer.close()


def log(daemon: Daemon) -> Path:
    return daemon.directory / "cat.log"


def test_it_follows(start: Start, tail: Callable[[str, str], Tail], wait_for: Wait) -> None:
    served = serve(start, CAT)
    log(served.daemon).write_bytes(b"x" * 5000 + b"the end\n")
    found = tail(served.path, "/logtail/cat")
    wait_for(lambda: found.has(b"x" * 1016 + b"the end\n"), "the last 1024 bytes")
    assert not found.has(b"x" * 1017)
    assert found.head.startswith("HTTP/1.1 200 OK\r\n") and "\r\nTransfer-Encoding: chunked" in found.head
    lines = dict(line.lower().split(": ", 1) for line in found.head.split("\r\n")[1:])
    assert lines["content-type"] == "text/plain;charset=utf-8" and lines["x-accel-buffering"] == "no"
    assert lines["last-modified"].endswith(" gmt")
    everything = bytes(range(256))
    with open(log(served.daemon), "ab") as file:
        file.write(everything)
    wait_for(lambda: found.has(b"the end\n" + everything), "every byte as it is")
    served.daemon.call("WriteStdin", name="cat", data="from the program\n")
    wait_for(lambda: found.has(b"from the program\n"), "what the program says")


def test_it_follows_rotation_truncation_and_return(start: Start, tail: Callable[[str, str], Tail], wait_for: Wait,
                                                   ) -> None:
    served = serve(start, CAT)
    found = tail(served.path, "/logtail/cat:cat/stdout")
    served.daemon.call("WriteStdin", name="cat", data="one\n")
    wait_for(lambda: found.has(b"one\n"), "the old file")
    os.rename(log(served.daemon), served.daemon.directory / "cat.log.1")
    with open(served.daemon.directory / "cat.log.1", "ab") as file:
        file.write(b"still the old one\n")
    served.daemon.call("ReopenLogs")
    served.daemon.call("WriteStdin", name="cat", data="two\n")
    wait_for(lambda: found.has(b"one\nstill the old one\ntwo\n"), "both files")
    os.truncate(log(served.daemon), 0)
    wait_for(lambda: found.has(b"==> File truncated <==\n"), "the truncation")
    served.daemon.call("WriteStdin", name="cat", data="three\n")
    wait_for(lambda: found.has(b"three\n"), "what comes after it")


def test_the_main_log(start: Start, tail: Callable[[str, str], Tail], wait_for: Wait) -> None:
    served = serve(start, CAT)
    found = tail(served.path, "/mainlogtail")
    wait_for(lambda: found.has(b"INFO spawned: 'cat'"), "what is there")
    served.daemon.call("Stop", name="cat")
    wait_for(lambda: found.has(b"stopped: cat"), "what comes")
    assert "x-accel-buffering" not in found.head.lower()


@pytest.mark.parametrize("place", [
    "/logtail", "/logtail/", "/logtail/nosuch", "/logtail/cat/stderr", "/logtail/cat/x", "/logtail/c*", "/logtail/all",
    "/logtail/cat:*", "/logtail/cat:", "/logtail/%00", "/logtail/../../etc/passwd", "/logtail/cat/../../x",
    "/logtail/%ff",
])
def test_what_is_not_there(start: Start, place: str) -> None:
    assert ask(serve(start, CAT).path, "GET", place).status == 404


def test_a_client_that_leaves_leaves_nothing(start: Start, tail: Callable[[str, str], Tail], wait_for: Wait) -> None:
    served = serve(start, CAT)
    assert ask(served.path, "GET", "/ok.html").status == 200
    face = served.face

    def descriptors() -> int:
        return len(list(Path(f"/proc/{face}/fd").iterdir()))

    before = descriptors()
    many = [tail(served.path, "/logtail/cat") for _ in range(10)]
    for one in many:
        wait_for(lambda one=one: "200 OK" in one.head or one.has(b"never"), "it follows")
    assert descriptors() >= before + 19         # the first connection may be gone by now
    for one in many:
        one.peer.close()
    wait_for(lambda: descriptors() <= before, "all descriptors are back")


def test_all_bytes_can_be_read(start: Start) -> None:
    served = serve(start, CAT)
    data = bytes(range(256)) * 3 + b"\xe2\x82"
    log(served.daemon).write_bytes(data)
    expected = "".join("\ufffd" if c < " " and c not in "\t\n\r" else c
                       for c in data.decode(errors="replace")).replace("\r", "\n")
    with proxy(served.path) as server:
        assert server.supervisor.readProcessStdoutLog("cat", 0, 0) == expected
        for offset in range(0, 800, 37):
            assert isinstance(server.supervisor.readProcessStdoutLog("cat", offset, 5), str)
            assert server.supervisor.tailProcessStdoutLog("cat", offset, 9)[1] == len(data)
    assert ask(served.path, "GET", "/tail.html?processname=cat").status == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_logs_of_any_size_are_streamed(start: Start, version: str) -> None:
    served = serve(start, CAT)
    line = "äöü <&> 0123456789\n".encode()
    with open(log(served.daemon), "wb") as file:
        file.write(b"\x9f" + line * 500_000)
    with connect(served.path) as peer:
        body = call("supervisor.readProcessStdoutLog", "<params><param><value>cat</value></param><param><value><int>0"
                    "</int></value></param><param><value><int>0</int></value></param></params>")
        peer.sendall(f"POST /RPC2 HTTP/{version}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                     .encode() + body)
        data = b"".join(iter(lambda: peer.recv(1 << 20), b""))
    assert data.count("äöü &lt;&amp;&gt; 0123456789\n".encode()) > 490_000      # chunks may cut some
    with proxy(served.path) as server:
        assert server.supervisor.readProcessStdoutLog("cat", 0, 0) == "\ufffd" + line.decode() * 500_000
        text, size, overflow = server.supervisor.tailProcessStdoutLog("cat", 0, len(line) * 100_000)
        assert (text, size, overflow) == (line.decode() * 100_000, 1 + len(line) * 500_000, True)
        one = {"methodName": "supervisor.readProcessStdoutLog", "params": ["cat", 0, 1_000_000]}
        found = server.system.multicall([one] * 10)
        assert [isinstance(item, str) for item in found] == [True] * 8 + [False] * 2
        assert len(set(found[:8])) == 1 and found[9]["faultCode"] == 30


def test_who_does_not_read_a_long_log_costs_little(start: Start, wait_for: Wait) -> None:
    served = serve(start, CAT)
    with open(log(served.daemon), "wb") as file:
        file.truncate(300 << 20)
    assert ask(served.path, "GET", "/ok.html").status == 200
    face = served.face

    def kilobytes() -> int:
        return int(Path(f"/proc/{face}/status").read_text().partition("VmRSS:")[2].split()[0])

    before = kilobytes()
    connection = Connection(served.path)
    connection.connect()
    assert connection.sock is not None
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.request("POST", "/RPC2", call(
        "supervisor.readProcessStdoutLog", "<params><param><value>cat</value></param><param><value><int>0</int></value>"
        "</param><param><value><int>0</int></value></param></params>"))
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 200 OK")
    with proxy(served.path) as server:
        for _ in range(100):
            assert server.supervisor.getState()["statename"] == "RUNNING"
    assert kilobytes() < before + 10_000
    connection.close()


def test_the_real_supervisorctl(start: Start, wait_for: Wait) -> None:
    served = serve(start, CAT)
    served.daemon.call("WriteStdin", name="cat", data="hello\n")
    wait_for(lambda: log(served.daemon).read_text() == "hello\n", "it is in the log")
    for server, output in ((f"unix://{served.path}", "hello\n"), (f"http://127.0.0.1:{served.port}", "hello\n")):
        command = [ROOT / ".venv/original/bin/supervisorctl", "-s", server, "-u", "user", "-p", "secret"]
        tailing = subprocess.Popen([*command, "tail", "-f", "cat"], stdout=subprocess.PIPE, text=True, bufsize=0)
        assert tailing.stdout is not None
        assert tailing.stdout.readline() == "==> Press Ctrl-C to exit <==\n"
        assert tailing.stdout.readline() == output
        tailing.kill()
        tailing.wait()
        tailing.stdout.close()
        done = subprocess.run([*command, "tail", "-f", "nosuch"], capture_output=True, text=True, timeout=30)
        assert done.stderr.endswith("/logtail/nosuch/stdout Cannot read, status code 404\n") and done.returncode == 0
