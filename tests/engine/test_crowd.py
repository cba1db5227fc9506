"""Commands on many processes, commands that come between, and what goes on beside them."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.engine.conftest import Daemon, Start

MANY = """
[program:many]
command=sleep 1000
process_name=%(program_name)s_%(process_num)03d
numprocs=400
autostart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
"""
SLOW = """
[program:slow]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
stdout_logfile={dir}/ignores
stopwaitsecs=3
startsecs=0
[program:quick]
command=sleep 1000
startsecs=0
"""


def faults(daemon: Daemon, method: str, name: str) -> set[str]:
    results = daemon.call(method, name=name)["results"]
    assert len(results) == 400
    return {one["fault"] for one in results}


def test_all_of_many_are_told_of_truly(start: Start) -> None:
    daemon = start(MANY)
    assert faults(daemon, "Start", "all") == {"SUCCESS"}
    assert faults(daemon, "Stop", "many:*") == {"SUCCESS"}
    assert faults(daemon, "Start", "many:many_*") == {"SUCCESS"}


def test_what_is_started_while_it_is_being_removed_goes_all_the_same(start: Start) -> None:
    daemon = start(SLOW)
    daemon.wait(lambda: daemon.text("ignores"), "SIGTERM is ignored")
    daemon.write("")
    answer: list[dict[str, Any]] = []
    other = daemon.client()
    update = threading.Thread(target=lambda: answer.append(other.call("Update")))
    update.start()
    daemon.wait_state("quick", "STOPPED")
    assert daemon.result("Start", "quick") == ("SUCCESS", "OK")
    update.join(20)
    assert [(one["group"], one["kind"]) for one in answer[0]["changes"]] == [
        ("quick", "stopped"), ("quick", "removed"), ("slow", "stopped"), ("slow", "removed")]
    assert daemon.processes() == {}
    daemon.wait_log("stopped: quick (terminated by SIGTERM)")


def switches(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("voluntary")).split()[1])


def test_what_was_left_behind_keeps_nobody_awake(start: Start) -> None:
    daemon = start("""
[program:parent]
command=/bin/sh -c "sleep 1000 & exit 0"
environment=LEFT_BY="{dir}"
startsecs=0
autorestart=false
""")
    daemon.wait(lambda: daemon.status("parent")["leftovers"] == 1, "it is counted")
    daemon.wait_state("parent", "EXITED")
    before, end = switches(daemon.pid), time.monotonic() + 1
    while time.monotonic() < end:       # time itself is what is looked at here
        time.sleep(0.1)
    assert switches(daemon.pid) - before < 20
    daemon.result("Start", "parent")
    daemon.wait(lambda: daemon.status("parent")["leftovers"] == 2, "of both runs")
    for pid in own_sleepers(daemon):
        os.kill(pid, signal.SIGKILL)
    daemon.wait(lambda: daemon.status("parent")["leftovers"] == 0, "their end is seen")


def own_sleepers(daemon: Daemon) -> list[int]:
    """The processes that the test's program has left."""
    mark = f"LEFT_BY={daemon.directory}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text() == "sleep\n" and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_nothing_is_started_while_the_daemon_ends(start: Start) -> None:
    daemon = start("""
[program:last]
command=sleep 0.1
priority=1
autorestart=true
startsecs=0
[program:failing]
command=false
priority=1
startretries=1000
[program:first]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
priority=9
stdout_logfile={dir}/ignores
stopwaitsecs=2
startsecs=0
""")
    daemon.wait(lambda: daemon.text("ignores"), "SIGTERM is ignored")
    assert daemon.stop() == 0
    _before, _term, after = daemon.log.partition("received SIGTERM")
    assert "killing 'first'" in after
    assert "spawned" not in after
