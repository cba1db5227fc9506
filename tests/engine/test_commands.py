"""Commands and what they are refused with, state by state."""

import os
import signal

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import Daemon, Start

PROGRAMS = """
[program:starting]
command=sleep 1000
startsecs=1000
[program:running]
command=sleep 1000
startsecs=0
[program:backoff]
command=false
startretries=100
[program:stopping]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
stdout_logfile={dir}/ignores
stopwaitsecs=1000
startsecs=0
[program:stopped]
command=sleep 1000
startsecs=0
autostart=false
[program:exited]
command=true
startsecs=0
[program:fatal]
command=false
startretries=0
"""


@pytest.fixture
def daemon(start: Start) -> Daemon:
    """A process in each state."""
    daemon = start(PROGRAMS)
    for name in ("starting", "running", "backoff", "exited", "fatal"):
        daemon.wait_state(name, name.upper())
    daemon.wait(lambda: daemon.text("ignores"), "SIGTERM is ignored")
    assert daemon.result("Stop", "stopping", wait=False) == ("SUCCESS", "OK")
    return daemon


def end(daemon: Daemon) -> None:
    """Let the one that ignores SIGTERM go."""
    daemon.result("Signal", "stopping", signal="KILL")
    daemon.wait_state("stopping", "STOPPED")


def test_refusals_in_each_state(daemon: Daemon) -> None:
    start = {name: daemon.result("Start", name, wait=False)[0] for name in daemon.processes() if name != "backoff"}
    assert start == {"starting": "ALREADY_STARTED", "running": "ALREADY_STARTED", "stopping": "ABNORMAL_TERMINATION",
                     "stopped": "SUCCESS", "exited": "SUCCESS", "fatal": "SUCCESS"}
    daemon.wait_state("backoff", "BACKOFF")
    assert daemon.result("Start", "backoff") == ("ALREADY_STARTED", "backoff")
    daemon.result("Stop", "stopped")
    daemon.wait_state("exited", "EXITED")
    daemon.wait_state("fatal", "FATAL")
    sent = {name: daemon.result("Signal", name, signal="CONT")[0] for name in daemon.processes() if name != "backoff"}
    assert sent == {"starting": "SUCCESS", "running": "SUCCESS", "stopping": "SUCCESS", "stopped": "NOT_RUNNING",
                    "exited": "NOT_RUNNING", "fatal": "NOT_RUNNING"}
    for name in ("starting", "running", "stopping"):
        with pytest.raises(Refusal, match="STILL_RUNNING"):
            daemon.call("RemoveGroup", name=name)
    stop = {name: daemon.result("Stop", name) for name in ("stopping", "stopped", "exited", "fatal")}
    assert stop == {name: ("NOT_RUNNING", name) for name in stop}
    assert daemon.result("Stop", "starting") == ("SUCCESS", "OK")
    assert daemon.result("Stop", "running") == ("SUCCESS", "OK")
    daemon.wait_state("backoff", "BACKOFF")
    assert daemon.result("Stop", "backoff") == ("SUCCESS", "OK")
    assert daemon.status("backoff")["state"] == "STOPPED"
    end(daemon)


def test_a_waiting_start_that_somebody_stops(daemon: Daemon) -> None:
    daemon.result("Stop", "starting")
    client = daemon.client()
    client._socket.sendall(b'{"method":"io.sdsuper.Control.Start","parameters":{"name":"starting"}}\0')
    daemon.wait_state("starting", "STARTING")
    daemon.result("Stop", "starting")
    assert b'"fault":"ABNORMAL_TERMINATION"' in client._receive()
    end(daemon)


def test_a_stop_that_waits_holds_up_nobody(daemon: Daemon) -> None:
    client = daemon.client()
    client._socket.sendall(b'{"method":"io.sdsuper.Control.Stop","parameters":{"name":"all"}}\0')
    daemon.wait_state("running", "STOPPED")
    assert daemon.status("stopping")["state"] == "STOPPING"
    end(daemon)
    assert b'"SUCCESS"' in client._receive()


def test_unknown_names_and_signals(daemon: Daemon) -> None:
    for method in ("Start", "Stop", "List", "OpenLog", "ClearLogs", "AddGroup", "RemoveGroup"):
        with pytest.raises(Refusal) as refused:
            daemon.call(method, name="nobody:here")
        assert (refused.value.fault, refused.value.code) == ("BAD_NAME", 10)
    for wrong in ("SIGNOTHING", "", "0", "-1", "99", "1e3"):
        assert daemon.result("Signal", "running", signal=wrong) == ("BAD_SIGNAL", wrong)
    with pytest.raises(Refusal, match="ALREADY_ADDED"):
        daemon.call("AddGroup", name="running")
    with pytest.raises(Refusal, match="BAD_ARGUMENTS"):
        daemon.call("OpenLog", name="running", channel="stdin")
    end(daemon)


def test_signals_by_name_and_number_reach_the_leader(start: Start) -> None:
    daemon = start("""
[program:web]
command={python} -c "import os, signal, time; f = lambda n, _: os.write(1, str(n).encode() + bytes([10])); \
signal.signal(10, f); signal.signal(12, f); print('ready', flush=True); [time.sleep(9) for _ in range(999)]"
stdout_logfile={dir}/out
""")
    daemon.wait(lambda: "ready" in daemon.text("out"), "handlers are there")
    for text, lines in (("USR1", 1), ("SIGUSR2", 2), ("10", 3)):
        assert daemon.result("Signal", "web", signal=text) == ("SUCCESS", "OK")
        daemon.wait(lambda lines=lines: len(daemon.text("out").split()) == lines + 1, f"{text} has arrived")
    assert daemon.text("out").split() == ["ready", "10", "12", "10"]


GROUPS = """
[program:a]
command=sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=3
autostart=false
startsecs=0
[program:b]
command=sleep 1000
autostart=false
startsecs=0
[program:c]
command=sleep 1000
autostart=false
startsecs=0
[group:g]
programs=a,b
"""


@pytest.mark.parametrize(("name", "means"), [
    ("all", {"a_00", "a_01", "a_02", "b", "c"}), ("g:*", {"a_00", "a_01", "a_02", "b"}),
    ("g:", {"a_00", "a_01", "a_02", "b"}),
    ("g:a_01", {"a_01"}), ("c", {"c"}), ("c:c", {"c"}), ("g:a_*", {"a_00", "a_01", "a_02"}),
    ("*:*_0[12]", {"a_01", "a_02"}),
    ("c*", {"c"}),
])
def test_names_of_many(start: Start, name: str, means: set[str]) -> None:
    daemon = start(GROUPS)
    assert daemon.faults("Start", name) == dict.fromkeys(means, "SUCCESS")
    assert {n for n, p in daemon.processes().items() if p["state"] == "RUNNING"} == means
    assert set(daemon.faults("Signal", name, signal="CONT")) == means
    assert daemon.faults("Stop", name) == dict.fromkeys(means, "SUCCESS")
    assert {p["state"] for p in daemon.processes().values()} == {"STOPPED"}


def test_many_names_leave_out_what_is_already_so(start: Start) -> None:
    daemon = start(GROUPS)
    daemon.call("Start", name="g:b")
    assert set(daemon.faults("Start", "all")) == {"a_00", "a_01", "a_02", "c"}
    daemon.call("Stop", name="c")
    assert set(daemon.faults("Stop", "all")) == {"a_00", "a_01", "a_02", "b"}
    assert daemon.faults("Stop", "all") == {}


def test_what_is_written_to_stdin_arrives(start: Start) -> None:
    daemon = start("[program:cat]\ncommand=cat\nstdout_logfile={dir}/out\nstartsecs=0\n"
                   "[program:deaf]\ncommand=sleep 1000\nstartsecs=0\n"
                   "[program:down]\ncommand=cat\nautostart=false\n")
    for text in ("hello\n", "žluťoučký\n", "x" * 10000 + "\n"):
        daemon.call("WriteStdin", name="cat", data=text)
    daemon.wait(lambda: daemon.text("out") == "hello\nžluťoučký\n" + "x" * 10000 + "\n", "what was written comes back")
    with pytest.raises(Refusal, match="NOT_RUNNING: down"):
        daemon.call("WriteStdin", name="down", data="x")
    with pytest.raises(Refusal, match="FAILED: deaf does not read its stdin"):
        for _ in range(9):
            daemon.call("WriteStdin", name="deaf", data="x" * 150000)
    with pytest.raises(Refusal, match="BAD_NAME"):
        daemon.call("WriteStdin", name="all", data="x")


def test_shutdown_by_command(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\n")
    pid = daemon.status("web")["pid"]
    assert daemon.call("Shutdown") == {}
    assert daemon.process.wait(20) == 0
    assert not daemon.socket.exists() and not os.path.exists(f"/proc/{pid}")
    daemon.close_clients()


def test_during_the_shutdown_only_the_state_is_told(start: Start) -> None:
    daemon = start("[program:web]\ncommand={python} -c \"import signal, time; signal.signal(15, signal.SIG_IGN); "
                   "print(flush=True); time.sleep(1000)\"\nstopwaitsecs=1000\nstdout_logfile={dir}/out\n")
    daemon.wait(lambda: daemon.text("out"), "SIGTERM is ignored")
    pid = daemon.status("web")["pid"]
    daemon.call("Shutdown")
    assert daemon.call("GetState")["state"] == "SHUTDOWN"
    for method in ("List", "Reread", "Update", "Shutdown", "ReopenLogs"):
        with pytest.raises(Refusal, match="SHUTDOWN_STATE"):
            daemon.call(method)
    daemon.wait_log("INFO waiting for web to die")
    os.kill(pid, signal.SIGKILL)
    assert daemon.process.wait(20) == 0
