"""What programs write arrives: rotation, sharing, moving, clearing, consoles."""

import os
import signal
import time
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import Daemon, Start

#: Writes numbered lines as fast as it can, to a descriptor, each after a word; then waits.
FLOOD = """\
import os, sys, time
word, count, fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = b"".join(b"%s %d\\n" % (word.encode(), n) for n in range(count))
at = 0
while at < len(data):
    at += os.write(fd, data[at:at + 5000])
open(sys.argv[4], "w").close()
time.sleep(1000)
"""


def flood(word: str, count: int, fd: int = 1) -> str:
    lines = [f"command={{python}} {{dir}}/flood {word} {count} {fd} {{dir}}/{word}{fd}.done", "autostart=false",
             "startsecs=0", "stderr_logfile=NONE" if fd == 1 else "", ""]
    return "\n".join(lines)


def begin(start: Start, programs: str, **options: object) -> Daemon:
    daemon = start(programs, **options)
    (daemon.directory / "flood").write_text(FLOOD)
    daemon.call("Start", name="all", wait=False)
    return daemon


def finish(daemon: Daemon, *done: str) -> None:
    """Wait until the programs have written everything, then stop them: what was in their pipes is in their logs."""
    for name in done:
        daemon.wait(lambda name=name: (daemon.directory / f"{name}.done").exists(), f"{name} is done")
    daemon.call("Stop", name="all")


def numbers(daemon: Daemon, path: str, backups: int, word: str) -> list[int]:
    """The numbers after a word in a log and its backups, oldest first."""
    names = [*(f"{path}.{n}" for n in reversed(range(1, backups + 1))), path]
    lines = "".join(daemon.text(name) for name in names).splitlines()
    return [int(line.split()[1]) for line in lines if line.split()[0] == word]


def test_every_byte_through_rotation(start: Start) -> None:
    count = 200_000
    daemon = begin(start, f"[program:web]\n{flood('web', count)}stdout_logfile={{dir}}/out\n"
                          "stdout_logfile_maxbytes=100KB\nstdout_logfile_backups=100\n")
    finish(daemon, "web1")
    backups = len(list(daemon.directory.glob("out.*")))
    assert backups > 5
    assert numbers(daemon, "out", backups, "web") == list(range(count))
    for path in daemon.directory.glob("out.*"):
        assert 100 << 10 <= path.stat().st_size < (100 << 10) + (256 << 10)
    assert daemon.status("web")["lost_bytes"] == 0


def test_backups_are_as_many_as_wanted(start: Start) -> None:
    daemon = begin(start, f"[program:two]\n{flood('two', 100_000)}stdout_logfile={{dir}}/two\n"
                          "stdout_logfile_maxbytes=10KB\nstdout_logfile_backups=2\n"
                          f"[program:none]\n{flood('none', 100_000)}stdout_logfile={{dir}}/none\n"
                          "stdout_logfile_maxbytes=10KB\nstdout_logfile_backups=0\n"
                          f"[program:never]\n{flood('never', 100_000)}stdout_logfile={{dir}}/never\n"
                          "stdout_logfile_maxbytes=0\n")
    finish(daemon, "two1", "none1", "never1")
    assert sorted(path.name for path in daemon.directory.glob("two*")) == ["two", "two.1", "two.2", "two1.done"]
    assert sorted(path.name for path in daemon.directory.glob("none*")) == ["none", "none1.done"]
    assert (daemon.directory / "none").stat().st_size < 10 << 10
    assert numbers(daemon, "never", 0, "never") == list(range(100_000))


def test_programs_and_streams_that_share_a_file(start: Start) -> None:
    count = 50_000
    shared = "stdout_logfile={dir}/out\nstdout_logfile_maxbytes=200KB\nstdout_logfile_backups=100\n"
    daemon = begin(start, f"[program:a]\n{flood('a', count)}{shared}[program:b]\n{flood('b', count)}{shared}"
                          f"[program:c]\n{flood('c', count, 2)}redirect_stderr=true\n{shared}")
    finish(daemon, "a1", "b1", "c2")
    backups = len(list(daemon.directory.glob("out.*")))
    text = b"".join((daemon.directory / name).read_bytes() for name in
                    [*(f"out.{n}" for n in reversed(range(1, backups + 1))), "out"])
    # a read may end in the middle of a line, so only the sum of the bytes is certain
    assert len(text) == 3 * sum(len(f"a {n}\n") for n in range(count))


def test_the_last_words_are_there_when_the_end_is_told(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'echo one; echo two >&2; printf three'\nautostart=false\n"
                   "startretries=0\n"
                   "stdout_logfile={dir}/out\nstderr_logfile={dir}/err\n")
    for _ in range(20):
        daemon.call("Start", name="web")
    daemon.wait_state("web", "FATAL")
    assert daemon.text("out") == "one\nthree" * 20 and daemon.text("err") == "two\n" * 20


def test_bytes_of_all_kinds(start: Start) -> None:
    script = "import os; os.write(1, bytes(range(256)) * 3); d = b'x' * 10_000_000\nwhile d: d = d[os.write(1, d):]\n"
    daemon = start("[program:web]\ncommand={python} {dir}/script\nautostart=false\nautorestart=false\nstartsecs=0\n"
                   "stdout_logfile={dir}/out\n")
    (daemon.directory / "script").write_text(script)
    daemon.call("Start", name="web")
    daemon.wait_state("web", "EXITED")
    assert (daemon.directory / "out").read_bytes() == bytes(range(256)) * 3 + b"x" * 10_000_000


def test_strip_ansi(start: Start) -> None:
    script = r"printf '\033[31mred\033[0m \033]0;title\007plain\n\033[1'; sleep 0.1; printf 'mbold\033[m\n'"
    daemon = start(f"[program:web]\ncommand=sh -c \"{script}; exec sleep 1000\"\nstdout_logfile={{dir}}/out\n",
                   main={"strip_ansi": "true"})
    daemon.wait(lambda: daemon.text("out") == "red plain\nbold\n", "it is stripped")


#: Writes its argument's line after each signal.
ECHO = "[program:web]\ncommand=cat\nstdout_logfile={dir}/out\nstartsecs=0\n"


def say(daemon: Daemon, text: str) -> None:
    daemon.call("WriteStdin", name="web", data=text + "\n")


def test_a_moved_log_and_usr2(start: Start) -> None:
    daemon = start(ECHO)
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    (daemon.directory / "out").rename(daemon.directory / "out.old")
    (daemon.directory / "daemon.log").rename(daemon.directory / "daemon.log.old")
    daemon.signal(signal.SIGUSR2)
    daemon.wait_log("supervisord logreopen")
    say(daemon, "two")
    daemon.wait(lambda: daemon.text("out") == "two\n")
    assert daemon.text("out.old") == "one\n"
    assert "received SIGUSR2 indicating log reopen request" in daemon.log
    assert "supervisord started" in daemon.text("daemon.log.old")


def test_a_log_that_was_moved_or_deleted_is_made_anew(start: Start) -> None:
    daemon = start(ECHO)
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    (daemon.directory / "out").unlink()
    say(daemon, "two")
    daemon.wait(lambda: daemon.text("out") == "two\n")
    (daemon.directory / "out").rename(daemon.directory / "out.1")
    say(daemon, "three")
    daemon.wait(lambda: daemon.text("out") == "three\n")
    assert daemon.text("out.1") == "two\n"


def test_copytruncate_leaves_no_hole(start: Start) -> None:
    daemon = start(ECHO)
    say(daemon, "x" * 1000)
    daemon.wait(lambda: len(daemon.text("out")) == 1001)
    os.truncate(daemon.directory / "out", 0)
    say(daemon, "after")
    daemon.wait(lambda: daemon.text("out") == "after\n")


def test_clear_and_open(start: Start) -> None:
    daemon = start(ECHO)
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    fd, path = daemon.client().open_log("web")
    try:
        assert (path, os.read(fd, 100)) == (str(daemon.directory / "out"), b"one\n")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)
    assert daemon.faults("ClearLogs", "web") == {"web": "SUCCESS"}
    assert daemon.text("out") == ""
    say(daemon, "two")
    daemon.wait(lambda: daemon.text("out") == "two\n")
    daemon.call("ClearLogs")
    daemon.call("Stop", name="web")
    daemon.wait(lambda: daemon.log.count("\n") == 1)


def test_no_log(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'echo x; echo y >&2; exec sleep 1000'\nstdout_logfile=NONE\n"
                   "stderr_logfile=/dev/null\n")
    seen = daemon.status("web")
    assert (seen["stdout_logfile"], seen["stderr_logfile"]) == ("", "")
    with pytest.raises(Refusal, match="NO_FILE: web"):
        daemon.call("OpenLog", name="web")


def test_several_targets(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'echo x; exec sleep 1000'\n"
                   "stdout_logfile={dir}/a, {dir}/b, /dev/stdout\n",
                   main={"silent": "true"})
    daemon.wait(lambda: daemon.text("a") == daemon.text("b") == daemon.text("stdout") == "x\n", "it is everywhere")


def test_a_console_with_a_slow_reader(start: Start) -> None:
    count = 300_000         # more than all pipes and buffers between can hold
    reader, writer = os.pipe()
    try:
        daemon = begin(start, f"[program:web]\n{flood('web', count)}stdout_logfile=/dev/stdout\n"
                              "stdout_logfile_maxbytes=0\n[program:other]\ncommand=sleep 1000\nautostart=false\n"
                              "startsecs=0\n",
                       main={"silent": "true"}, out=writer)
        os.close(writer)
        writer = -1
        daemon.wait_state("other", "RUNNING")
        memory = rss(daemon.process.pid)
        began = time.monotonic()
        for _ in range(50):
            daemon.status("other")
        assert time.monotonic() - began < 20, "a full console holds up nobody"
        assert not (daemon.directory / "web1.done").exists(), "the program waits for the reader"
        assert rss(daemon.process.pid) - memory < 5 << 20
        data = b""
        while data.count(b"\n") < count:
            data += os.read(reader, 1 << 16)
        assert data == b"".join(b"web %d\n" % n for n in range(count))
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def test_a_console_that_nobody_reads_any_more(start: Start) -> None:
    reader, writer = os.pipe()
    daemon = start(ECHO.replace("{dir}/out", "/dev/stdout"), main={"silent": "true"}, out=writer)
    os.close(writer)
    os.close(reader)
    say(daemon, "one")
    daemon.wait(lambda: "cannot write to the console: Broken pipe; 4 bytes lost so far" in daemon.stderr, "it is said")
    assert daemon.status("web")["state"] == "RUNNING"


def test_a_flood_starves_nobody(start: Start) -> None:
    daemon = start("[program:yes]\ncommand=yes 0123456789012345678901234567890123456789\n"
                   "process_name=yes%(process_num)d\n"
                   "numprocs=4\nstdout_logfile={dir}/%(process_num)d\nstdout_logfile_maxbytes=5MB\nstdout_logfile_backups=1\n"
                   "startsecs=0\n" + ECHO)
    daemon.wait_state("web", "RUNNING")
    for number in range(20):
        began = time.monotonic()
        say(daemon, f"line {number}")
        daemon.wait(lambda number=number: f"line {number}\n" in daemon.text("out"))
        assert time.monotonic() - began < 10
    daemon.wait((daemon.directory / "0.1").exists, "it was rotated")
    daemon.call("Stop", name="yes:*")
    assert rss(daemon.process.pid) < 80 << 20
    lines = set(Path(daemon.directory / "0.1").read_text().split()[1:-1])
    assert lines == {"0123456789" * 4}


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
