"""States as clients see them: starting, failing, retrying, ending."""

import time
from itertools import pairwise

import pytest

from tests.engine.conftest import Start


def test_a_start_takes_startsecs(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nautostart=false\nstartsecs=1\n")
    before = daemon.status("web")
    assert (before["state"], before["description"], before["pid"], before["start"]) == ("STOPPED", "Not started", 0, 0)
    began = time.monotonic()
    assert daemon.faults("Start", "web", wait=False) == {"web": "SUCCESS"}
    up = daemon.status("web")
    assert (up["state"], up["goal"], up["statecode"], up["description"]) == ("STARTING", "up", 10, "")
    running = daemon.wait_state("web", "RUNNING")
    assert 0.9 < time.monotonic() - began < 3
    assert running["pid"] == up["pid"] > 0 and running["run"] == 1
    assert running["description"].startswith(f"pid {running['pid']}, uptime 0:00:0")
    daemon.wait_log(f"INFO spawned: 'web' with pid {up['pid']}")
    daemon.wait_log("INFO success: web entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)")
    assert daemon.result("Stop", "web") == ("SUCCESS", "OK")
    after = daemon.status("web")
    assert (after["state"], after["pid"], after["goal"]) == ("STOPPED", 0, "down")
    assert after["stop"] >= after["start"] > 0
    daemon.wait_log("stopped: web (terminated by SIGTERM)")


def test_startsecs_0_runs_at_once(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n")
    assert daemon.result("Start", "web", wait=False)[0] == "SUCCESS"
    assert daemon.status("web")["state"] == "RUNNING"


def test_too_quick_ends_are_retried_with_growing_pauses(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=sh -c 'date +%%s.%%N >>{dir}/times; exit 0'\nstartretries=2\n"
                   "autostart=false\n")
    assert daemon.result("Start", "bad") == ("SPAWN_ERROR", "Exited too quickly (process log may have details)")
    waiting = daemon.status("bad")
    assert (waiting["state"], waiting["goal"], waiting["pid"]) == ("BACKOFF", "up", 0)
    assert waiting["description"] == waiting["spawnerr"] == "Exited too quickly (process log may have details)"
    fatal = daemon.wait_state("bad", "FATAL")
    assert (fatal["goal"], fatal["run"]) == ("down", 3)
    times = [float(line) for line in daemon.text("times").split()]
    pauses = [after - before for before, after in pairwise(times)]
    assert len(pauses) == 2
    assert 0.9 < pauses[0] < 1.9 and 1.9 < pauses[1] < 2.9
    daemon.wait_log("WARN exited: bad (exit status 0; not expected)")
    daemon.wait_log("gave up: bad entered FATAL state, too many start retries too quickly")


def test_startretries_0_is_one_try(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=false\nstartretries=0\n")
    assert daemon.wait_state("bad", "FATAL")["run"] == 1


def test_a_start_from_fatal_begins_to_count_again(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=sh -c 'test -e {dir}/good && exec sleep 1000'\nstartretries=0\n")
    daemon.wait_state("bad", "FATAL")
    (daemon.directory / "good").touch()
    assert daemon.result("Start", "bad")[0] == "SUCCESS"
    assert daemon.status("bad")["spawnerr"] == ""


@pytest.mark.parametrize(("policy", "code", "ends"), [
    ("autorestart=false", 0, True), ("autorestart=false", 3, True),
    ("autorestart=unexpected", 0, True), ("autorestart=unexpected", 3, False),
    ("autorestart=unexpected\nexitcodes=3,4", 3, True), ("autorestart=unexpected\nexitcodes=3,4", 0, False),
    ("autorestart=true", 0, False), ("autorestart=true", 3, False),
])
def test_autorestart(start: Start, policy: str, code: int, ends: bool) -> None:
    command = f"sh -c 'while test ! -e {{dir}}/end; do sleep 0.01; done; rm {{dir}}/end; exit {code}'"
    daemon = start(f"[program:web]\ncommand={command}\nstartsecs=0\nkillasgroup=true\n{policy}\n")
    first = daemon.wait_state("web", "RUNNING")
    (daemon.directory / "end").touch()
    if ends:
        ended = daemon.wait_state("web", "EXITED")
        assert (ended["exitstatus"], ended["run"], ended["pid"], ended["goal"]) == (code, 1, 0, "down")
    else:
        daemon.wait(lambda: daemon.status("web")["run"] == 2, "a second run")
        assert daemon.wait_state("web", "RUNNING")["pid"] != first["pid"]
    expected = code in ((3, 4) if "exitcodes" in policy else (0,))
    daemon.wait_log(f"exited: web (exit status {code}; {'expected' if expected else 'not expected'})")
    assert daemon.status("web")["spawnerr"] == (f"Bad exit code {code}" if ends and not expected else "")


def test_death_by_a_signal_is_unexpected(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\nautorestart=false\nexitcodes=0,255,137\n")
    assert daemon.result("Signal", "web", signal="KILL")[0] == "SUCCESS"
    assert daemon.wait_state("web", "EXITED")["exitstatus"] == -1
    daemon.wait_log("WARN exited: web (terminated by SIGKILL; not expected)")


def test_a_restart_after_a_crash_is_immediate(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n")
    for run in range(2, 12):
        daemon.result("Signal", "web", signal="9")
        daemon.wait(lambda run=run: daemon.status("web")["run"] == run, f"run {run}", limit=0.9)
    assert daemon.status("web")["state"] == "RUNNING"


@pytest.mark.parametrize(("command", "fault", "text"), [
    ("/no/such", "NO_FILE", "can't find command '/no/such'"),
    ("no-such-word", "NO_FILE", "can't find command 'no-such-word'"),
    ("{dir}/plain", "NOT_EXECUTABLE", "command at '{dir}/plain' is not executable"),
    ("{dir}", "NOT_EXECUTABLE", "command at '{dir}' is a directory"),
    ("sh -c 'x", "NOT_EXECUTABLE", "can't parse command 'sh -c 'x': No closing quotation"),
])
def test_commands_that_cannot_be_run(start: Start, command: str, fault: str, text: str) -> None:
    daemon = start("[program:other]\ncommand=sleep 1000\nstartsecs=0\n"
                   f"[program:bad]\ncommand={command}\nstartretries=0\n")
    (daemon.directory / "plain").write_text("#!/bin/sh\n")
    text = text.replace("{dir}", str(daemon.directory))
    daemon.wait_state("bad", "FATAL")
    assert daemon.result("Start", "bad") == (fault, text)
    assert daemon.status("other")["state"] == "RUNNING"


def test_a_command_that_is_gone_is_said_in_spawnerr(start: Start) -> None:
    daemon = start("[program:bad]\ncommand={dir}/gone\nstartretries=0\n")
    text = f"can't find command '{daemon.directory}/gone'"
    assert daemon.wait_state("bad", "FATAL")["spawnerr"] == text
    daemon.wait_log(f"INFO spawnerr: {text}")


def test_a_script_without_a_hash_bang(start: Start) -> None:
    daemon = start("[program:bad]\ncommand={dir}/script\nautostart=false\nstartretries=0\n")
    script = daemon.directory / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    text = f"executing {script}: Exec format error"
    assert daemon.result("Start", "bad") == ("SPAWN_ERROR", text)
    assert daemon.wait_state("bad", "FATAL")["spawnerr"] == text


def test_a_directory_that_is_not_there(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=sleep 1000\ndirectory={dir}/none\nstartretries=0\n")
    text = f"changing directory to {daemon.directory}/none: No such file or directory"
    assert daemon.wait_state("bad", "FATAL")["spawnerr"] == text
    daemon.wait_log(f"spawnerr: {text}")


@pytest.mark.root
def test_stages_of_a_launch_as_another_user(start: Start) -> None:
    daemon = start("""
[program:closed]
command=sleep 1000
user=nobody
directory={dir}/closed
autostart=false
[program:file]
command={dir}/root-only
user=nobody
autostart=false
[program:limit]
command=sleep 1000
user=nobody
rlimit_nofile=unlimited
autostart=false
""")
    (daemon.directory / "closed").mkdir(mode=0o700)
    script = daemon.directory / "root-only"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    where = daemon.directory
    text = f"changing directory to {where}/closed: Permission denied"
    assert daemon.result("Start", "closed") == ("SPAWN_ERROR", text)
    assert daemon.result("Start", "file") == ("SPAWN_ERROR", f"executing {script}: Permission denied")
    fault, text = daemon.result("Start", "limit")
    assert fault == "SPAWN_ERROR" and text.startswith("setting the limit nofile to infinity:infinity: ")


def test_an_unknown_user_is_refused_at_load(start: Start) -> None:
    daemon = start("[program:x]\ncommand=sleep 1000\nuser=no-such-user\n", ready=False)
    assert daemon.process.wait(20) == 2
    line = daemon.config.read_text().splitlines().index("user=no-such-user") + 1
    assert daemon.stderr == f"{daemon.config}:{line}: error: [program:x] user: no such user: 'no-such-user'\n"


def test_with_startsecs_0_a_failed_launch_is_not_tried_in_a_loop(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=sleep 1\ndirectory={dir}/none\nstartsecs=0\nautorestart=true\n")
    began = time.monotonic()
    assert daemon.wait_state("bad", "BACKOFF")["spawnerr"].startswith("changing directory to ")
    daemon.wait(lambda: daemon.status("bad")["run"] == 3, "a third run")
    assert time.monotonic() - began > 1.8


def test_stop_while_waiting_to_retry(start: Start) -> None:
    daemon = start("[program:bad]\ncommand=false\nstartretries=100\n")
    daemon.wait_state("bad", "BACKOFF")
    assert daemon.result("Stop", "bad") == ("SUCCESS", "OK")
    assert daemon.status("bad")["state"] == "STOPPED"
