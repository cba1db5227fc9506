"""Commands on many processes, and commands that come between."""

import threading
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
