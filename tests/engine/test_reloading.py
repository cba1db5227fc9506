"""The command that lets programs read their own configuration again."""

import os
import threading

import pytest

from tests.engine.conftest import Daemon, Start
from tests.engine.test_runs import ctl

WEB = ("[program:web]\ncommand=sh -c 'trap \"echo hup >> {dir}/heard\" HUP; touch {dir}/up; "
       "while :; do sleep 0.05; done'\nstartsecs=0\nkillasgroup=true\nreload_signal=HUP\n")


def up(daemon: Daemon) -> None:
    daemon.wait(lambda: (daemon.directory / "up").exists(), "it listens to signals")


def test_a_signal(start: Start) -> None:
    daemon = start(WEB)
    up(daemon)
    assert daemon.result("ReloadProcess", "web") == ("SUCCESS", "OK")
    daemon.wait(lambda: daemon.text("heard") == "hup\n", "it has heard it")
    daemon.wait_log("web: sent SIGHUP to reload it")


@pytest.mark.root
def test_a_command_is_the_users_and_is_waited_for(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\nuser=nobody\nhook_timeout=30\n"
                   "environment=X=\"own\"\n"
                   "reload_command=sh -c 'sleep 0.3; echo $SDSUPER_PID $SDSUPER_RUN $X $(id -un) > {dir}/told'\n")
    (daemon.directory / "told").touch()
    (daemon.directory / "told").chmod(0o666)
    pid = daemon.status("web")["pid"]
    assert daemon.result("ReloadProcess", "web") == ("SUCCESS", "OK")
    assert daemon.text("told") == f"{pid} 1 own nobody\n"
    assert daemon.status("web")["pid"] == pid


@pytest.mark.parametrize(("command", "why"), [
    ("sh -c 'echo no such table; exit 3'", "web: reload_command: exit status 3"),
    ("sleep 1000", "web: reload_command: took longer than 1 seconds"),
    ("/no/such/file", "web: reload_command: can't find command '/no/such/file'"),
])
def test_a_command_that_fails(start: Start, command: str, why: str) -> None:
    daemon = start(f"[program:web]\ncommand=sleep 1000\nstartsecs=0\nhook_timeout=1\nreload_command={command}\n")
    assert daemon.result("ReloadProcess", "web") == ("FAILED", why)
    assert why in daemon.log and daemon.status("web")["state"] == "RUNNING"
    assert ("reload_command: no such table" in daemon.log) == ("table" in command)


def test_who_is_refused(start: Start) -> None:
    daemon = start("[program:none]\ncommand=sleep 1000\nstartsecs=0\n"
                   "[program:down]\ncommand=sleep 1000\nautostart=false\nreload_signal=HUP\n"
                   "[program:early]\ncommand=sleep 1000\nstartsecs=600\nreload_signal=HUP\n")
    assert daemon.result("ReloadProcess", "none") == ("FAILED", "none: has neither reload_command nor reload_signal")
    assert daemon.result("ReloadProcess", "down") == ("NOT_RUNNING", "down")
    assert daemon.result("ReloadProcess", "early") == ("NOT_RUNNING", "early"), "a signal could end it"
    assert daemon.call("ReloadProcess", name="all")["results"] == []


def test_ctl(start: Start) -> None:
    daemon = start(WEB + "[program:down]\ncommand=sleep 1000\nautostart=false\nreload_signal=HUP\n"
                   "[program:none]\ncommand=sleep 1000\nstartsecs=0\n"
                   "[program:bad]\ncommand=sleep 1000\nstartsecs=0\nreload_command=false\n"
                   "[group:gone]\nprograms=none,down\n")
    up(daemon)
    assert ctl(daemon, "reload-program", "web") == (0, "web: reloaded\n")
    assert ctl(daemon, "reload-program", "gone:down") == (7, "gone:down: ERROR (not running)\n")
    assert ctl(daemon, "reload-program", "gone:none", "web") == (
        1, "none: has neither reload_command nor reload_signal\nweb: reloaded\n")
    assert ctl(daemon, "reload-program", "gone:*") == (0, "")
    assert ctl(daemon, "reload-program", "all") == (1, "bad: reload_command: exit status 1\nweb: reloaded\n")
    assert ctl(daemon, "reload-program", "nosuch") == (1, "nosuch: ERROR (no such process)\n")
    assert ctl(daemon, "reload-program")[1].startswith("Error: reload-program requires a process name\nreload-program ")
    assert daemon.text("heard").count("hup") >= 1


def test_several_at_once_and_one_at_a_time(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nprocess_name=%(process_num)d\nnumprocs=3\nstartsecs=0\n"
                   "reload_command=sh -c 'touch {dir}/$SDSUPER_PID; while ! test -e {dir}/go; do sleep 0.02; done'\n"
                   "[program:none]\ncommand=sleep 1000\nstartsecs=0\n")
    answers: list[dict[str, str]] = []
    client = daemon.client()
    asking = threading.Thread(target=lambda: answers.extend(client.call("ReloadProcess", name="all")["results"]))
    asking.start()
    pids = [pid for name, pid in daemon.pids().items() if name != "none"]
    daemon.wait(lambda: all((daemon.directory / str(pid)).exists() for pid in pids), "all commands run")
    assert daemon.result("ReloadProcess", "web:1") == ("FAILED", "1: another reload of it is under way")
    assert not answers, "it is not answered before they have ended"
    (daemon.directory / "go").touch()
    asking.join(20)
    assert [(row["name"], row["fault"]) for row in answers] == [(str(n), "SUCCESS") for n in range(3)]
    assert os.path.exists(daemon.socket)


def test_a_process_that_is_removed_meanwhile(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
                   "reload_command=sh -c 'touch {dir}/begun; while ! test -e {dir}/go; do sleep 0.02; done'\n")
    answers: list[dict[str, str]] = []
    client = daemon.client()
    asking = threading.Thread(target=lambda: answers.extend(client.call("ReloadProcess", name="web")["results"]))
    asking.start()
    daemon.wait(lambda: (daemon.directory / "begun").exists(), "it runs")
    daemon.write("")
    daemon.call("Update")
    (daemon.directory / "go").touch()
    asking.join(20)
    assert [row["fault"] for row in answers] == ["SUCCESS"]
