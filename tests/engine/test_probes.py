"""What is asked over HTTP, TCP and unix sockets, by the real process, of real servers: good, bad, slow, huge, hung."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from json import dumps
from pathlib import Path

import pytest

from sdsuper.config.load import load
from sdsuper.config.model import User
from sdsuper.core.slot import Slot
from sdsuper.engine.errands import ErrandResult, Errands
from sdsuper.engine.launching import Surroundings
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.probes import PROBE_GID, Probes, Question
from sdsuper.engine.resources import Resources
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Trees
from sdsuper.logs.journal import Journal
from sdsuper.logs.main import MainLog
from sdsuper.probe import web as asking
from sdsuper.system.host import RealHost
from sdsuper.system.loop import Loop
from sdsuper.system.process import Launcher
from tests.engine.probed import BUSY, OK, redirect, web
from tests.engine.syslogd import Certificates, free_port
from tests.engine.test_errands import Lines, _no_console
from tests.looping import fresh_loop, turn_until
from tests.ways import open_ways

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
NOBODY = User("nobody", 65534, 65534, (65534,), "/", "/bin/sh")


class House:
    """An engine with one program, and who asks."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        config = directory / "probes.conf"
        config.write_text("[supervisord]\n[program:web]\ncommand=/bin/true\n")
        self.loop, self.log, self.lines = loop, MainLog("debug"), Lines()
        self.log.sinks = [self.lines]
        environment = {name: os.environ[name] for name in ("PATH", "SDSUPER_TESTS")}
        self.engine = Engine(loop, self.log, Launcher(), Trees(loop, None, f"probes-{os.getpid()}"),
                             Outputs(str(directory), "probes", _no_console, Journal(), self.log.write),
                             Resources(loop, None, self.log), Surroundings(environment, None, (), False))
        self.probes = Probes(self.engine, Errands(self.engine), NOBODY)
        (group,) = load(str(config), RealHost()).groups
        self.slot = Slot("web", group.processes[0])

    def begin(self, text: str, seconds: float = 10) -> tuple[Question, list[ErrandResult]]:
        found: list[ErrandResult] = []
        question = self.probes.run(self.slot, text, seconds, found.append)
        return question, found      # type: ignore[return-value]

    def ask(self, text: str, seconds: float = 10) -> str:
        """Why it is bad, or nothing."""
        _question, found = self.begin(text, seconds)
        turn_until(self.loop, lambda: found)
        (result,) = found
        assert result.ok == (not result.reason)
        return ("LACK " if result.lack else "") + result.reason

    @property
    def pid(self) -> int:
        pid: int = self.probes._companion.pid
        return pid


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with fresh_loop() as loop:
        made = House(loop, tmp_path)
        yield made
        made.engine.close()


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (304, True), (399, True), (400, False),
                                              (404, False), (500, False), (503, False), (600, False), (199, None)])
def test_the_status_decides(house: House, status: int, good: bool | None) -> None:
    with web(lambda _path: f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n".encode()) as there:
        reason = house.ask(there.url)
        assert reason == ("" if good else f"HTTP {status}") if good is not None else reason


def test_what_a_request_says(house: House) -> None:
    with web() as there:
        url = there.url.replace("://", "://ann:se%20cret@")
        assert house.ask(f"{url}/a/b?c=d -H 'X-One: 1  2' -H 'Host: www.example' -H 'User-Agent: me'") == ""
        assert house.ask(f"{there.url} -d 'a=b&c'") == ""
        assert house.ask(f"{there.url} -d '{{}}' -H 'content-type: application/json'") == ""
    first, second, third = there.heads
    assert first.splitlines()[0] == "GET /a/b?c=d HTTP/1.1"
    for line in ("Host: www.example", "User-Agent: me", "X-One: 1  2", "Authorization: Basic YW5uOnNlIGNyZXQ=",
                 "Connection: close"):
        assert first.lower().splitlines().count(line.lower()) == 1, first
    assert second.startswith("POST / HTTP/1.1") and "application/x-www-form-urlencoded" in second
    assert third.lower().count("content-type") == 1 and "application/json" in third
    assert there.bodies == [b"", b"a=b&c", b"{}"]


def test_data_may_come_from_a_file(house: House, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\x00\xff body")
    with web() as there:
        assert house.ask(f"{there.url} -d @{tmp_path}/data") == ""
    assert there.bodies == [b"\x00\xff body"]
    none = f"{tmp_path}/none"
    assert house.ask(f"{there.url} -d @{none}") == f"LACK cannot read {none}: No such file or directory"


def test_redirects_on_one_host_are_followed(house: House) -> None:
    answers = {"/": redirect("/a"), "/a": redirect("b", 307), "/b": OK, "/c": redirect("/busy"), "/busy": BUSY,
               "/loop": redirect("/loop"), "/away": redirect("http://other.example/"), "/odd": redirect("gopher://x"),
               "/worse": redirect("http://localhost:0/"), "/post": redirect("/b", 303), "/kept": redirect("/b", 308)}
    with web(lambda path: answers[path]) as there:
        assert house.ask(there.url) == ""
        assert house.ask(f"{there.url}/c") == "HTTP 503"
        assert house.ask(f"{there.url}/loop") == "more than 5 redirects"
        assert house.ask(f"{there.url}/away") == "", "the program has answered, and nobody else is asked"
        for path in ("odd", "worse"):
            assert house.ask(f"{there.url}/{path}") == "redirected to what is no URL"
        there.heads.clear()
        assert house.ask(f"{there.url}/post -d x") == house.ask(f"{there.url}/kept -d x") == ""
        assert [head.split(" ")[0] for head in there.heads] == ["POST", "GET", "POST", "POST"]


def test_another_port_of_the_host_is_told_nothing(house: House) -> None:
    with web() as other, web(lambda _path: redirect(f"{other.url}/x", 307)) as there:
        assert house.ask(f"{there.url} -H 'X-Token: hunter2' -d hunter2") == "", "the program has answered"
        assert len(there.heads) == 1 and not other.heads


def test_the_password_goes_along_on_one_host_and_port(house: House) -> None:
    places = ["/relative"]
    with web(lambda path: OK if path == "/end" else redirect(places.pop(0))) as there:
        places += [f"{there.url}/absolute", f"{there.url.replace('://', '://eve:x@')}/end"]
        assert house.ask(there.url.replace("://", "://ann:se%20cret@")) == ""
    assert [head.count("Basic YW5uOnNlIGNyZXQ=") for head in there.heads] == [1, 1, 1, 1]


@pytest.mark.parametrize(("answer", "reason"), [
    (b"", "the connection was closed without an answer"),
    (b"HTTP/1.1 200", "the connection was closed without an answer"),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is no HTTP"), (b"\0" * 100000, "the answer is no HTTP"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100000, "the answer is no HTTP"),
    (b"HTTP/1.1 100 Go on\r\n\r\n" * 10 + OK, ""),
    (b"HTTP/1.1 100 Go on\r\n\r\n" * 11 + OK, "more than 10 interim answers"), (b"HTTP/1.0 200 OK\r\n\r\nold", ""),
])
def test_what_is_no_answer(house: House, answer: bytes, reason: str) -> None:
    with web(lambda _path: answer) as there:
        assert house.ask(there.url) == reason


def test_who_speaks_another_protocol_from_now_on_has_not_said_that_it_is_well(house: House) -> None:
    with web(lambda _path: b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n") as there:
        assert house.ask(f"{there.url} -H 'Upgrade: websocket'") == "HTTP 101"


def test_who_says_nothing_is_waited_for_no_longer_than_said(house: House) -> None:
    with web(lambda _path: None) as there:
        assert house.ask(there.url, 0.3) == "took longer than 0.3 seconds"
    with socket.create_server(("127.0.0.1", 0)) as hung:
        assert house.ask(f"http://127.0.0.1:{hung.getsockname()[1]}/", 0.3) == "took longer than 0.3 seconds"


def test_who_dribbles_is_waited_for_no_longer_than_said(house: House) -> None:
    ends = threading.Event()

    def dribble(server: socket.socket) -> None:
        connection, _place = server.accept()
        try:
            while not ends.is_set():
                connection.sendall(b"H")
                time.sleep(0.02)
        except OSError:
            pass
        finally:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=dribble, args=(server,))
        thread.start()
        assert house.ask(f"http://127.0.0.1:{server.getsockname()[1]}/", 0.5) in (
            "took longer than 0.5 seconds", "the answer is no HTTP")
        ends.set()
        thread.join()


@contextmanager
def flood(beginning: bytes, piece: bytes) -> Iterator[str]:
    """The URL of a server that never ends its answer."""
    ends = threading.Event()

    def pour(connection: socket.socket) -> None:
        connection.settimeout(5)
        with connection, suppress(OSError):
            connection.sendall(beginning)
            while not ends.is_set():
                connection.sendall(piece * 4096)

    def accept() -> None:
        while not ends.is_set():
            with suppress(TimeoutError):
                threads.append(threading.Thread(target=pour, args=(server.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            ends.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize(("beginning", "piece", "reason"), [
    (b"", b"HTTP/1.1 100 \r\n\r\n", "more than 10 interim answers"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", ""),
])
def test_who_never_ends_keeps_nobody_waiting(house: House, beginning: bytes, piece: bytes, reason: str) -> None:
    with flood(beginning, piece) as url, web() as there:
        assert house.ask(there.url) == ""
        asked = [house.begin(url, 20) for _ in range(12)]
        _question, victim = house.begin(there.url, 10)
        turn_until(house.loop, lambda: victim and all(found for _question, found in asked))
    assert victim[0].ok and {found[0].reason for _question, found in asked} == {reason}


def test_a_time_that_passed_while_the_process_was_held_up_is_no_fault_of_the_program(house: House) -> None:
    with web(lambda path: OK if path == "/" else None) as there:
        assert house.ask(there.url) == ""
        _question, found = house.begin(f"{there.url}/never", 0.3)
        turn_until(house.loop, lambda: there.heads[1:])
        os.kill(house.pid, signal.SIGSTOP)
        try:
            over = time.monotonic() + 1.5
            turn_until(house.loop, lambda: time.monotonic() > over)
        finally:
            os.kill(house.pid, signal.SIGCONT)
        turn_until(house.loop, lambda: found)
        assert (found[0].lack, found[0].reason) == (True, "the process that asks was held up")
        assert house.ask(f"{there.url}/never", 0.3) == "took longer than 0.3 seconds"


def test_a_name_that_is_none_is_a_bad_answer_and_an_error_of_ours_is_not(house: House) -> None:
    assert house.ask("http://a..b/").startswith("name: ") and house.ask("tcp://a..b:1").startswith("name: ")
    found: list[ErrandResult] = []
    broken = Question(house.probes, 1000, found.append)
    broken.line = dumps({"number": 1000, "seconds": 5, "kind": "http", "target": "http://127.0.0.1:99999/",
                         "headers": [], "insecure": False}).encode() + b"\n"
    house.probes._open[1000] = broken
    house.probes._send(broken)
    turn_until(house.loop, lambda: found)
    assert (found[0].lack, found[0].reason) == (True, "the process that asks failed: ValueError")


def test_a_name_that_hangs_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """However often it is asked for: looking it up cannot be ended. The name server here never answers."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.77\noptions timeout:20 attempts:1\n")
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, theirs, ours,
          socket.create_server(("127.0.0.1", 0)) as there):
        silent.bind(("127.0.0.77", 53))
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(resolv),
             sys.executable, "-P", "-m", "sdsuper.probe"], stdin=theirs, env={**os.environ, "PYTHONPATH": str(ROOT)})
        questions = [*[("hangs.example:80", 0.2)] * 100,
                     *((f"{host}:{there.getsockname()[1]}", 15.0) for host in ("127.0.0.1", "localhost"))]
        for number, (target, seconds) in enumerate(questions):
            question = {"number": number, "kind": "tcp", "target": target, "seconds": seconds}
            ours.sendall(dumps(question).encode() + b"\n")
        answers = b""
        while answers.count(b"\n") < len(questions):
            answers += ours.recv(65536)
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(10) == 0
    told = dict(line.split(" ", 1) for line in answers.decode().splitlines())
    assert told["100"] == told["101"] == ""


@pytest.mark.parametrize("body", ["huge", "hung"])
def test_a_body_does_not_matter(house: House, body: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n" + (b"x" * 20_000_000 if body == "huge" else b"x")
    with web(lambda _path: answer) as there:
        assert house.ask(there.url, 5) == ""
        memory = int(Path(f"/proc/{house.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert memory < 100 << 20


def test_tls_is_checked(house: House, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "pki")
    good = certificates.context("good", "DNS:localhost")
    with web(context=good) as there:
        assert house.ask(f"{there.url} --ca-file {certificates.ca}") == ""
        assert house.ask(there.url).startswith("certificate: ")
        assert house.ask(f"{there.url} --insecure") == ""
        wrong = house.ask(f"{there.url.replace('localhost', '127.0.0.1')} --ca-file {certificates.ca}")
        assert wrong.startswith("certificate: ") and "mismatch" in wrong
        assert house.ask(f"{there.url} --ca-file {tmp_path}/pki/ca.key").startswith("cannot use the certificates")
        none = f"{tmp_path}/none.pem"
        assert house.ask(f"{there.url} --ca-file {none}") == f"LACK cannot read {none}: No such file or directory"
        there.answer = lambda _path: redirect(there.url.replace("https", "http"))
        assert house.ask(f"{there.url} --ca-file {certificates.ca}") == "redirected from https to http"
    with web() as plain:
        assert house.ask(plain.url.replace("http", "https")).startswith(("TLS: ", "the connection was reset"))


def test_a_server_may_want_a_certificate_of_ours(house: House, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "pki")
    context = certificates.context("server", "DNS:localhost", clients=True)
    cert, key = certificates.sign("client", "DNS:client")
    with web(context=context) as there:
        known = f"{there.url} --ca-file {certificates.ca}"
        assert house.ask(f"{known} --cert-file {cert} --key-file {key}") == ""
        assert house.ask(known) != ""


def test_the_certificates_of_the_system_are_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asking._context({"insecure": False})
    assert asking._context({"insecure": False}) is before
    monkeypatch.setattr(asking, "CONTEXT_SECONDS", -1.0)
    assert asking._context({"insecure": False}) is not before


def test_tcp(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert house.ask(f"tcp://127.0.0.1:{port}") == house.ask(f"tcp://localhost:{port}") == ""
    assert house.ask(f"tcp://127.0.0.1:{free_port()}") == "Connection refused"
    assert house.ask("tcp://no-such-host.invalid:80").startswith("name: ")


def test_unix(house: House, tmp_path: Path) -> None:
    path = open_ways(tmp_path) / "so cket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o666)
        assert house.ask(f"unix://{path}") == "Connection refused"
        server.listen()
        assert house.ask(f"unix://{path}") == ""
        path.chmod(0o600)
        assert house.ask(f"unix://{path}") == "Permission denied", "who asks has no rights"
    assert house.ask(f"unix://{tmp_path}/none") == "No such file or directory"


def test_the_process_has_no_rights_and_no_secrets_on_its_command_line(house: House) -> None:
    with web() as there:
        assert house.ask(f"{there.url}/?token=hunter2 -H 'A: hunter2' -d hunter2") == ""
    status = Path(f"/proc/{house.pid}/status").read_text()
    assert f"Uid:\t{NOBODY.uid}\t{NOBODY.uid}" in status and f"Gid:\t{PROBE_GID}\t{PROBE_GID}" in status
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    for name in ("cmdline", "environ"):
        assert b"hunter2" not in Path(f"/proc/{house.pid}/{name}").read_bytes()
    assert "hunter2" not in house.lines.text


def test_many_at_once_and_each_has_its_own_answer(house: House) -> None:
    with web(lambda path: f"HTTP/1.1 {path[1:]} So\r\nContent-Length: 0\r\n\r\n".encode()) as there:
        asked = [house.begin(f"{there.url}/{status}") for status in range(400, 500)]
        turn_until(house.loop, lambda: all(found for _question, found in asked))
    assert [found[0].reason for _question, found in asked] == [f"HTTP {status}" for status in range(400, 500)]


def test_a_question_can_be_taken_back(house: House) -> None:
    with web(lambda _path: None) as there:
        question, found = house.begin(there.url)
        turn_until(house.loop, lambda: there.heads)
        question.cancel()
        question.cancel()
        turn_until(house.loop, lambda: found)
        assert [result.reason for result in found] == ["cancelled"]
        turn_until(house.loop, lambda: not there.now)


def test_a_process_that_is_killed_comes_back_and_its_questions_say_nothing_of_programs(house: House) -> None:
    with web(lambda _path: None) as there:
        _question, found = house.begin(there.url)
        turn_until(house.loop, lambda: there.heads)
        os.kill(house.pid, signal.SIGKILL)
        turn_until(house.loop, lambda: found)
        assert (found[0].lack, found[0].reason) == (True, "the process that asks has ended")
        there.answer = lambda _path: OK
        assert house.ask(there.url) == "", "a question waits for the next process"
    assert house.lines.text.count("ended unexpectedly") == 1


def test_a_process_that_hangs_is_killed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.engine.probes.GRACE", 0.3)
    with web() as there:
        assert house.ask(there.url) == ""
        before = house.pid
        os.kill(before, signal.SIGSTOP)
        _question, found = house.begin(there.url, 0.2)
        turn_until(house.loop, lambda: found)
        assert found[0].lack
        turn_until(house.loop, lambda: house.pid != before)
        monkeypatch.setattr("sdsuper.engine.probes.GRACE", 10.0)
        assert house.ask(there.url) == ""


def test_a_process_that_nobody_needs_ends_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.engine.probes.IDLE_SECONDS", 0.2)
    with web() as there:
        assert house.ask(there.url) == ""
        turn_until(house.loop, lambda: not house.pid)
        assert house.ask(there.url) == "" and house.pid
    assert "unexpectedly" not in house.lines.text


def test_large_questions_do_not_mix(house: House, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\xff" * 1_000_000)
    with web() as there:
        asked = [house.begin(f"{there.url}/{number} -d @{tmp_path}/data", 60) for number in range(8)]
        turn_until(house.loop, lambda: all(found for _question, found in asked), 60)
        assert all(found[0].ok for _question, found in asked)
    assert sorted(map(len, there.bodies)) == [1_000_000] * 8


def test_commands_are_errands(house: House) -> None:
    assert house.ask("script:///bin/sh -c 'exit 3'") == "exit status 3"
    assert house.ask("/bin/true") == ""
    assert house.ask("sleep 60", 0.2) == "took longer than 0.2 seconds"
    assert house.pid == 0, "nobody else was needed"


def test_where_no_account_can_ask_it_is_said(tmp_path: Path) -> None:
    with fresh_loop() as loop:
        house = House(loop, tmp_path)
        house.probes = Probes(house.engine, Errands(house.engine), None)
        assert house.ask("http://localhost/") == (
            "LACK nobody can be asked: it needs an account without privileges, api_user")
        assert house.ask("/bin/true") == ""
        house.engine.close()


