"""Crashes, many and often: nothing is lost, nothing grows."""

import os
import random
import signal
import time
from pathlib import Path

from tests.engine.conftest import Daemon, Start


def fds(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def rss(daemon: Daemon) -> int:
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * 4096


def zombies(daemon: Daemon) -> list[str]:
    pid = daemon.process.pid
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                found.append(child)
        except OSError:
            continue
    return found


def test_200_programs_killed_at_random(start: Start) -> None:
    count, seconds = 200, 8.0
    daemon = start("[program:n]\ncommand=sleep 1000\nprocess_name=n%(process_num)03d\nnumprocs=200\nstartsecs=0\n"
                   "autorestart=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n", main={"loglevel": "error"})

    def all_up() -> bool:
        return all(process["state"] == "RUNNING" for process in daemon.processes().values())

    def kill(number: int) -> None:
        for process in choose.sample(list(daemon.processes().values()), number):
            if process["pid"]:
                try:
                    os.kill(process["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    continue

    choose = random.Random(4)
    daemon.wait(all_up, "all run")
    for _ in range(10):
        kill(50)        # what it needs at most, it has afterwards
    daemon.wait(all_up, "all run")
    descriptors, memory = fds(daemon), rss(daemon)
    end = time.monotonic() + seconds
    slowest, killed = 0.0, 0
    while time.monotonic() < end:
        asked = time.monotonic()
        daemon.call("GetState")
        slowest = max(slowest, time.monotonic() - asked)
        kill(20)
        killed += 20
    daemon.wait(all_up, "all run again", limit=3)
    assert killed > 150 * seconds
    assert slowest < 1
    daemon.wait(lambda: not zombies(daemon), "all are reaped")
    daemon.wait(lambda: fds(daemon) <= descriptors, "no descriptor more")
    assert rss(daemon) - memory < 5 << 20
    processes = daemon.processes().values()
    assert len(processes) == len({process["pid"] for process in processes}) == count
    assert all(os.path.exists(f"/proc/{process['pid']}") for process in processes)


def test_programs_that_end_at_once_for_ever(start: Start) -> None:
    daemon = start("[program:n]\ncommand=true\nprocess_name=n%(process_num)d\nnumprocs=5\nstartsecs=0\n"
                   "autorestart=true\n"
                   "[program:other]\ncommand=sleep 1000\n")
    daemon.wait(lambda: daemon.status("n:n0")["run"] > 50)
    descriptors, memory = fds(daemon), rss(daemon)
    slowest = 0.0
    until = daemon.status("n:n0")["run"] + 300
    while daemon.status("n:n0")["run"] < until:
        asked = time.monotonic()
        daemon.status("other")
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < 1
    assert fds(daemon) < descriptors + 30
    assert rss(daemon) - memory < 5 << 20
    assert set(daemon.faults("Stop", "n:*").values()) <= {"SUCCESS"}
