"""Dependencies with real processes: docs/lifecycle.md."""

import os
import signal
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import Daemon, Start

#: db is ready when the test says so; migrate is a job; web needs both.
SITE = """
[program:db]
command=sh -c 'until test -e {dir}/db-may; do sleep 0.02; done; echo ready >&3; exec 3>&-; exec sleep 1000'
readiness=fd:3
stopasgroup=true
autostart=false
[program:migrate]
command=sh -c 'until test -e {dir}/migrate-may; do sleep 0.02; done; exit $(cat {dir}/migrate-may)'
startsecs=0
autostart=false
autorestart=false
stopasgroup=true
depends_on=db
[program:web]
command=sleep 1000
startsecs=0
autostart=false
depends_on=db, migrate:completed, cache?
{options}
"""


def site(start: Start, options: str = "") -> Daemon:
    return start(SITE.replace("{options}", options))


def may(daemon: Daemon, what: str, text: str = "0") -> None:
    (daemon.directory / f"{what}-may").write_text(text)


def come_up(daemon: Daemon) -> None:
    may(daemon, "db")
    may(daemon, "migrate")
    assert daemon.result("Start", "web")[0] == "SUCCESS"


def states(daemon: Daemon) -> dict[str, str]:
    return {name: status["state"] for name, status in daemon.processes().items()}


def test_a_start_brings_up_everything_in_order(start: Start) -> None:
    daemon = site(start)
    daemon.call("Start", name="web", wait=False)
    daemon.wait(lambda: daemon.status("db")["pid"], "db has a child")
    assert states(daemon) == {"db": "STARTING", "migrate": "STARTING", "web": "STARTING"}
    assert daemon.pids() == {"db": daemon.status("db")["pid"], "migrate": 0, "web": 0}
    may(daemon, "db")
    daemon.wait_state("migrate", "RUNNING")
    assert states(daemon) == {"db": "RUNNING", "migrate": "RUNNING", "web": "STARTING"}
    may(daemon, "migrate")
    daemon.wait_state("web", "RUNNING")
    assert daemon.spawned == ["db", "migrate", "web"]


def test_a_client_waits_as_long_as_it_takes_and_hears_of_success(start: Start) -> None:
    daemon = site(start)
    come_up(daemon)
    assert states(daemon) == {"db": "RUNNING", "migrate": "EXITED", "web": "RUNNING"}


def test_a_job_that_fails_is_waited_for_until_it_is_mended(start: Start) -> None:
    daemon = site(start)
    may(daemon, "db")
    may(daemon, "migrate", "3")
    why = "migrate has ended with exit status 3, which it depends on"
    assert daemon.result("Start", "web") == ("SPAWN_ERROR", why), "a client is not kept waiting for ever"
    web = daemon.status("web")
    assert (web["state"], web["pid"], web["spawnerr"]) == ("STARTING", 0, why)
    assert f"web waits: {why}" in daemon.log
    may(daemon, "migrate", "0")
    daemon.call("Start", name="migrate")
    assert daemon.wait_state("web", "RUNNING")["spawnerr"] == ""


def test_or_not_waited_for(start: Start) -> None:
    daemon = site(start, "depends_unmet=fail")
    may(daemon, "db")
    may(daemon, "migrate", "3")
    fault, _description = daemon.result("Start", "web")
    assert fault == "SPAWN_ERROR"
    web = daemon.wait_state("web", "FATAL")
    assert web["spawnerr"] == "migrate has ended with exit status 3, which it depends on"


def test_a_start_that_waits_can_be_taken_back(start: Start) -> None:
    daemon = site(start)
    daemon.call("Start", name="web", wait=False)
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    assert daemon.status("web")["state"] == "STOPPED"
    may(daemon, "db")
    daemon.wait_state("db", "RUNNING")
    assert daemon.spawned[0] == "db" and "web" not in daemon.spawned


def test_too_long_is_a_failed_start(start: Start) -> None:
    daemon = site(start, "depends_timeout=1\nstartretries=0")
    daemon.call("Start", name="web", wait=False)
    web = daemon.wait_state("web", "FATAL")
    assert web["spawnerr"] == "What it depends on was not there after 1 seconds"


def test_when_the_database_is_killed_who_restarts_comes_back_after_it(start: Start) -> None:
    daemon = site(start, "depends_lost=restart")
    come_up(daemon)
    (daemon.directory / "db-may").unlink()
    web, db = daemon.status("web")["pid"], daemon.status("db")["pid"]
    os.kill(db, 9)
    daemon.wait(lambda: daemon.status("db")["pid"] not in (0, db), "db has another child")
    daemon.wait(lambda: daemon.status("web")["pid"] == 0, "web is down")
    assert daemon.status("web")["state"] == "STARTING"
    may(daemon, "db")
    daemon.wait_state("web", "RUNNING")
    assert daemon.status("web")["pid"] != web and daemon.status("migrate")["run"] == 1


def test_who_does_not_mind_is_not_touched(start: Start) -> None:
    daemon = site(start)
    come_up(daemon)
    before = daemon.pids()
    daemon.call("Signal", name="db", signal="KILL")
    daemon.wait(lambda: daemon.status("db")["pid"] not in (0, before["db"]), "db has another child")
    assert daemon.status("web")["pid"] == before["web"]


def test_a_stop_of_what_others_need_takes_them_along_first(start: Start) -> None:
    daemon = site(start, "depends_lost=stop")
    come_up(daemon)
    assert daemon.result("Stop", "db")[0] == "SUCCESS"
    assert states(daemon) == {"db": "STOPPED", "migrate": "EXITED", "web": "STOPPED"}
    daemon.wait_log("stopped: db")
    assert daemon.log.index("stopped: web") < daemon.log.index("stopped: db")


SLOW = """
[program:db]
command=sleep 1000
startsecs=0
priority=999
[program:web]
command={python} {dir}/slow.py
startsecs=0
priority=1
depends_on=db
"""


SCRIPT = """
import signal, sys, time
signal.signal(15, lambda *_: (time.sleep(0.5), sys.exit()))
open(sys.argv[0][:-7] + "up", "w")
time.sleep(1000)
"""


def test_all_stop_behind_those_that_need_them_whatever_their_priority(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SCRIPT)
    daemon = start(SLOW)
    daemon.wait(lambda: (daemon.directory / "up").exists(), "web is up")
    daemon.call("Stop", name="all")
    daemon.wait_log("stopped: db")          # the answer comes a moment before the line
    assert daemon.log.index("stopped: web") < daemon.log.index("stopped: db")


def test_so_does_the_end_of_the_daemon(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SCRIPT)
    daemon = start(SLOW)
    daemon.wait(lambda: (daemon.directory / "up").exists(), "web is up")
    assert daemon.stop() == 0
    assert daemon.log.index("stopped: web") < daemon.log.index("stopped: db")


def test_groups_need_and_are_needed(start: Start) -> None:
    daemon = start("""
[program:db]
command=sh -c 'sleep 0.3; exec sleep 1000'
startsecs=1
[program:a]
command=sleep 1000
startsecs=0
[program:b]
command=sleep 1000
startsecs=0
[group:site]
programs=a,b
depends_on=db
[program:last]
command=sleep 1000
startsecs=0
depends_on=site, site:a:started
""")
    daemon.wait_state("last", "RUNNING")
    assert daemon.spawned[0] == "db" and daemon.spawned[-1] == "last" and set(daemon.spawned[1:3]) == {"a", "b"}


def test_a_need_that_is_no_more_is_not_waited_for(start: Start) -> None:
    daemon = site(start)
    daemon.call("Start", name="web", wait=False)
    daemon.wait(lambda: daemon.status("db")["pid"], "db has a child")
    daemon.write(SITE.replace("{options}", "").replace("depends_on=db, migrate:completed, cache?", ""))
    daemon.call("Update")
    daemon.wait_state("web", "RUNNING")
    assert daemon.status("db")["state"] == "STARTING"


def test_a_circle_in_a_new_configuration_changes_nothing(start: Start) -> None:
    daemon = site(start)
    come_up(daemon)
    before = daemon.pids()
    daemon.write(SITE.replace("{options}", "").replace("readiness=fd:3\n", "depends_on=web\n"))
    with pytest.raises(Refusal, match="is a circle: "):
        daemon.call("Update")
    assert daemon.pids() == before


CHANGED = """
[program:a]
command=sleep {seconds}
priority=1
startsecs=0
depends_on=b
[program:b]
command=sleep {seconds}
priority=2
startsecs=0
"""
GOES = """depends_on=g
[program:g]
command=sleep 1003
priority=3
startsecs=0
"""


def test_an_update_starts_nothing_before_all_is_as_it_will_be(start: Start) -> None:
    daemon = start(CHANGED.replace("{seconds}", "1001") + GOES)
    daemon.wait_state("a", "RUNNING")
    daemon.call("Stop", name="all")
    daemon.write(CHANGED.replace("{seconds}", "1002"))
    daemon.call("Update")
    for name in ("a", "b"):
        pid = daemon.wait_state(name, "RUNNING")["pid"]
        command = Path(f"/proc/{pid}/cmdline")
        daemon.wait(lambda command=command: command.read_bytes() == b"sleep\x001002\x00", "it has its new options")
    assert set(daemon.processes()) == {"a", "b"} and daemon.log.count("spawned: 'g'") == 1


def test_who_is_up_at_the_end_is_the_last_that_was(start: Start, tmp_path: Path) -> None:
    """A program on its way down, to come back, does not come back when the daemon ends meanwhile."""
    (tmp_path / "slow.py").write_text(SCRIPT)
    daemon = start("[program:db]\ncommand=sleep 1000\nstartsecs=0\npriority=900\n"
                   "[program:web]\ncommand={python} {dir}/slow.py\nstartsecs=0\npriority=1\ndepends_on=db\n"
                   "depends_lost=restart\n")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "web is up")
    os.kill(daemon.status("db")["pid"], 9)
    daemon.wait(lambda: daemon.status("web")["state"] == "STOPPING", "web goes down")
    assert daemon.stop() == 0
    assert daemon.spawned.count("web") == 1


#: It stops when the test says so.
STUBBORN = ("command=sh -c 'trap \"until test -e {dir}/go; do sleep 0.02; done; exit\" TERM; touch {dir}/up; "
        "while :; do sleep 0.02; done'\n")


def test_nobody_starts_any_more_when_the_daemon_ends(start: Start) -> None:
    daemon = start(f"[program:slow]\n{STUBBORN}"
                   "[program:db]\npriority=1\nreadiness=fd:3\nkillasgroup=true\ncommand=sh -c "
                   "'until test -e {dir}/db-may; do sleep 0.02; done; echo ready >&3; exec 3>&-; exec sleep 1000'\n"
                   "[program:web]\npriority=1\ncommand=sleep 1000\nstartsecs=0\ndepends_on=db\n")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "slow is up")
    daemon.wait(lambda: daemon.status("db")["pid"], "db has a child")
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("waiting for")
    may(daemon, "db")
    daemon.wait_log("success: db")          # its turn to stop comes after that of slow
    (daemon.directory / "go").touch()
    assert daemon.process.wait(20) == 0 and "web" not in daemon.spawned


def test_an_update_while_a_stop_waits_does_not_undo_it(start: Start) -> None:
    text = ("[program:db]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n"
            f"[program:web]\n{STUBBORN}depends_on=db\ndepends_lost=stop\nstartsecs=0\nautostart=false\n")
    daemon = start(text)
    assert daemon.result("Start", "web")[0] == "SUCCESS"
    daemon.wait(lambda: (daemon.directory / "up").exists(), "web is up")
    daemon.call("Stop", name="db", wait=False)
    daemon.wait_state("web", "STOPPING")
    daemon.write(text.replace("sleep 1000", "sleep 1001"))
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("waiting for db to stop")
    (daemon.directory / "go").touch()
    daemon.wait_log("configuration taken over")
    assert states(daemon) == {"db": "STOPPED", "web": "STOPPED"} and daemon.spawned == ["db", "web"]


def test_one_that_is_on_the_way_down_to_come_back_can_be_stopped(start: Start) -> None:
    daemon = start(f"[program:db]\ncommand=sleep 1000\nstartsecs=0\n[program:web]\n{STUBBORN}startsecs=0\n"
                   "depends_on=db\ndepends_lost=restart\n")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "web is up")
    daemon.call("Stop", name="db", wait=False)
    daemon.wait_state("web", "STOPPING")
    assert daemon.result("Start", "db")[0] == "ABNORMAL_TERMINATION", "its stop waits: it is not up for long"
    assert daemon.result("Stop", "web", wait=False)[0] == "SUCCESS"
    (daemon.directory / "go").touch()
    daemon.wait_state("db", "STOPPED")
    assert states(daemon) == {"db": "STOPPED", "web": "STOPPED"}
    assert daemon.result("Stop", "web")[0] == "NOT_RUNNING"
