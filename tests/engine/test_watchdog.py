"""Programs that have to say that they are alive."""

import os
import time
from pathlib import Path

import pytest

from tests.engine.conftest import Daemon, Start

#: Says `WATCHDOG=1` while FILE is not there; then it does what its argument says.
DOG = r"""
import os, socket, sys, time
end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
end.connect(os.environ["NOTIFY_SOCKET"])
here = os.path.dirname(os.path.abspath(sys.argv[0]))
with open(here + "/env", "w") as out:
    out.write(" ".join(str(os.environ.get(name)) for name in ("WATCHDOG_USEC", "WATCHDOG_PID")) + "\n")
for word in sys.argv[2:]:
    end.send(word.encode())
while True:
    if not os.path.exists(here + "/stop"):
        end.send(b"WATCHDOG=1")
    elif sys.argv[1] == "trigger":
        end.send(b"WATCHDOG=trigger")
        time.sleep(1000)
    time.sleep(0.05)
"""


def dog(seconds: float, args: str = "quiet", options: str = "") -> str:
    return (f"[program:web]\ncommand={{python}} {{dir}}/dog.py {args}\nstartsecs=1\nwatchdog_sec={seconds}\n{options}\n"
            "rlimit_core=0\n")


@pytest.fixture(autouse=True)
def program(directory: Path) -> None:
    (directory / "dog.py").write_text(DOG)


def healthy(daemon: Daemon) -> bool:
    return bool(daemon.status("web").get("health") == "healthy")


def test_a_program_that_says_so_is_let_be_and_one_that_does_not_is_restarted(start: Start, directory: Path) -> None:
    daemon = start(dog(2))
    daemon.wait(lambda: healthy(daemon), "it is well")
    assert daemon.text("env") == "2000000 None\n"
    pid = daemon.pids()["web"]
    (directory / "stop").touch()
    daemon.wait(lambda: daemon.pids()["web"] not in (0, pid), "it is restarted")
    (directory / "stop").unlink()
    daemon.wait_log("web: no sign of life for 2 seconds (watchdog): stopping it")
    daemon.wait_log("stopped: web (terminated by SIGABRT)")
    daemon.wait(lambda: healthy(daemon), "it is well again")


def test_nobody_is_bitten_before_the_process_is_running(start: Start, directory: Path) -> None:
    (directory / "stop").touch()
    daemon = start(dog(0.3, options="startup_check_script=test -e {dir}/well\nstartup_check_period=0.1\n"
                                    "liveness_check_failure_action=none"))
    daemon.wait(lambda: "startup" in daemon.log or daemon.text("env"), "it has begun")
    assert daemon.status("web")["state"] == "STARTING"
    (directory / "well").touch()
    daemon.wait_state("web", "RUNNING")
    daemon.wait(lambda: daemon.status("web")["health"] == "unhealthy", "its time is over")
    assert daemon.status("web")["description"].endswith("unhealthy: no sign of life for 0.3 seconds (watchdog)")
    (directory / "stop").unlink()
    daemon.wait(lambda: healthy(daemon), "it is alive")
    assert len(daemon.spawned) == 1


def test_a_program_may_call_the_watchdog_itself(start: Start, directory: Path) -> None:
    daemon = start(dog(1000, "trigger", "liveness_check_failure_action=stop"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    (directory / "stop").touch()
    daemon.wait_state("web", "STOPPED")
    assert "stopping web: the program has called the watchdog" in daemon.log


def test_a_program_may_want_another_time(start: Start, directory: Path) -> None:
    daemon = start(dog(1000, "quiet WATCHDOG_USEC=1500000", "liveness_check_failure_action=stop"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    (directory / "stop").touch()
    daemon.wait_state("web", "STOPPED")
    assert "no sign of life for 1.5 seconds" in daemon.log


def test_a_ready_that_nobody_has_asked_for_changes_nothing(start: Start) -> None:
    daemon = start(dog(1000, "quiet READY=1").replace("startsecs=1", "startsecs=1000"))
    daemon.wait(lambda: daemon.text("env"), "it has begun")
    daemon.call("List")
    assert daemon.status("web")["state"] == "STARTING" and "it is ready" not in daemon.log


def test_a_frozen_program_need_not_say_anything(start: Start, directory: Path) -> None:
    daemon = start(dog(2) + "[program:other]\ncommand=sleep 1000\nstartsecs=0\nready_check_script=sh -c 'echo >> "
                   "{dir}/clock'\nready_check_period=0.2\n")
    daemon.wait(lambda: healthy(daemon), "it is well")
    pid = daemon.pids()["web"]
    assert daemon.faults("Freeze", "web") == {"web": "SUCCESS"}
    count = daemon.text("clock").count("\n")
    daemon.wait(lambda: daemon.text("clock").count("\n") > count + 12, "more than its time passes")
    daemon.call("Thaw", name="web")
    count = daemon.text("clock").count("\n")
    daemon.wait(lambda: daemon.text("clock").count("\n") > count + 12, "more than its time passes again")
    assert daemon.pids()["web"] == pid and "watchdog" not in daemon.log


def test_one_that_is_thawed_has_its_whole_time(start: Start, directory: Path) -> None:
    daemon = start(dog(4, options="liveness_check_failure_action=none"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    daemon.faults("Freeze", "web")
    frozen = time.monotonic()
    (directory / "stop").touch()                    # it is silent when it is thawed
    daemon.wait(lambda: time.monotonic() > frozen + 3, "most of its time passes")
    daemon.call("Thaw", name="web")
    thawed = time.monotonic()
    daemon.wait(lambda: daemon.status("web")["health"] == "unhealthy", "its time is over")
    assert time.monotonic() - thawed > 3.5


def test_what_a_program_wants_does_not_keep_the_daemon_busy(start: Start, directory: Path) -> None:
    daemon = start(dog(1000, "quiet WATCHDOG_USEC=1", "liveness_check_failure_action=signal WINCH"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    (directory / "stop").touch()
    daemon.wait(lambda: daemon.status("web")["health"] == "unhealthy", "its time is over")
    barked = time.monotonic()
    assert daemon.status("web")["description"].endswith("no sign of life for 1 seconds (watchdog)")
    daemon.wait(lambda: time.monotonic() > barked + 3, "it would bark again")
    assert daemon.log.count("sending SIGWINCH to web") == 1


def test_a_flood_of_calls_is_one_action(start: Start, directory: Path) -> None:
    (directory / "dog.py").write_text(DOG.replace("time.sleep(1000)", "end.send(b'WATCHDOG=1')"))
    daemon = start(dog(1000, "trigger", "liveness_check_failure_action=signal WINCH"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    (directory / "stop").touch()
    daemon.wait_log("sending SIGWINCH to web: the program has called the watchdog")
    called = time.monotonic()
    daemon.wait(lambda: time.monotonic() > called + 2.5, "it calls on")
    assert daemon.log.count("sending SIGWINCH to web") == 1
    assert daemon.log.count("web is unhealthy") <= (time.monotonic() - called) + 2


def test_one_that_a_reload_takes_away_does_not_bark(start: Start, directory: Path) -> None:
    daemon = start(dog(2, options="liveness_check_failure_action=none"))
    daemon.wait(lambda: healthy(daemon), "it is well")
    (directory / "stop").touch()
    daemon.wait(lambda: daemon.status("web")["health"] == "unhealthy", "its time is over")
    pid = daemon.pids()["web"]
    daemon.write(dog(0, options="liveness_check_failure_action=restart"))
    daemon.call("Update")
    daemon.wait(lambda: "unhealthy" not in daemon.status("web")["description"], "it is forgotten")
    taken = time.monotonic()
    daemon.wait(lambda: time.monotonic() > taken + 3, "more than its time passes")
    assert daemon.pids()["web"] == pid and "stopping it" not in daemon.log


def test_a_socket_and_a_descriptor_can_be_given_together(start: Start) -> None:
    daemon = start(dog(1000, options="readiness=fd:3"))
    daemon.wait(lambda: daemon.text("env"), "it has begun")
    assert daemon.status("web")["state"] == "STARTING"
    fds = os.listdir(f"/proc/{daemon.pids()['web']}/fd")
    assert "3" in fds
