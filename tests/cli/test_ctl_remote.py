"""ctl over XML-RPC, and a server that is not what one expects. What a real Supervisor answers is in tests/compat."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xmlrpc.client import Fault, dumps

import pytest

from .fake_daemon import FakeDaemon

Ctl = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


class Canned:
    """A server that reads one request of each connection, answers with the same bytes each time, and closes."""

    def __init__(self, listener: socket.socket, answer: bytes) -> None:
        self.answer, self._listener = answer, listener
        self.requests: list[bytes] = []
        listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        request = b""
        try:
            while not (found := re.match(rb"(?s)(.*?)\r\n\r\n(.*)", request)):
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", found[1])
            body = found[2]
            while len(body) < (int(length[1]) if length else 0):
                body += connection.recv(65536)
            self.requests.append(found[1] + b"\r\n\r\n" + body)
            connection.sendall(self.answer)
        except ConnectionError:
            pass  # the client has seen enough

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


Serve = Callable[..., Canned]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(answer)`: a server on a port of its own, or on a unix socket."""
    started: list[Canned] = []

    def start(answer: bytes, path: Path | None = None) -> Canned:
        listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        listener.bind(str(path) if path else ("127.0.0.1", 0))
        started.append(Canned(listener, answer))
        return started[-1]

    yield start
    for one in started:
        one.close()


def http(body: bytes, status: str = "200 OK", head: str = "Content-Type: text/xml") -> bytes:
    return f"HTTP/1.0 {status}\r\n{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def value(*values: object) -> bytes:
    return http(dumps(values, methodresponse=True).encode())


def fault(code: int, text: str) -> bytes:
    return http(dumps(Fault(code, text)).encode())


def state(api_version: str = "3.0") -> bytes:
    """What the first question of most commands is answered with."""
    return value([api_version, "4.3.0", "supervisor", {"statecode": 1, "statename": "RUNNING"}, 99])


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<methodResponse><params><param><value><string>&b;&b;</string></value></param></params></methodResponse>"
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"URL: what answers there does not speak HTTP: 'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        (b"", r"<class 'http.client.RemoteDisconnected'>, Remote end closed connection without response: PLACE"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n<", r"URL: the answer is cut off"),
        (http(b"<html>hello</html>"), r"URL: the answer is not XML-RPC: '.*'"),
        (http(b"hello"), r"URL: the answer is not XML-RPC: 'syntax error: line 1, column 0'"),
        (http(b"", "301 Moved", "Location: https://elsewhere/"),
         r"URL: the server sends us to 'https://elsewhere/', which is not followed"),
        (http(b"", "302 Found"),
         r"<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 302 Found>: PLACE"),
        (http(b"oops", "500 Internal Server Error"),
         r"<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 500 Internal Server Error>: "
         "PLACE"),
        (http(BOMB), r"URL: the answer is not XML-RPC: [\"']DTDForbidden.*"),
        (value(17), r"URL: .*: not the answer of a Supervisor"),
        (fault(999, "odd"), r"<class 'xmlrpc.client.Fault'>, <Fault 999: 'odd'>: PLACE"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", ["pid", "update"])
def test_answers_that_are_none(ctl: Ctl, serve: Serve, answer: bytes, said: str, words: str) -> None:
    server = serve(answer)
    done = ctl(words, url=server.url)
    shown = re.sub(r": file: \S+ line: \d+", ": PLACE", done.stdout.replace(server.url, "URL"))
    assert re.fullmatch(f"error: {said}\n", shown), done.stdout
    assert (done.stderr, done.returncode) == ("", 1)


def test_an_answer_without_end(ctl: Ctl, serve: Serve) -> None:
    server = serve(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * (65 << 20))
    done = ctl("pid", url=server.url)
    assert done.stdout == f"error: {server.url}: the answer has more than 64 MiB, ask for less\n"
    assert done.returncode == 1


@pytest.mark.parametrize("answer", [b"garbage\r\n", http(b"", "400 Bad Request"), b""])
def test_a_unix_socket_of_something_else(ctl: Ctl, serve: Serve, tmp_path: Path, answer: bytes) -> None:
    serve(answer, tmp_path / "x.sock")
    done = ctl("pid", url=f"unix://{tmp_path}/x.sock")
    assert done.stdout.startswith("error: ")
    assert (done.stdout.count("\n"), done.stderr, done.returncode) == (1, "", 1)


def test_a_server_without_the_namespace(ctl: Ctl, serve: Serve) -> None:
    server = serve(fault(1, "UNKNOWN_METHOD"))
    sentence = "Sorry, supervisord responded but did not recognize the supervisor namespace commands"
    done = ctl("pid", url=server.url)
    assert (done.stdout.startswith(sentence), done.returncode) == (True, 3)
    assert ctl("status", url=server.url).returncode == 4
    assert "<Fault 1: 'UNKNOWN_METHOD'>" in ctl("avail", url=server.url).stdout


def test_a_server_that_ends(ctl: Ctl, serve: Serve) -> None:
    server = serve(fault(6, "SHUTDOWN_STATE"))
    assert "xmlrpc.client.Fault'>, <Fault 6: 'SHUTDOWN_STATE'>: file: " in ctl("pid", url=server.url).stdout
    for words in ("update", "reload"):
        done = ctl(words, url=server.url)
        assert (done.stdout, done.returncode) == ("ERROR: already shutting down\n", 1)
    assert ctl("avail", url=server.url).stdout == "ERROR: supervisor shutting down\n"
    done = ctl("shutdown", url=server.url)
    assert (done.stdout, done.returncode) == ("ERROR: already shutting down\n", 0)


def test_another_version_of_the_interface(ctl: Ctl, serve: Serve) -> None:
    server = serve(state("2.0"))
    done = ctl("pid", url=server.url)
    assert done.stdout.endswith("API version 3.0, but the remote version is 2.0.\n")
    assert done.returncode == 5


def test_who_asks(ctl: Ctl, serve: Serve, tmp_path: Path) -> None:
    server = serve(state())
    (tmp_path / "supervisord.conf").write_text("[supervisorctl]\nusername=me\npassword=pässword:1\n")
    assert ctl("pid", url=server.url).stdout == "99\n"                      # bWU6... is what the configuration has
    assert b"\r\nAuthorization: Basic bWU6cMOkc3N3b3JkOjE=\r\n" in server.requests[-1]
    assert ctl("-u", "you", "-p", "x", "pid", url=server.url).stdout == "99\n"
    assert b"\r\nAuthorization: Basic eW91Ong=\r\n" in server.requests[-1]
    (tmp_path / "supervisord.conf").unlink()
    assert ctl("-u", "you", "pid", url=server.url).stdout == "99\n"
    assert b"Authorization" not in server.requests[-1]


def test_no_password_is_shown(ctl: Ctl, serve: Serve) -> None:
    server = serve(http(b"", "401 Unauthorized"))
    url = server.url.replace("//", "//me:hush@")
    for words in (["pid"], ["tail", "-f", "x"], ["open", url], ["-i", "pid"]):
        done = ctl("-u", "me", "-p", "hush", *words, url=url)
        assert "Server requires authentication\n" in done.stdout
        assert "hush" not in done.stdout + done.stderr
    refused = ctl("-p", "hush", "pid", url="http://me:hush@127.0.0.1:1/x")
    assert (refused.stdout, refused.returncode) == ("http://127.0.0.1:1/x refused connection\n", 4)


@pytest.mark.parametrize("url", ["http://nowhere.invalid:9001", "http://127.0.0.1:99999", "http://127.0.0.1:x"])
def test_an_address_that_is_none(ctl: Ctl, url: str) -> None:
    done = ctl("pid", url=url)
    assert re.fullmatch(r"error: <class '\S+'>, .+: file: \S+ line: \d+\n", done.stdout), done.stdout
    assert (done.stderr, done.returncode) == ("", 1)


def test_a_control_socket_that_is_left(ctl: Ctl, serve: Serve, tmp_path: Path) -> None:
    """A daemon of ours was killed, now a Supervisor listens at the same place; and then nobody does."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "x.sock.control"))
    url = f"unix://{tmp_path}/x.sock"
    assert ctl("pid", url=url).stdout == f"{url} refused connection\n"
    serve(state(), tmp_path / "x.sock")
    assert ctl("pid", url=url).stdout == "99\n"


@pytest.mark.root
def test_a_control_socket_for_others(serve: Serve, environment: dict[str, str]) -> None:
    """The HTTP socket of our own daemon may be open to more people than its control socket."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        serve(state(), folder / "x.sock")
        (folder / "x.sock").chmod(0o777)
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(folder / "x.sock.control"))
            (folder / "x.sock.control").chmod(0o600)
            control.listen()
            code = (
                "import os, sys; from sdsuper.cli.ctl import main, session; import sdsuper.cli.ctl.commands, "
                "sdsuper.cli.ctl.show, sdsuper.cli.ctl.local, sdsuper.cli.ctl.remote; os.setgroups([]); "
                "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); "
                f"sys.exit(main(['-s', 'unix://{folder}/x.sock', 'pid']))"
            )
            # whoever it becomes may not write coverage's data
            without_coverage = {name: value for name, value in environment.items() if "COVERAGE" not in name}
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                                  env=without_coverage, cwd=folder)  # fmt: skip
        assert (done.stdout, done.stderr, done.returncode) == ("99\n", "", 0)
    finally:
        shutil.rmtree(folder)


def test_without_the_libraries(serve: Serve) -> None:
    server = serve(state())
    code = f"""
import sys
sys.modules["defusedxml.xmlrpc"] = None
from sdsuper.cli.ctl import main
sys.exit(main(["-s", "{server.url}", "pid"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == f"error: {server.url}: control over HTTP needs the Python module defusedxml.xmlrpc\n"
    assert done.returncode == 1


def test_the_control_socket_needs_none_of_this(daemon: FakeDaemon) -> None:
    code = f"""
import sys
from sdsuper.cli.ctl import main
main(["-s", "unix://{daemon.path}", "status"])
main(["-s", "unix://{daemon.path}", "tail", "cat"])
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"http", "xmlrpc", "urllib", "defusedxml", "h11",
    "getpass", "email", "ssl", "xml", "typing", "argparse"}}))
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT,
                          env=environment)  # fmt: skip
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr
    daemon.close()


def test_notices_are_errors_of_status(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.notices = ["/etc/x.conf:3: [inet_http_server]: closed, it has no password", "second"]
    for words in (["status"], ["status", "cat"], ["status", "-o", "json"]):
        done = ctl(*words)
        assert done.stderr == "".join(f"sdsuper ctl: {notice}\n" for notice in daemon.notices)
        assert "closed" not in done.stdout
    assert ctl("pid").stderr == ""
