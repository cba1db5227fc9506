"""Programs that the clock starts, with a real daemon and the real clock."""

import json
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.engine.conftest import ROOT, Daemon, Start

JOB = "autostart=false\nautorestart=false\nstartsecs=0\n"


def lines(daemon: Daemon, text: str) -> list[str]:
    return [line for line in daemon.messages if text in line]


def test_a_job_runs_each_time_and_others_can_wait_for_it(start: Start) -> None:
    daemon = start(f"[program:job]\ncommand=/bin/sh -c 'date +%%s >> {{dir}}/runs'\n{JOB}cron=*/2 * * * * *\n"
                   "[program:after]\ncommand=sleep 1000\ndepends_on=job:completed\nstartsecs=0\n"
                   f"[program:plain]\ncommand=sleep 1000\n{JOB}")
    daemon.wait(lambda: daemon.text("runs").count("\n") >= 3, "it has run three times")
    runs = [int(word) for word in daemon.text("runs").split()]
    assert all(later - sooner >= 1 for sooner, later in pairwise(runs))
    daemon.wait_state("after", "RUNNING")
    shown = daemon.status("job")
    assert re.search(r"; next at \d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?$", shown["description"]), shown
    assert shown["next_start"] % 2 == 0 and 0 <= shown["next_start"] - shown["now"] <= 2
    assert "next_start" not in daemon.status("plain") and daemon.status("plain")["description"] == "Not started"
    assert lines(daemon, "cron of job, ")[0].endswith(": starting it")


def test_next_is_in_the_programs_zone_and_shown_in_ours(start: Start) -> None:
    daemon = start(f"[program:job]\ncommand=/bin/true\n{JOB}cron=30 2 * * *\ncron_timezone=Pacific/Kiritimati\n",
                   environment={"TZ": "UTC"})
    daemon.wait(lambda: "next_start" in daemon.status("job"), "its time is known")
    assert daemon.status("job")["description"].endswith(" 12:30"), "which is 02:30 of the next day, 14 hours ahead"
    assert daemon.status("job")["next_start"] % 86400 == 12 * 3600 + 30 * 60


def test_a_run_that_is_not_over_is_not_disturbed(start: Start) -> None:
    daemon = start(f"[program:long]\ncommand=sleep 1000\n{JOB}cron=* * * * * *\n")
    daemon.wait(lambda: len(lines(daemon, ": skipped, for it is still RUNNING")) >= 2, "two times are skipped")
    assert daemon.spawned == ["long"]
    daemon.call("Stop", name="long")
    daemon.wait(lambda: len(daemon.spawned) > 1, "what was stopped starts at the next time")


def test_queue_starts_it_once_more_when_it_has_ended(start: Start) -> None:
    daemon = start(f"[program:long]\ncommand=/bin/sh -c 'while ! test -e {{dir}}/go; do sleep 0.05; done'\n{JOB}"
                   "cron=* * * * * *\ncron_overlap=queue\n")
    daemon.wait(lambda: lines(daemon, "skipped, for it is still RUNNING and another start waits"), "one waits, one not")
    assert daemon.spawned == ["long"]
    (daemon.directory / "go").touch()
    daemon.wait_log("cron of long: starting it, for it has ended")
    daemon.wait(lambda: len(daemon.spawned) >= 2, "it does")


def test_a_stop_takes_the_start_that_waits_with_it(start: Start) -> None:
    daemon = start(f"[program:long]\ncommand=sleep 1000\n{JOB}cron=*/3 * * * * *\ncron_overlap=queue\n")
    daemon.wait_log("it starts when it has ended, for it is still RUNNING")
    daemon.call("Stop", name="long")
    daemon.wait_log("the start that waited is dropped, for it was stopped")


def test_kill_makes_room(start: Start) -> None:
    daemon = start(f"[program:long]\ncommand=sleep 1000\n{JOB}cron=*/2 * * * * *\ncron_overlap=kill\n")
    daemon.wait(lambda: len(daemon.spawned) >= 3, "it is started again and again")
    assert lines(daemon, ": stopping and starting it, for it is still RUNNING")
    daemon.wait_log("stopped: long (terminated by SIGTERM)")


def test_kill_leaves_a_failed_start_to_its_next_try(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=/no/such/file\nautostart=true\nstartretries=20\nrestartpause=60\n"
                   "cron=* * * * * *\ncron_overlap=kill\n")
    daemon.wait_log("skipped, for it is BACKOFF and starts again by itself")
    assert not lines(daemon, "stopping and starting it")


def test_a_start_that_waits_is_dropped_when_it_is_disabled(start: Start) -> None:
    daemon = start(f"[program:long]\ncommand=/bin/sh -c 'while ! test -e {{dir}}/go; do sleep 0.05; done'\n{JOB}"
                   "cron=* * * * * *\ncron_overlap=queue\n")
    daemon.wait_log("it starts when it has ended, for it is still RUNNING")
    daemon.call("Disable", name="long")
    (daemon.directory / "go").touch()
    daemon.wait_log("cron of long: the start that waited is dropped, for it is disabled")
    assert daemon.spawned == ["long"]


def test_a_start_that_waits_is_not_made_while_the_daemon_ends(start: Start) -> None:
    daemon = start("[program:long]\ncommand=sh -c 'trap \"exit 0\" USR1; trap \"\" TERM; "
                   f"while :; do sleep 0.05; done'\nstopsignal=USR1\n{JOB}cron=* * * * * *\ncron_overlap=queue\n")
    daemon.wait_log("it starts when it has ended, for it is still RUNNING")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert not lines(daemon, "starting it, for it has ended") and daemon.spawned == ["long"]


def test_a_reload_takes_the_schedule_away_and_gives_another(start: Start) -> None:
    text = "[program:keep]\ncommand=sleep 1000\n"
    daemon = start(f"{text}[program:job]\ncommand=/bin/true\n{JOB}cron=@every 1s\n")
    daemon.wait(lambda: len(daemon.spawned) >= 3, "it runs")
    daemon.write(f"{text}[program:job]\ncommand=/bin/true\n{JOB}cron=0 0 1 1 *\n")
    daemon.call("Update")
    daemon.wait(lambda: "-01-01 00:00" in daemon.status("job")["description"], "New Year is next")
    before = len(daemon.spawned)
    daemon.write(f"{text}[program:job]\ncommand=/bin/true\n{JOB}cron=@every 1s\n")
    daemon.call("Update")
    daemon.wait(lambda: len(daemon.spawned) > before, "it runs again")
    daemon.write(text)
    daemon.call("Update")
    before = len(daemon.spawned)
    watched = time.monotonic() + 2.5            # two of its times pass
    daemon.wait(lambda: time.monotonic() > watched, "time passes")
    assert len(daemon.spawned) == before and set(daemon.processes()) == {"keep"}


def test_it_is_not_started_while_the_daemon_ends(start: Start) -> None:
    daemon = start("[program:slow]\ncommand={python} -c 'import os,signal,time; "
                   "signal.signal(15, lambda *_: os._exit(time.sleep(2.5) or 0)); time.sleep(1000)'\n"
                   f"stopwaitsecs=10\nstartsecs=0\n[program:job]\ncommand=/bin/true\n{JOB}cron=* * * * * *\n")
    daemon.wait(lambda: "job" in daemon.spawned, "it runs")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    _before, _line, after = daemon.log.partition("indicating exit request")
    assert "stopped: slow" in after and "spawned: 'job'" not in after and "cron of job" not in after


def test_without_schedules_nothing_is_imported_for_them() -> None:
    code = ("import sys, sdsuper.cli.daemon, sdsuper.engine.daemon; "
            "print({'datetime', 'zoneinfo'} & {*sys.modules})")
    command = [sys.executable, "-S", "-E", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_process_that_is_disabled_is_not_started(start: Start) -> None:
    daemon = start(f"[program:job]\ncommand=/bin/true\n{JOB}cron=* * * * * *\n")
    daemon.wait(lambda: daemon.spawned, "it runs")
    assert daemon.result("Disable", "job")[0] == "SUCCESS"
    daemon.wait_log(": skipped, for it is disabled")
    assert "next_start" not in daemon.status("job")
    before = len(daemon.spawned)
    daemon.wait_log(": skipped, for it is disabled", 3)
    assert len(daemon.spawned) == before
    assert daemon.result("Enable", "job")[0] == "SUCCESS"
    daemon.wait(lambda: len(daemon.spawned) > before, "it runs again")


def kept(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.text("state"))
    return found


def test_times_that_pass_while_no_daemon_runs(start: Start, directory: Path) -> None:
    text = (f"[program:once]\ncommand=/bin/true\n{JOB}cron=*/2 * * * * *\ncron_missed=once\n"
            f"[program:skip]\ncommand=/bin/true\n{JOB}cron=*/2 * * * * *\n"
            f"[program:year]\ncommand=/bin/true\n{JOB}cron=@yearly\ncron_missed=once\n"
            f"[program:every]\ncommand=/bin/true\n{JOB}cron=@every 2h\ncron_missed=once\n")
    main = {"state_file": str(directory / "state")}
    daemon = start(text, main=main)
    daemon.wait(lambda: daemon.spawned.count("once") >= 2, "it runs")
    assert daemon.stop() == 0
    state = kept(daemon)
    assert sorted(state["cron"]) == ["once:once", "year:year"], "no other is written down"
    told = state["cron"]["once:once"][1]
    assert told % 2 == 0 and time.time() - told < 30

    daemon.wait(lambda: time.time() > told + 5, "two times pass")
    before = len(lines(daemon, "cron of once, "))
    daemon = start(text, main=main)
    daemon.wait(lambda: len(lines(daemon, "cron of once, ")) > before, "it runs again")
    first = lines(daemon, "cron of once, ")[before]
    assert first.endswith(f"{time.strftime('%H:%M:%S', time.localtime(told + 2))}: starting it"), "the first of them"
    assert daemon.stop() == 0

    state["cron"]["year:year"][1] -= 400 * 86400           # as if the machine had been off
    (directory / "state").write_text(json.dumps(state))
    daemon = start(text, main=main)
    daemon.wait_log("cron of year, ")
    (found,) = lines(daemon, "cron of year, ")
    assert re.fullmatch(r".*-01-01 00:00:00: starting it, \d+ seconds late", found), found
    daemon.wait(lambda: time.time() - kept(daemon)["cron"]["year:year"][1] < 400 * 86400, "it is known")
    assert daemon.stop() == 0
    before = len(lines(daemon, "cron of once, "))
    daemon = start(text, main=main)
    daemon.wait(lambda: len(lines(daemon, "cron of once, ")) > before, "it runs again")
    assert lines(daemon, "cron of year, ") == [found], "this one has run"

    daemon.write(text.replace("cron=@yearly", "cron=@daily"))
    daemon.call("Update")
    daemon.wait(lambda: kept(daemon)["cron"]["year:year"][0] == "@daily", "another schedule begins anew")
    daemon.write("")
    daemon.call("Update")
    daemon.wait(lambda: "cron" not in kept(daemon), "nothing is left of them")


def test_a_last_time_that_cannot_be_written_down_is_said_once(start: Start, directory: Path) -> None:
    (directory / "file").write_text("")
    daemon = start(f"[program:job]\ncommand=/bin/true\n{JOB}cron=* * * * * *\ncron_missed=once\n",
                   main={"state_file": str(directory / "file/state")})
    daemon.wait(lambda: len(daemon.spawned) >= 3, "it runs all the same")
    (line,) = lines(daemon, "will not be known to the next one")
    assert f"{directory}/file/state: " in line
