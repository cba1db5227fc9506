"""The stop ladder, and what a program leaves behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from sdsuper.system.cgroup import own_directories
from tests.engine.conftest import Daemon, Start

#: Ignores SIGTERM and says so.
STUBBORN = '{python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(999)"'

Tracking = dict[str, str]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def written_pids(daemon: Daemon, count: int, name: str = "pids") -> list[int]:
    daemon.wait(lambda: len(daemon.text(name).split()) >= count, f"{count} pids are written")
    return [int(word) for word in daemon.text(name).split()]


def test_the_ladder(start: Start) -> None:
    daemon = start(f"[program:web]\ncommand={STUBBORN}\nstdout_logfile={{dir}}/out\nstopwaitsecs=1\nstartsecs=0\n")
    daemon.wait(lambda: daemon.text("out"), "SIGTERM is ignored")
    pid = daemon.status("web")["pid"]
    began = time.monotonic()
    assert daemon.result("Stop", "web", wait=False) == ("SUCCESS", "OK")
    stopping = daemon.status("web")
    assert (stopping["state"], stopping["pid"], stopping["goal"]) == ("STOPPING", pid, "down")
    daemon.wait_state("web", "STOPPED")
    assert 0.9 < time.monotonic() - began < 3
    daemon.wait(lambda: daemon.messages[-2:] == [f"WARN killing 'web' ({pid}) with SIGKILL",
                                                 "WARN stopped: web (terminated by SIGKILL)"], "both are logged")


def test_several_stop_signals_one_after_the_other(start: Start) -> None:
    script = "import signal, time\nf = lambda n, _: print(n, flush=True)\n" \
             "for n in (2, 10, 12): signal.signal(n, f)\nprint(0, flush=True)\nwhile 1: time.sleep(9)\n"
    daemon = start("[program:web]\ncommand={python} {dir}/script\nstdout_logfile={dir}/out\nstopwaitsecs=1\n"
                   "startsecs=0\n"
                   "stopsignal=INT USR1 USR2\nautostart=false\n")
    (daemon.directory / "script").write_text(script)
    daemon.call("Start", name="web")
    daemon.wait(lambda: daemon.text("out"), "it handles them")
    assert daemon.result("Stop", "web") == ("SUCCESS", "OK")
    assert daemon.text("out").split() == ["0", "2", "10", "12"]
    daemon.wait_log("stopped: web (terminated by SIGKILL)")


def test_an_orderly_end_is_told_by_its_status(start: Start) -> None:
    script = "trap 'exit 4' TERM; echo; while :; do sleep 0.01; done"
    daemon = start(f"[program:web]\ncommand=sh -c \"{script}\"\nkillasgroup=true\nstdout_logfile={{dir}}/out\n"
                   f"startsecs=0\n")
    daemon.wait(lambda: daemon.text("out"), "the trap is set")
    daemon.call("Stop", name="web")
    assert daemon.status("web")["exitstatus"] == 4
    daemon.wait_log("WARN stopped: web (exit status 4)")


def test_the_stop_signal_goes_to_the_leader_or_to_the_group(start: Start, tracking: Tracking) -> None:
    command = "sh -c 'trap : TERM; sleep 1000 & echo $! >>{dir}/%(program_name)s; while kill -0 $!; do wait; done'"
    daemon = start(f"[program:alone]\ncommand={command}\nstopwaitsecs=1\nstartsecs=0\n"
                   f"[program:group]\ncommand={command}\nstopwaitsecs=1000\nstartsecs=0\n"
                   f"stopasgroup=true\n", main=tracking)
    (alone,), (group,) = written_pids(daemon, 1, "alone"), written_pids(daemon, 1, "group")
    daemon.call("Stop", name="group")
    assert not alive(group)
    daemon.call("Stop", name="alone")
    assert "killing 'alone'" in daemon.log and "killing 'group'" not in daemon.log
    assert alive(alone)
    daemon.wait(lambda: daemon.status("alone")["leftovers"] == 1)
    os.kill(alone, signal.SIGKILL)
    daemon.wait(lambda: daemon.status("alone")["leftovers"] == 0)


def test_what_outlives_its_shell_for_a_moment_leaves_no_cgroup(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'while :; do echo x; sleep 0.1; done'\nstdout_logfile={dir}/out\n"
                   "startsecs=0\n")
    daemon.wait(lambda: daemon.text("out"), "the shell is at it")
    (place,) = own_directories(Path("/proc/self/mountinfo").read_text(),
                               Path(f"/proc/{daemon.pids()['web']}/cgroup").read_text())
    assert place.endswith("/web:web.1") and Path(place).is_dir()
    daemon.stop()
    assert not Path(place).exists()


#: Makes grandchildren of all kinds and writes their pids: a plain one, one in a session of its own, and one that is
#: deaf and whose parents are gone, too.
FAMILY = """\
import os, signal, time
def note():
    with open("{dir}/pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(1000)
if not os.fork():
    note()
if not os.fork():
    os.setsid()
    note()
if not os.fork():
    if not os.fork():
        os.setsid()
        if not os.fork():
            signal.signal(15, signal.SIG_IGN)
            note()
    os._exit(0)
os.wait()
note()
"""


def family(start: Start, tracking: Tracking, options: str) -> tuple[Daemon, list[int]]:
    daemon = start(f"[program:web]\ncommand={{python}} {{dir}}/family\nstartsecs=0\nautostart=false\n"
                   f"{options}\n", main=tracking)
    (daemon.directory / "family").write_text(FAMILY.replace("{dir}", str(daemon.directory)))
    daemon.call("Start", name="web", wait=False)
    return daemon, written_pids(daemon, 4)


def test_killasgroup_leaves_nobody(start: Start, tracking: Tracking) -> None:
    daemon, pids = family(start, tracking, "killasgroup=true\nstopwaitsecs=1")
    leader = daemon.status("web")["pid"]
    assert leader in pids and all(map(alive, pids))
    assert daemon.result("Stop", "web") == ("SUCCESS", "OK")
    assert not any(map(alive, pids))
    stopped = daemon.status("web")
    assert (stopped["leftovers"], stopped["state"], stopped["pid"]) == (0, "STOPPED", 0)
    daemon.wait_log("killing what 'web' left behind with SIGKILL")


def test_a_shutdown_with_killasgroup_leaves_nobody(start: Start, tracking: Tracking) -> None:
    daemon, pids = family(start, tracking, "killasgroup=true\nstopwaitsecs=1")
    assert daemon.stop() == 0
    assert not any(map(alive, pids))


def test_without_killasgroup_the_others_stay_and_are_counted(start: Start, tracking: Tracking) -> None:
    daemon, pids = family(start, tracking, "stopwaitsecs=1")
    leader = daemon.status("web")["pid"]
    daemon.call("Stop", name="web")
    left = [pid for pid in pids if pid != leader]
    assert not alive(leader) and all(map(alive, left))
    # without a cgroup they are known by their environment, which one that is just executing has not yet
    daemon.wait(lambda: daemon.status("web")["leftovers"] == 3, "they are counted")
    os.kill(left[0], signal.SIGKILL)
    daemon.wait(lambda: daemon.status("web")["leftovers"] == 2)
    for pid in left[1:]:
        os.kill(pid, signal.SIGKILL)
    daemon.wait(lambda: daemon.status("web")["leftovers"] == 0)
    assert daemon.result("Start", "web")[0] == "SUCCESS"
    for pid in written_pids(daemon, 8)[4:]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["stop", "crash", "exit while starting"])
def test_leftovers_kill(start: Start, tracking: Tracking, how: str) -> None:
    options = "leftovers=kill\nautorestart=false\nstartretries=0"
    daemon, pids = family(start, tracking, options + ("\nstartsecs=1000" if "starting" in how else ""))
    leader = daemon.status("web")["pid"]
    if how == "stop":
        daemon.call("Stop", name="web")
    else:
        os.kill(leader, signal.SIGKILL)
        daemon.wait_state("web", "EXITED", "FATAL")
    daemon.wait(lambda: not any(map(alive, pids)), "nobody is left")
    daemon.wait(lambda: daemon.status("web")["leftovers"] == 0)


def test_leftovers_of_several_runs_add_up(start: Start, tracking: Tracking) -> None:
    command = "sh -c 'sleep 1000 & echo $! >>{dir}/pids; exec sleep 1000'"
    daemon = start(f"[program:web]\ncommand={command}\nstartsecs=0\n", main=tracking)
    for run in (1, 2, 3):
        written_pids(daemon, run)
        os.kill(daemon.status("web")["pid"], signal.SIGKILL)
        daemon.wait(lambda run=run: daemon.status("web")["leftovers"] == run)
    pids = written_pids(daemon, 4)
    assert all(map(alive, pids))
    daemon.call("Stop", name="web")
    assert daemon.status("web")["leftovers"] == 4
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    daemon.wait(lambda: daemon.status("web")["leftovers"] == 0)


#: 500 processes that fork anew whenever a child is killed, each with a parent that has gone.
BOMB = """\
import os, time
def bomb(depth):
    for _ in range(4 if depth else 6):
        if not os.fork():
            os.setsid()
            if depth < 3:
                bomb(depth + 1)
            open("{dir}/bombs/%d" % os.getpid(), "w").close()
            while True:
                time.sleep(0.5)
                if not os.fork():
                    os.setsid()
                    time.sleep(0.5)
                    os._exit(0)
                try:
                    os.waitpid(-1, os.WNOHANG)
                except OSError:
                    pass
bomb(0)
time.sleep(1000)
"""


def test_a_fork_bomb(start: Start, tracking: Tracking) -> None:
    daemon = start("[program:bomb]\ncommand={python} {dir}/bomb\nautostart=false\nautorestart=false\nstartsecs=0\n"
                   "stopasgroup=true\nstopwaitsecs=1\n[program:other]\ncommand=sleep 1000\n", main=tracking)
    (daemon.directory / "bombs").mkdir()
    (daemon.directory / "bomb").write_text(BOMB.replace("{dir}", str(daemon.directory)))
    daemon.call("Start", name="bomb")
    daemon.wait(lambda: len(os.listdir(daemon.directory / "bombs")) >= 500, "it is in full swing", limit=40)
    other = daemon.status("other")["pid"]
    began = time.monotonic()
    daemon.call("Stop", name="bomb")
    took = time.monotonic() - began
    pids = [int(name) for name in os.listdir(daemon.directory / "bombs")]
    assert not any(map(alive, pids))
    assert daemon.status("bomb")["leftovers"] == 0 and daemon.status("other")["pid"] == other
    assert took < 8, f"{len(pids)} processes took {took:.1f} s"
