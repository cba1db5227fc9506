"""XML-RPC with a real daemon: what is new, what waits, what is hostile, and the end of the daemon."""

import asyncio
import socket
import threading
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdsuper.api import rpc
from sdsuper.api.inform import make_context
from sdsuper.api.table import METHODS
from tests.api.web import Connection, ask, call, connect, proxy, serve
from tests.engine.conftest import Start

PROGRAMS = """[program:cat]
command=/bin/cat
startsecs=0
stdout_logfile={dir}/cat.log
[program:slow]
command=/bin/sleep 1000
startsecs=600
autostart=false
[program:w*]
command=/bin/sleep 1000
startsecs=0
autostart=false
[program:web]
command=/bin/sleep 1000
startsecs=0
autostart=false
[program:all]
command=/bin/sleep 1000
startsecs=0
autostart=false
"""


def fault(server: Any, name: str, *values: Any) -> int:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(server, name)(*values)
    return caught.value.faultCode


def test_names_are_exact_even_those_that_look_like_patterns(start: Start) -> None:
    served = serve(start, PROGRAMS)
    with proxy(served.path) as server:
        up = served.daemon.processes
        assert server.supervisor.startProcess("w*") is True
        assert up()["w*"]["state"] == "RUNNING" and up()["web"]["state"] == "STOPPED"
        assert server.supervisor.startProcess("all") is True
        assert up()["all"]["state"] == "RUNNING" and up()["web"]["state"] == "STOPPED"
        assert [row["name"] for row in server.supervisor.stopProcessGroup("all")] == ["all"]
        assert server.supervisor.getProcessInfo("w*")["name"] == "w*"
        assert server.supervisor.clearProcessLogs("w*") is True
        assert [row["name"] for row in server.supervisor.stopProcess("w*:*")] == ["w*"]
        assert up()["cat"]["state"] == "RUNNING"
        for name in ("w?", "c*", "*", "?*", "[c]at", "c*:c*", "*:*", "c*:*", "", "cat:c*"):
            for method in ("startProcess", "stopProcess", "clearProcessLogs", "getProcessInfo"):
                assert fault(server, f"supervisor.{method}", name) == 10, name
            assert fault(server, "supervisor.signalProcess", name, "TERM") == 10
            assert fault(server, "supervisor.stopProcessGroup", name) == 10
        assert up()["cat"]["state"] == "RUNNING"


def test_what_is_new(start: Start) -> None:
    served = serve(start, PROGRAMS)
    with proxy(served.path) as server:
        state = served.daemon.call("GetState")
        assert server.sdsuper.getVersion() == server.supervisor.getSupervisorVersion() == state["version"]
        assert server.sdsuper.getNotices() == state["notices"]
        rows = {row["name"]: row for row in server.sdsuper.listProcesses()}
        found = served.daemon.processes()
        assert rows.keys() == found.keys() and rows["cat"].keys() == found["cat"].keys()
        assert rows["cat"]["goal"] == found["cat"]["goal"] and rows["cat"]["run"] == 1
        assert server.sdsuper.reopenLogs() is True
        served.daemon.write(f"[unix_http_server]\nfile={served.path}\n"
                            + PROGRAMS.replace("[program:web]", "[program:web]\nstopwaitsecs=7"))
        assert {"group": "web", "kind": "updated"} in server.sdsuper.update(["web"])
        assert server.sdsuper.update() == []
        for name in METHODS:
            if name.startswith("sdsuper."):
                assert "@return" in server.system.methodHelp(name)


def test_rotation(start: Start) -> None:
    served = serve(start, "[program:talk]\ncommand=cat\nstdout_logfile={dir}/talk\nstderr_logfile=NONE\nstartsecs=0\n"
                          "[program:mute]\ncommand=cat\nstdout_logfile=NONE\nstderr_logfile=NONE\nstartsecs=0\n")
    daemon = served.daemon

    def talk(text: str) -> None:
        server.supervisor.sendProcessStdin("talk", text)
        daemon.wait(lambda: daemon.text("talk") == text, "it is in the log")

    with proxy(served.path) as server:
        talk("one\n")
        assert server.sdsuper.rotateProcessLogs("talk") is True
        assert (daemon.text("talk"), daemon.text("talk.1")) == ("", "one\n")
        talk("two\n")
        (row,) = server.sdsuper.rotateProcessLogs("talk:*")
        assert (row["name"], row["status"]) == ("talk", 80)
        assert (daemon.text("talk.1"), daemon.text("talk.2")) == ("two\n", "one\n")
        talk("three\n")
        assert {one["name"]: one["status"] for one in server.sdsuper.rotateAllProcessLogs()} == {"talk": 80, "mute": 20}
        assert daemon.text("talk.1") == "three\n"
        assert fault(server, "sdsuper.rotateProcessLogs", "mute") == 20
        assert fault(server, "sdsuper.rotateProcessLogs", "t*") == 10
        assert server.sdsuper.rotateLog() is True and "supervisord started" in daemon.text("daemon.log.1")


def test_restart_changes_what_changed_and_touches_nothing_else(start: Start) -> None:
    served = serve(start, PROGRAMS)
    http = f"[unix_http_server]\nfile={served.path}\n[inet_http_server]\nport=127.0.0.1:{served.port}\n" \
           "username=user\npassword=secret\n"
    before = served.daemon.pids()
    with proxy(served.path) as server:
        served.daemon.write(http + PROGRAMS + "[program:new]\ncommand=/bin/cat\nstartsecs=0\n")
        assert server.supervisor.reloadConfig() == [[["new"], [], []]]
        assert server.supervisor.restart() is True
        after = served.daemon.pids()
        assert after.pop("new") and after == before
        served.daemon.write(http + PROGRAMS + "[program:new]\ncommand=/bin/cat\nnumprocs=x\n")
        for method in ("supervisor.restart", "supervisor.reloadConfig"):
            with pytest.raises(xmlrpc.client.Fault) as caught:
                getattr(server, method)()
            assert caught.value.faultCode == 92
            assert caught.value.faultString.startswith(f"CANT_REREAD: {served.daemon.config}:")
            assert "numprocs" in caught.value.faultString
        assert served.daemon.pids()["cat"] == before["cat"]


def test_waiting_calls_hold_up_nobody(start: Start, wait_for: Callable[..., None]) -> None:
    served = serve(start, PROGRAMS)
    start_slow = call("supervisor.startProcess", "<params><param><value>slow</value></param></params>")
    waiting = [Connection(served.path) for _ in range(60)]
    for connection in waiting:                  # more than may wait at a time
        connection.request("POST", "/RPC2", start_slow)
    with proxy(served.path) as server:
        wait_for(lambda: server.supervisor.getProcessInfo("slow")["statename"] == "STARTING", "it is being started")
        for _ in range(20):
            assert server.supervisor.getState()["statename"] == "RUNNING"
        for connection in waiting:              # who leaves gives his place back
            connection.close()
        assert server.supervisor.stopProcess("cat") is True
        assert server.supervisor.stopProcess("slow") is True


def test_all_who_wait_are_answered(start: Start, wait_for: Callable[..., None]) -> None:
    served = serve(start, PROGRAMS)
    found: list[int] = []

    def wait() -> None:
        with proxy(served.path) as server:
            found.append(fault(server, "supervisor.startProcess", "slow"))

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_for(lambda: found == [60] * 4, "one waits, the others hear that it is being started")
    with proxy(served.path) as server:
        assert server.supervisor.stopProcess("slow") is True
    for thread in threads:
        thread.join(30)
    assert found == [60] * 4 + [40]


def test_arguments_of_wrong_number_and_type_are_refused(start: Start) -> None:
    served = serve(start, PROGRAMS)
    before = served.daemon.processes()
    values: list[Any] = [None, 5, 2.5, True, "x", [], ["x"], {}, {"a": 1}, xmlrpc.client.DateTime("20260101T00:00:00"),
                         xmlrpc.client.Binary(b"\xff\x00")]
    safe = set(METHODS) - {"supervisor.shutdown", "supervisor.restart", "supervisor.clearLog"}
    with xmlrpc.client.ServerProxy("http://localhost", allow_none=True, transport=proxy(served.path)("transport")
                                   ) as server:
        for name in sorted(safe):
            assert fault(server, name, *["x"] * 9) == 2
            if name.startswith(("supervisor.stopAll", "supervisor.startAll", "supervisor.signalAll")):
                continue            # which would do it
            for value in values:
                for count in (1, 2, 3):
                    try:
                        getattr(server, name)(*[value] * count)
                    except xmlrpc.client.Fault as found:
                        assert 1 <= found.faultCode <= 92, (name, value, count)
    after = served.daemon.processes()
    assert {name: row["pid"] for name, row in after.items()} == {name: row["pid"] for name, row in before.items()}


NAMES = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), max_size=40),
    st.lists(st.sampled_from(["supervisor", "system", "sdsuper", "", "_", "__class__", "__init__", "__globals__",
                              "daemon", "call", "startProcess", "os", "popen", "METHODS", "function", "x" * 50, "é",
                              "\u202e"]),
             max_size=5).map(".".join),
)


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=NAMES.filter(lambda name: name not in METHODS))
def test_ten_thousand_names_are_looked_up_in_one_table(name: str) -> None:
    class Nothing:
        def __getattribute__(self, attribute: str) -> Any:
            raise AssertionError(f"{attribute} was looked up")

    nothing: Any = Nothing()
    parts = asyncio.run(rpc.answer(make_context(nothing), name, []))
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads("".join(str(part) for part in parts))
    assert (caught.value.faultCode, caught.value.faultString) == (1, "UNKNOWN_METHOD")


def test_hostile_names_over_the_wire(start: Start) -> None:
    served = serve(start, PROGRAMS)
    connection = Connection(served.path)
    for name in ("supervisor.daemon.call", "supervisor.__init__", "system.os.popen", "supervisor.supervisord.options",
                 "x" * 10_000, ".", "..", "supervisor.", ".getState", "supervisor.getState.__call__",
                 "supervisor getState"):
        connection.request("POST", "/RPC2", call(name))
        reply = connection.getresponse()
        assert reply.status == 200 and b"<int>1</int>" in reply.read(), name
    connection.close()


def test_multicall(start: Start) -> None:
    served = serve(start, PROGRAMS)
    with proxy(served.path) as server:
        found = server.system.multicall([
            5, "x", [], {}, {"methodName": 5}, {"methodName": "supervisor.getPID", "params": {}},
            {"methodName": "system.multicall", "params": [[]]}, {"methodName": "supervisor.getPID", "params": []},
            {"methodName": "system.listMethods"}, {"methodName": "supervisor.getAllProcessInfo"},
        ])
        assert [item["faultCode"] for item in found[:7]] == [2] * 7
        assert found[7] == served.daemon.pid and "system.multicall" in found[8]
        assert found[9] == server.supervisor.getAllProcessInfo()
        for wrong in (5, "x", {}, True):
            assert fault(server, "system.multicall", wrong) == 2
        everything = [{"methodName": name, "params": []} for name in sorted(METHODS)
                      if name not in ("supervisor.shutdown", "supervisor.startAllProcesses")]     # one waits for long
        assert len(server.system.multicall(everything)) == len(everything)


def test_a_multicall_has_a_limit(start: Start) -> None:
    served = serve(start, PROGRAMS)
    (served.daemon.directory / "cat.log").write_bytes(b"x" * 250_000)
    with proxy(served.path) as server:
        one = {"methodName": "supervisor.readProcessStdoutLog", "params": ["cat", 0, 0]}
        found = server.system.multicall([one] * 200)
        assert len(found) == 200 and found[0] == "x" * 250_000
        assert found[199] == {"faultCode": 30, "faultString": "FAILED: the reply is too long, ask for less at once"}


def test_long_arguments(start: Start) -> None:
    served = serve(start, PROGRAMS)
    with proxy(served.path) as server:
        assert fault(server, "supervisor.sendProcessStdin", "cat", "é" * 400_000) == 3
        assert fault(server, "supervisor.startProcess", "x" * 400_000) in (3, 10)
        assert fault(server, "supervisor.sendRemoteCommEvent", "x", "y" * 400_000) == 3
        assert server.supervisor.sendProcessStdin("cat", "y" * 10_000 + "\n") is True
        assert server.supervisor.sendProcessStdin("cat", xmlrpc.client.Binary(b"\xff\x00\xfe\n")) is True
        served.daemon.wait(lambda: (served.daemon.directory / "cat.log").read_bytes()
                           == b"y" * 10_000 + b"\n\xff\x00\xfe\n", "the bytes have arrived")


def test_while_the_daemon_ends_everything_is_refused(start: Start) -> None:
    served = serve(start, "[program:stubborn]\nstartsecs=0\nstopwaitsecs=30\ncommand=/bin/sh -c "
                          "\"trap '' TERM; touch {dir}/up; while [ ! -e {dir}/go ]; do sleep 0.05; done\"\n")
    served.daemon.wait(lambda: (served.daemon.directory / "up").exists(), "the program runs")
    arguments = {"name": "stubborn", "signal": "HUP", "offset": 0, "length": 0, "chars": "x", "type": "t", "data": "d"}
    with proxy(served.path) as server:
        assert server.supervisor.shutdown() is True
        for name, method in sorted(METHODS.items()):
            if name.startswith("system.") or name == "supervisor.sendRemoteCommEvent":
                continue
            values = [arguments[p.name] for p in method.parameters if p.name in arguments]
            assert fault(server, name, *values) == 6, name
        assert server.supervisor.sendRemoteCommEvent("t", "d") is True
        assert "supervisor.getState" in server.system.listMethods()
        assert b"SHUTDOWN_STATE" in ask(served.path, "GET", "/").body
    (served.daemon.directory / "go").touch()
    assert served.daemon.process.wait(20) == 0


def test_the_daemons_connection_survives_clients_that_leave(start: Start) -> None:
    served = serve(start, PROGRAMS)
    for number in range(200):
        with connect(served.path) as peer:
            zero = "<param><value><int>0</int></value></param>"
            body = call("supervisor.getAllProcessInfo") if number % 2 else \
                call("supervisor.readLog", f"<params>{zero}{zero}</params>")
            peer.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if number % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with proxy(served.path) as server:
        assert server.supervisor.getState()["statename"] == "RUNNING"
    assert "http:" not in served.daemon.log
