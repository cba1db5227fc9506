"""Commands of daily use with real daemons: why, diff, scale, enable and disable, subscriptions (docs/daily.md)."""

import json
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsuper.client import Client, ProtocolError
from sdsuper.control.interface import DESCRIPTION
from sdsuper.control.schema import parse
from sdsuper.errors import Refusal
from tests.engine.conftest import ROOT, Daemon, Start

SLEEP = "[program:{name}]\ncommand=sleep 1000\nstartsecs=0\n"
MANY = """
[program:web]
command=sleep 1000
startsecs=0
process_name=%(program_name)s_%(process_num)02d
numprocs=2
[program:one]
command=sleep 1000
startsecs=0
"""


def ctl(daemon: Daemon, *words: str) -> tuple[int, str]:
    """Exit status and output of a ctl."""
    done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}", *words],
                          capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stderr == ""
    return done.returncode, done.stdout


def why(daemon: Daemon, name: str) -> dict[str, Any]:
    (found,) = daemon.call("Why", name=name)["processes"]
    assert isinstance(found, dict)
    return found


def state_file(directory: Path) -> dict[str, str]:
    return {"state_file": str(directory / "kept" / "state")}


# ---- why ----------------------------------------------------------------------------------------------------------

def test_why_has_the_last_five_ends_the_newest_first(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n")
    for run in range(1, 8):
        daemon.wait(lambda: daemon.status("web")["state"] == "EXITED", "it has ended")
        assert why(daemon, "web")["ends"][0]["run"] == run
        daemon.call("Start", name="web")
    daemon.wait_state("web", "EXITED")
    found = why(daemon, "web")
    assert [end["run"] for end in found["ends"]] == [8, 7, 6, 5, 4]
    assert {end["status"] for end in found["ends"]} == {3} and all(end["pid"] > 0 for end in found["ends"])
    assert {end["wanted"] for end in found["ends"]} == {"itself"}
    assert found["spawnerr"] == "Bad exit code 3" and found["waits"] == []


def test_why_knows_who_ended_it_and_how(start: Start) -> None:
    daemon = start(SLEEP.format(name="web") + "autorestart=true\n")
    daemon.wait_state("web", "RUNNING")
    daemon.result("Signal", "web", signal="KILL")
    daemon.wait(lambda: daemon.status("web")["run"] == 2, "it runs again")
    daemon.wait_state("web", "RUNNING")
    daemon.call("Stop", name="web")
    newest, first = why(daemon, "web")["ends"]
    assert (newest["signal"], newest["wanted"], "status" in newest) == ("SIGTERM", "stop", False)
    assert (first["signal"], first["wanted"], first["core"], first["oom"]) == ("SIGKILL", "signal", False, False)
    assert first["by"] == newest["by"] == f"uid {os.geteuid()}"
    daemon.call("Start", name="web")
    os.kill(daemon.status("web")["pid"], signal.SIGKILL)
    daemon.wait(lambda: daemon.status("web")["run"] == 4, "it runs again")
    last = why(daemon, "web")["ends"][0]
    assert (last["wanted"], "by" in last) == ("itself", False)
    assert f"SIGTERM, it was stopped by {pwd.getpwuid(os.geteuid()).pw_name}\n" in ctl(daemon, "why", "web")[1]


def test_why_knows_of_the_daemons_own_checks_and_of_restarts(start: Start) -> None:
    daemon = start("[program:late]\ncommand=sleep 1000\nreadiness=fd:3\nready_timeout=1\nstartretries=0\n"
                   + SLEEP.format(name="db") + SLEEP.format(name="web") + "depends_on=db\ndepends_lost=restart\n")
    daemon.wait_state("late", "FATAL")
    (end,) = why(daemon, "late")["ends"]
    assert (end["wanted"], end["signal"]) == ("check", "SIGTERM") and "Was not ready after 1 seconds" in end["reason"]
    daemon.wait_state("web", "RUNNING")
    daemon.result("Stop", "db")
    daemon.wait(lambda: daemon.status("web")["run"] == 2, "it waits for db again")
    assert why(daemon, "web")["ends"][0]["wanted"] == "restart"


def test_answers_are_as_the_interface_says(start: Start) -> None:
    daemon = start(MANY + "[program:bad]\ncommand={dir}/nosuch\nstartretries=0\n")
    daemon.wait_state("bad", "FATAL")
    daemon.call("Stop", name="one")
    daemon.write(MANY.replace("sleep 1000", "sleep 2000"))
    schema = parse(DESCRIPTION)
    for method, parameters in (("Why", {"name": "all"}), ("Diff", {})):
        reply = daemon.call(method, **parameters)
        assert schema.check_reply(method, reply) is None, reply
    told = daemon.client().subscribe(types=["REMOTE_COMMUNICATION"])
    first = next(told)
    daemon.call("SendEvent", type="t", data="x")
    assert [schema.check_reply("Subscribe", reply) for reply in (first, next(told))] == [None, None]
    told.close()


def test_why_of_a_start_that_made_no_child(start: Start) -> None:
    daemon = start("[program:web]\ncommand={dir}/nosuch\nstartretries=0\n")
    daemon.wait_state("web", "FATAL")
    (end,) = why(daemon, "web")["ends"]
    assert end["pid"] == 0 and "nosuch" in end["reason"] and "status" not in end and "signal" not in end


def test_why_says_what_a_back_off_waits_for_and_what_is_left_of_the_limit(start: Start) -> None:
    daemon = start("[program:web]\ncommand=false\nstartretries=5\nrestartpause=1000\nrestart_limit=3/60s\n")
    daemon.wait_state("web", "BACKOFF")
    found = why(daemon, "web")
    assert found["waits"][0].startswith("retry 1 of 5 at ")
    assert found["restarts"] == "0 of restart_limit=3/60s used"
    plain = start("[program:web]\ncommand=false\nstartretries=5\n", place="other")
    plain.wait_state("web", "BACKOFF")
    assert why(plain, "web")["waits"][0].startswith("the next try, number ")


def test_why_has_the_place_of_the_section(start: Start) -> None:
    daemon = start("[program:first]\ncommand=true\n\n" + SLEEP.format(name="web"))
    found = why(daemon, "web")
    line = daemon.config.read_text().splitlines().index("[program:web]") + 1
    assert (found["section"], found["file"], found["line"]) == ("program:web", str(daemon.config), line)


def test_what_is_waited_for_is_shown_only_where_such_options_are_in_use(start: Start) -> None:
    daemon = start("""
[program:db]
command=sh -c 'until test -e {dir}/may; do sleep 0.02; done; echo ready >&3; exec 3>&-; exec sleep 1000'
readiness=fd:3
[program:web]
command=sleep 1000
startsecs=0
depends_on=db
pre_start_hook=sh -c 'until test -e {dir}/hook-may; do sleep 0.02; done'
[program:plain]
command=sleep 1000
startsecs=1000
""")
    daemon.wait(lambda: daemon.status("db")["pid"], "db has a child")
    daemon.wait_state("plain", "STARTING")
    assert daemon.status("web")["description"] == "waiting: db is STARTING"
    assert daemon.status("db")["description"] == "until it is ready"
    assert daemon.status("plain")["description"] == ""
    assert why(daemon, "web")["waits"] == ["what it depends on: db is STARTING"]
    assert why(daemon, "db")["waits"][0].startswith("it to say that it is ready (fd), until ")
    assert why(daemon, "plain")["waits"][0].startswith("startsecs, ")
    (daemon.directory / "may").touch()
    daemon.wait(lambda: daemon.status("web")["description"] == "pre_start_hook", "the hook runs")
    assert why(daemon, "web")["waits"] == ["pre_start_hook runs (hook_timeout 60 s)"]
    (daemon.directory / "hook-may").touch()
    daemon.wait_state("web", "RUNNING")
    assert daemon.status("web")["description"].startswith("pid ") and ";" not in daemon.status("web")["description"]


def test_a_stop_that_waits_for_others_says_for_whom(start: Start) -> None:
    daemon = start(SLEEP.format(name="db") + """
[program:web]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
stdout_logfile={dir}/ignores
startsecs=0
stopwaitsecs=1000
depends_on=db
depends_lost=stop
""")
    daemon.wait(lambda: daemon.text("ignores"), "SIGTERM is ignored")
    daemon.call("Stop", name="db", wait=False)
    daemon.wait_state("web", "STOPPING")
    assert daemon.status("db")["description"].endswith("; to be stopped after web")
    assert why(daemon, "db")["waits"] == ["to be stopped after web"]
    assert ", SIGKILL at " in why(daemon, "web")["waits"][0]
    daemon.result("Signal", "web", signal="KILL")
    daemon.wait_state("db", "STOPPED")


def test_the_status_that_a_program_tells(start: Start) -> None:
    tell = ("import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
            "s.sendto(b'READY=1\\\\nSTATUS=4 of 7 shards', os.environ['NOTIFY_SOCKET']); time.sleep(1000)")
    daemon = start(f'[program:web]\ncommand={{python}} -c "{tell}"\nreadiness=notify\n')
    daemon.wait_state("web", "RUNNING")
    daemon.wait(lambda: daemon.status("web")["description"].endswith("; 4 of 7 shards"), "it is shown")
    assert why(daemon, "web")["said"] == "4 of 7 shards"


def test_why_on_the_screen(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11; do echo line $i >&2; done; "
                   "printf \"\\033[31mred\" >&2; exit 3'\nstderr_logfile={dir}/errors\nstartretries=0\n")
    daemon.wait_state("web", "FATAL")
    status, text = ctl(daemon, "why", "web")
    lines = text.splitlines()
    assert status == 0 and lines[0] == "web is FATAL, wanted down, run 1"
    assert any(line.endswith("exit status 3, by itself") and ", run 1" not in line and "  run 1, pid " in line
               for line in lines)
    assert lines[-11] == f"  stderr, {daemon.directory}/errors"
    assert lines[-10] == "    line 3" and lines[-1] == "    \\x1b[31mred"
    found = json.loads(ctl(daemon, "why", "--json", "web")[1])
    assert found["schema"] == "sdsuper.why/1" and found["processes"][0]["log"]["lines"][0] == "line 3"
    status, text = ctl(daemon, "why", "nope")
    assert status == 1 and text.startswith("nope: ERROR (no such process)\n")
    assert ctl(daemon, "why")[0] == 1


# ---- diff ---------------------------------------------------------------------------------------------------------

def test_diff_says_what_an_update_would_do_and_changes_nothing(start: Start) -> None:
    daemon = start(SLEEP.format(name="web") + 'environment=TOKEN="old",SAME="1"\n' + SLEEP.format(name="gone")
                   + SLEEP.format(name="live"))
    before, secret = daemon.pids(), 'environment=TOKEN="new",SAME="1"'
    assert ctl(daemon, "diff") == (0, "No config updates to processes\n")
    daemon.write(SLEEP.format(name="web").replace("sleep 1000", "sleep 2000") + f"{secret}\ndepends_on=live\n"
                 + SLEEP.format(name="live") + "stopwaitsecs=77\n" + SLEEP.format(name="fresh"))
    status, text = ctl(daemon, "diff")
    lines = daemon.config.read_text().splitlines()
    at = {line: number for number, line in enumerate(lines, 1)}
    assert status == 1
    assert text.splitlines() == [
        "fresh: added", "  fresh: is added",
        "live: changed", "  live: goes on, with the new values",
        f"    stopwaitsecs: (not set) -> 77  # {daemon.config}:{at['stopwaitsecs=77']}",
        "web: changed", "  web: is restarted",
        f"    command: sleep 1000 -> sleep 2000  # {daemon.config}:{at['command=sleep 2000']}",
        f"    depends_on: (not set) -> live:ready  # {daemon.config}:{at['depends_on=live']}",
        f"    environment TOKEN: (changed)  # {daemon.config}:{at[secret]}",
        "gone: removed", "  gone: is stopped and removed",
    ]
    assert ctl(daemon, "update", "--dry-run") == (status, text)
    assert ctl(daemon, "diff", "fresh") == (1, "fresh: added\n  fresh: is added\n")
    assert ctl(daemon, "diff", "nope")[0] == 2
    assert daemon.pids() == before
    assert "new" not in text.replace("the new values", "")
    daemon.call("Update")
    assert ctl(daemon, "diff") == (0, "No config updates to processes\n")


def test_diff_of_a_configuration_that_cannot_be_read(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    daemon.write(SLEEP.format(name="web") + "stopwaitsecs=soon\n")
    status, text = ctl(daemon, "diff")
    assert status == 2 and "stopwaitsecs" in text
    assert daemon.status("web")["state"] == "RUNNING"


# ---- scale --------------------------------------------------------------------------------------------------------

def test_scale_up_and_down_and_back(start: Start, directory: Path) -> None:
    daemon = start(MANY, main=state_file(directory))
    before = daemon.pids()
    assert ctl(daemon, "scale", "web", "4") == (0, "web: scaled to 4\n")
    daemon.wait(lambda: all(one["state"] == "RUNNING" for one in daemon.processes().values()), "all run")
    grown = daemon.pids()
    assert sorted(grown) == ["one", "web_00", "web_01", "web_02", "web_03"]
    assert {name: grown[name] for name in before} == before
    assert why(daemon, "web:web_00")["scale"] == 4
    assert ctl(daemon, "scale", "web", "1") == (0, "web: scaled to 1\n")
    assert daemon.pids() == {name: before[name] for name in ("one", "web_00")}
    assert ctl(daemon, "scale", "web", "-") == (0, "web: as configured\n")
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"]
    assert json.loads((directory / "kept" / "state").read_text())["scale"] == {}


def test_scale_survives_update_reload_and_restart(start: Start, directory: Path) -> None:
    daemon = start(MANY, main=state_file(directory))
    daemon.call("Scale", program="web", count=3)
    daemon.call("Update")
    assert "web_02" in daemon.pids()
    daemon.stop()
    assert (directory / "kept" / "state").stat().st_mode & 0o777 == 0o600
    again = start(MANY, main=state_file(directory))
    assert sorted(again.pids()) == ["one", "web_00", "web_01", "web_02"]


def test_scale_is_refused_with_a_reason_and_changes_nothing(start: Start, directory: Path) -> None:
    daemon = start(MANY, main=state_file(directory))
    before = daemon.pids()
    for words, said in ((("one", "2"), "ERROR: one: its process_name must have %(process_num) in it\n"),
                        (("nope", "2"), "nope: ERROR (no such program)\n"),
                        (("web", "0"), "ERROR: count: 0 processes of a program (1 to 10000 expected)\n"),
                        (("web", "10001"), "ERROR: count: 10001 processes of a program (1 to 10000 expected)\n")):
        assert ctl(daemon, "scale", *words) == (1, said)
    for words in ((), ("web",), ("web", "many"), ("web", "-1"), ("web", "1", "2")):
        assert ctl(daemon, "scale", *words)[0] == 2
    daemon.write(MANY.replace("sleep 1000", "sleep 2000"))
    assert ctl(daemon, "scale", "web", "3") == (1, "ERROR: the configuration of web has changed; update it first\n")
    assert daemon.pids() == before and not (directory / "kept").exists()


def test_scale_that_cannot_be_written_down(start: Start, directory: Path) -> None:
    daemon = start(MANY, main={"state_file": str(directory / "file" / "state")})
    (directory / "file").write_text("")
    with pytest.raises(Refusal, match=r"state_file= in \[supervisord\]"):
        daemon.call("Scale", program="web", count=3)
    with pytest.raises(Refusal, match=rf"{directory}/file/state: .*; state_file= in \[supervisord\]"):
        daemon.call("Disable", name="web:*")
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"] and not why(daemon, "web:web_00")["disabled"]


def test_a_scale_that_the_configuration_cannot_have_any_more(start: Start, directory: Path) -> None:
    (directory / "kept").mkdir()
    (directory / "kept" / "state").write_text('{"version": 1, "scale": {"one": 3, "gone": 2}, "disabled": []}')
    daemon = start(MANY, main=state_file(directory))
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"]
    assert "scaled to: numprocs holds" in daemon.log


def test_a_scale_that_breaks_a_later_configuration_can_be_taken_back(start: Start, directory: Path) -> None:
    (directory / "d0").mkdir()
    (directory / "d1").mkdir()
    wrong = MANY.replace("numprocs=2\n", "numprocs=2\nconf_file={dir}/d%(process_num)d/x\n")
    daemon = start(MANY, main=state_file(directory))
    daemon.call("Scale", program="web", count=3)
    daemon.write(wrong)
    for method, parameters in (("Update", {}), ("Scale", {"program": "web", "count": 4})):
        with pytest.raises(Refusal, match="no such directory: "):
            daemon.call(method, **parameters)
    assert "web_02" in daemon.pids()
    assert ctl(daemon, "scale", "web", "-") == (0, "web: as configured\n")
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"]


def test_a_scale_that_the_next_daemon_cannot_read_its_configuration_with(start: Start, directory: Path) -> None:
    (directory / "d0").mkdir()
    (directory / "d1").mkdir()
    (directory / "kept").mkdir()
    (directory / "kept" / "state").write_text('{"version": 1, "scale": {"web": 3}, "disabled": []}')
    daemon = start(MANY.replace("numprocs=2\n", "numprocs=2\nconf_file={dir}/d%(process_num)d/x\n"),
                   main=state_file(directory))
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"]
    assert "the configuration cannot have what was scaled, numprocs holds: " in daemon.log


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "scale": {}, "disabled": []}',
                                  '{"version": 1, "scale": {"web": "3"}, "disabled": []}',
                                  '{"version": 1, "scale": {"web": 0}, "disabled": [7]}', "[" * 100_000])
def test_a_state_file_that_is_broken(start: Start, directory: Path, text: str) -> None:
    (directory / "kept").mkdir()
    (directory / "kept" / "state").write_text(text)
    daemon = start(MANY, main=state_file(directory))
    assert "is not what sdsuper has written" in daemon.log
    assert sorted(daemon.pids()) == ["one", "web_00", "web_01"]
    daemon.call("Disable", name="one")
    assert json.loads((directory / "kept" / "state").read_text())["disabled"] == ["one:one"]


def test_a_state_file_that_somebody_else_could_have_made(start: Start, directory: Path) -> None:
    (directory / "kept").mkdir()
    real = directory / "kept" / "real"
    real.write_text('{"version": 1, "scale": {"web": 5}, "disabled": []}')
    (directory / "kept" / "state").symlink_to(real)
    daemon = start(MANY, main=state_file(directory))
    assert "is a symbolic link" in daemon.log and sorted(daemon.pids()) == ["one", "web_00", "web_01"]
    daemon.stop()
    (directory / "kept" / "state").unlink()
    real.rename(directory / "kept" / "state")
    (directory / "kept" / "state").chmod(0o666)
    again = start(MANY, main=state_file(directory))
    assert "others may write to it" in again.log and sorted(again.pids()) == ["one", "web_00", "web_01"]


@pytest.mark.root
def test_a_daemon_that_becomes_somebody_else_finds_its_state_again(start: Start, directory: Path) -> None:
    account = pwd.getpwnam("nobody")
    for folder in (directory, directory / "kept"):
        folder.mkdir(exist_ok=True)
        os.chown(folder, account.pw_uid, account.pw_gid)
    main = {**state_file(directory), "user": "nobody", "cgroup": "off"}
    daemon = start(MANY, main=main)
    daemon.call("Scale", program="web", count=3)
    assert (directory / "kept" / "state").stat().st_uid == account.pw_uid
    daemon.stop()
    again = start(MANY, main=main)
    assert sorted(again.pids()) == ["one", "web_00", "web_01", "web_02"] and "not known any more" not in again.log
    again.call("Scale", program="web")
    assert sorted(again.pids()) == ["one", "web_00", "web_01"]


# ---- enable, disable ----------------------------------------------------------------------------------------------

def test_a_disabled_process_starts_by_hand_alone(start: Start, directory: Path) -> None:
    daemon = start(MANY, main=state_file(directory))
    assert ctl(daemon, "disable", "one", "web:*") == (0, "one: disabled\nweb:web_00: disabled\nweb:web_01: disabled\n")
    assert daemon.status("one")["state"] == "RUNNING"
    assert daemon.status("one")["description"].endswith("; disabled")
    daemon.stop()
    again = start(MANY, main=state_file(directory))
    assert {one["state"] for one in again.processes().values()} == {"STOPPED"}
    assert again.status("one")["description"] == "Not started; disabled" and why(again, "one")["disabled"]
    again.call("Update")
    assert again.status("one")["state"] == "STOPPED"
    assert again.result("Start", "one") == ("SUCCESS", "OK")
    assert ctl(again, "enable", "all")[0] == 0
    assert again.status("web:web_00")["state"] == "STOPPED"
    again.stop()
    third = start(MANY, main=state_file(directory))
    third.wait(lambda: {one["state"] for one in third.processes().values()} == {"RUNNING"}, "all run")
    assert "disabled" not in third.status("one")["description"]


def test_a_disabled_process_is_started_for_what_depends_on_it(start: Start, directory: Path) -> None:
    programs = SLEEP.format(name="db") + SLEEP.format(name="web") + "depends_on=db\nautostart=false\n"
    daemon = start(programs, main=state_file(directory))
    daemon.call("Disable", name="db")
    daemon.call("Stop", name="db")
    assert daemon.result("Start", "web") == ("SUCCESS", "OK")
    assert daemon.status("db")["state"] == "RUNNING"


def test_a_disabled_process_is_not_started_by_the_clock(start: Start, directory: Path) -> None:
    (directory / "kept").mkdir()
    (directory / "kept" / "state").write_text('{"version": 1, "scale": {}, "disabled": ["job:job"]}')
    daemon = start("[program:job]\ncommand=true\nautostart=false\nautorestart=false\nstartsecs=0\n"
                   "cron=* * * * * *\n", main=state_file(directory))
    daemon.wait_log("skipped, for it is disabled")
    assert daemon.status("job")["description"] == "Not started; disabled" and not daemon.spawned
    daemon.call("Enable", name="job")
    daemon.wait(lambda: daemon.spawned, "the clock starts it")


def test_enable_and_disable_used_wrongly(start: Start, directory: Path) -> None:
    daemon = start(MANY, main=state_file(directory))
    for command in ("enable", "disable"):
        assert ctl(daemon, command)[0] == 1
        assert ctl(daemon, command, "nope") == (1, "nope: ERROR (no such process)\n")
    assert not (directory / "kept").exists()


# ---- subscriptions ------------------------------------------------------------------------------------------------

def test_events_as_they_happen(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    daemon.wait_state("web", "RUNNING")
    told = daemon.client().subscribe(types=["PROCESS_STATE"])
    first = next(told)
    assert "event" not in first and first["lost"] == 0
    daemon.call("Stop", name="web")
    names = [next(told), next(told)]
    assert [one["event"] for one in names] == ["PROCESS_STATE_STOPPING", "PROCESS_STATE_STOPPED"]
    assert names[0]["payload"].startswith("processname:web groupname:web from_state:RUNNING pid:")
    told.close()


def test_a_subscription_that_is_wrong(start: Start) -> None:
    daemon = start()
    with pytest.raises(Refusal, match="no such event: 'NOPE'"):
        next(daemon.client().subscribe(types=["NOPE"]))
    with pytest.raises(ProtocolError, match="ExpectedMore"):
        daemon.call("Subscribe")


def test_a_reader_that_is_too_slow_is_told_what_it_has_missed_and_holds_up_nobody(start: Start) -> None:
    daemon = start()
    slow = daemon.client()
    told = slow.subscribe(types=["REMOTE_COMMUNICATION"])
    next(told)
    data = "x" * 100_000
    for _ in range(60):
        daemon.call("SendEvent", type="t", data=data)
    found, count = next(told), 1
    while not found["lost"]:
        if count == 5:
            daemon.call("SendEvent", type="t", data="the last")
        found, count = next(told), count + 1
    assert found["payload"].endswith("the last") and found["lost"] > 0
    assert found["lost"] + count - 1 == 60
    told.close()


def events(daemon: Daemon, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}", "events", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"})


def stir(daemon: Daemon, enough: Callable[[], object]) -> None:
    """Let things happen until it is enough: nobody is told of what was before the subscription."""

    def again() -> object:
        daemon.call("Stop", name="web")
        daemon.call("Start", name="web")
        return enough()

    daemon.wait(again, "events come", 30)


def test_events_on_the_screen(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    daemon.wait_state("web", "RUNNING")
    for more, begin in (((), " PROCESS_STATE_"), (("--json",), '{"schema": "sdsuper.event/1", ')):
        with events(daemon, "-f", "-n", "2", *more) as running:
            stir(daemon, lambda: running.poll() is not None)
            out, err = running.communicate()
        assert (running.returncode, err) == (0, "") and len(out.splitlines()) == 2
        assert all(begin in line for line in out.splitlines())
    assert json.loads(out.splitlines()[1])["fields"]["processname"] == "web"
    assert ctl(daemon, "events", "NOPE") == (1, "Error: types: no such event: 'NOPE'\n")
    assert ctl(daemon, "events", "-n", "x")[0] == 2


def test_the_end_of_the_daemon_ends_events(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    with events(daemon) as running:
        assert running.stdout is not None
        stir(daemon, lambda: select.select([running.stdout], [], [], 0)[0])
        daemon.stop()
        out, err = running.communicate(timeout=30)
    assert running.returncode == 1 and "SUPERVISOR_STATE_CHANGE_STOPPING\n" in out
    assert err == "the daemon has ended, or this was too slow for it\n"


def test_a_reader_of_events_that_goes_is_not_the_end_of_the_daemon(start: Start) -> None:
    daemon = start(SLEEP.format(name="web"))
    with events(daemon) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        stir(daemon, lambda: running.poll() is not None)
        assert (running.returncode, running.stderr.read()) == (1, "")


def test_a_subscriber_that_goes_is_forgotten(start: Start) -> None:
    daemon = start()
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(daemon.socket))
    raw.sendall(b'{"method":"io.sdsuper.Control.Subscribe","parameters":{},"more":true}\0')
    assert b'"continues":true' in raw.recv(4096)
    raw.close()
    for _ in range(20):
        daemon.call("SendEvent", type="t", data="x" * 100_000)
    with Client(str(daemon.socket), timeout=20) as other:
        assert other.call("GetState")["state"] == "RUNNING"


def test_a_program_is_scaled_and_one_that_depends_on_it_then(start: Start) -> None:
    options = "command=sleep 1000\nstartsecs=0\nprocess_name=%(program_name)s%(process_num)d\n"
    daemon = start(f"[program:web]\n{options}[program:app]\n{options}depends_on=web\n")
    daemon.call("Scale", program="web", count=2)
    assert daemon.call("Diff")["groups"] == [], "what app depends on has followed"
    daemon.call("Scale", program="app", count=2)
    daemon.wait_state("app:app1", "RUNNING")
