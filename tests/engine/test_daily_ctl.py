"""ctl's commands of daily use with real daemons: questions of scripts, rolling restarts, logs of several."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import ROOT, Daemon, Start
from tests.engine.test_daily import MANY, SLEEP, ctl, state_file, stir

FOUR = MANY.replace("numprocs=2", "numprocs=4")
#: Ready when the test says so, by a line on a descriptor.
LATE = """
[program:web]
command=sh -c 'until test -e {dir}/may; do sleep 0.02; done; echo ready >&3; exec 3>&-; exec sleep 1000'
process_name=%(program_name)s_%(process_num)d
numprocs=3
readiness=fd:3
"""
#: Ready if that may be when it starts, or not at all.
NOW_OR_NEVER = """
[program:web]
command=sh -c 'test -e {dir}/may && echo ready >&3; exec sleep 1000'
process_name=%(program_name)s_%(process_num)d
numprocs=3
readiness=fd:3
autostart=false
"""


def begin(daemon: Daemon, *words: str, output: str = "pipe") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}", *words]
    with open(os.devnull if output == "pipe" else output, "w") as file:
        return subprocess.Popen(command, stdout=subprocess.PIPE if output == "pipe" else file, stderr=subprocess.PIPE,
                                text=True, start_new_session=True,
                                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"})


def all_run(daemon: Daemon) -> None:
    daemon.wait(lambda: {one["state"] for one in daemon.processes().values()} == {"RUNNING"}, "all run")


# ---- is-active, is-ready, health ----------------------------------------------------------------------------------

def test_is_active(start: Start) -> None:
    daemon = start(SLEEP.format(name="web") + "[program:off]\ncommand=sleep 1000\nautostart=false\n")
    daemon.wait_state("web", "RUNNING")
    assert ctl(daemon, "is-active", "web") == (0, "running\n")
    assert ctl(daemon, "is-active", "web", "off") == (3, "running\nstopped\n")
    assert ctl(daemon, "is-active", "-q", "off") == (3, "")
    assert ctl(daemon, "is-active", "web", "nope") == (4, "running\nunknown\n")
    assert ctl(daemon, "is-ready", "web", "off") == (3, "ready\nunready\n")
    assert ctl(daemon, "is-ready", "-q", "web") == (0, "")
    for command in ("is-active", "is-ready"):
        assert ctl(daemon, command)[0] == 4
        status, text = ctl(daemon, command, "--nope", "web")
        assert status == 4 and text.startswith("Error: no such option: --nope\n")


def test_is_active_without_a_daemon(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{tmp_path}/none", "is-active", "x"],
                          capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 4 and "no such file" in done.stdout


def test_in_the_shell_as_well(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    daemon.wait_state("web", "RUNNING")
    done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}"], input=(
        "is-active web\nis-ready web\nhelp is-active\nwhy nope\ndiff\n"), capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    for word in ("supervisor> running\n", "supervisor> ready\n", "supervisor> is-active [-q] <name>\t",
                 "supervisor> nope: ERROR (no such process)\n", "supervisor> No config updates to processes\n"):
        assert word in done.stdout


def test_health(start: Start) -> None:
    daemon = start(SLEEP.format(name="web") + "[program:sick]\ncommand=sleep 1000\nstartsecs=0\n"
                   "ready_check_script=test -e {dir}/well\nready_check_initial_delay=0\nready_check_period=0.1\n")
    daemon.wait_state("web", "RUNNING")
    daemon.wait(lambda: daemon.status("sick").get("health") == "unready", "it was asked")
    status, text = ctl(daemon, "health")
    rows = [line.split()[:4] for line in text.splitlines()]
    assert status == 3 and rows == [["NAME", "STATE", "HEALTH", "READY"], ["sick", "RUNNING", "unready", "no"],
                                    ["web", "RUNNING", "-", "-"]]
    assert ctl(daemon, "is-ready", "sick") == (3, "unready\n") and ctl(daemon, "is-active", "sick")[0] == 0
    assert ctl(daemon, "health", "web")[0] == 0
    (daemon.directory / "well").touch()
    daemon.wait(lambda: daemon.status("sick").get("health") == "healthy", "it is well")
    assert ctl(daemon, "health")[0] == 0 and ctl(daemon, "is-ready", "sick") == (0, "ready\n")
    found = json.loads(ctl(daemon, "health", "--json", "sick")[1])
    assert found["schema"] == "sdsuper.health/1" and found["processes"][0]["health"] == "healthy"
    assert ctl(daemon, "health", "nope")[0] == 4
    daemon.call("Stop", name="web")
    assert ctl(daemon, "health")[0] == 0 and ctl(daemon, "health", "web")[0] == 3


# ---- restart --rolling --------------------------------------------------------------------------------------------

def test_rolling_restarts_one_after_the_other(start: Start) -> None:
    daemon = start(FOUR)
    all_run(daemon)
    before = daemon.pids()
    status, text = ctl(daemon, "restart", "--rolling", "web:*")
    assert status == 0 and text.splitlines() == [
        f"web:web_0{number}: {word}" for number in range(4) for word in ("stopped", "started")]
    after = daemon.pids()
    assert after["one"] == before["one"] and not set(after.values()) & {before[name] for name in before if "_" in name}
    stops = [line for line in daemon.log.splitlines() if "stopped: web" in line or "spawned: 'web" in line][4:]
    assert ["stopped" in line for line in stops] == [True, False] * 4


def test_rolling_in_batches_waits_until_they_are_ready(start: Start) -> None:
    daemon = start(LATE)
    may = daemon.directory / "may"
    may.touch()
    all_run(daemon)
    before = daemon.pids()
    may.unlink()
    with begin(daemon, "restart", "--rolling", "--batch", "2", "web:*") as running:
        under_way = ["STARTING", "STARTING", "RUNNING"]
        daemon.wait(lambda: [one["state"] for one in daemon.processes().values()] == under_way, "two are under way")
        assert daemon.pids()["web_2"] == before["web_2"]
        may.touch()
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "") and out.count("started") == 3
    assert not set(daemon.pids().values()) & set(before.values())


def test_rolling_ends_at_the_first_failure(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'test -e {dir}/bad && exit 3; exec sleep 1000'\nstartretries=0\n"
                   "process_name=%(program_name)s_%(process_num)d\nnumprocs=3\n")
    all_run(daemon)
    before = daemon.pids()
    (daemon.directory / "bad").touch()
    status, text = ctl(daemon, "restart", "--rolling", "web:*")
    assert status == 7
    assert text.splitlines()[-2].startswith("Error: web:web_0 is ")
    assert text.splitlines()[-1] == "0 restarted; not restarted: web:web_1, web:web_2"
    assert {name: pid for name, pid in daemon.pids().items() if name != "web_0"} == {
        name: pid for name, pid in before.items() if name != "web_0"}


def never_ready(start: Start) -> Daemon:
    """A daemon with three that run, and will not be ready another time."""
    daemon = start(NOW_OR_NEVER)
    (daemon.directory / "may").touch()
    daemon.call("Start", name="web:*")
    all_run(daemon)
    (daemon.directory / "may").unlink()
    return daemon


def test_rolling_gives_up_in_time(start: Start) -> None:
    daemon = never_ready(start)
    status, text = ctl(daemon, "restart", "--rolling", "--timeout", "0.5", "web:*")
    assert status == 7 and "Error: web:web_0 was not up, ready and well within 0.5 seconds\n" in text
    assert text.splitlines()[-1] == "0 restarted; not restarted: web:web_1, web:web_2"


#: Ends at SIGTERM only when there is a file `weak`.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.path.exists("weak") and os._exit(0))
print("there", flush=True)
while True:
    time.sleep(1000)
"""


def test_rolling_that_is_interrupted_leaves_nobody_down(start: Start, directory: Path) -> None:
    (directory / "stubborn.py").write_text(STUBBORN)
    daemon = start("[program:web]\ncommand={python} stubborn.py\ndirectory={dir}\nstdout_logfile={dir}/there\n"
                   "startsecs=0\nstopwaitsecs=1000\n")
    daemon.wait(lambda: daemon.text("there"), "SIGTERM is ignored")
    with begin(daemon, "restart", "--rolling", "web") as running:
        daemon.wait_state("web", "STOPPING")
        os.kill(running.pid, signal.SIGINT)
        (daemon.directory / "weak").touch()
        daemon.result("Signal", "web", signal="TERM")
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "") and out.endswith(
        "web: started, not waited for\n0 restarted; not restarted: web\n")
    daemon.wait_state("web", "RUNNING")


@pytest.mark.parametrize(("output", "said"), [
    ("pipe", ""), ("/dev/full", "sdsuper ctl: cannot write to standard output: No space left on device\n")])
def test_rolling_that_nobody_reads_any_more_leaves_nobody_down(start: Start, output: str, said: str) -> None:
    daemon = start(FOUR)
    all_run(daemon)
    with begin(daemon, "restart", "--rolling", "web:*", output=output) as running:
        if running.stdout is not None:
            running.stdout.close()
        assert running.stderr is not None and (running.wait(60), running.stderr.read()) == (1, said)
    all_run(daemon)
    assert [daemon.status(f"web:web_0{number}")["run"] for number in range(4)] == [2, 1, 1, 1]


@pytest.mark.parametrize("words", ["status", "logs one", "logs -f web one", "why web", "events -n 1"])
def test_an_output_that_takes_nothing(start: Start, words: str) -> None:
    daemon = start(SLEEP.format(name="web") + TALK.format(name="one", command="echo one"))
    daemon.wait(lambda: daemon.text("one.log"), "it has written")
    with begin(daemon, *words.split(), output="/dev/full") as running:
        stir(daemon, lambda: running.poll() is not None)
        assert running.stderr is not None and (running.returncode, running.stderr.read()) == (
            1, "sdsuper ctl: cannot write to standard output: No space left on device\n")


def test_outputs_that_are_closed_and_letters_that_are_not_known(start: Start) -> None:
    daemon = start(TALK.format(name="web", command="sh -c 'printf %%0500d 5; exit 3'"))
    daemon.wait(lambda: daemon.text("web.log"), "it has written")

    def run(words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(f"exec {sys.executable} -m sdsuper ctl -s unix://{daemon.socket} {words}", shell=True,
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PYTHONPATH": str(ROOT), **environment})

    for words in ("status >&-", "status >&- 2>&-", "is-active web >&-"):
        done = run(words)
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert "00\\u2026\n" in run("why web", PYTHONIOENCODING="ascii").stdout


def test_rolling_when_the_daemon_goes(start: Start) -> None:
    daemon = never_ready(start)
    with begin(daemon, "restart", "--rolling", "web:*") as running:
        daemon.wait(lambda: daemon.status("web:web_0")["run"] == 2, "it is under way")
        daemon.stop()
        out, err = running.communicate(timeout=60)
    assert running.returncode in (1, 7) and err == "" and "Error: " in out     # it may see the end coming
    assert out.splitlines()[-1].startswith("0 restarted; not restarted: web:web_")


def test_rolling_used_wrongly(start: Start) -> None:
    daemon = start(FOUR + "[program:off]\ncommand=sleep 1000\nautostart=false\n")
    daemon.wait_state("one", "RUNNING")
    pid = daemon.pids()["one"]
    for words in (("--rolling",), ("--rolling", "--batch", "0", "one"), ("--rolling", "--batch", "x", "one"),
                  ("--batch", "2", "one"), ("--rolling", "--timeout", "-1", "one"), ("--rolling", "--nope", "one")):
        status, text = ctl(daemon, "restart", *words)
        assert status == 2 and text.startswith("Error: "), words
    assert ctl(daemon, "restart", "--rolling", "one", "nope") == (1, "nope: ERROR (no such process)\n")
    assert daemon.pids()["one"] == pid
    assert ctl(daemon, "restart", "--rolling", "off") == (0, "off: not up, left as it is\n")


# ---- logs of several ----------------------------------------------------------------------------------------------

TALK = "[program:{name}]\ncommand={command}\nstdout_logfile={{dir}}/{name}.log\nstartsecs=0\nautorestart=false\n"


def test_logs_of_several(start: Start) -> None:
    daemon = start(TALK.format(name="a", command="sh -c 'echo one; echo two; printf three'")
                   + TALK.format(name="long", command="echo four"))
    for name in ("a", "long"):
        daemon.wait_state(name, "EXITED")
    assert ctl(daemon, "logs", "-n", "2", "a", "long", "stdout") == (
        0, "a    | two\na    | three\nlong | four\n")
    assert ctl(daemon, "logs", "a", "nope")[0] == 1


def test_logs_that_cannot_be_read_say_why(start: Start, directory: Path) -> None:
    daemon = start(TALK.format(name="a", command="echo one") + TALK.format(name="b", command="echo two"))
    daemon.wait(lambda: daemon.text("a.log") and daemon.text("b.log"), "they have written")
    (directory / "a.log").unlink()
    (directory / "a.log").symlink_to(directory / "b.log")
    said = f"a: ERROR ({directory}/a.log: is a symbolic link)\n"
    assert ctl(daemon, "logs", "a") == (1, said)
    status, text = ctl(daemon, "logs", "a", "b")
    assert status == 1 and sorted(text.splitlines(True)) == [said, "b | two\n"]


def test_logs_of_what_goes_to_a_server_or_to_syslog_besides(start: Start) -> None:
    talk = TALK.format(name="web", command="sh -c 'echo one; echo two >&2'")
    daemon = start(talk + "stderr_logfile={dir}/web.err, syslog @udp:127.0.0.1:9\n"
                   + talk.replace("web", "job").replace("job.log", "job.log, syslog @udp:127.0.0.1:9")
                   + talk.replace("web", "jour") + "stderr_logfile=journal\n")
    daemon.wait(lambda: daemon.text("web.err") and all(daemon.text(f"{name}.log") for name in ("web", "job", "jour")),
                "they have written")
    assert ctl(daemon, "logs", "web") == (0, "one\n")
    assert ctl(daemon, "logs", "web", "stderr") == (0, "two\n")
    assert ctl(daemon, "logs", "job") == (0, "one\n")
    assert ctl(daemon, "logs", "jour", "stdout") == (0, "one\n")


@pytest.mark.parametrize(("command", "status"), [("status", 4), ("why", 1), ("cat", 1), ("usage", 1), ("health", 4)])
def test_beside_json_there_is_nothing_else(start: Start, command: str, status: int) -> None:
    daemon = start(SLEEP.format(name="web"))
    with begin(daemon, command, "-o", "json", "nope", "web") as running:
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (status, "nope: ERROR (no such process)\n")
    (found,) = (value for value in json.loads(out).values() if isinstance(value, list))
    assert [one["name"] for one in found] == ["web"]


def test_logs_f_of_several_is_interleaved_and_follows_rotation(start: Start) -> None:
    daemon = start("".join(TALK.format(name=name, command=f"sh -c 'while read line; do echo {name} $line; done'")
                           for name in ("a", "b")))
    daemon.wait_state("a", "RUNNING")
    daemon.wait_state("b", "RUNNING")
    with begin(daemon, "logs", "-f", "a", "b", "stdout") as running:
        assert running.stdout is not None

        def said(name: str, word: str) -> None:
            daemon.call("WriteStdin", name=name, data=f"{word}\n")
            assert running.stdout is not None and running.stdout.readline() == f"{name} | {name} {word}\n"

        said("a", "one")
        said("b", "two")
        daemon.call("RotateLogs", name="all")
        said("a", "three")
        said("b", "four")
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (0, "\n", "")


# ---- over HTTP ----------------------------------------------------------------------------------------------------

def test_what_needs_the_control_socket_says_so_and_the_rest_works(start: Start, directory: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={directory}/http\n" + MANY, main=state_file(directory))
    all_run(daemon)
    (directory / "control").rename(directory / "elsewhere")

    def over_http(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{directory}/http", *words],
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
        return done.returncode, done.stdout

    assert over_http("is-active", "one") == (0, "running\n")
    assert over_http("is-ready", "one", "nope")[0] == 4
    assert over_http("health")[0] == 0
    for words in (("why", "one"), ("cat", "one"), ("diff",), ("scale", "web", "3"), ("enable", "one"), ("events",)):
        status, text = over_http(*words)
        assert status in (1, 2) and text.endswith("over the control socket only\n"), (words, text)
    for name, said in (("one", "one: rotated\n"), ("web:*", "web:web_00: rotated\nweb:web_01: rotated\n"),
                       ("o*", "one: rotated\n"), ("nope", "nope: ERROR (no such process)\n")):
        assert over_http("rotate", name) == (int(name == "nope"), said)
    assert over_http("rotate", "all")[1].count(": rotated\n") == 3
    status, text = over_http("restart", "--rolling", "one")
    assert status == 0 and text == "one: stopped\none: started\n", text
    (directory / "elsewhere").rename(directory / "control")
