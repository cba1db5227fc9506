"""What is told: output, messages in output, ticks."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.engine.conftest import Daemon, Start
from tests.engine.pools import got, names, pool

BEGIN, END = "<!--XSUPERVISOR:BEGIN-->", "<!--XSUPERVISOR:END-->"


def program(daemon: Path, *writes: bytes, options: str = "", then: str = "") -> str:
    """A program that makes each of the writes by itself, waiting after each until {dir}/goN is there or a second."""
    script = daemon / "script.py"
    script.write_text(
        "import os, time\n" + "".join(
            f"os.write(1, {data!r})\nend = time.time() + 30\n"
            f"while {number + 1} < {len(writes)} and not os.path.exists('go{number}') and time.time() < end:\n"
            "    time.sleep(0.005)\n" for number, data in enumerate(writes)) + then)
    return f"[program:web]\ncommand={{python}} script.py\nstartsecs=0\nautorestart=false\n" \
           f"stdout_logfile={{dir}}/log\n{options}"


def told(daemon: Daemon, name: str = "l") -> list[tuple[str, str]]:
    """Event and data of what a pool got about output."""
    return [(one["head"]["eventname"], one["payload"].partition("\n")[2]) for one in got(daemon, name)
            if one["head"]["eventname"].startswith(("PROCESS_LOG", "PROCESS_COMM"))]


def test_one_event_for_each_read(start: Start, directory: Path) -> None:
    daemon = start(pool("l", "PROCESS_LOG,PROCESS_STATE_EXITED") +
                   program(directory, b"one\n", b"t\xc3\xbco", b"\xff\x00'", options="stdout_events_enabled=true\n"))
    for number in range(2):
        daemon.wait(lambda number=number: len(told(daemon)) == number + 1)
        Path(daemon.directory, f"go{number}").touch()
    daemon.wait(lambda: len(got(daemon, "l")) == 4)
    assert told(daemon) == [("PROCESS_LOG_STDOUT", "one\n"), ("PROCESS_LOG_STDOUT", "tüo"),
                            ("PROCESS_LOG_STDOUT", "Undecodable: b\"\\xff\\x00'\"")]
    assert names(daemon, "l")[-1].startswith("PROCESS_STATE_EXITED"), "output comes before the end"
    head = names(daemon, "l")[0]
    assert re.fullmatch(r"PROCESS_LOG_STDOUT processname:web groupname:web pid:\d+ channel:stdout", head)
    assert Path(daemon.directory, "log").read_bytes() == b"one\nt\xc3\xbco\xff\x00'"


def test_both_streams_and_who_shares_one(start: Start) -> None:
    both = "stdout_events_enabled=true\nstderr_events_enabled=true\nautorestart=false\nstartsecs=0\n"
    daemon = start(pool("l", "PROCESS_LOG") +
                   f"[program:web]\ncommand=sh -c 'echo out; echo err >&2'\nredirect_stderr=false\n{both}"
                   f"[program:one]\ncommand=sh -c 'echo both >&2'\nredirect_stderr=true\n{both}"
                   f"[program:no]\ncommand=echo none\nautorestart=false\nstartsecs=0\n")
    daemon.wait(lambda: len(told(daemon)) == 3)
    assert sorted(told(daemon)) == [("PROCESS_LOG_STDERR", "err\n"), ("PROCESS_LOG_STDOUT", "both\n"),
                                    ("PROCESS_LOG_STDOUT", "out\n")]


def test_output_that_has_no_log_makes_events_all_the_same(start: Start) -> None:
    daemon = start(pool("l", "PROCESS_LOG,PROCESS_COMMUNICATION") +
                   f"[program:web]\ncommand=echo 'text{BEGIN}word{END}'\nautorestart=false\nstartsecs=0\n"
                   "stdout_logfile=NONE\nstdout_events_enabled=true\nstdout_capture_maxbytes=1KB\n")
    daemon.wait(lambda: len(told(daemon)) == 3)
    assert told(daemon) == [("PROCESS_LOG_STDOUT", "text"), ("PROCESS_COMMUNICATION_STDOUT", "word"),
                            ("PROCESS_LOG_STDOUT", "\n")]


def test_messages_leave_the_log(start: Start, directory: Path) -> None:
    """Tokens in pieces, several messages in one read, a short tail."""
    daemon = start(pool("l", "PROCESS_COMMUNICATION,PROCESS_STATE_EXITED") + program(
        directory, b"a<!--XSUPER", f"VISOR:BEGIN-->one{END[:4]}".encode(),
        f"{END[4:]}b\n{BEGIN}tw\u00f6{END}{BEGIN}{END}c".encode(), f"{BEGIN}0123456789{END}tail<!".encode(),
        options="stdout_capture_maxbytes=8\n"))
    for number in range(3):
        Path(daemon.directory, f"go{number}").touch()
        daemon.wait(lambda number=number: len(got(daemon, "l")) >= (0, 1, 3)[number])
    daemon.wait(lambda: len(got(daemon, "l")) == 5)
    assert told(daemon) == [("PROCESS_COMMUNICATION_STDOUT", data) for data in ("one", "twö", "", "23456789")]
    assert re.fullmatch(r"PROCESS_COMMUNICATION_STDOUT processname:web groupname:web pid:\d+", names(daemon, "l")[0])
    assert names(daemon, "l")[-1].startswith("PROCESS_STATE_EXITED")
    assert daemon.text("log") == "ab\nctail<!"


def test_a_message_without_end_is_text(start: Start, directory: Path) -> None:
    daemon = start(pool("l", "PROCESS_COMMUNICATION,PROCESS_STATE_EXITED") +
                   program(directory, f"a{BEGIN}b".encode(), options="stdout_capture_maxbytes=8\n"))
    daemon.wait(lambda: len(got(daemon, "l")) == 1)
    assert daemon.text("log") == f"a{BEGIN}b" and told(daemon) == []


def test_options_of_output_change_while_it_runs(start: Start, directory: Path) -> None:
    fifo = directory / "fifo"
    os.mkfifo(fifo)
    text = pool("l", "PROCESS_LOG,PROCESS_COMMUNICATION") + \
        "[program:web]\ncommand=sh -c 'while :; do cat {dir}/fifo; done'\nstartsecs=0\nstdout_logfile={dir}/log\n" \
        "stopasgroup=true\n"
    daemon = start(text)

    def say(data: str) -> None:
        before = len(daemon.text("log")) + len(told(daemon))
        fifo.write_text(data)
        daemon.wait(lambda: len(daemon.text("log")) + len(told(daemon)) > before)

    daemon.wait_state("web", "RUNNING")
    pid = daemon.status("web")["pid"]
    say(f"1{BEGIN}a{END}\n")
    daemon.write(text + "stdout_events_enabled=true\nstdout_capture_maxbytes=1KB\n")
    daemon.call("Update")
    say(f"2{BEGIN}b{END}\n")
    daemon.wait(lambda: len(told(daemon)) == 3)
    fifo.write_text(f"{BEGIN}begun")
    daemon.write(text)
    daemon.call("Update")
    say("3\n")
    assert told(daemon) == [("PROCESS_LOG_STDOUT", "2"), ("PROCESS_COMMUNICATION_STDOUT", "b"),
                            ("PROCESS_LOG_STDOUT", "\n")]
    assert daemon.text("log") == f"1{BEGIN}a{END}\n2\n{BEGIN}begun3\n"
    assert daemon.status("web")["pid"] == pid


def test_ticks(start: Start) -> None:
    daemon = start(pool("five", "TICK_5") + pool("all", "TICK"))
    began = time.time()
    daemon.wait(lambda: len(got(daemon, "five")) >= 2, limit=30)
    five = [one["payload"] for one in got(daemon, "five")][:2]
    first = int(five[0].removeprefix("when:"))
    assert five == [f"when:{first}", f"when:{first + 5}"] and first % 5 == 0 and abs(first - began) < 10

    def every() -> list[str]:
        return [name for name in names(daemon, "all") if name.startswith("TICK_5 ")]

    daemon.wait(lambda: len(every()) >= 2)
    assert every()[:2] == [f"TICK_5 when:{first}", f"TICK_5 when:{first + 5}"]


def test_nobody_wants_ticks_so_nobody_wakes_up(start: Start) -> None:
    daemon = start(pool("l", "PROCESS_STATE_FATAL"))
    daemon.wait_state("l", "RUNNING")
    daemon.close_clients()
    switches = Path(f"/proc/{daemon.pid}/status")

    def count() -> int:
        found = re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", switches.read_text())
        assert found is not None
        return int(found[1])

    def rests() -> bool:
        before = count()
        time.sleep(0.5)
        return count() == before

    daemon.wait(rests)
    before = count()
    time.sleep(6)       # longer than the shortest tick: that nothing happens cannot be waited for
    assert count() == before


@pytest.mark.parametrize("strip", [False, True])
def test_terminal_sequences(start: Start, directory: Path, strip: bool) -> None:
    """A listener's words are heard as they are; messages and events are stripped as the log is."""
    data = f"\x1b[31mred\x1b[0m{BEGIN}\x1b[1mbold{END}".encode()
    daemon = start(pool("l", "PROCESS_LOG,PROCESS_COMMUNICATION") +
                   program(directory, data, options="stdout_capture_maxbytes=1KB\nstdout_events_enabled=true\n"),
                   main={"strip_ansi": str(strip).lower()})
    daemon.wait(lambda: len(told(daemon)) == 2)
    red, bold = ("red", "bold") if strip else ("\x1b[31mred\x1b[0m", "\x1b[1mbold")
    assert told(daemon) == [("PROCESS_LOG_STDOUT", red), ("PROCESS_COMMUNICATION_STDOUT", bold)]
    assert daemon.text("log") == red


def test_output_of_what_a_program_left_behind(start: Start) -> None:
    """The leader has ended, its child writes on: still told, with the leader's pid."""
    daemon = start(pool("l", "PROCESS_LOG,PROCESS_STATE_EXITED") +
                   "[program:web]\nstartsecs=0\nautorestart=false\nstdout_events_enabled=true\ncommand="
                   "sh -c '(until [ -e {dir}/go ]; do sleep 0.1; done; echo late) & echo early'\n")
    daemon.wait(lambda: len(got(daemon, "l")) == 2)
    Path(daemon.directory, "go").touch()
    daemon.wait(lambda: len(got(daemon, "l")) == 3)
    assert told(daemon) == [("PROCESS_LOG_STDOUT", "early\n"), ("PROCESS_LOG_STDOUT", "late\n")]
    assert names(daemon, "l")[2].split(" ", 1)[1] == names(daemon, "l")[0].split(" ", 1)[1]
