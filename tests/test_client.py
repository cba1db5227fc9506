"""The Python client, against the real server and against sockets that misbehave."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sdsuper.client import Client, ProtocolError
from sdsuper.control.interface import INTERFACE
from sdsuper.control.server import Call, Server, listen
from sdsuper.errors import FAULTS, Refusal
from tests.looping import fresh_loop, meanwhile


@pytest.fixture
def against(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`against(handle, work)`: what `work(client)` returns when `handle(call)` answers."""
    with fresh_loop() as loop:

        def use(handle: Callable[[Call], object], work: Callable[[Client], Any]) -> Any:
            path = str(tmp_path / "socket")
            server = Server(loop, path, listen(path, None), None, handle)

            def run() -> Any:
                with Client(path, 10) as client:
                    return work(client)

            try:
                return meanwhile(loop, run)
            finally:
                server.close()

        yield use


@contextmanager
def peer(path: Path, *answers: bytes | None) -> Iterator[Client]:
    """A client of somebody who answers each call with these bytes (None: not at all), then hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        leave = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(1 << 16):
                        return
                    if answer is not None:
                        connection.sendall(answer)
                if None in answers:
                    leave.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with Client(str(path), 5) as client:
                yield client
        finally:
            leave.set()
            thread.join()


def test_parameters_and_replies(against: Callable[..., Any]) -> None:
    def handle(call: Call) -> None:
        call.reply({"seen": call.parameters, "method": call.method})

    assert against(handle, lambda client: client.call("List", name="é\0\n")) == {"seen": {"name": "é\0\n"},
                                                                                 "method": "List"}
    assert against(handle, lambda client: client.call("List", name=None))["seen"] == {}
    assert against(handle, lambda client: client.call("org.varlink.service.GetInfo"))["vendor"] == "sdsuper"


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_refusals(against: Callable[..., Any], fault: str) -> None:
    with pytest.raises(Refusal) as caught:
        against(lambda call: call.refuse(Refusal(fault, "web")), lambda client: client.call("List"))
    assert (caught.value.fault, caught.value.code, caught.value.detail) == (fault, FAULTS[fault], "web")


def test_a_refusal_leaves_the_connection_usable(against: Callable[..., Any]) -> None:
    def handle(call: Call) -> None:
        if call.method == "Stop":
            call.refuse(Refusal("BAD_NAME", "x"))
        else:
            call.reply({"processes": []})

    def work(client: Client) -> object:
        for _ in range(3):
            with pytest.raises(Refusal):
                client.call("Stop", name="x")
            with pytest.raises(ProtocolError, match="MethodNotFound"):
                client.call("Other")
        return client.call("List")

    assert against(handle, work) == {"processes": []}


@pytest.mark.parametrize(("method", "parameters", "words"), [
    ("Other", {}, r"^io\.sdsuper\.Control\.Other: MethodNotFound io\.sdsuper\.Control\.Other$"),
    ("a.b.C", {}, r"^a\.b\.C: InterfaceNotFound a\.b$"),
    ("Start", {}, r"Start: InvalidParameter name$"),
    ("List", {"name": 1}, r"List: InvalidParameter name$"),
])
def test_the_call_itself_is_wrong(
    against: Callable[..., Any], method: str, parameters: dict[str, Any], words: str,
) -> None:
    with pytest.raises(ProtocolError, match=words):
        against(lambda call: None, lambda client: client.call(method, **parameters))


@pytest.mark.parametrize("answer", [
    b"\0", b"hello\0", b"[]\0", b"null\0", b"1\0", b'"x"\0', b'{"parameters":[1]}\0', b'{"parameters":"x"}\0',
    b'{"error":1}\0', b'{"error":["x"],"parameters":{}}\0', b'{"error":"x","parameters":[1]}\0', b"\xff\xfe\0",
    b"[" * 100_000 + b"\0",
    json.dumps({"error": f"{INTERFACE}.Refused", "parameters": {"fault": "NO_SUCH"}}).encode() + b"\0",
    json.dumps({"error": f"{INTERFACE}.Refused", "parameters": {"fault": [1]}}).encode() + b"\0",
    b'{"error":"a.b.Strange"}\0',
], ids=lambda answer: repr(answer[:30]))
def test_a_daemon_that_speaks_something_else(tmp_path: Path, answer: bytes) -> None:
    with peer(tmp_path / "socket", answer) as client, pytest.raises(ProtocolError):
        client.call("List")


@pytest.mark.parametrize("answer", [b"", b'{"parameters":{}}'])
def test_a_daemon_that_hangs_up(tmp_path: Path, answer: bytes) -> None:
    with peer(tmp_path / "socket", answer) as client:
        with pytest.raises(ConnectionError):
            client.call("List")
        with pytest.raises(OSError):
            client.call("List")


def test_a_reply_in_pieces_and_two_at_once(tmp_path: Path) -> None:
    with peer(tmp_path / "socket", b'{"parameters":{"a":1}}\0{"parameters":{"b":', b"2}}\0") as client:
        assert client.call("List") == {"a": 1}
        assert client.call("List") == {"b": 2}


def test_no_parameters_are_empty_parameters(tmp_path: Path) -> None:
    with peer(tmp_path / "socket", b'{}\0', b'{"parameters":null}\0') as client:
        assert client.call("Shutdown") == {}
        assert client.call("Shutdown") == {}


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "socket"))
    with pytest.raises(ConnectionRefusedError):
        Client(str(tmp_path / "socket"))


def test_a_call_that_was_given_up(tmp_path: Path) -> None:
    """Its late reply is never taken for another call's."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with Client(str(tmp_path / "socket"), 0.05) as client:
            connection, _ = listener.accept()
            with pytest.raises(TimeoutError):
                client.call("Start", name="x")
            try:
                connection.sendall(b'{"parameters":{"results":["of the first call"]}}\0')
            except BrokenPipeError:
                pass
            with pytest.raises(OSError):
                client.call("List")
            connection.close()


def test_logs(against: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a line\n")

    def handle(call: Call) -> None:
        fd = os.open(tmp_path / "log", os.O_RDONLY)
        call.reply({"path": str(tmp_path / "log")}, fd)
        os.close(fd)

    def work(client: Client) -> tuple[bytes, bool, str]:
        fd, path = client.open_log("web", "stderr")
        client.call("OpenLog")                          # its descriptor is not taken: the client closes it
        client.close()
        with open(fd, "rb") as file:
            return file.read(), os.get_inheritable(fd), path

    assert against(handle, work) == (b"a line\n", False, str(tmp_path / "log"))


def test_a_log_without_its_descriptor(against: Callable[..., Any]) -> None:
    with pytest.raises(ProtocolError, match="no descriptor"):
        against(lambda call: call.reply({"path": "x"}), lambda client: client.open_log())
