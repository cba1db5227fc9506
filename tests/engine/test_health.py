"""Checks of real programs by a real daemon: docs/health.md, sentence by sentence."""

import os
import signal
from pathlib import Path

import pytest

from tests.engine.conftest import Daemon, Start
from tests.engine.pools import names, pool
from tests.engine.probed import BUSY, OK, web

pytestmark = pytest.mark.root
SLEEP = "[program:web]\ncommand=sleep 1000\nstartsecs=0\nexitcodes=0\n"
#: Checks that the tests need not wait long for.
QUICK = {kind: "".join(f"{kind}_check_{option}\n" for option in ("initial_delay=0", "period=0.1", "timeout=10"))
         for kind in ("startup", "ready", "liveness")}


def check(kind: str, text: str) -> str:
    return f"{kind}_check_script={text}\n{QUICK[kind]}"


def asker(daemon: Daemon) -> int:
    """The pid of the process that asks; 0: there is none."""
    for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
        try:
            if b"sdsuper.probe" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        except OSError:
            continue
    return 0


def said(daemon: Daemon) -> tuple[str, bool]:
    status = daemon.status("web")
    return status["health"], status["ready"]




# ---- without checks -----------------------------------------------------------------------------------------------

def test_without_checks_nothing_is_said_of_health(start: Start) -> None:
    daemon = start(SLEEP)
    status = daemon.status("web")
    assert "health" not in status and "ready" not in status
    assert status["description"] == f"pid {status['pid']}, uptime 0:00:00" and asker(daemon) == 0


# ---- startup ------------------------------------------------------------------------------------------------------

def test_a_process_is_starting_until_its_startup_check_succeeds(start: Start) -> None:
    with web(lambda _path: BUSY) as there:
        daemon = start(SLEEP + check("startup", there.url) + "startup_check_success_threshold=2\n"
                       "[program:worker]\ncommand=sleep 1000\nstartsecs=0\ndepends_on=web\n")
        daemon.wait(lambda: len(there.heads) > 4, "it is asked again and again")
        assert daemon.status("web")["state"] == daemon.status("worker")["state"] == "STARTING"
        assert daemon.pids()["worker"] == 0
        there.answer = lambda _path: OK
        daemon.wait_state("worker", "RUNNING")
        daemon.wait_log("success: web entered RUNNING state, it is ready (startup check)")
        count = len(there.heads)
        daemon.call("Stop", name="worker")
        assert daemon.result("Start", "worker") == ("SUCCESS", "OK")
        assert len(there.heads) == count, "it is asked no more"


def test_a_startup_check_may_fail_so_often(start: Start) -> None:
    daemon = start(SLEEP + check("startup", "/bin/false") + "startup_check_failure_threshold=3\nstartretries=0\n")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "startup check failed 3 times in a row: exit status 1"


def test_a_startup_check_takes_no_longer_than_ready_timeout(start: Start) -> None:
    daemon = start(SLEEP + check("startup", "/bin/false") + "ready_timeout=1\nstartretries=0\n")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "Was not ready after 1 seconds"


# ---- ready --------------------------------------------------------------------------------------------------------

def test_a_ready_check_shows_and_restarts_nothing(start: Start, directory: Path) -> None:
    daemon = start(SLEEP + check("ready", "test ! -e {dir}/busy") + "ready_check_failure_threshold=2\n")
    daemon.wait(lambda: said(daemon) == ("healthy", True), "it is ready")
    pid = daemon.pids()["web"]
    (directory / "busy").touch()
    daemon.wait(lambda: said(daemon) == ("unready", False), "it is not ready")
    assert daemon.status("web")["description"].endswith("; not ready: exit status 1")
    (directory / "busy").unlink()
    daemon.wait(lambda: said(daemon) == ("healthy", True), "it is ready again")
    assert daemon.pids()["web"] == pid and "not ready" not in daemon.status("web")["description"]
    daemon.wait_log("web is not ready: exit status 1")


def test_it_is_not_ready_before_it_was_asked_and_others_wait(start: Start, directory: Path) -> None:
    daemon = start(SLEEP + check("ready", "test -e {dir}/well") +
                   "[program:worker]\ncommand=sleep 1000\nstartsecs=0\ndepends_on=web\ndepends_lost=restart\n"
                   "[program:log]\ncommand=sleep 1000\nstartsecs=0\ndepends_on=web:started\n")
    daemon.wait_state("log", "RUNNING")
    assert said(daemon) == ("unready", False) and daemon.status("worker")["state"] == "STARTING"
    (directory / "well").touch()
    daemon.wait_state("worker", "RUNNING")
    (directory / "well").unlink()
    daemon.wait_state("worker", "STARTING")
    assert daemon.status("web")["state"] == daemon.status("log")["state"] == "RUNNING"


# ---- live ---------------------------------------------------------------------------------------------------------

def test_a_program_that_is_ill_is_restarted(start: Start) -> None:
    with web() as there:
        daemon = start(SLEEP + check("liveness", there.url))
        daemon.wait(lambda: said(daemon) == ("healthy", True), "it is well")
        pid = daemon.pids()["web"]
        there.answer = lambda _path: BUSY
        daemon.wait(lambda: daemon.pids()["web"] not in (0, pid), "it is restarted")
        there.answer = lambda _path: OK
        daemon.wait(lambda: said(daemon) == ("healthy", True), "it is well again")
    text = daemon.log
    assert "web is unhealthy: HTTP 503" in text
    assert "web: liveness check failed 3 times in a row: HTTP 503: stopping it" in text


def test_it_is_restarted_whatever_autorestart_says_and_as_often_as_restart_limit_says(start: Start) -> None:
    daemon = start(SLEEP + check("liveness", "/bin/false") + "autorestart=false\nrestart_limit=2\n"
                   "liveness_check_failure_threshold=1\n")
    assert "restart_limit=2 is used up" in daemon.wait_state("web", "FATAL")["spawnerr"]
    assert daemon.spawned == ["web"] * 3


def test_stop(start: Start) -> None:
    daemon = start(SLEEP + check("liveness", "/bin/false") + "liveness_check_failure_action=stop\n")
    daemon.wait_state("web", "STOPPED")
    assert "stopping web: liveness check failed 3 times in a row: exit status 1" in daemon.log
    assert daemon.status("web")["goal"] == "down"


def test_signal_comes_again_and_again_but_not_sooner_than_the_options_say(start: Start) -> None:
    code = ("import signal,time\nsignal.signal(signal.SIGUSR1, lambda *_: open('{dir}/got','a').write('.'))\n"
            "while True: time.sleep(1)")
    daemon = start("", ready=True)
    (daemon.directory / "web.py").write_text(code.replace("{dir}", str(daemon.directory)))
    daemon.write("[program:web]\ncommand={python} {dir}/web.py\nstartsecs=1\n" + check("liveness", "/bin/false") +
                 "liveness_check_failure_action=signal usr1\nliveness_check_initial_delay=0.5\n")
    daemon.call("Update")
    daemon.wait(lambda: len(daemon.text("got")) >= 2, "two signals")
    assert daemon.status("web")["state"] == "RUNNING" and said(daemon) == ("unhealthy", True)
    assert len(daemon.spawned) == 1


def test_only_told(start: Start) -> None:
    daemon = start(SLEEP + check("liveness", "tcp://127.0.0.1:1") + "liveness_check_failure_action=none\n")
    daemon.wait(lambda: said(daemon)[0] == "unhealthy", "it is ill")
    status = daemon.status("web")
    assert status["state"] == "RUNNING" and status["description"].endswith("; unhealthy: Connection refused")
    assert daemon.log.count("web is unhealthy") == 1


def test_what_to_run_keeps_its_letters_and_knows_why(start: Start, directory: Path) -> None:
    script = directory / "Tell"
    script.write_text("#!/bin/sh\necho \"$SDSUPER_REASON, $SDSUPER_PID, $1\" >> $0.out\n")
    script.chmod(0o755)
    daemon = start(SLEEP + check("liveness", "test -e {dir}/well") + "liveness_check_failure_action={dir}/Tell ILL\n"
                   "liveness_check_success_action={dir}/Tell Well\nliveness_check_initial_delay=0.3\n")
    pid = daemon.pids()["web"]
    reason = "liveness check failed 3 times in a row: exit status 1"
    daemon.wait(lambda: f"{reason}, {pid}, ILL\n" in daemon.text("Tell.out"), "the action is run")
    (directory / "well").touch()
    daemon.wait(lambda: "Well\n" in daemon.text("Tell.out"), "the other action is run")
    assert daemon.pids()["web"] == pid


def test_an_action_that_takes_long_is_not_run_again_meanwhile(start: Start, directory: Path) -> None:
    daemon = start(SLEEP + check("liveness", "/bin/false") + "liveness_check_failure_action=/bin/sh -c "
                   "'echo run >> {dir}/ran; until test -e {dir}/go; do sleep 0.05; done'\n")
    daemon.wait(lambda: daemon.log.count("web: /bin/sh still runs: liveness check failed") > 9, "there is much to do")
    assert daemon.text("ran") == "run\n" and "cannot be made" not in daemon.log
    (directory / "go").touch()
    daemon.wait(lambda: daemon.text("ran").startswith("run\nrun\n"), "it is run again")


def test_a_command_runs_as_the_programs_user_in_its_environment(start: Start, directory: Path) -> None:
    directory.chmod(0o777)
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\nuser=nobody\ndirectory={dir}\nenvironment=A=b\n"
                   + check("liveness", "sh -c 'echo $(id -u) $A $SUPERVISOR_PROCESS_NAME $SDSUPER_CHECK > out; mv out "
                                       "found'"))
    daemon.wait(lambda: daemon.text("found").endswith("\n"), "it is run")
    assert daemon.text("found") == "65534 b web liveness\n"


def test_a_check_that_takes_too_long_is_killed_with_all_it_has_started(start: Start, tracking: dict[str, str]
                                                                       ) -> None:
    daemon = start(SLEEP + check("liveness", "sh -c 'echo $$ >> {dir}/pids; sleep 1000 & sleep 1000'").replace(
        "timeout=10", "timeout=0.3") + "liveness_check_failure_action=none\n", main=tracking)
    daemon.wait(lambda: said(daemon)[0] == "unhealthy", "it is ill")
    assert daemon.status("web")["description"].endswith("; unhealthy: took longer than 0.3 seconds")
    first = daemon.text("pids").split()[0]
    daemon.wait(lambda: not os.path.exists(f"/proc/{first}"), "the first is gone")
    alive = [pid for pid in daemon.text("pids").split() if os.path.exists(f"/proc/{pid}")]
    assert len(alive) <= 1, "never two of the same check at once"


def test_a_frozen_program_is_not_checked(start: Start) -> None:
    with web() as there, web() as clock:
        daemon = start(SLEEP + check("liveness", there.url) + "liveness_check_failure_threshold=1\n[program:other]\n"
                       "command=sleep 1000\nstartsecs=0\n" + check("ready", clock.url))
        daemon.wait(lambda: said(daemon) == ("healthy", True), "it is well")
        assert daemon.faults("Freeze", "web") == {"web": "SUCCESS"}
        there.answer = lambda _path: BUSY
        pid, asked, other = daemon.pids()["web"], len(there.heads), len(clock.heads)
        daemon.wait(lambda: len(clock.heads) > other + 10, "another one is asked")
        assert len(there.heads) <= asked + 1, "what was under way came to its end"
        there.answer = lambda _path: OK
        daemon.call("Thaw", name="web")
        asked = len(there.heads)
        daemon.wait(lambda: len(there.heads) > asked + 1, "it is asked again")
        assert daemon.pids()["web"] == pid and "unhealthy" not in daemon.log


# ---- reload -------------------------------------------------------------------------------------------------------

def test_checks_come_change_and_go_without_a_restart(start: Start) -> None:
    with web() as there:
        daemon = start(SLEEP)
        daemon.wait_state("web", "RUNNING")
        pid = daemon.pids()["web"]

        def update(options: str) -> None:
            daemon.write(SLEEP + options)
            daemon.call("Update")

        update(check("liveness", f"{there.url}/one") + check("ready", "/bin/true"))
        daemon.wait(lambda: said(daemon) == ("healthy", True) and there.heads, "it is checked")
        update(check("liveness", f"{there.url}/two") + check("ready", "/bin/false"))
        daemon.wait(lambda: said(daemon) == ("unready", False) and "/two" in there.heads[-1], "by the new options")
        update("")
        daemon.wait(lambda: "health" not in daemon.status("web"), "it is not checked any more")
        assert "not ready" not in daemon.status("web")["description"] and daemon.pids()["web"] == pid
        daemon.wait(lambda: not there.now, "nobody is asked")


def test_a_start_goes_on_when_a_reload_takes_its_check_away(start: Start) -> None:
    daemon = start(SLEEP + check("startup", "/bin/false"))
    daemon.wait_state("web", "STARTING")
    daemon.write(SLEEP)
    daemon.call("Update")
    daemon.wait_state("web", "RUNNING")
    assert len(daemon.spawned) == 1


# ---- many, and the process that asks ------------------------------------------------------------------------------

def test_many_programs_are_no_storm(start: Start) -> None:
    with web() as there:
        daemon = start("[program:many]\ncommand=sleep 1000\nstartsecs=0\nnumprocs=200\n"
                       "process_name=p%(process_num)03d\n"
                       "liveness_check_initial_delay=0\nliveness_check_period=2\nliveness_check_timeout=60\n"
                       f"liveness_check_script={there.url}/%(process_num)d\n", main={"checks_at_once": "5"})
        daemon.wait(lambda: len({head.split()[1] for head in there.heads}) == 200, "all are asked", 60)
        daemon.wait(lambda: all(row["health"] == "healthy" for row in daemon.processes().values()), "all are well", 60)
        assert there.most <= 5
        assert len(daemon.spawned) == 200


def test_when_the_process_that_asks_is_killed_no_program_suffers(start: Start) -> None:
    with web() as there:
        daemon = start(SLEEP + check("liveness", there.url) + "liveness_check_failure_threshold=1\n")
        daemon.wait(lambda: said(daemon) == ("healthy", True), "it is well")
        before, pid = asker(daemon), daemon.pids()["web"]
        there.answer = lambda _path: None
        count = len(there.heads)
        daemon.wait(lambda: len(there.heads) > count and there.now, "a question is open")
        os.kill(before, signal.SIGKILL)
        there.answer = lambda _path: OK
        daemon.wait(lambda: asker(daemon) not in (0, before), "there is another one")
        count = len(there.heads)
        daemon.wait(lambda: len(there.heads) > count, "it asks")
        assert daemon.pids()["web"] == pid and said(daemon) == ("healthy", True)
        assert "unhealthy" not in daemon.log


# ---- who hears of it ----------------------------------------------------------------------------------------------

def test_the_event_is_for_those_who_name_it(start: Start, directory: Path) -> None:
    daemon = start(SLEEP + check("liveness", "test ! -e {dir}/ill") + "liveness_check_failure_action=none\n" +
                   pool("ours", "PROCESS_HEALTH") + pool("all", "EVENT,TICK_3600"))
    daemon.wait(lambda: said(daemon) == ("healthy", True), "it is well")
    (directory / "ill").touch()
    daemon.wait(lambda: len(names(daemon, "ours")) >= 2, "two events")
    head = "PROCESS_HEALTH processname:web groupname:web from_health:"
    pid = daemon.pids()["web"]
    assert names(daemon, "ours")[-1] == f"{head}healthy health:unhealthy pid:{pid}"
    assert daemon.text("ours").count("exit status 1") == 1
    daemon.call("SendEvent", type="last", data="")
    daemon.wait(lambda: "REMOTE_COMMUNICATION type:last" in names(daemon, "all"), "the other listener has heard all")
    assert "PROCESS_HEALTH" not in daemon.text("all")


def test_hooks_ask_over_http_too(start: Start) -> None:
    with web(lambda _path: BUSY) as there:
        daemon = start(SLEEP + f"pre_start_hook={there.url}/before\npre_stop_hook={there.url}/after\nstartretries=0\n")
        assert daemon.wait_state("web", "FATAL")["spawnerr"] == "pre_start_hook: HTTP 503"
        there.answer = lambda _path: OK
        assert daemon.result("Start", "web") == ("SUCCESS", "OK")
        daemon.call("Stop", name="web")
        assert [head.split()[1] for head in there.heads] == ["/before", "/before", "/after"]


def test_a_check_that_cannot_be_made_because_of_us_is_said_once_and_counts_for_nothing(start: Start) -> None:
    daemon = start(SLEEP + check("liveness", "https://localhost:1/ --ca-file /no/ca.pem") +
                   "liveness_check_failure_threshold=1\n[program:other]\ncommand=sleep 1000\nstartsecs=0\n"
                   + check("ready", "/bin/true"))
    daemon.wait_log("web: liveness check cannot be made: cannot read /no/ca.pem: No such file or directory")
    daemon.wait(lambda: daemon.status("other")["ready"], "others are checked")
    assert said(daemon) == ("unknown", True) and daemon.log.count("cannot be made") == 1
