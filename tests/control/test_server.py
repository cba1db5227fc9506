"""The control socket against clients of every kind: who may do what, and who is cut off."""

import array
import json
import os
import resource
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdsuper import VERSION
from sdsuper.client import Client, ProtocolError
from sdsuper.config.model import User
from sdsuper.control import server as module
from sdsuper.control.interface import DESCRIPTION, INTERFACE, LEVELS, Level
from sdsuper.control.server import SERVICE, SERVICE_DESCRIPTION, Call, Server, listen, make_directory
from sdsuper.errors import Refusal, StartError
from sdsuper.system.loop import Loop
from tests.looping import OTHER, asked_as, child, fresh_loop, meanwhile, turn_until
from tests.ways import open_ways

root = pytest.mark.root
GROUP = 100                     # a supplementary group of OTHER


class Rig:
    """A server whose commands are answered by `answers`; calls of a method in `waiting` stay open."""

    def __init__(self, loop: Loop, path: Path, group: int | None) -> None:
        self.loop, self.path = loop, path
        self.calls: list[Call] = []
        self.answers: dict[str, Callable[[Call], object]] = {}
        self.server = Server(loop, str(path), listen(str(path), group), group, self._handle)

    def _handle(self, call: Call) -> None:
        self.calls.append(call)
        self.answers.get(call.method, lambda call: call.reply({"processes": []}))(call)

    def connect(self) -> socket.socket:
        """A raw client, accepted."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        before = set(self.server.connections)
        client.connect(str(self.path))
        turn_until(self.loop, lambda: self.server.connections - before, "the connection")
        return client

    def talk(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call of an ordinary client."""

        def work() -> dict[str, Any]:
            with Client(str(self.path), 10) as client:
                return client.call(method, **parameters)

        return meanwhile(self.loop, work)  # type: ignore[no-any-return]

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        turn_until(self.loop, condition, what)

    def alive(self) -> None:
        """It answers, and nobody is left."""
        assert self.talk(f"{SERVICE}.GetInfo")["version"] == VERSION
        self.until(lambda: not self.server.connections, "the end of all connections")


@pytest.fixture
def loop() -> Iterator[Loop]:
    with fresh_loop() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that everybody may enter."""
    return open_ways(tmp_path)


@pytest.fixture
def rig(loop: Loop, place: Path) -> Iterator[Rig]:
    made = Rig(loop, place / "socket", GROUP if os.geteuid() == 0 else None)
    yield made
    made.server.close()


def message(method: str, more: str = "", **parameters: Any) -> bytes:
    if "." not in method:
        method = f"{INTERFACE}.{method}"
    return json.dumps({"method": method, "parameters": parameters, **({more: True} if more else {})}).encode() + b"\0"


def received(rig: Rig, client: socket.socket, count: int) -> list[dict[str, Any]]:
    """So many replies."""
    client.setblocking(False)
    data = bytearray()

    def there() -> bool:
        try:
            data.extend(client.recv(1 << 20))
        except BlockingIOError:
            pass
        return data.count(0) >= count

    rig.until(there, f"{count} replies")
    return [json.loads(reply) for reply in bytes(data).split(b"\0")[:-1]]


def cut_off(rig: Rig, client: socket.socket) -> None:
    """Wait until the server has ended it."""
    rig.until(lambda: not rig.server.connections, "the end of the connection")
    client.settimeout(5)
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    client.close()


# ---- introspection ------------------------------------------------------------------------------------------------

def test_introspection(rig: Rig) -> None:
    info = rig.talk(f"{SERVICE}.GetInfo")
    assert info.keys() == {"vendor", "product", "version", "url", "interfaces"}
    assert info["interfaces"] == [SERVICE, INTERFACE] and info["version"] == VERSION
    for name, text in ((INTERFACE, DESCRIPTION), (SERVICE, SERVICE_DESCRIPTION)):
        assert rig.talk(f"{SERVICE}.GetInterfaceDescription", interface=name) == {"description": text}


@pytest.mark.parametrize(("sent", "error", "parameters"), [
    ({"method": f"{SERVICE}.GetInterfaceDescription", "parameters": {"interface": "a.b"}}, "InterfaceNotFound",
     {"interface": "a.b"}),
    ({"method": f"{SERVICE}.GetInterfaceDescription"}, "InvalidParameter", {"parameter": "interface"}),
    ({"method": f"{SERVICE}.Other"}, "MethodNotFound", {"method": f"{SERVICE}.Other"}),
    ({"method": f"{INTERFACE}.Other"}, "MethodNotFound", {"method": f"{INTERFACE}.Other"}),
    ({"method": f"{INTERFACE}._handle"}, "MethodNotFound", {"method": f"{INTERFACE}._handle"}),
    ({"method": f"{INTERFACE}.server.close"}, "InterfaceNotFound", {"interface": f"{INTERFACE}.server"}),
    ({"method": "List"}, "InterfaceNotFound", {"interface": ""}),
    ({"method": ""}, "InterfaceNotFound", {"interface": ""}),
    ({"method": f"{INTERFACE}.List", "parameters": {"name": 1}}, "InvalidParameter", {"parameter": "name"}),
    ({"method": f"{INTERFACE}.List", "parameters": {"nam": "x"}}, "InvalidParameter", {"parameter": "nam"}),
    ({"method": f"{INTERFACE}.Start"}, "InvalidParameter", {"parameter": "name"}),
])
def test_errors_of_the_protocol(rig: Rig, sent: dict[str, Any], error: str, parameters: dict[str, Any]) -> None:
    client = rig.connect()
    client.send(json.dumps(sent).encode() + b"\0")
    assert received(rig, client, 1) == [{"error": f"{SERVICE}.{error}", "parameters": parameters}]
    client.close()
    assert not rig.calls
    rig.alive()


# ---- who ----------------------------------------------------------------------------------------------------------

def level_seen(rig: Rig, user: User) -> Any:
    """What a user's List and Shutdown come to, and the level of his calls."""
    path = str(rig.path)

    def ask() -> list[str]:
        said = []
        with Client(path, 10) as client:
            for method in ("List", "Shutdown"):
                try:
                    client.call(method)
                    said.append("yes")
                except ProtocolError as error:
                    said.append(str(error).split()[1])
        return said

    rig.calls.clear()
    return asked_as(rig.loop, user, ask), [call.level for call in rig.calls]


def refused_at_once(rig: Rig, user: User) -> bool:
    """Whether a user is told that he may nothing, whatever he asks, and is let go."""
    path = str(rig.path)

    def ask() -> list[str]:
        said = []
        for method in ("List", f"{SERVICE}.GetInfo"):
            with Client(path, 10) as client:
                try:
                    client.call(method)
                except ProtocolError as error:
                    said.append(str(error).split()[1])
                try:
                    client.call(method)
                except OSError:
                    said.append("closed")
        return said

    rig.calls.clear()
    return asked_as(rig.loop, user, ask) == ["PermissionDenied", "closed"] * 2 and not rig.calls


@root
def test_root_may_everything(rig: Rig) -> None:
    assert level_seen(rig, User("root", 0, 0, (), "/", "")) == (["yes", "yes"], [Level.ADMIN, Level.ADMIN])


@root
@pytest.mark.parametrize("user", [
    OTHER, OTHER._replace(gid=GROUP, groups=()), OTHER._replace(uid=4_000_000_000, gid=4_000_000_000),
    OTHER._replace(groups=tuple(range(10, 266))), OTHER._replace(gid=GROUP, groups=tuple(range(1000))),
], ids=["supplementary", "primary", "large", "of-256", "of-1000"])
def test_the_group_may_operate(rig: Rig, user: User) -> None:
    assert level_seen(rig, user) == (["yes", "PermissionDenied"], [Level.OPERATE])


@root
@pytest.mark.parametrize("groups", [(), (OTHER.gid, 4)])
def test_others_may_nothing_even_if_the_socket_is_wide_open(rig: Rig, groups: tuple[int, ...]) -> None:
    stranger = OTHER._replace(groups=groups)
    assert level_seen(rig, stranger) == ("PermissionError", [])
    rig.path.chmod(0o666)
    assert refused_at_once(rig, stranger)
    rig.alive()


@root
def test_without_a_group_only_root(loop: Loop, place: Path) -> None:
    rig = Rig(loop, place / "socket", None)
    rig.path.chmod(0o666)
    assert refused_at_once(rig, OTHER._replace(gid=0, groups=(0,)))
    rig.server.close()


@root
def test_the_owner_is_who_runs_the_daemon(loop: Loop, place: Path) -> None:
    owner = OTHER._replace(groups=())
    os.chown(place, owner.uid, owner.gid)
    os.seteuid(owner.uid)
    try:
        rig = Rig(loop, place / "socket", None)
        for user in (owner, User("root", 0, 0, (), "/", "")):
            assert level_seen(rig, user) == (["yes", "yes"], [Level.ADMIN, Level.ADMIN])
    finally:
        os.seteuid(0)
    rig.server.close()


@root
def test_who_connected_counts(rig: Rig) -> None:
    """A connection that root made stays root's, and one handed to root stays its maker's."""
    path = str(rig.path)

    def ask() -> str:
        with Client(path, 10) as client:
            os.setresuid(0, OTHER.uid, 0)
            client.call("Shutdown")
        return "yes"

    assert asked_as(rig.loop, User("root", 0, 0, (), "/", ""), ask) == "yes"


def test_each_method_needs_its_level(rig: Rig) -> None:
    client = rig.connect()
    for connection in rig.server.connections:
        connection.level = Level.OPERATE
    needs = {"Start": {"name": "x"}, "Stop": {"name": "x"}, "Signal": {"name": "x", "signal": "HUP"},
             "WriteStdin": {"name": "x", "data": ""}, "AddGroup": {"name": "x"}, "RemoveGroup": {"name": "x"},
             "SendEvent": {"type": "t", "data": ""}, "Cat": {"name": "x"},
             "Freeze": {"name": "x"}, "Thaw": {"name": "x"}, "Why": {"name": "x"}, "Scale": {"program": "x"},
             "Enable": {"name": "x"}, "Disable": {"name": "x"}, "ReloadProcess": {"name": "x"},
             "OpenConf": {"name": "x"}}
    for method, level in LEVELS.items():
        client.setblocking(True)
        client.send(message(method, **needs.get(method, {})))
        reply = received(rig, client, 1)[0]
        assert (reply.get("error") == f"{SERVICE}.PermissionDenied") == (level > Level.OPERATE)
    assert {call.method for call in rig.calls} == {method for method, level in LEVELS.items() if level is Level.OPERATE}
    client.close()


# ---- the socket ---------------------------------------------------------------------------------------------------

@root
@pytest.mark.parametrize(("group", "mode"), [(None, 0o600), (GROUP, 0o660)])
@pytest.mark.parametrize("umask", [0o022, 0o000, 0o777])
def test_mode_and_owner(place: Path, group: int | None, mode: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        listener = listen(str(place / "run" / "socket"), group)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    facts = (place / "run" / "socket").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (mode, 0, group or 0)
    assert not listener.get_inheritable() and not listener.getblocking()
    listener.close()


@root
def test_never_wider_for_a_moment(place: Path) -> None:
    """Somebody who looks and knocks all the time never sees more than the final mode."""
    path = place / "socket"
    read, write = os.pipe()

    def look() -> None:
        os.write(write, b"started ")
        while True:
            try:
                facts = os.stat(path)
            except OSError:
                continue
            seen = stat.S_IMODE(facts.st_mode), facts.st_gid
            if seen not in ((0o600, 0), (0o600, GROUP), (0o660, GROUP)):
                os.write(write, b"wide ")
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                os.write(write, b"connected ")
            except OSError:
                pass

    before = os.umask(0)
    try:
        with child(look, OTHER._replace(groups=())):
            assert os.read(read, 8) == b"started "
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                listen(str(path), GROUP).close()
    finally:
        os.umask(before)
    os.close(write)
    assert os.read(read, 100) == b""
    os.close(read)


def listening(path: Path, group: int) -> Any:
    """What another than root gets: the socket's mode and group, or why not."""

    def work() -> Any:
        try:
            listen(str(path), group).close()
        except StartError as error:
            return str(error)
        return [stat.S_IMODE(path.stat().st_mode), path.stat().st_gid]

    with fresh_loop() as loop:
        return asked_as(loop, OTHER, work)


@root
def test_the_group_of_one_who_is_not_root(place: Path) -> None:
    os.chown(place, OTHER.uid, OTHER.gid)
    assert listening(place / "one", GROUP) == [0o660, GROUP]
    assert listening(place / "two", 7) == (
        f"cannot listen on {place}/two: not root, and no member of the group 7 that control_group names")


@root
def test_a_directory_that_gives_its_group_away(place: Path) -> None:
    os.chown(place, 0, 7)
    place.chmod(0o2755)
    listen(str(place / "socket"), GROUP).close()
    make_directory(str(place / "run" / "socket"), 0, 0)
    for path, mode, gid in ((place / "run", 0o755, 0), (place / "socket", 0o660, GROUP)):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (mode, gid)


@root
@pytest.mark.parametrize("kind", ["link", "file", "second name", "socket of another"])
def test_what_the_owner_of_the_directory_puts_there_is_not_opened(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """He does so in the moment after the socket was made; what he would have opened to the group stays as it was."""
    path, victim = place / "socket", place / "victim"
    plain = socket.socket

    class Replaced(plain):  # type: ignore[misc, valid-type]
        def bind(self, address: Any) -> None:
            super().bind(address)
            path.unlink()
            if kind == "file":
                victim.touch(0o600)
            else:
                with plain(socket.AF_UNIX) as other:
                    other.bind(str(victim))
                victim.chmod(0o600)
            if kind == "link":
                path.symlink_to(victim)
            elif kind == "second name":
                path.hardlink_to(victim)
            else:
                victim.rename(path)
            if kind == "socket of another":
                os.chown(path, OTHER.uid, -1)

    monkeypatch.setattr(module.socket, "socket", Replaced)
    with pytest.raises(StartError, match=f"^cannot listen on {path}: somebody else has replaced it$"):
        listen(str(path), GROUP)
    monkeypatch.undo()
    facts = path.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_gid) == (0o600, 0)


@root
@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_a_directory_for_another_user(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_directory(str(place / "run" / "socket"), OTHER.uid, OTHER.gid)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    facts = (place / "run").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (0o755, OTHER.uid, OTHER.gid)
    assert listening(place / "run" / "socket", GROUP) == [0o660, GROUP]
    make_directory(str(place / "run" / "socket"), 7, 7)         # it is there: it stays as it is
    assert (place / "run").stat().st_uid == OTHER.uid


def test_a_directory_that_cannot_be_made(place: Path) -> None:
    with pytest.raises(StartError, match=f"^cannot listen on {place}/a/b/c: cannot make {place}/a/b: No such file"):
        make_directory(f"{place}/a/b/c", os.getuid(), os.getgid())


def test_a_stale_socket_is_replaced(loop: Loop, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "socket"))
    rig = Rig(loop, place / "socket", None)
    rig.alive()
    rig.server.close()


def test_a_living_one_is_left_alone(rig: Rig) -> None:
    with pytest.raises(StartError, match="another sdsuper answers there"):
        listen(str(rig.path), None)
    rig.loop.turn()
    rig.alive()


def test_a_living_one_that_is_too_busy_to_answer(place: Path) -> None:
    path = str(place / "socket")
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        clients = []
        while True:
            clients.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            try:
                clients[-1].connect(path)
            except BlockingIOError:
                break
        with pytest.raises(StartError, match="another sdsuper"):
            listen(path, None)
        for client in clients:
            client.close()
    assert os.path.exists(path)


@pytest.mark.parametrize("what", ["file", "directory", "link", "fifo"])
def test_what_is_no_socket_is_left_alone(place: Path, what: str) -> None:
    path = place / "socket"
    if what == "file":
        path.write_text("important")
    elif what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        (place / "target").write_text("important")
        path.symlink_to(place / "target")
    before = os.lstat(path)
    with pytest.raises(StartError, match="is not a socket"):
        listen(str(path), None)
    assert os.lstat(path) == before


@pytest.mark.parametrize("path", ["no/such/directory/socket", "file/socket", "x" * 120])
def test_where_it_cannot_listen(place: Path, path: str) -> None:
    (place / "file").write_text("")
    with pytest.raises(StartError, match="cannot listen on"):
        listen(str(place / path), None)


def test_closing_removes_its_own_socket(loop: Loop, place: Path) -> None:
    rig = Rig(loop, place / "socket", None)
    client = rig.connect()
    rig.server.close()
    assert not rig.path.exists()
    assert client.recv(1) == b""
    client.close()


def test_closing_leaves_anothers_socket(loop: Loop, place: Path) -> None:
    rig = Rig(loop, place / "socket", None)
    rig.path.unlink()
    other = Rig(loop, place / "socket", None)
    rig.server.close()
    other.alive()
    other.server.close()
    gone = Rig(loop, place / "socket", None)
    rig.path.unlink()
    gone.server.close()


# ---- clients that behave -------------------------------------------------------------------------------------------

def test_calls_in_pieces_and_in_a_row(rig: Rig) -> None:
    client = rig.connect()
    rig.answers["List"] = lambda call: call.reply({"processes": [call.parameters["name"]]})
    data = b"".join(message("List", name=str(number)) for number in range(500))
    for at in range(0, len(data), 777):
        client.send(data[at:at + 777])
        rig.loop.turn(wait=False)
    replies = received(rig, client, 500)
    assert [reply["parameters"]["processes"] for reply in replies] == [[str(number)] for number in range(500)]
    client.close()
    rig.alive()


def test_one_after_another(rig: Rig) -> None:
    """While a call waits the next one is not begun; others are served."""
    rig.answers["Start"] = lambda call: None
    client = rig.connect()
    client.send(message("Start", name="slow") + message("List", name="after"))
    rig.until(lambda: rig.calls)
    rig.talk("List", name="other")
    assert [call.parameters["name"] for call in rig.calls] == ["slow", "other"]
    rig.calls[0].reply({"results": []})
    assert received(rig, client, 2) == [{"parameters": {"results": []}}, {"parameters": {"processes": []}}]
    client.close()


def test_pipelined_calls_leave_turns_to_others(rig: Rig) -> None:
    client, quick = rig.connect(), rig.connect()
    client.send(message("List", name="many") * 500)
    quick.send(message("List", name="one"))
    rig.until(lambda: any(call.parameters["name"] == "one" for call in rig.calls))
    assert len(rig.calls) < 50
    client.close()
    quick.close()


def test_oneway(rig: Rig) -> None:
    client = rig.connect()
    client.send(message("List", "oneway") + message("Bad", "oneway") + message("GetState"))
    rig.answers["GetState"] = lambda call: call.reply({"pid": 1})
    assert received(rig, client, 1) == [{"parameters": {"pid": 1}}]
    assert [call.method for call in rig.calls] == ["List", "GetState"]
    client.close()


def test_refusals(rig: Rig) -> None:
    rig.answers["Stop"] = lambda call: call.refuse(Refusal("BAD_NAME", "web"))
    with pytest.raises(Refusal) as caught:
        rig.talk("Stop", name="web")
    assert (caught.value.fault, caught.value.code, caught.value.detail) == ("BAD_NAME", 10, "web")


def test_descriptors_go_with_their_reply(rig: Rig, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).write_text(f"log {number}")

    def reply(call: Call) -> None:
        fd = os.open(tmp_path / call.parameters["name"], os.O_RDONLY)
        call.reply({"path": call.parameters["name"]}, fd)
        os.close(fd)

    rig.answers["OpenLog"] = reply

    def work() -> list[tuple[str, bytes]]:
        got = []
        with Client(str(rig.path), 10) as client:
            for number in range(3):
                fd, path = client.open_log(str(number))
                got.append((path, os.read(fd, 100)))
                os.close(fd)
        return got

    assert meanwhile(rig.loop, work) == [(str(number), f"log {number}".encode()) for number in range(3)]
    rig.alive()


def test_a_descriptor_that_nobody_fetches(rig: Rig, tmp_path: Path) -> None:
    rig.answers["OpenLog"] = lambda call: call.reply({"path": "x" * 1_000_000}, 0)
    for _ in range(20):
        client = rig.connect()
        client.send(message("OpenLog"))
        rig.until(lambda: rig.calls)
        rig.calls.clear()
        client.close()
    rig.alive()


def test_large_replies(rig: Rig) -> None:
    text = "é" * 3_000_000
    rig.answers["List"] = lambda call: call.reply({"processes": [text]})
    assert rig.talk("List")["processes"] == [text]


# ---- clients that do not --------------------------------------------------------------------------------------------

def test_it_goes_away_while_its_call_waits(rig: Rig) -> None:
    rig.answers["Start"] = lambda call: None
    client = rig.connect()
    client.send(message("Start", name="x"))
    rig.until(lambda: rig.calls)
    client.close()
    rig.until(lambda: not rig.server.connections)
    rig.calls[0].reply({"results": []}, 0)
    rig.calls[0].refuse(Refusal("FAILED"))
    rig.alive()


def test_it_goes_away_before_the_reply_is_sent(rig: Rig) -> None:
    rig.answers["Start"] = lambda call: None
    client = rig.connect()
    client.send(message("Start", name="x"))
    rig.until(lambda: rig.calls)
    client.close()
    rig.calls[0].reply({"results": []})         # the loop has not yet heard that it is gone
    rig.alive()


def test_a_message_that_is_too_long(rig: Rig) -> None:
    client = rig.connect()
    client.setblocking(False)
    sent = 0
    try:
        while rig.server.connections:
            try:
                sent += client.send(b" " * 10_000)
            except BlockingIOError:
                pass
            rig.loop.turn(wait=False)
            assert sent < 4 << 20
    except BrokenPipeError:
        pass
    assert sent >= module.MESSAGE_BYTES
    client.close()
    rig.alive()


def test_a_message_that_is_just_short_enough(rig: Rig) -> None:
    name = "x" * (module.MESSAGE_BYTES - len(message("List", name="")))
    assert rig.talk("List", name=name) == {"processes": []}
    assert rig.calls[0].parameters["name"] == name


def test_a_slow_sender(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte at a time, each well within the limit: the message as a whole is not."""
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.3)
    client = rig.connect()
    begin = time.monotonic()
    data = message("List") * 10
    client.send(data[:5])
    at = 5
    while rig.server.connections:
        assert time.monotonic() - begin < 5
        if at < len(message("List")) - 1:
            client.send(data[at:at + 1])
            at += 1
        rig.loop.soon(0.05, lambda: None)
        rig.loop.turn()
    assert time.monotonic() - begin < 2
    cut_off(rig, client)
    assert not rig.calls


def test_an_idle_connection_may_stay(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.05)
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.05)
    rig.answers["Start"] = lambda call: None
    client, waiting = rig.connect(), rig.connect()
    client.send(message("List"))
    waiting.send(message("Start", name="x"))
    received(rig, client, 1)
    past: list[int] = []
    rig.loop.soon(0.3, lambda: past.append(0))
    rig.until(lambda: past)
    assert len(rig.server.connections) == 2
    client.close()
    waiting.close()


# ---- one call, many replies ---------------------------------------------------------------------------------------

def subscribed(rig: Rig) -> tuple[socket.socket, Call, list[int]]:
    """A client whose call is answered again and again, the call, and what grows when the client is gone."""
    gone: list[int] = []
    rig.answers["Subscribe"] = lambda call: call.when_gone(lambda: gone.append(0))
    client = rig.connect()
    client.send(message("Subscribe", "more"))
    rig.until(lambda: rig.calls)
    assert rig.calls[0].more
    return client, rig.calls[0], gone


def test_a_call_that_is_answered_more_than_once(rig: Rig) -> None:
    client, call, gone = subscribed(rig)
    for number in range(3):
        assert call.send({"time": number, "payload": "", "lost": 0})
    replies = received(rig, client, 3)
    assert [reply["parameters"]["time"] for reply in replies] == [0, 1, 2]
    assert all(reply["continues"] is True for reply in replies) and not gone
    client.close()
    rig.until(lambda: gone, "the end is told")
    assert call.send({"time": 3, "payload": "", "lost": 0})         # it goes nowhere, and is nobody's trouble
    rig.alive()
    assert gone == [0]


def test_of_a_stream_no_more_than_a_limit_waits_for_its_reader(rig: Rig) -> None:
    client, call, _gone = subscribed(rig)
    piece = {"time": 0, "payload": "x" * 100_000, "lost": 0}
    sent = 0
    while call.send(piece):
        sent += 1
    assert sent == module.STREAM_BYTES // 100_200
    assert len(received(rig, client, sent)) == sent
    assert call.send(piece)
    client.close()


def test_a_reader_of_a_stream_that_never_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.3)
    client, call, gone = subscribed(rig)

    def go_on() -> None:
        call.send({"time": 0, "payload": "x" * 100_000, "lost": 0})
        if not gone:
            rig.loop.soon(0.01, go_on)      # what comes later gives it no more time

    go_on()
    rig.until(lambda: gone, "it is cut off")
    client.close()
    rig.alive()


@pytest.mark.parametrize("further", [0, 3000])
def test_a_reader_that_never_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch, further: int) -> None:
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.3)
    rig.answers["List"] = lambda call: call.reply({"processes": ["x" * 1_000_000]})
    client = rig.connect()
    client.send(message("List") + message("List") * further)
    begin = time.monotonic()
    rig.until(lambda: rig.calls)
    rig.until(lambda: not rig.server.connections, "the end of the connection")
    assert time.monotonic() - begin < 5
    assert len(rig.calls) == 1                  # no more is begun, so no more is kept for it
    client.close()
    rig.alive()


def test_a_reader_that_takes_its_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.4)
    rig.answers["List"] = lambda call: call.reply({"processes": ["x" * 2_000_000]})
    client = rig.connect()
    client.setblocking(False)
    client.send(message("List"))
    got = 0
    begin = time.monotonic()
    while got < 2_000_000:
        past: list[int] = []
        rig.loop.soon(0.05, lambda past=past: past.append(0))
        rig.until(lambda past=past: past)
        try:
            piece = client.recv(200_000)
        except BlockingIOError:
            continue
        assert piece, "cut off although it reads"
        got += len(piece)
    assert time.monotonic() - begin > 0.4
    client.close()


@pytest.mark.parametrize("data", [
    b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n\0", b"[]\0", b"null\0", b'"List"\0', b"{}\0", b'{"method":1}\0',
    b'{"method":["a"]}\0', b'{"method":"x","parameters":[1]}\0', b'{"method":"x","parameters":"y"}\0',
    b"[" * 200_000 + b"\0", b'{"a":' * 40_000 + b"\0", b"[" * 100_000 + b"]" * 100_000 + b"\0",
    b'{"method":"\xff"}\0', b"9" * 100_000 + b"\0", b'{"method":"x"\0', b"\xef\xbb\xbf{}\0",
], ids=lambda data: repr(data[:20]))
def test_what_is_no_call_ends_the_connection(rig: Rig, data: bytes) -> None:
    client = rig.connect()
    client.setblocking(False)
    at = 0
    while at < len(data) and rig.server.connections:
        try:
            at += client.send(data[at:at + 50_000])
        except BlockingIOError:
            pass
        except BrokenPipeError:
            break
        rig.loop.turn(wait=False)
    cut_off(rig, client)
    assert not rig.calls
    rig.alive()


def test_every_depth_of_nesting(rig: Rig) -> None:
    """Also just below the depth at which the parser gives up."""
    for depth in [*range(1, 300, 50), *range(300, 1100, 7)]:
        nested = "[" * depth + "]" * depth
        for method, key in ((f"{SERVICE}.GetInterfaceDescription", "interface"), (f"{INTERFACE}.List", "name"),
                            (f"{INTERFACE}.Update", "groups")):
            client = rig.connect()
            client.send(f'{{"method":"{method}","parameters":{{"{key}":{nested}}}}}\0'.encode())
            client.setblocking(False)
            got = bytearray()

            def answered(client: socket.socket = client, got: bytearray = got) -> bool:
                try:
                    piece = client.recv(65536)
                except BlockingIOError:
                    return False
                got += piece
                return not piece or got.endswith(b"\0")

            rig.until(answered, f"an answer at depth {depth}")
            client.close()
            rig.until(lambda: not rig.server.connections)
    rig.alive()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                                            max_size=3), max_leaves=8)
names = st.sampled_from([f"{INTERFACE}.{name}" for name in LEVELS] + [f"{SERVICE}.GetInfo", "x", "", "__class__.x"])
calls = st.fixed_dictionaries({}, optional={
    "method": names | anything, "parameters": anything | st.dictionaries(
        st.sampled_from(["name", "wait", "groups", "signal", "data", "channel", "interface"]), anything),
    "oneway": anything, "more": anything, "upgrade": anything,
}).map(lambda call: json.dumps(call).encode() + b"\0")
garbage = st.lists(calls | st.binary(max_size=50) | st.just(b"\0"), max_size=6).map(b"".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=garbage)
def test_garbage(rig: Rig, data: bytes) -> None:
    rig.calls.clear()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(rig.path))
        client.setblocking(False)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        for _ in range(4):
            rig.loop.turn(wait=False)
    rig.until(lambda: not rig.server.connections)
    for call in rig.calls:
        assert call.method in LEVELS and rig.server.schema.check(call.method, call.parameters) is None


def test_descriptors_that_a_client_sends_are_closed(rig: Rig) -> None:
    read, write = os.pipe()
    client = rig.connect()
    for _ in range(50):
        client.sendmsg([message("List")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write] * 10))])
    received(rig, client, 50)
    client.close()
    os.close(write)
    rig.until(lambda: not rig.server.connections)
    assert os.read(read, 1) == b""              # nobody has the other end any more
    os.close(read)


def test_many_connections(rig: Rig) -> None:
    clients = []
    for _ in range(300):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(str(rig.path))
        rig.loop.turn()
    rig.until(lambda: len(rig.server.connections) == module.CONNECTIONS)
    refused = 0
    for client in clients:
        client.setblocking(False)
        try:
            refused += client.recv(1) == b""
        except BlockingIOError:
            client.send(message("List"))
    assert refused == 300 - module.CONNECTIONS
    rig.until(lambda: len(rig.calls) == module.CONNECTIONS)
    for client in clients:
        client.close()
    rig.alive()


@root
def test_operators_cannot_shut_root_out(rig: Rig) -> None:
    path = str(rig.path)
    read, write = os.pipe()

    def crowd() -> None:
        clients = []
        for _ in range(300):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(path)
        os.write(write, b"x")
        time.sleep(60)

    with child(crowd, OTHER):
        os.set_blocking(read, False)

        def ready() -> bool:
            try:
                return os.read(read, 1) == b"x"
            except BlockingIOError:
                return False

        rig.until(ready)
        rig.until(lambda: len(rig.server.connections) == module.CONNECTIONS - module.RESERVED)
        assert rig.talk("List") == {"processes": []}
    rig.alive()
    os.close(read)
    os.close(write)


def test_no_descriptor_for_a_client(rig: Rig) -> None:
    """It waits its turn, and waiting costs nothing."""
    client = socket.socket(socket.AF_UNIX)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    client.connect(str(rig.path))
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        rig.loop.turn()
        past: list[int] = []
        rig.loop.soon(0.2, lambda: past.append(0))
        turns = 0
        while not past:
            rig.loop.turn()
            turns += 1
        assert turns < 5 and not rig.server.connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    client.send(message("List"))
    assert received(rig, client, 1) == [{"parameters": {"processes": []}}]
    client.close()


def test_clients_at_the_same_time(rig: Rig) -> None:
    rig.answers["List"] = lambda call: call.reply({"processes": [call.parameters["name"]]})
    wrong: list[object] = []

    def work(number: int) -> None:
        with Client(str(rig.path), 10) as client:
            for turn in range(100):
                name = f"{number} {turn}"
                if client.call("List", name=name) != {"processes": [name]}:
                    wrong.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    rig.until(lambda: not any(thread.is_alive() for thread in threads))
    assert not wrong and len(rig.calls) == 800
    rig.alive()
