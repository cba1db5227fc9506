"""Programs that the daemon ends with, and with what status."""

import signal

import pytest

from tests.engine.conftest import Start

WEB = "[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
ONE = "[program:one]\nessential=true\nautorestart=false\nstartsecs=0\n"


@pytest.mark.parametrize(("options", "status", "how"), [
    ("command=sh -c 'exit 7'", 7, "one is essential and over, EXITED (exit status 7): the daemon ends with status 7"),
    ("command=true", 0, "over, EXITED (exit status 0): the daemon ends with status 0"),
    ("command=sh -c 'kill -KILL $$'", 137, "over, EXITED (terminated by SIGKILL): the daemon ends with status 137"),
    ("command=/no/such/file\nstartretries=0", 1, "over, FATAL (can't find command '/no/such/file'): the daemon ends"),
    ("command=sh -c 'exit 3'\nstartsecs=5\nstartretries=0", 3, "over, FATAL (exit status 3): the daemon ends"),
    ("command=true\nstartsecs=5\nstartretries=0", 1, "over, FATAL (exit status 0): the daemon ends with status 1"),
    ("command=sh -c 'kill -TERM $$'\nautorestart=unexpected\nrestart_limit=2", 143, "ends with status 143"),
    ("command=sleep 1000\nreadiness=notify\nready_timeout=1\nstartretries=0", 143, "over, FATAL"),
])
def test_it_is_over_for_good(start: Start, options: str, status: int, how: str) -> None:
    daemon = start(f"{WEB}{ONE}{options}\n", ready=False)
    daemon.status_at_end = status
    assert daemon.process.wait(20) == status, daemon.log
    assert how in daemon.log and "stopped: web (terminated by SIGTERM)" in daemon.log


def test_what_starts_again_is_not_over(start: Start) -> None:
    daemon = start(f"{WEB}{ONE}command=sh -c 'sleep 0.1; exit 3'\nautorestart=unexpected\nkillasgroup=true\n")
    daemon.wait(lambda: daemon.spawned.count("one") >= 3, "it starts again and again")
    assert daemon.stop() == 0


def test_what_somebody_has_stopped_is_not_over(start: Start) -> None:
    daemon = start(f"{WEB}{ONE}command=sleep 1000\n")
    assert daemon.result("Stop", "one")[0] == "SUCCESS"
    assert daemon.result("Start", "one")[0] == "SUCCESS"
    daemon.write(WEB)
    assert {"group": "one", "kind": "removed"} in daemon.call("Update")["changes"]
    assert daemon.status("web")["state"] == "RUNNING" and daemon.stop() == 0


def test_an_end_that_is_under_way_keeps_its_status(start: Start) -> None:
    daemon = start(f"{ONE}command=sh -c 'trap \"exit 9\" TERM; touch {{dir}}/up; while :; do sleep 0.05; done'\n")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "it is up")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0 and "is essential" not in daemon.log


def test_the_first_counts(start: Start) -> None:
    daemon = start(f"{ONE}command=sh -c 'while ! test -e {{dir}}/go; do sleep 0.02; done; exit 5'\n"
                   + ONE.replace("one", "two") + "command=sh -c 'trap \"exit 6\" TERM; while :; do sleep 0.02; done'\n")
    (daemon.directory / "go").touch()
    daemon.status_at_end = 5
    assert daemon.process.wait(20) == 5 and daemon.log.count("is essential") == 1


def test_a_reload_makes_it_essential(start: Start) -> None:
    job = "[program:job]\nautostart=false\nautorestart=false\nstartsecs=0\ncommand=sh -c 'exit 4'\n"
    daemon = start(WEB + job)
    daemon.call("Start", name="job")
    daemon.wait_state("job", "EXITED")
    assert daemon.status("web")["state"] == "RUNNING"
    daemon.write(f"{WEB}{job}essential=true\n")
    daemon.call("Update")
    daemon.status_at_end = 4
    assert daemon.process.wait(20) == 4 and "job is essential and over, EXITED (exit status 4)" in daemon.log


def test_a_reload_makes_one_essential_that_is_not_over(start: Start) -> None:
    job = "[program:job]\nautostart=false\nautorestart=false\nstartsecs=0\ncommand=sh -c 'exit 4'\n"
    daemon = start(WEB + job)
    daemon.write(f"{WEB}{job}essential=true\n")
    daemon.call("Update")
    assert daemon.status("web")["state"] == "RUNNING" and daemon.status("job")["state"] == "STOPPED"
    daemon.call("Start", name="job", wait=False)
    daemon.status_at_end = 4
    assert daemon.process.wait(20) == 4
