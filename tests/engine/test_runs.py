"""Runs and their cgroups: where they are, freezing, figures, and limits where there are no controllers.

What needs controllers is tried on a virtual machine (vm-tests/check-limits).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdsuper.usage import usage
from tests.engine.conftest import ROOT, Daemon, Start

COUNTER = """\
[program:count]
command={python} -uc "import itertools, time; [(print(n), time.sleep(.01)) for n in itertools.count()]"
startsecs=0
stdout_logfile={dir}/count
"""
SLEEP = "[program:web]\ncommand=/bin/sleep 1000\nstartsecs=0\n"


def ctl(daemon: Daemon, *words: str, by_pid: bool = False) -> tuple[int, str]:
    """ctl's exit status and what it says."""
    which = ("--pid", str(daemon.pid)) if by_pid else ("-s", f"unix://{daemon.socket}")
    done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", *which, *words], capture_output=True, text=True,
                          check=False, cwd="/", env={**os.environ, "PYTHONPATH": str(ROOT)})
    return done.returncode, done.stdout + done.stderr


def run_of(daemon: Daemon, name: str) -> dict[str, object]:
    (found,) = daemon.call("ListRuns", name=name)["runs"]
    assert isinstance(found, dict)
    return found


# ---- freezing -------------------------------------------------------------------------------------------------------

def test_a_frozen_program_does_nothing_until_it_is_thawed(start: Start) -> None:
    daemon = start(COUNTER)
    daemon.wait(lambda: daemon.text("count").count("\n") > 3, "it counts")
    assert ctl(daemon, "freeze", "count") == (0, "count: frozen\n")
    events = Path(str(run_of(daemon, "count")["cgroup"]), "cgroup.events")
    daemon.wait(lambda: "frozen 1" in events.read_text(), "the kernel has frozen it")
    said = daemon.text("count")
    assert daemon.status("count")["description"].endswith("; frozen") and run_of(daemon, "count")["frozen"] is True
    time.sleep(0.3)                 # thirty of its steps
    assert daemon.text("count") == said
    assert ctl(daemon, "thaw", "count") == (0, "count: thawed\n")
    daemon.wait(lambda: daemon.text("count") != said, "it goes on")
    assert "frozen" not in daemon.status("count")["description"]


def test_a_stop_thaws(start: Start) -> None:
    daemon = start("[program:polite]\ncommand={python} -uc \"import signal, sys, time; signal.signal(15, lambda *_: "
                   "(print('bye', flush=True), sys.exit(0))); print('up'); time.sleep(1000)\"\n"
                   "stdout_logfile={dir}/said\nstopwaitsecs=60\n")
    daemon.wait(lambda: "up" in daemon.text("said"), "it is up")
    daemon.call("Freeze", name="polite")
    assert daemon.result("Stop", "polite") == ("SUCCESS", "OK")
    assert "bye" in daemon.text("said"), "it could do what it wanted to do at its end"
    daemon.call("Start", name="polite")
    assert run_of(daemon, "polite")["frozen"] is False, "another run is not frozen"


def test_who_dies_frozen_is_reaped(start: Start) -> None:
    daemon = start(SLEEP + "autorestart=false\n")
    daemon.call("Freeze", name="web")
    daemon.result("Signal", "web", signal="KILL")
    daemon.wait_state("web", "EXITED")
    assert run_of(daemon, "web") == {"name": "web", "group": "web", "pid": 0, "frozen": False}


def test_who_is_left_behind_by_a_frozen_run_goes_on(start: Start) -> None:
    daemon = start("[program:left]\ncommand=/bin/sh -c \"/bin/sleep 1000 & exec /bin/sleep 1000\"\nstartsecs=0\n"
                   "autorestart=false\n")
    tree = Path(str(run_of(daemon, "left")["cgroup"]))
    daemon.wait(lambda: len((tree / "cgroup.procs").read_text().split()) == 2, "it has a child")
    daemon.call("Freeze", name="left")
    daemon.result("Signal", "left", signal="KILL")
    daemon.wait_state("left", "EXITED")
    daemon.wait(lambda: "frozen 0" in (tree / "cgroup.events").read_text(), "the child is not frozen any more")
    (tree / "cgroup.kill").write_text("1")
    daemon.wait(lambda: daemon.status("left")["leftovers"] == 0, "nobody is left")


def test_what_cannot_be_frozen(start: Start) -> None:
    daemon = start(SLEEP + "[program:down]\nautostart=false\ncommand=/bin/sleep 1000\n")
    assert ctl(daemon, "freeze", "down") == (7, "down: ERROR (not running)\n")
    assert ctl(daemon, "freeze", "nobody")[1] == "nobody: ERROR (no such process)\n"
    assert ctl(daemon, "thaw")[1].startswith("Error: thaw requires a process name")
    assert daemon.faults("Freeze", "all") == {"web": "SUCCESS"}, "of many, those that run"
    without = start(SLEEP, place="without", main={"cgroup": "off"})
    assert without.result("Freeze", "web") == ("FAILED", "web: programs have no cgroups here")


# ---- figures --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cgroup", ["auto", "off"])
def test_usage(start: Start, cgroup: str) -> None:
    daemon = start(SLEEP + "[program:down]\nautostart=false\ncommand=/bin/sleep 1000\n", main={"cgroup": cgroup})
    status, text = ctl(daemon, "usage")
    assert status == 0
    header, down, web = text.splitlines()
    assert header.split() == ["NAME", "PID", "MEMORY", "PEAK", "MAX", "CPU", "TASKS", "MAX"]
    assert down.split() == ["down"] + ["-"] * 7
    name, pid, memory = web.split()[:3]
    assert (name, int(pid)) == ("web", daemon.status("web")["pid"])
    assert memory[-1] in "KM", "where the kernel does not count it, it is added up"
    status, text = ctl(daemon, "-o", "json", "usage", "web")
    (found,) = json.loads(text)["usages"]
    assert json.loads(text)["schema"] == "sdsuper.usage/1" and found["memory"] > 0 and "cgroup" not in found
    assert ("cpu_microseconds" in found) == (cgroup == "auto")
    assert ctl(daemon, "usage", "nobody")[0] == 1


def test_usage_of_a_cgroup_that_is_gone() -> None:
    assert usage({"name": "x", "cgroup": "/sys/fs/cgroup/nowhere"}) == {"name": "x"}


def test_the_files_of_a_cgroup(tmp_path: Path) -> None:
    for name, text in (("memory.current", "4096\n"), ("memory.peak", "8192\n"), ("memory.max", "max\n"),
                       ("pids.current", "3\n"), ("pids.max", "10\n"), ("memory.events", "oom 2\noom_kill 1\n"),
                       ("cpu.stat", "usage_usec 1500\nuser_usec 1\n"),
                       ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n")):
        (tmp_path / name).write_text(text)
    assert usage({"cgroup": str(tmp_path)}) == {
        "memory": 4096, "memory_peak": 8192, "tasks": 3, "tasks_max": 10, "oom_kills": 1, "cpu_microseconds": 1500,
        "read_bytes": 11, "written_bytes": 22}


# ---- limits that cannot be set --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("cgroup", "why"), [("auto", "the controller memory is not there"),
                                             ("off", "programs have no cgroups here")])
def test_a_limit_that_cannot_be_set_refuses_the_start_or_is_said(start: Start, cgroup: str, why: str) -> None:
    daemon = start(SLEEP + "startretries=0\nmemory_max=10MB\n[program:may]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
                   "memory_max=10MB\nlimits_unsupported=warn\n", main={"cgroup": cgroup})
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == f"cannot set memory_max to '10485760': {why}"
    assert daemon.wait_state("may", "RUNNING")["pid"]
    daemon.call("Stop", name="may")
    daemon.call("Start", name="may")
    assert daemon.log.count(f"may runs without memory_max=10485760: {why}") == 1, "once is enough"


def test_a_limit_that_cannot_be_changed_is_said_and_the_program_goes_on(start: Start) -> None:
    daemon = start(SLEEP)
    pid = daemon.status("web")["pid"]
    daemon.write(SLEEP + "pids_max=5\n")
    daemon.call("Update")
    daemon.wait_log("web goes on with its old limit: cannot set pids_max to '5': the controller pids is not there")
    assert daemon.status("web")["pid"] == pid


# ---- ctl --pid ------------------------------------------------------------------------------------------------------

def test_ctl_finds_a_daemon_by_its_pid(start: Start) -> None:
    daemon = start(SLEEP + "[unix_http_server]\nfile={dir}/http\n")
    daemon.config.write_text("[supervisord]\ncontrol_socket=/nowhere\n")
    assert ctl(daemon, "pid", by_pid=True) == (0, f"{daemon.pid}\n"), "whatever the configuration says by now"
    daemon.config.write_text("[broken\n")
    assert ctl(daemon, "-c", str(daemon.config), "pid", by_pid=True) == (0, f"{daemon.pid}\n")


@pytest.mark.parametrize(("pid", "why"), [(str(os.getpid()), "it has no control socket"), ("x", "number expected"),
                                          ("4194999", "No such file or directory")])
def test_ctl_by_the_pid_of_something_else(pid: str, why: str) -> None:
    done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "--pid", pid, "status"], capture_output=True,
                          text=True, check=False, cwd=ROOT)
    assert done.returncode == 2 and why in done.stderr
