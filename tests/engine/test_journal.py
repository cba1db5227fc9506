"""Programs whose output goes to the journal, with a real journald: what it has of their lines and of the daemon's, and
what `ctl logs` shows of it. All of it is in a mount namespace of its own, where /run and /var/log are empty.
"""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper.engine import entries
from sdsuper.errors import Refusal
from tests.conftest import Wait
from tests.engine.conftest import ROOT, Daemon, Start

pytestmark = pytest.mark.root

BEGIN = "mount --make-rprivate / && mount -t tmpfs none /run && mount -t tmpfs none /var/log && " \
        "mkdir -p /run/systemd/journal /run/log/journal && exec /lib/systemd/systemd-journald"
#: As systemd starts a service: standard output and error lead to the journal (systemd.exec(5), JOURNAL_STREAM).
AS_SERVICE = """\
import os, socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect("/run/systemd/journal/stdout")
stream.send(b"sdsuperd\\n\\n6\\n1\\n0\\n0\\n0\\n")
os.dup2(stream.fileno(), 1)
os.dup2(stream.fileno(), 2)
facts = os.fstat(1)
os.environ["JOURNAL_STREAM"] = f"{facts.st_dev}:{facts.st_ino}"
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: Writes what a file says, each time that it says something else.
TALK = """\
import os, sys, time
before = ""
while True:
    with open(sys.argv[1]) as file:
        text = file.read()
    if text.endswith("end\\n") and text != before:
        before = text
        for line in text.splitlines(True)[:-1]:
            stream, said = line.split(" ", 1)
            os.write(2 if stream == "err" else 1, said.encode())
        open(sys.argv[1] + ".done", "w").close()
    time.sleep(0.01)
"""
FORGE = """\
import os, socket, time
journald = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journald.connect("/run/systemd/journal/socket")
fields = dict(SYSLOG_IDENTIFIER="web", SDSUPER_IDENTIFIER="supervisor", SDSUPER_PROGRAM="web", SDSUPER_GROUP="web",
              SDSUPER_PROCESS="web", SDSUPER_STREAM="stdout", SDSUPER_RUN="1", _UID="0", MESSAGE="forged")
journald.send("".join(f"{key}={value}\\n" for key, value in fields.items()).encode())
time.sleep(1000)
"""
BIG = """\
import sys, time
sys.stdout.buffer.write(b"0123456789" * 100_000 + b"\\n\\0\\xff")
sys.stdout.flush()
time.sleep(1000)
"""
WEB = "[program:web]\ncommand={python} {dir}/talk {dir}/said\nstartsecs=0\nstopwaitsecs=1\n"
Entry = dict[str, Any]


class Place:
    """The namespace with journald."""

    def __init__(self, process: "subprocess.Popen[bytes]", directory: Path) -> None:
        self.pid, self.directory = process.pid, directory
        self.inside = ["nsenter", "--mount", "--target", str(self.pid)]
        for name, text in (("talk", TALK), ("forge", FORGE), ("as-service", AS_SERVICE), ("said", "")):
            (directory / name).write_text(text)
            (directory / name).chmod(0o644)

    @property
    def ready(self) -> bool:
        """Whether it listens."""
        return Path(f"/proc/{self.pid}/root/run/systemd/journal/stdout").exists()

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """A command in there."""
        return subprocess.run([*self.inside, *words], capture_output=True, timeout=60,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})

    def ctl(self, daemon: Daemon, *words: str) -> str:
        """What ctl says there."""
        done = self.run(*self.command(daemon, *words))
        assert not done.stderr, done.stderr
        return done.stdout.decode(errors="backslashreplace")

    def command(self, daemon: Daemon, *words: str) -> list[str]:
        """ctl's command line."""
        return [sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}", *words]

    def entries(self, *matches: str) -> list[Entry]:
        """What journalctl finds."""
        done = self.run("journalctl", "--quiet", "--no-pager", "--output=json", *matches)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def say(self, *lines: str) -> None:
        """Have a talking program write lines, `out …` or `err …`."""
        new = self.directory / "new"
        new.write_text("\n".join([*lines, "end\n"]))
        new.chmod(0o644)
        new.rename(self.directory / "said")


@pytest.fixture
def place(directory: Path, wait_for: Wait, nothing_left_behind: None) -> Iterator[Place]:
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", BEGIN], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        made = Place(process, directory)
        wait_for(lambda: made.ready, "journald is there")
        yield made
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def begin(place: Place, start: Start) -> Callable[..., Daemon]:
    """`start` in the namespace."""
    def there(programs: str, **options: Any) -> Daemon:
        return start(programs, before=[*place.inside, *options.pop("more", [])], **options)

    return there


Begin = Callable[..., Daemon]


def _unread(pid: int) -> int:
    """The bytes that a process has written to its standard output and nobody has read."""
    with open(f"/proc/{pid}/fd/1", "rb", buffering=0) as pipe:
        return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"1234"))[0])


def outputs(place: Place, *matches: str) -> list[Entry]:
    return place.entries(*matches, "SDSUPER_STREAM=stdout", "SDSUPER_STREAM=stderr")


@pytest.mark.parametrize("target", ["journal", "syslog"])
def test_lines_and_their_fields(begin: Begin, place: Place, target: str) -> None:
    daemon = begin(f"{WEB}stdout_logfile={target}\nstderr_logfile={target}\n")
    place.say("out plain", "out <4>warned", "err wrong", "err <7>small")
    daemon.wait(lambda: len(outputs(place, "SDSUPER_PROGRAM=web")) == 4, "all are there")
    found = outputs(place, "SDSUPER_PROGRAM=web")
    assert sorted((one["MESSAGE"], one["PRIORITY"], one["SDSUPER_STREAM"]) for one in found) == [
        ("plain", "6", "stdout"), ("small", "7", "stderr"), ("warned", "4", "stdout"), ("wrong", "3", "stderr")]
    assert {(one["SDSUPER_GROUP"], one["SDSUPER_PROCESS"], one["SDSUPER_RUN"], one["SYSLOG_IDENTIFIER"],
             one["SYSLOG_PID"], one["_PID"], one["SDSUPER_IDENTIFIER"], one["_TRANSPORT"]) for one in found} == {
        ("web", "web", "1", "web", str(daemon.pids()["web"]), str(daemon.pid), "supervisor", "journal")}
    assert len(place.entries("-t", "web")) == 4
    with pytest.raises(Refusal, match="NO_FILE"):
        daemon.call("OpenLog", name="web")
    assert daemon.status("web")["lost_bytes"] == 0


def test_both_words_are_one_line(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=syslog, journal, {{dir}}/file\n")
    place.say("out once", "out end")
    daemon.wait(lambda: len(outputs(place, "MESSAGE=end")) == 1, "the last is there")
    assert len(place.entries("MESSAGE=once")) == 1
    assert daemon.text("file") == "once\nend\n"


def test_a_killed_run_and_the_next(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\nautorestart=true\n")
    place.say("out of the first")
    daemon.wait(lambda: outputs(place, "SDSUPER_RUN=1"), "the first run's line")
    os.kill(daemon.pids()["web"], signal.SIGKILL)
    daemon.wait(lambda: outputs(place, "SDSUPER_RUN=2"), "the second run's line")
    assert place.ctl(daemon, "logs", "web", "-o", "cat") == "of the first\nof the first\n"
    assert place.ctl(daemon, "logs", "web", "-o", "cat", "--run", "2") == "of the first\n"
    (line,) = place.ctl(daemon, "logs", "web", "--run=2").splitlines()
    assert line.endswith(f" web[{daemon.pids()['web']}]: of the first")
    assert place.ctl(daemon, "logs", "web", "--since", "@4000000000") == ""
    assert len(place.ctl(daemon, "logs", "--since", "1h", "web").splitlines()) == 2
    assert place.ctl(daemon, "logs", "web", "stderr") == ""
    assert place.ctl(daemon, "logs", "nope") == "nope: ERROR (no such process)\n"


def test_what_another_has_written_is_not_shown(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n[program:forger]\ncommand={{python}} {{dir}}/forge\nuser=nobody\n"
                   "startsecs=0\n")
    place.say("out true")
    daemon.wait(lambda: len(outputs(place, "SDSUPER_PROCESS=web")) == 2, "the line and the forgery")
    assert place.ctl(daemon, "logs", "web", "-o", "cat") == "true\n"
    (found,) = map(json.loads, place.ctl(daemon, "logs", "web", "-o", "json").splitlines())
    assert found["MESSAGE"] == "true" and found["_UID"] == "0" and found["PRIORITY"] == "6"


def test_bytes_and_long_lines_come_back(begin: Begin, place: Place) -> None:
    (place.directory / "big").write_text(BIG)
    daemon = begin("[program:big]\ncommand={python} {dir}/big\nstartsecs=0\nstdout_logfile=journal\n")
    daemon.wait(lambda: len(outputs(place, "SDSUPER_PROCESS=big")) == 21, "the line in pieces")
    daemon.call("Stop", name="big")
    daemon.wait(lambda: len(outputs(place, "SDSUPER_PROCESS=big")) == 22, "the rest, now that nothing follows")
    done = place.run(*place.command(daemon, "logs", "big", "-o", "cat"))
    assert done.stdout == b"0123456789" * 100000 + b"\n\0\xff"
    last = json.loads(place.ctl(daemon, "logs", "big", "-n", "1", "-o", "json"))
    assert last["MESSAGE"] == [0, 255] and last["SDSUPER_LINE_BREAK"] == "eof"


def test_following(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n")
    place.say("out one", "out two")
    daemon.wait(lambda: len(outputs(place)) == 2, "two lines")
    reader = subprocess.Popen([*place.inside, *place.command(daemon, "logs", "-f", "-n1", "-o", "cat", "web")],
                              stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"two\n"
    place.say("out three")
    assert reader.stdout.readline() == b"three\n"
    reader.send_signal(signal.SIGINT)
    assert reader.wait(20) == 0
    reader.stdout.close()


def test_who_may_not_read_the_journal_is_told(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n", main={"control_group": "65534"})
    done = place.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                     *place.command(daemon, "logs", "web"))
    assert done.returncode == 1
    assert done.stdout.decode().startswith("web: ERROR (its output is in the journal, which you may not read: be root")


def test_without_python_systemd_it_is_said(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n")
    code = "import sys; sys.modules['systemd'] = None; from sdsuper.cli import main; sys.exit(main())"
    done = place.run(sys.executable, "-c", code, *place.command(daemon, "logs", "web")[3:])
    assert done.returncode == 1
    assert done.stdout.decode().startswith("web: ERROR (its output is in the journal, and reading that needs the "
                                           "Python module systemd: python3-systemd")


def test_tail_says_where_it_is(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n")
    done = place.run(*place.command(daemon, "tail", "web"))
    assert done.stdout == b"web: ERROR (no log file)\n" and b"`sdsuper ctl logs web`" in done.stderr


def test_a_journald_that_stands_still_loses_nothing(begin: Begin, place: Place) -> None:
    daemon = begin(f"{WEB}stdout_logfile=journal\n")
    os.kill(place.pid, signal.SIGSTOP)
    try:
        place.say(*(f"out line {number}" for number in range(2000)))
        daemon.wait((place.directory / "said.done").exists, "all is written")
        daemon.wait(lambda: _unread(daemon.pids()["web"]) == 0, "the daemon has read it all the same")
    finally:
        os.kill(place.pid, signal.SIGCONT)
    daemon.wait(lambda: len(outputs(place, "MESSAGE=line 1999")) == 1, "the last line")
    assert [one["MESSAGE"] for one in outputs(place)] == [f"line {number}" for number in range(2000)]
    assert daemon.status("web")["lost_bytes"] == 0


def test_without_a_journal_it_is_said(start: Start) -> None:
    hide = "mount --make-rprivate / && mount -t tmpfs none /run && exec \"$@\""
    daemon = start("[program:web]\ncommand=/bin/echo one\nstartsecs=0\nautorestart=false\nstdout_logfile=journal\n"
                   "[program:too]\ncommand=/bin/sleep 1000\nstartsecs=0\nstdout_logfile=journal\n",
                   before=["unshare", "--mount", "sh", "-c", hide, "sh"])
    daemon.wait_state("web", "EXITED")
    assert daemon.log.count("there is no journal (/run/systemd/journal/socket)") == 1


# ---- the daemon's own log --------------------------------------------------------------------------------------------

def test_as_a_service_its_lines_are_entries(begin: Begin, place: Place) -> None:
    service = [sys.executable, str(place.directory / "as-service")]
    daemon = begin(f"{WEB}stdout_logfile=journal\n[program:bad]\ncommand=/bin/sh -c 'exit 3'\nstartretries=0\n",
                   more=service, main={"logfile": "/dev/stdout", "silent": "true"})
    daemon.wait_state("bad", "FATAL")
    daemon.call("Stop", name="web")
    daemon.wait(lambda: place.entries("SDSUPER_STATE=STOPPED"), "web's end")
    own = place.entries("-t", "sdsuperd")
    assert f"supervisord started with pid {daemon.pid}" in [one["MESSAGE"] for one in own]
    assert {one["_TRANSPORT"] for one in own} == {"journal"}
    changes = [(one["SDSUPER_PROCESS"], one["SDSUPER_FROM_STATE"], one["SDSUPER_STATE"], one["PRIORITY"])
               for one in place.entries(f"MESSAGE_ID={entries.CHANGE['MESSAGE_ID']}")]
    assert [change[1:] for change in changes if change[0] == "web"] == [
        ("STOPPED", "STARTING", "6"), ("STARTING", "RUNNING", "6"), ("RUNNING", "STOPPING", "6"),
        ("STOPPING", "STOPPED", "4")]
    assert [change[1:] for change in changes if change[0] == "bad"] == [
        ("STOPPED", "STARTING", "6"), ("STARTING", "BACKOFF", "4"), ("BACKOFF", "FATAL", "3")]
    (stopped,) = place.entries("SDSUPER_PROCESS=web", "SDSUPER_STATE=STOPPED")
    assert stopped["SDSUPER_EXIT_SIGNAL"] == "SIGTERM" and stopped["SDSUPER_RUN"] == "1"
    assert stopped["MESSAGE"] == "stopped: web (terminated by SIGTERM)"


def test_the_run_that_a_change_is_about(begin: Begin, place: Place) -> None:
    daemon = begin("[program:web]\ncommand=/bin/sh -c 'sleep 0.05; exit 7'\nstartsecs=0\nautorestart=true\n"
                   "stopasgroup=true\n", main={"logfile": "journal"})
    daemon.wait(lambda: place.entries("SDSUPER_RUN=3", "SDSUPER_STATE=EXITED"), "three runs")
    found = place.entries(f"MESSAGE_ID={entries.CHANGE['MESSAGE_ID']}", "SDSUPER_RUN=2")
    assert [(one["SDSUPER_FROM_STATE"], one["SDSUPER_STATE"], one.get("SDSUPER_EXIT_STATUS"), one["PRIORITY"],
             one["SYSLOG_IDENTIFIER"]) for one in found] == [
        ("EXITED", "STARTING", None, "6", "supervisor"), ("STARTING", "RUNNING", None, "6", "supervisor"),
        ("RUNNING", "EXITED", "7", "4", "supervisor")]


def test_reloads_are_told(begin: Begin, place: Place) -> None:
    daemon = begin("", main={"logfile": "syslog"})
    daemon.write("[program:web]\ncommand=/bin/sleep 1000\n")
    daemon.signal(signal.SIGHUP)
    reloaded = f"MESSAGE_ID={entries.RELOADED['MESSAGE_ID']}"
    daemon.wait(lambda: place.entries(reloaded), "it is taken over")
    assert place.entries(reloaded)[0]["MESSAGE"] == "configuration taken over: web added"
    daemon.write("[program:web]\ncommand=/bin/sleep 1000\nstartsecs=soon\n")
    refused = f"MESSAGE_ID={entries.RELOAD_REFUSED['MESSAGE_ID']}"
    daemon.signal(signal.SIGHUP)
    daemon.wait(lambda: len(place.entries(refused)) == 1, "it is refused")
    with pytest.raises(Refusal):
        daemon.call("Update")
    daemon.wait(lambda: len(place.entries(refused)) == 2, "it is refused to a client, too")
    assert any("startsecs: cannot read 'soon'" in one["MESSAGE"] for one in place.entries("-t", "supervisor", "-p3"))
