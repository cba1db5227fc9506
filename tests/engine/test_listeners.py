"""Pools of listeners: who gets what, when, and what becomes of an event that is not accepted."""

import os
import re
import time
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import PYTHON, Start
from tests.engine.pools import NUMBERED, got, names, pool, send, sent


def test_the_life_of_a_program(start: Start) -> None:
    daemon = start(pool("l", "PROCESS_STATE,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE") +
                   "[program:web]\ncommand={python} -c 'import sys; sys.exit(3)'\nstartretries=1\nautostart=false\n"
                   "[program:up]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n")
    daemon.wait_state("l", "RUNNING")
    listener = daemon.status("l")["pid"]
    assert daemon.faults("Start", "up") == {"up": "SUCCESS"}
    child = daemon.status("up")["pid"]
    os.kill(child, 9)
    daemon.wait(lambda: daemon.status("up")["run"] == 2)
    second = daemon.status("up")["pid"]
    daemon.call("Stop", name="up")
    daemon.call("Start", name="web", wait=False)
    daemon.wait_state("web", "FATAL")
    expected = [
        "PROCESS_GROUP_ADDED groupname:l", "PROCESS_GROUP_ADDED groupname:up", "PROCESS_GROUP_ADDED groupname:web",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
        "PROCESS_STATE_STARTING processname:l groupname:l from_state:STOPPED tries:0",
        f"PROCESS_STATE_RUNNING processname:l groupname:l from_state:STARTING pid:{listener}",
        "PROCESS_STATE_STARTING processname:up groupname:up from_state:STOPPED tries:0",
        f"PROCESS_STATE_RUNNING processname:up groupname:up from_state:STARTING pid:{child}",
        f"PROCESS_STATE_EXITED processname:up groupname:up from_state:RUNNING expected:0 pid:{child}",
        "PROCESS_STATE_STARTING processname:up groupname:up from_state:EXITED tries:0",
        f"PROCESS_STATE_RUNNING processname:up groupname:up from_state:STARTING pid:{second}",
        f"PROCESS_STATE_STOPPING processname:up groupname:up from_state:RUNNING pid:{second}",
        f"PROCESS_STATE_STOPPED processname:up groupname:up from_state:STOPPING pid:{second}",
        "PROCESS_STATE_STARTING processname:web groupname:web from_state:STOPPED tries:0",
        "PROCESS_STATE_BACKOFF processname:web groupname:web from_state:STARTING tries:1",
        "PROCESS_STATE_STARTING processname:web groupname:web from_state:BACKOFF tries:1",
        "PROCESS_STATE_BACKOFF processname:web groupname:web from_state:STARTING tries:2",
        "PROCESS_STATE_FATAL processname:web groupname:web from_state:BACKOFF",
    ]
    daemon.wait(lambda: len(got(daemon, "l")) >= len(expected))
    assert names(daemon, "l") == expected
    heads = [one["head"] for one in got(daemon, "l")]
    assert [(int(head["serial"]), int(head["poolserial"])) for head in heads] == [(n, n) for n in range(len(heads))]
    assert {(head["ver"], head["server"], head["pool"]) for head in heads} == {("3.0", "supervisor", "l")}
    assert got(daemon, "l")[0]["payload"] == "groupname:l\n", "the only payload that ends its line"


def test_serials(start: Start) -> None:
    """The serial counts what anybody was told of, the poolserial what the pool was."""
    daemon = start(pool("a", "REMOTE_COMMUNICATION") + pool("b", "EVENT") + "[program:x]\ncommand=sleep 1000\n")
    daemon.wait_state("x", "RUNNING")
    send(daemon, "one", "two")
    daemon.wait(lambda: sent(daemon, "a") == sent(daemon, "b") == ["one", "two"])
    heads = {name: [one["head"] for one in got(daemon, name)] for name in "ab"}
    # b hears of a's group, its own, x's, RUNNING, and two changes of each process
    assert [head["poolserial"] for head in heads["a"]] == ["0", "1"]
    both = [head["serial"] for head in heads["b"] if head["eventname"] == "REMOTE_COMMUNICATION"]
    assert [head["serial"] for head in heads["a"]] == both
    assert [int(head["serial"]) for head in heads["b"]] == list(range(len(heads["b"])))


def test_lengths_in_characters_and_in_bytes(start: Start) -> None:
    daemon = start(pool("text", "REMOTE_COMMUNICATION") +
                   pool("raw", "REMOTE_COMMUNICATION", "payload_length=bytes", args="--bytes"))
    words = ["ü€😀", "plain", "x" * 200_000 + "ß", ""]
    send(daemon, *words)
    daemon.wait(lambda: sent(daemon, "text") == sent(daemon, "raw") == words)
    assert got(daemon, "text")[0]["head"]["len"] == str(len("type:test\nü€😀"))
    assert got(daemon, "raw")[0]["head"]["len"] == str(len("type:test\nü€😀".encode()))
    with pytest.raises(Refusal, match="BAD_ARGUMENTS: data: a lone surrogate is no character"):
        send(daemon, "\udcff")


def test_events_before_a_listener_runs_are_kept(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "autostart=false"))
    send(daemon, *"abc")
    assert sent(daemon, "l") == []
    daemon.call("Start", name="l")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b", "c"])


def test_nothing_is_given_before_startsecs(start: Start) -> None:
    daemon = start(pool("l", "PROCESS_STATE", startsecs=1))
    daemon.wait(lambda: len(got(daemon, "l")) == 2)
    assert [name.split()[0] for name in names(daemon, "l")] == ["PROCESS_STATE_STARTING", "PROCESS_STATE_RUNNING"]
    assert daemon.log.index("entered RUNNING") > 0
    assert Path(daemon.directory, "l").stat().st_mtime >= daemon.status("l")["start"] + 0.9


def test_the_first_that_is_ready_wins(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "numprocs=3", NUMBERED))
    daemon.wait(lambda: all(p["state"] == "RUNNING" for p in daemon.processes().values()))
    logs = {name: os.path.basename(process["stdout_logfile"]) for name, process in daemon.processes().items()}
    daemon.wait(lambda: all(daemon.text(log) == "READY\n" for log in logs.values()))
    for number in range(5):
        send(daemon, str(number))
        daemon.wait(lambda number=number: daemon.text(logs["l_0"]).count("READY") == number + 2)
    assert {one["pid"] for one in got(daemon, "l")} == {daemon.status("l:l_0")["pid"]}


def test_a_busy_listener_does_not_hold_up_the_pool(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "numprocs=2", NUMBERED,
                        args="--script hang,ok"))
    daemon.wait(lambda: all(p["state"] == "RUNNING" for p in daemon.processes().values()))
    send(daemon, *"abcd")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b", "c", "d"])
    pids = [one["pid"] for one in got(daemon, "l")]
    assert len(set(pids)) == 2 and len(set(pids[1:])) == 1


def test_rejected_events_come_again_later_to_their_own_pool_alone(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args="--script fail,fail,fail,ok") +
                   pool("other", "REMOTE_COMMUNICATION"))
    send(daemon, "a", "b")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "a", "a", "a", "b"])
    assert sent(daemon, "other") == ["a", "b"]
    serials = [(one["head"]["serial"], one["head"]["poolserial"]) for one in got(daemon, "l")]
    assert serials == [("0", "0")] * 4 + [("1", "1")], "it is the same event"
    assert daemon.log.count("WARN l: event was rejected") == 3


def test_a_listener_that_dies_has_rejected_its_event(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args="--script ok,die,ok"))
    send(daemon, *"abc")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b", "b", "c"])
    pids = [one["pid"] for one in got(daemon, "l")]
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.parametrize("answer, shown, again", [
    ("noise", r"it sent 'traceback (most recent call last)\x1b[0m xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'...", 0),
    ("badline", "it sent 'RESULT many'", 1),
])
def test_a_listener_that_breaks_the_protocol_is_said_once(start: Start, answer: str, shown: str, again: int) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args=f"--script ok,{answer},ok"))
    send(daemon, *"abc")
    daemon.wait_log("ERRO l: has entered the UNKNOWN state and will no longer receive events, this usually indicates "
                    "the process violated the eventlistener protocol; " + shown)
    send(daemon, "d")
    assert sent(daemon, "l") == ["a", "b"] and daemon.status("l")["state"] == "RUNNING"
    daemon.call("Stop", name="l")
    daemon.call("Start", name="l")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b", *["b"] * again, "c", "d"])
    assert daemon.log.count("UNKNOWN state") == 1


def test_the_words_of_a_listener_are_logged(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "stdout_logfile={dir}/words"))
    send(daemon, "a")
    daemon.wait(lambda: daemon.text("words") == "READY\nRESULT 2\nOKREADY\n")


def test_a_listener_may_answer_before_it_has_read(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args="--script early"))
    large = "x" * 200_000
    send(daemon, large, "b", large, "c")
    daemon.wait(lambda: sent(daemon, "l") == [large, "b", large, "c"])


def test_a_listener_that_has_closed_its_stdin_is_passed_over(start: Start) -> None:
    closes = "import os, time; os.close(0); os.write(1, b\"READY\\n\"); time.sleep(1000)"
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "numprocs=2", NUMBERED,
                        "autostart=false").replace("command=", "command={dir}/first "))
    first = Path(daemon.directory, "first")
    first.write_text(f"#!/bin/sh\n[ $SUPERVISOR_PROCESS_NAME = l_0 ] && exec {PYTHON} -c '{closes}'\nexec \"$@\"\n")
    first.chmod(0o755)
    daemon.call("Start", name="l:*")
    log = os.path.basename(daemon.status("l:l_0")["stdout_logfile"])
    daemon.wait(lambda: daemon.text(log) == "READY\n")
    send(daemon, "a", "b")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b"])
    assert daemon.log.count("WARN l_0: cannot be given events, its stdin: Broken pipe") == 1


def test_events_that_find_no_room(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "buffer_size=3", "autostart=false"))
    send(daemon, *"abcdefg")
    daemon.call("Start", name="l")
    daemon.wait(lambda: sent(daemon, "l") == ["e", "f", "g"])
    overflows = [line for line in daemon.messages if "overflowed" in line]
    assert overflows == ["ERRO pool l event buffer overflowed, discarding event 0"], "then a count once a minute"


def test_the_default_buffer_has_room_for_all_programs(start: Start) -> None:
    programs = "[program:x]\ncommand=sleep 1000\nnumprocs=3\nprocess_name=x%(process_num)s\nautostart=false\n"
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "autostart=false") + programs)
    send(daemon, *map(str, range(40)))
    assert "overflowed" in daemon.log, "8 for each of 4 processes"
    daemon.write(pool("l", "REMOTE_COMMUNICATION", "autostart=false") + programs.replace("=3", "=20"))
    daemon.call("Update")
    send(daemon, *map(str, range(40, 200)))
    daemon.call("Start", name="l")
    daemon.wait(lambda: "199" in sent(daemon, "l"))
    assert sent(daemon, "l") == [str(number) for number in range(32, 200)], "8 for each of 21"


def test_buffer_and_events_change_without_a_restart(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args="--script wait:{dir}/go,ok"))
    daemon.wait_state("l", "RUNNING")
    pid = daemon.status("l")["pid"]
    send(daemon, "a")
    daemon.wait(lambda: sent(daemon, "l") == ["a"])
    daemon.write(pool("l", "REMOTE_COMMUNICATION,PROCESS_GROUP", "buffer_size=2", args="--script wait:{dir}/go,ok") +
                 "[program:new]\ncommand=sleep 1000\n")
    daemon.call("Update")
    send(daemon, *"bcd")
    Path(daemon.directory, "go").touch()
    daemon.wait(lambda: sent(daemon, "l") == ["a", "c", "d"])
    send(daemon, "e")
    daemon.write(pool("l", "PROCESS_GROUP", args="--script wait:{dir}/go,ok"))
    daemon.wait(lambda: sent(daemon, "l")[-1] == "e")
    daemon.call("Update")
    send(daemon, "f")
    daemon.wait(lambda: names(daemon, "l")[-1] == "PROCESS_GROUP_REMOVED groupname:new")
    assert "f" not in sent(daemon, "l") and daemon.status("l")["pid"] == pid


def test_a_changed_group_is_told_as_supervisor_does(start: Start) -> None:
    listener = pool("l", "PROCESS_GROUP,PROCESS_STATE_STOPPED")
    daemon = start(listener + "[program:web]\ncommand=sleep 1000\nstartsecs=0\n")
    daemon.wait(lambda: len(got(daemon, "l")) == 2)
    daemon.write(listener + "[program:web]\ncommand=sleep 1001\nstartsecs=0\n")
    daemon.call("Update")
    daemon.wait(lambda: len(got(daemon, "l")) == 5)
    assert [name.split(" from")[0] for name in names(daemon, "l")[2:]] == [
        "PROCESS_STATE_STOPPED processname:web groupname:web", "PROCESS_GROUP_REMOVED groupname:web",
        "PROCESS_GROUP_ADDED groupname:web"]
    daemon.write(listener + "[program:web]\ncommand=sleep 1001\nstartsecs=0\nstopwaitsecs=1\n")
    daemon.call("Update")
    send(daemon, "a")
    assert len(got(daemon, "l")) == 5, "what was only applied was neither removed nor added"


def test_a_hung_listener_is_replaced(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "listener_timeout=1", args="--script hang,ok"))
    send(daemon, "a", "b")
    daemon.wait(lambda: sent(daemon, "l") == ["a", "a", "b"])
    pids = [one["pid"] for one in got(daemon, "l")]
    assert pids[0] != pids[1] == pids[2]
    assert "WARN l: has been busy with event 0 for 1 seconds (listener_timeout), killing it" in daemon.messages
    assert "WARN exited: l (terminated by SIGKILL; not expected)" in daemon.messages


def test_a_listener_that_does_not_read_is_replaced(start: Start) -> None:
    """It never reads its pipe: a large event is on its way for ever. The daemon goes on."""
    daemon = start("[eventlistener:l]\ncommand=sh -c 'echo READY; exec sleep 1000'\n"
                   "events=REMOTE_COMMUNICATION\nstartsecs=0\nlistener_timeout=1\n")
    send(daemon, "x" * 200_000)
    daemon.wait(lambda: daemon.status("l")["run"] >= 2)
    assert "killing it" in daemon.log
    assert daemon.call("GetState")["state"] == "RUNNING"


@pytest.mark.parametrize("busy", [True, False])
def test_the_timeout_changes_without_a_restart(start: Start, busy: bool) -> None:
    script = "--script ok,hang,ok"
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args=script))
    send(daemon, *"ab"[:1 + busy])
    daemon.wait(lambda: len(sent(daemon, "l")) == 1 + busy)
    daemon.write(pool("l", "REMOTE_COMMUNICATION", "listener_timeout=1", args=script))
    daemon.call("Update")
    send(daemon, *"ab"[1 + busy:])
    daemon.wait(lambda: sent(daemon, "l") == ["a", "b", "b"])
    assert len({one["pid"] for one in got(daemon, "l")}) == 2


def test_listeners_hear_of_the_others_ends(start: Start) -> None:
    """They start first and stop last."""
    daemon = start(pool("l", "PROCESS_STATE,SUPERVISOR_STATE_CHANGE") +
                   "".join(f"[program:x{n}]\ncommand=sleep 1000\nstartsecs=0\npriority={n}\n" for n in range(3)))
    daemon.wait_state("l", "RUNNING")
    daemon.wait(lambda: len(got(daemon, "l")) == 9)
    daemon.stop()
    told = [name.split(" groupname")[0] for name in names(daemon, "l")]
    assert told[0] == "SUPERVISOR_STATE_CHANGE_RUNNING"
    assert told[1] == "PROCESS_STATE_STARTING processname:l" and daemon.spawned[0] == "l"
    ends = told[told.index("SUPERVISOR_STATE_CHANGE_STOPPING") + 1:]
    assert ends == [f"PROCESS_STATE_{state} processname:x{n}" for n in (2, 1, 0) for state in ("STOPPING", "STOPPED")] \
        + ["PROCESS_STATE_STOPPING processname:l"][:len(ends) - 6], "its own end it may hear of or not"
    assert daemon.messages[-1].startswith(("WARN stopped: l", "INFO stopped: l"))


def test_the_end_does_not_wait_for_a_listener_that_hangs(start: Start) -> None:
    daemon = start(pool("l", "REMOTE_COMMUNICATION", args="--script hang"))
    send(daemon, "a", "b")
    daemon.wait(lambda: sent(daemon, "l") == ["a"])
    began = time.monotonic()
    assert daemon.stop() == 0
    assert 1.5 < time.monotonic() - began < 10


def test_a_storm_loses_nothing(start: Start) -> None:
    """All programs are killed at once, with the default buffer and one listener."""
    count = 60
    daemon = start(pool("l", "PROCESS_STATE") + f"[program:x]\ncommand=sleep 1000\nnumprocs={count}\nstartsecs=0\n"
                   "process_name=x%(process_num)s\n")
    daemon.wait(lambda: len(got(daemon, "l")) == 2 * (count + 1))
    for name, pid in daemon.pids().items():
        if name != "l":
            os.kill(pid, 9)
    daemon.wait(lambda: len(got(daemon, "l")) == 2 * (count + 1) + 3 * count)
    serials = [int(one["head"]["poolserial"]) for one in got(daemon, "l")]
    assert serials == list(range(len(serials))) and "overflowed" not in daemon.log


def test_the_environment_of_a_listener(start: Start) -> None:
    daemon = start("[unix_http_server]\nfile={dir}/http\n[eventlistener:l]\ncommand={python} -c 'import json, os; "
                   "found = {k: v for k, v in os.environ.items() if \"SUPERVISOR_\" in k}; "
                   "open(\"{dir}/env\", \"w\").write(json.dumps(found) + chr(10)); os.read(0, 1)'\n"
                   "events=TICK_3600\nstartsecs=0\n")
    assert daemon.json("env") == {
        "SUPERVISOR_ENABLED": "1", "SUPERVISOR_PROCESS_NAME": "l", "SUPERVISOR_GROUP_NAME": "l",
        "SUPERVISOR_SERVER_URL": f"unix://{daemon.directory}/http"}


def test_a_flood_for_a_listener_that_does_not_read(start: Start) -> None:
    """Clients are answered, memory is bounded, the log has one line."""
    daemon = start("[eventlistener:l]\ncommand=sh -c 'echo READY; exec sleep 1000'\nevents=PROCESS_LOG\nstartsecs=0\n"
                   "buffer_size=100000\n[program:flood]\ncommand=yes ä-a-long-line-of-text\nstartsecs=0\n"
                   "stdout_logfile=NONE\nstdout_events_enabled=true\n")
    daemon.wait_log("pool l event buffer overflowed", 1)
    times = []
    for _ in range(50):
        began = time.monotonic()
        daemon.call("GetState")
        times.append(time.monotonic() - began)
    assert sorted(times)[25] < 0.1
    memory = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{daemon.pid}/status").read_text())
    assert memory and int(memory[1]) < 200_000
    assert daemon.log.count("overflowed") == 1


def test_moody_listeners_lose_nothing(start: Start) -> None:
    """Three that accept, reject and die in turns: each event is accepted in the end, and by nobody else again."""
    moods = ",".join(["ok", "fail", "ok", "die", "early", "ok", "fail", "die", "ok"] * 3 + ["ok"])
    daemon = start(pool("l", "REMOTE_COMMUNICATION", "numprocs=3", "buffer_size=100", NUMBERED,
                        args=f"--script {moods}"))
    words = [str(number) for number in range(60)]
    send(daemon, *words)
    daemon.wait(lambda: set(sent(daemon, "l")) == set(words), limit=60)
    again = len(sent(daemon, "l")) - len(words)
    daemon.wait(lambda: 0 < again <= daemon.log.count("event was rejected") + daemon.log.count("(exit status 7"),
                "only what was rejected comes again")
    assert "overflowed" not in daemon.log and "UNKNOWN" not in daemon.log
