"""Configurations that change under a running daemon: what changed is made so, nothing else is touched."""

import os
import signal
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import Daemon, Start

TWO = """
[program:same]
command=sleep 1000
[program:changed]
command=sleep 1000
[program:gone]
command=sleep 1000
"""
TWO_LATER = """
[program:same]
command=sleep 1000
[program:changed]
command=sleep 1001
[program:new]
command=sleep 1000
[program:later]
command=sleep 1000
autostart=false
"""


def reload(daemon: Daemon, how: str) -> None:
    """Tell the daemon, and wait until it is done."""
    if how == "Update":
        daemon.call("Update")
    else:
        before = daemon.log.count("configuration taken over")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("configuration taken over", before + 1)


@pytest.mark.parametrize("how", ["Update", "HUP"])
def test_added_changed_removed(start: Start, how: str) -> None:
    daemon = start(TWO)
    before = daemon.pids()
    daemon.write(TWO_LATER)
    assert daemon.call("Reread") == {"added": ["later", "new"], "changed": ["changed"], "removed": ["gone"]}
    assert daemon.pids() == before, "reading alone does nothing"
    reload(daemon, how)
    now = daemon.pids()
    assert set(now) == {"same", "changed", "new", "later"}
    assert now["same"] == before["same"] and now["changed"] != before["changed"]
    assert daemon.status("later")["state"] == "STOPPED"
    assert not os.path.exists(f"/proc/{before['gone']}")
    command = Path(f"/proc/{now['changed']}/cmdline")
    daemon.wait(lambda: command.read_bytes() == b"sleep\x001001\x00", "the new command")
    assert "configuration taken over: " in daemon.log or how == "Update"


def test_what_an_update_says(start: Start) -> None:
    daemon = start(TWO)
    daemon.write(TWO_LATER)
    changes = daemon.call("Update")["changes"]
    assert changes == [{"group": "gone", "kind": "stopped"}, {"group": "gone", "kind": "removed"},
                       {"group": "changed", "kind": "stopped"}, {"group": "changed", "kind": "updated"},
                       {"group": "later", "kind": "added"}, {"group": "new", "kind": "added"}]
    assert daemon.call("Update") == {"changes": []}


def test_only_the_groups_that_are_named(start: Start) -> None:
    daemon = start(TWO)
    before = daemon.pids()
    daemon.write(TWO_LATER)
    with pytest.raises(Refusal, match="BAD_NAME: nobody"):
        daemon.call("Update", groups=["new", "nobody"])
    assert daemon.pids() == before
    assert daemon.call("Update", groups=["new"])["changes"] == [{"group": "new", "kind": "added"}]
    assert {**daemon.pids(), "new": 0} == {**before, "new": 0}


def test_members_of_one_group(start: Start) -> None:
    text = "[program:a]\ncommand=sleep 1000\nprocess_name=a%(process_num)d\nnumprocs={}\n" \
           "[program:b]\ncommand=sleep {}\n[group:g]\nprograms=a,b\n"
    daemon = start(text.format(3, 1000))
    before = daemon.pids()
    daemon.write(text.format(4, 1001))
    daemon.call("Update")
    now = daemon.pids()
    assert set(now) == {"a0", "a1", "a2", "a3", "b"}
    assert {n: now[n] for n in ("a0", "a1", "a2")} == {n: before[n] for n in ("a0", "a1", "a2")}
    assert now["b"] != before["b"]
    daemon.write(text.format(1, 1001))
    daemon.call("Update")
    assert daemon.pids() == {"a0": before["a0"], "b": now["b"]}


def test_options_that_need_no_restart(start: Start) -> None:
    text = "[program:web]\ncommand={python} -c \"import signal, time; signal.signal(15, signal.SIG_IGN); " \
           "print(flush=True); time.sleep(1000)\"\nstdout_logfile={dir}/out\nstartsecs=0\n"
    daemon = start(text + "stopwaitsecs=1000\n")
    daemon.wait(lambda: daemon.text("out"), "SIGTERM is ignored")
    before = daemon.status("web")["pid"]
    daemon.write(text + "stopwaitsecs=1000\nstopsignal=USR1\nautorestart=false\npriority=3\n")
    assert daemon.call("Update")["changes"] == [{"group": "web", "kind": "updated"}]
    assert daemon.status("web")["pid"] == before
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    daemon.wait_log("stopped: web (terminated by SIGUSR1)")


def test_a_stopped_program_stays_stopped_where_only_others_change(start: Start) -> None:
    daemon = start(TWO)
    daemon.call("Stop", name="same")
    daemon.write(TWO_LATER)
    daemon.call("Update")
    assert daemon.status("same")["state"] == "STOPPED"


MISTAKES = {
    "a typo": ("[program:same]\ncommand=sleep 1000\nstartsecs=soon\n", 3, "[program:same] startsecs: "),
    "an unknown user": ("[program:same]\ncommand=sleep 1000\n"
                        "user=no-such\n", 3, "[program:same] user: no such user: 'no-such'"),
    "a broken header": ("[program:same]\ncommand=sleep 1000\n[program:new\ncommand=sleep 5\n", 3, ""),
    "a bad expansion": ("[program:same]\ncommand=sleep %(nothing)s\n", 2, "[program:same] command: "),
    "no command": ("[program:same]\nstartsecs=1\n", 1, "[program:same] command: "),
    "a bad number": ("[program:same]\ncommand=sleep 1000\nnumprocs=abc\n", 3, "[program:same] numprocs: "),
}


@pytest.mark.parametrize("how", ["HUP", "Update", "Reread"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_and_nothing_is_touched(start: Start, mistake: str, how: str) -> None:
    daemon = start(TWO)
    before = daemon.pids()
    text, line, message = MISTAKES[mistake]
    daemon.write(text)
    head = daemon.config.read_text().index(text)
    place = f"{daemon.config}:{daemon.config.read_text()[:head].count(chr(10)) + line}: error: {message}"
    if how == "HUP":
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("ERRO the configuration was not taken over, everything goes on as it was")
        assert place in daemon.log
    else:
        with pytest.raises(Refusal) as refused:
            daemon.call(how)
        assert refused.value.fault == "CANT_REREAD" and place in refused.value.detail
    assert daemon.pids() == before
    daemon.write(TWO_LATER)
    daemon.call("Update")
    assert "new" in daemon.pids()


def test_a_file_that_vanished(start: Start) -> None:
    daemon = start(TWO)
    before = daemon.pids()
    daemon.config.unlink()
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("everything goes on as it was")
    with pytest.raises(Refusal, match="CANT_REREAD: error: could not find config file"):
        daemon.call("Update")
    daemon.config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refusal, match="CANT_REREAD"):
        daemon.call("Update")
    daemon.config.write_text("")
    with pytest.raises(Refusal, match="does not include supervisord section"):
        daemon.call("Update")
    assert daemon.pids() == before


def test_an_include_that_vanished_takes_its_programs_along(start: Start) -> None:
    daemon = start("[include]\nfiles={dir}/*.conf.d\n")
    drop = daemon.directory / "web.conf.d"
    drop.write_text("[program:web]\ncommand=sleep 1000\n")
    assert daemon.call("Update")["changes"] == [{"group": "web", "kind": "added"}]
    drop.write_text("[program:web]\ncommand=sleep 1000\nstartsecs=soon\n")
    with pytest.raises(Refusal) as refused:
        daemon.call("Update")
    assert f"{drop}:3: error: [program:web] startsecs: " in refused.value.detail
    assert daemon.status("web")["pid"]
    drop.unlink()
    daemon.call("Update")
    assert daemon.pids() == {}
    assert f'warning: [include] files: no file matches "{daemon.directory}/*.conf.d"' in daemon.log


def test_options_of_the_daemon_itself(start: Start) -> None:
    daemon = start(TWO)
    before = daemon.pids()
    daemon.main["loglevel"] = "debug"
    daemon.main["minfds"] = "2000"
    daemon.write(TWO)
    daemon.call("Update")
    assert daemon.pids() == before
    daemon.wait_log("WARN minfds has changed: it needs a restart of the daemon")


def test_add_and_remove(start: Start) -> None:
    daemon = start(TWO)
    daemon.call("Stop", name="gone")
    assert daemon.call("RemoveGroup", name="gone") == {}
    with pytest.raises(Refusal, match="BAD_NAME: gone"):
        daemon.call("List", name="gone")
    configs = {c["name"]: c["inuse"] for c in daemon.call("ListConfigs")["configs"]}
    assert configs == {"same": True, "changed": True, "gone": False}
    assert daemon.call("AddGroup", name="gone") == {}
    daemon.wait_state("gone", "STARTING", "RUNNING")
    with pytest.raises(Refusal, match="STILL_RUNNING: gone"):
        daemon.call("RemoveGroup", name="gone")


def test_updates_take_turns(start: Start) -> None:
    deaf = "[program:deaf]\ncommand={python} -c \"import signal, time; signal.signal(15, signal.SIG_IGN); " \
           "print(flush=True); time.sleep(1000)\"\nstdout_logfile={dir}/out\nstopwaitsecs=1000\nstartsecs=0\n"
    daemon = start(TWO + deaf)
    daemon.wait(lambda: daemon.text("out"), "SIGTERM is ignored")
    before = daemon.pids()
    daemon.write(TWO)
    first, second, third = daemon.client(), daemon.client(), daemon.client()
    first._socket.sendall(b'{"method":"io.sdsuper.Control.Update"}\0')
    daemon.wait_state("deaf", "STOPPING")
    # while the program is on its way out, the configuration wants it back
    daemon.write(TWO + deaf)
    second._socket.sendall(b'{"method":"io.sdsuper.Control.Update"}\0')
    third._socket.sendall(b'{"method":"io.sdsuper.Control.RemoveGroup","parameters":{"name":"deaf"}}\0')
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
        assert daemon.status("deaf")["state"] == "STOPPING", "nobody else is held up"
    os.kill(before["deaf"], signal.SIGKILL)
    assert b'"removed"' in first._receive()
    assert b'{"group":"deaf","kind":"added"}' in second._receive()
    assert b'"STILL_RUNNING"' in third._receive()
    daemon.wait_log("configuration taken over: nothing has changed")
    assert daemon.log.count("received SIGHUP") == 1
    now = daemon.pids()
    assert now.pop("deaf") != before.pop("deaf") and now == before
    daemon.wait(lambda: daemon.text("out").count("\n") == 2, "SIGTERM is ignored again")
    assert daemon.result("Stop", "deaf", wait=False)[0] == "SUCCESS"
    daemon.result("Signal", "deaf", signal="KILL")
    daemon.wait_state("deaf", "STOPPED")


def test_a_storm_of_reloads(start: Start) -> None:
    many = "[program:n]\ncommand=sleep 1000\nprocess_name=n%(process_num)03d\nnumprocs=100\nstartsecs=0\n"
    extra = "[program:extra]\ncommand=sleep 1000\nstartsecs=0\nkillasgroup=true\n"
    daemon = start(many)
    daemon.wait(lambda: all(daemon.pids().values()), "all are up")
    before = daemon.pids()
    fds = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    for number in range(50):
        daemon.write(many + (extra if number % 2 else ""))
        daemon.signal(signal.SIGHUP)
        daemon.call("Update")
        daemon.signal(signal.SIGHUP)
    daemon.write(many)
    daemon.call("Update")
    assert daemon.pids() == before
    assert len(daemon.spawned) < 100 + 60
    daemon.wait(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) <= fds, "no descriptor more")


def test_what_is_new_starts_when_what_goes_is_gone(start: Start) -> None:
    command = ("command=sh -c 'mkdir {dir}/port || exit 1; trap \"sleep 0.3; rmdir {dir}/port; exit\" TERM; "
               "while :; do sleep 0.02; done'\n")
    daemon = start(f"[program:old]\n{command}")
    daemon.wait_state("old", "RUNNING")
    daemon.write(f"[program:new]\n{command}")
    daemon.call("Update")
    daemon.wait_state("new", "RUNNING")
    assert daemon.spawned == ["old", "new"], "they need the same place, and the new one was not tried twice"


def test_what_is_new_waits_for_the_new_run_of_a_job(start: Start) -> None:
    job = "[program:job]\ncommand=sh -c 'sleep 0.2; echo {n} >>{dir}/trace'\nstartsecs=0\nautorestart=false\n"
    daemon = start(job.replace("{n}", "1"))
    daemon.wait_state("job", "EXITED")
    daemon.write("[program:app]\ncommand=sh -c 'echo app >>{dir}/trace; exec sleep 1000'\nstartsecs=0\n"
                 "depends_on=job:completed\n" + job.replace("{n}", "2"))
    daemon.call("Update")
    daemon.wait_state("app", "RUNNING")
    daemon.wait(lambda: daemon.text("trace") == "1\n2\napp\n", "in this order")


def test_a_dependency_is_turned_round(start: Start) -> None:
    plain, needy = "[program:{}]\ncommand=sleep {}\nstartsecs=0\n", "depends_on={}\ndepends_lost=restart\n"
    daemon = start(plain.format("a", 1000) + plain.format("b", 1000) + needy.format("a"))
    daemon.wait_state("b", "RUNNING")
    daemon.write(plain.format("a", 1000) + needy.format("b") + plain.format("b", 1001))
    daemon.call("Update", groups=["a"])         # b has its old options still
    assert daemon.result("Stop", "b")[0] == "SUCCESS"
    daemon.call("Update")
    assert daemon.result("Start", "a")[0] in ("SUCCESS", "ALREADY_STARTED")
    daemon.wait_state("a", "RUNNING")
    assert daemon.status("b")["state"] == "RUNNING" and daemon.stop() == 0
