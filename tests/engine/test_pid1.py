"""The daemon as PID 1 of a pid namespace, as in a container."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsuper.client import ProtocolError
from tests.engine.conftest import ROOT, Daemon, Start

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(subprocess.run([*UNSHARE, "true"], capture_output=True).returncode != 0,
                       reason="no namespaces here"),
]

#: Makes so many orphans, in portions, that all end by themselves once the file `go` is there.
ORPHANS = """\
import os, sys, time
count, directory = int(sys.argv[1]), sys.argv[2]
hold, go = os.pipe()
for _ in range(10):
    if not os.fork():
        for _ in range(count // 10):
            if not os.fork():
                os.close(go)
                os.read(hold, 1)
                os._exit(7)
        os._exit(0)
os.close(hold)
while not os.path.exists(directory + "/go"):
    time.sleep(0.01)
os.close(go)
time.sleep(1000)
"""

#: A client inside, where the daemon can tell who asks: how long its slowest answer takes until the file `enough` is
#: there.
CLIENT = """\
import os, sys, time
from sdsuper.client import Client, ProtocolError
slowest = 0.0
with Client(sys.argv[1], timeout=20) as daemon:
    while True:
        began = time.monotonic()
        state = daemon.call("GetState")
        left = daemon.call("List")["processes"][0]["leftovers"]
        slowest = max(slowest, time.monotonic() - began)
        if os.path.exists(sys.argv[2]):
            break
print(state["pid"], slowest, left)
"""


@pytest.fixture
def first(start: Start) -> Callable[..., Daemon]:
    """Start a daemon as PID 1; its `pid` is the one that is seen from here."""
    def begin(programs: str, **options: Any) -> Daemon:
        daemon = start(programs, before=UNSHARE, ready=False, **options)
        daemon.wait_log("supervisord started with pid 1")
        (daemon.pid,) = children(daemon.process.pid)
        return daemon
    return begin


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def client(daemon: Daemon) -> subprocess.Popen[str]:
    command = ["nsenter", f"--target={daemon.pid}", "--pid", "--mount", "/usr/bin/python3", "-c", CLIENT,
               str(daemon.socket), str(daemon.directory / "enough")]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def end(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0


def test_it_is_first_and_stays_in_the_foreground(first: Callable[..., Daemon]) -> None:
    daemon = first("[program:web]\ncommand=sleep 1000\n", foreground=False)
    assert daemon.text("daemon.pid") == "1\n"
    (daemon.directory / "enough").touch()
    asking = client(daemon)
    assert asking.communicate(timeout=20)[0].split()[0] == "1"
    for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP):
        daemon.signal(number)
    daemon.wait_log("configuration taken over: nothing has changed")
    end(daemon)


@pytest.mark.parametrize(("command", "status"), [("exit 3", 3), ("kill -SEGV $$", 139), ("exit 0", 0)])
def test_a_container_ends_with_its_essential_program(first: Callable[..., Daemon], command: str, status: int) -> None:
    daemon = first("[program:side]\ncommand=sleep 1000\n"
                   "[program:web]\nessential=true\nautorestart=false\nstartsecs=0\n"
                   f"command=sh -c 'while ! test -e {{dir}}/go; do sleep 0.05; done; {command}'\n")
    daemon.status_at_end = status
    assert daemon.process.poll() is None
    (daemon.directory / "go").touch()
    assert daemon.process.wait(20) == status
    assert f"the daemon ends with status {status}" in daemon.log
    assert "stopped: side (terminated by SIGTERM)" in daemon.log


def test_who_is_outside_is_not_answered(first: Callable[..., Daemon]) -> None:
    daemon = first("")
    with daemon.client() as outside, pytest.raises(ProtocolError, match="PermissionDenied"):
        outside.call("GetState")
    end(daemon)


@pytest.mark.parametrize("cgroup", ["auto", "off"])
def test_5000_orphans(first: Callable[..., Daemon], cgroup: str) -> None:
    count = 5000
    daemon = first(f"[program:many]\ncommand={{python}} {{dir}}/orphans {count} {{dir}}\nkillasgroup=true\n"
                   "startretries=50\n", main={"cgroup": cgroup})
    (daemon.directory / "orphans").write_text(ORPHANS)
    daemon.wait(lambda: len(children(daemon.pid)) == count + 1, "all are orphans", limit=40)
    asking = client(daemon)
    (daemon.directory / "go").touch()
    daemon.wait(lambda: len(children(daemon.pid)) < count, "they begin to end")
    began = time.monotonic()
    daemon.wait(lambda: len(children(daemon.pid)) == 1, "they are reaped")
    took = time.monotonic() - began
    (daemon.directory / "enough").touch()
    _pid, slowest, left = asking.communicate(timeout=20)[0].split()
    assert took < 2, "within a second, on a machine that has nothing else to do"
    assert float(slowest) < 1 and left == "0"
    end(daemon)


def test_orphans_are_said_in_the_log(first: Callable[..., Daemon]) -> None:
    daemon = first("[program:web]\ncommand=sh -c '(sh -c \"sleep 0.2; exit 7\" &); exec sleep 1000'\nstartsecs=0\n")
    daemon.wait_log("INFO reaped unknown pid ")
    assert "(exit status 7)" in daemon.log
    end(daemon)
