"""Who is first: priorities at the start and at the end."""

import re
import signal

from tests.engine.conftest import Daemon, Start

PROGRAMS = """
[program:last]
command=sleep 1000
priority=1000
[program:first]
command=sleep 1000
priority=-1
[program:b]
command=sleep 1000
[program:a]
command=sleep 1000
[program:n]
command=sleep 1000
process_name=n%(process_num)02d
numprocs=12
priority=5
[program:in2]
command=sleep 1000
priority=2
[program:in1]
command=sleep 1000
priority=1
[group:g]
programs=in2,in1
priority=6
"""


def stopped(daemon: Daemon) -> list[str]:
    return re.findall(r"stopped: (\S+) ", daemon.log)


def all_started(daemon: Daemon) -> None:
    """The control socket may answer before the last of many."""
    daemon.wait(lambda: len(daemon.spawned) == len(daemon.processes()), "all are started")


def test_starts_by_priority_then_by_name(start: Start) -> None:
    daemon = start(PROGRAMS)
    all_started(daemon)
    assert daemon.spawned == ["first", *(f"n{i:02d}" for i in range(12)), "in1", "in2", "a", "b", "last"]


def test_start_all_keeps_the_order(start: Start) -> None:
    daemon = start(PROGRAMS)
    all_started(daemon)
    before = daemon.spawned
    daemon.call("Stop", name="all")
    daemon.call("Start", name="all", wait=False)
    daemon.wait(lambda: len(daemon.spawned) == 2 * len(before), "all are started again")
    assert daemon.spawned == before * 2


def test_the_shutdown_goes_class_by_class(start: Start) -> None:
    source = "import signal, sys, time\n" \
             "def say(what): print(sys.argv[1], what, file=open('{dir}/story', 'a'), flush=True)\n" \
             "def end(*_): say('begins to end'); time.sleep(0.2); say('is done'); sys.exit()\n" \
             "signal.signal(15, end); say('is up'); time.sleep(1000)\n"
    names = {"base": 1, "mid1": 10, "mid2": 10, "mid3": 10, "top": 20}
    daemon = start("".join(f"[program:{name}]\ncommand={{python}} {{dir}}/slow {name}\npriority={priority}\n"
                           f"autostart=false\n"
                           for name, priority in names.items()))
    (daemon.directory / "slow").write_text(source.replace("{dir}", str(daemon.directory)))
    daemon.call("Start", name="all", wait=False)
    daemon.wait(lambda: daemon.text("story").count("is up") == 5, "all are up")
    assert daemon.stop() == 0
    story = [line for line in daemon.text("story").splitlines() if "up" not in line]
    assert story[:2] == ["top begins to end", "top is done"]
    assert {line.split(" ", 1)[1] for line in story[2:5]} == {"begins to end"}, "equal priorities end together"
    assert {line.split(" ", 1)[1] for line in story[5:8]} == {"is done"}
    assert story[8:] == ["base begins to end", "base is done"]
    assert stopped(daemon)[0] == "top" and stopped(daemon)[4] == "base"


def test_the_shutdown_does_not_start_what_waits_for_its_retry(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=false\nstartretries=100\n"
                   "[program:late]\ncommand=sleep 1000\npriority=1\n"
                   "[program:slow]\ncommand=sh -c 'trap \"sleep 1.3; exit\" TERM; echo; while :; do sleep 0.01; done'\n"
                   "stdout_logfile={dir}/slow\nkillasgroup=true\n")
    daemon.wait(lambda: daemon.text("slow"), "the trap is set")
    daemon.wait_state("bad", "BACKOFF")
    spawned = len(daemon.spawned)
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert len(daemon.spawned) == spawned


def test_stop_all_is_at_once(start: Start) -> None:
    daemon = start(PROGRAMS)
    results = daemon.call("Stop", name="all")["results"]
    assert len(results) == 18 and {r["fault"] for r in results} == {"SUCCESS"}
