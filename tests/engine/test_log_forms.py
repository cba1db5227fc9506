"""Logs beyond Supervisor's: forms, rotation at times and on command, compression, memory."""

import bz2
import gzip
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import ROOT, Daemon, Start

CAT = "[program:web]\ncommand=cat\nstartsecs=0\nstdout_logfile={dir}/out\n"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d"


def say(daemon: Daemon, text: str, name: str = "web") -> None:
    daemon.call("WriteStdin", name=name, data=text + "\n")


def rotate(daemon: Daemon, name: str | None = "all") -> list[str]:
    return [row["fault"] for row in daemon.call("RotateLogs", **({} if name is None else {"name": name}))["results"]]


def logs(daemon: Daemon) -> set[str]:
    return {path.name for path in daemon.directory.glob("out*")}


# ---- forms --------------------------------------------------------------------------------------------------------


def test_dates_prefixes_and_json(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'read x; echo \"$x\"; printf \"%%s\" \"$x\" >&2; exit 1'\n"
                   "startsecs=0\nautorestart=false\nstdout_logfile={dir}/out\nstdout_logfile_timestamp=true\n"
                   "stdout_logfile_prefix=%(program_name)s %(group_name)s:\n"
                   "stderr_logfile={dir}/err\nstderr_logfile_format=json\n")
    pid = daemon.pids()["web"]
    say(daemon, "grüße")
    daemon.wait_state("web", "EXITED")
    assert re.fullmatch(f"{DATE} web web: grüße\n", daemon.text("out"))
    found = json.loads(daemon.text("err"))
    assert re.fullmatch(DATE, found.pop("time"))
    assert found == {"group": "web", "process": "web", "stream": "stderr", "run": 1, "pid": pid, "message": "grüße",
                     "break": "eof"}


def test_the_last_words_while_a_grandchild_holds_the_pipe(start: Start, directory: Path) -> None:
    os.mkfifo(directory / "go")
    daemon = start("[program:web]\ncommand=sh -c '(read x <{dir}/go; echo later) & printf \"last words\"; exit 0'\n"
                   "startsecs=0\nautorestart=false\nstdout_logfile={dir}/out\nstdout_logfile_format=json\n")
    daemon.wait_state("web", "EXITED")
    (found,) = map(json.loads, daemon.text("out").splitlines())
    assert (found["message"], found["break"]) == ("last words", "eof")
    (directory / "go").write_text("\n")
    daemon.wait(lambda: daemon.text("out").endswith('"message":"later"}\n'), "what comes later is a line of its own")
    assert daemon.text("out").count("\n") == 2


def test_a_console_has_the_form_and_events_the_bytes(start: Start, directory: Path) -> None:
    listener = directory / "listener"
    listener.write_text("import sys\nwhile True:\n    sys.stdout.write('READY\\n'); sys.stdout.flush()\n"
                        "    head = dict(p.split(':') for p in sys.stdin.readline().split())\n"
                        "    data = sys.stdin.read(int(head['len']))\n"
                        "    open(sys.argv[1], 'a').write(data + '\\n')\n"
                        "    sys.stdout.write('RESULT 2\\nOK'); sys.stdout.flush()\n")
    daemon = start("[program:web]\ncommand=cat\nstartsecs=0\nstdout_logfile=/dev/stdout\nstdout_logfile_prefix=web:\n"
                   "stdout_events_enabled=true\n[eventlistener:l]\nevents=PROCESS_LOG\n"
                   "command={python} {dir}/listener {dir}/heard\n")
    daemon.wait_state("l", "RUNNING")
    say(daemon, "hello")
    daemon.wait(lambda: "web: hello\n" in daemon.text("stdout"), "it is on the console")
    daemon.wait(lambda: "hello" in daemon.text("heard"), "the listener has it")
    assert "web:" not in daemon.text("heard").partition("\n")[2]


# ---- memory -------------------------------------------------------------------------------------------------------


def read(daemon: Daemon, name: str = "web") -> bytes:
    fd, path = daemon.client().open_log(name)
    try:
        assert path == "memory"
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def test_memory(start: Start) -> None:
    daemon = start("[program:web]\ncommand=cat\nstartsecs=0\nstdout_logfile=memory, {dir}/out\n")
    for text in ("one", "two"):
        say(daemon, text)
    daemon.wait(lambda: daemon.text("out") == "one\ntwo\n")
    assert read(daemon) == b"one\ntwo\n"
    assert daemon.status("web")["stdout_logfile"] == "memory"
    daemon.call("Stop", name="web")
    assert read(daemon) == b"one\ntwo\n"          # it is kept from run to run
    assert daemon.faults("ClearLogs", "web") == {"web": "SUCCESS"}
    assert read(daemon) == b"" and daemon.text("out") == ""


# ---- rotation -----------------------------------------------------------------------------------------------------


def test_on_command(start: Start) -> None:
    daemon = start(CAT + "[program:quiet]\ncommand=sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                   "[program:down]\ncommand=cat\nautostart=false\nstdout_logfile={dir}/down\nstderr_logfile=NONE\n"
                   "[program:too]\ncommand=cat\nstdout_logfile={dir}/out\nstderr_logfile={dir}/out\n")
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    assert daemon.faults("RotateLogs", "all") == {"web": "SUCCESS", "quiet": "NO_FILE", "down": "SUCCESS",
                                                  "too": "SUCCESS"}
    assert (daemon.text("out"), daemon.text("out.1")) == ("", "one\n")      # once, though three streams have it
    assert not (daemon.directory / "down").exists()
    say(daemon, "two")
    daemon.wait(lambda: daemon.text("out") == "two\n", "the program writes to the new file")
    rotate(daemon, "web")
    rotate(daemon, "web")                                                   # it is empty now
    assert [daemon.text(name) for name in ("out", "out.1", "out.2", "out.3")] == ["", "two\n", "one\n", ""]
    (daemon.directory / "down").write_text("old\n")
    rotate(daemon, "down")
    assert daemon.text("down.1") == "old\n"
    with pytest.raises(Refusal, match="BAD_NAME"):
        rotate(daemon, "nobody")
    rotate(daemon, None)
    assert "supervisord started" in daemon.text("daemon.log.1")


def test_ctl(start: Start) -> None:
    daemon = start(CAT + "[program:quiet]\ncommand=sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                   "[program:mem]\ncommand=cat\nstdout_logfile=memory\nstderr_logfile=NONE\nstartsecs=0\n")

    def ctl(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{daemon.socket}", *words],
                              text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        return done.returncode, done.stdout or done.stderr

    say(daemon, "one")
    say(daemon, "remembered", "mem")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    assert ctl("rotate", "all") == (0, "web: rotated\n")
    assert daemon.text("out.1") == "one\n"
    assert ctl("rotate", "quiet") == (1, "quiet: ERROR (no log file)\n")
    assert ctl("rotate", "nobody")[1] == "nobody: ERROR (no such process)\n"
    assert ctl("tail", "mem") == (0, "remembered\n\n")


def test_a_program_may_not_lead_it_astray(start: Start) -> None:
    daemon = start(CAT)
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    (daemon.directory / "secret").write_text("secret\n")
    (daemon.directory / "out").unlink()
    (daemon.directory / "out").symlink_to(daemon.directory / "secret")
    assert daemon.faults("RotateLogs", "web") == {"web": "FAILED"}
    assert daemon.text("secret") == "secret\n" and not (daemon.directory / "out.1").exists()


def test_at_times(start: Start) -> None:
    daemon = start(CAT + "stdout_logfile_rotate=1\n")

    def turned() -> bool:
        say(daemon, "line")
        return (daemon.directory / "out.2").exists()

    daemon.wait(turned, "two seconds have passed")
    daemon.call("Stop", name="web")
    assert all(text and set(text.splitlines()) == {"line"} for text in map(daemon.text, ("out", "out.1", "out.2")))


def test_a_period_goes_on_when_nobody_runs(start: Start, directory: Path) -> None:
    log = directory / "out"
    log.write_text("old\n")
    os.utime(log, (time.time() - 90000,) * 2)
    daemon = start(CAT + "stdout_logfile_rotate=daily\n[program:new]\ncommand=cat\nstartsecs=0\n"
                   "stdout_logfile={dir}/new\nstdout_logfile_rotate=daily\n")
    say(daemon, "line")
    say(daemon, "line", "new")
    daemon.wait(lambda: daemon.text("out") == "line\n" == daemon.text("new"))
    assert daemon.text("out.1") == "old\n" and not (directory / "new.1").exists()


def test_it_can_be_changed_while_the_program_runs(start: Start) -> None:
    daemon = start(CAT)
    say(daemon, "one")
    daemon.wait(lambda: daemon.text("out") == "one\n")
    pid = daemon.pids()["web"]
    daemon.write(CAT + "stdout_logfile_compress=gzip\nstdout_logfile_rotate=weekly\n")
    daemon.call("Update")
    rotate(daemon)
    daemon.wait(lambda: (daemon.directory / "out.1.gz").exists(), "it is compressed")
    assert daemon.pids()["web"] == pid


# ---- compression --------------------------------------------------------------------------------------------------


def unpacked(path: Path) -> bytes:
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
    opener = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}[path.suffix]
    with opener(path) as file:
        found = file.read()
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize(("program", "suffix"), [("gzip", ".gz"), ("zstd", ".zst"), ("xz", ".xz"), ("bzip2", ".bz2")])
def test_compression(start: Start, program: str, suffix: str) -> None:
    daemon = start(CAT + f"stdout_logfile_compress={program}\nstdout_logfile_backups=2\n")
    for number in range(4):
        say(daemon, f"line {number}")
        daemon.wait(lambda number=number: daemon.text("out") == f"line {number}\n")
        os.chmod(daemon.directory / "out", 0o640)
        os.utime(daemon.directory / "out", (1000, 1000))
        rotate(daemon)
        daemon.wait(lambda: (daemon.directory / f"out.1{suffix}").exists()
                    and not (daemon.directory / "out.1").exists(), "it is compressed")
    assert unpacked(daemon.directory / f"out.1{suffix}") == b"line 3\n"
    assert unpacked(daemon.directory / f"out.2{suffix}") == b"line 2\n"
    facts = (daemon.directory / f"out.1{suffix}").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime) == (0o640, 1000)
    daemon.wait(lambda: not (daemon.directory / "out.compressing").exists())
    assert logs(daemon) == {"out", f"out.1{suffix}", f"out.2{suffix}"}


def compressors(daemon: Daemon) -> list[int]:
    """The children that compress."""
    found = []
    for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sh\0-c\0gzip"):
                found.append(int(pid))
        except OSError:
            continue
    return found


def big(daemon: Daemon) -> None:
    """Something that takes a while, as the log of a program that is down."""
    with open(daemon.directory / "out", "wb") as file:
        for _ in range(40):
            file.write(os.urandom(1 << 20))


def held(daemon: Daemon) -> int:
    """Rotate, and hold the child that compresses; returns its process group."""
    found: list[int] = []

    def there() -> bool:
        found[:] = compressors(daemon)
        return bool(found)

    rotate(daemon)
    daemon.wait(there, "a child compresses")
    os.killpg(found[0], signal.SIGSTOP)
    return found[0]


DOWN = CAT + "autostart=false\nstdout_logfile_compress=gzip\nstdout_logfile_backups=3\n"


def test_a_rotation_while_it_compresses(start: Start) -> None:
    daemon = start(DOWN)
    big(daemon)
    first = (daemon.directory / "out").read_bytes()
    group = held(daemon)
    (daemon.directory / "out").write_text("second\n")
    rotate(daemon)
    assert logs(daemon) == {"out", "out.1", "out.2", "out.compressing"}
    os.killpg(group, signal.SIGCONT)
    daemon.wait(lambda: logs(daemon) == {"out", "out.1.gz", "out.2.gz"}, "both")
    assert unpacked(daemon.directory / "out.1.gz") == b"second\n"
    assert unpacked(daemon.directory / "out.2.gz") == first


def test_one_that_is_rotated_away_while_it_compresses(start: Start) -> None:
    daemon = start(DOWN)
    big(daemon)
    group = held(daemon)
    for number in range(3):
        (daemon.directory / "out").write_text(f"{number}\n")
        rotate(daemon)
    os.killpg(group, signal.SIGCONT)
    names = {"out", "out.1.gz", "out.2.gz", "out.3.gz"}
    daemon.wait(lambda: logs(daemon) == names, "three")
    assert [unpacked(daemon.directory / f"out.{n}.gz") for n in (1, 2, 3)] == [b"2\n", b"1\n", b"0\n"]


def test_it_is_killed(start: Start) -> None:
    daemon = start(DOWN)
    big(daemon)
    first = (daemon.directory / "out").read_bytes()
    os.killpg(held(daemon), signal.SIGKILL)
    daemon.wait_log("gzip ended with terminated by SIGKILL; it is tried again with the next rotation")
    assert logs(daemon) == {"out", "out.1"}
    (daemon.directory / "out").write_text("second\n")
    rotate(daemon)
    daemon.wait(lambda: logs(daemon) == {"out", "out.1.gz", "out.2.gz"}, "both")
    assert unpacked(daemon.directory / "out.2.gz") == first


def test_the_daemon_ends_meanwhile(start: Start) -> None:
    daemon = start(DOWN)
    big(daemon)
    held(daemon)
    assert daemon.stop() == 0
    assert logs(daemon) == {"out", "out.1"}


def test_what_a_crash_has_left(start: Start, directory: Path) -> None:
    (directory / "out").write_text("new\n")
    (directory / "out.1").write_text("one\n")
    (directory / "out.1.gz").write_bytes(gzip.compress(b"one\n"))
    (directory / "out.compressing").write_bytes(b"half")
    daemon = start(DOWN)
    rotate(daemon)
    daemon.wait(lambda: logs(daemon) == {"out", "out.1.gz", "out.2.gz"}, "both")
    assert [unpacked(directory / f"out.{n}.gz") for n in (1, 2)] == [b"new\n", b"one\n"]


def test_one_that_gets_nowhere(start: Start) -> None:
    """Its user can stop it, and the logs of others wait. The daemon has less patience here."""
    script = ("import runpy, sys; from sdsuper.engine import compressing; compressing.LOOK_SECONDS = 3; "
              "sys.argv = sys.argv[3:]; runpy.run_module('sdsuper', run_name='__main__')")
    daemon = start(DOWN + DOWN.replace("web", "other").replace("/out", "/other"), before=(sys.executable, "-c", script))
    big(daemon)
    held(daemon)
    (daemon.directory / "other").write_text("other\n")
    rotate(daemon, "other")
    daemon.wait_log("gzip got nowhere for 3 seconds, and was killed; it is tried again with the next rotation")
    daemon.wait(lambda: (daemon.directory / "other.1.gz").exists(), "the other one is compressed")
    assert logs(daemon) == {"out", "out.1"}


@pytest.fixture
def home(directory: Path) -> Path:
    """A directory of nobody's."""
    made = directory / "home"
    made.mkdir()
    os.chown(made, 65534, 65534)
    return made


def test_a_user_holds_up_his_own_logs_alone(start: Start, home: Path) -> None:
    daemon = start(DOWN.replace("{dir}/out", "{dir}/home/out") + "user=nobody\n"
                   + DOWN.replace("web", "other").replace("/out", "/other"), main={"api_user": "daemon"})
    (home / "out").write_bytes(os.urandom(30 << 20))
    os.chown(home / "out", 65534, 65534)
    group = held(daemon)
    (daemon.directory / "other").write_text("other\n")
    rotate(daemon, "other")
    daemon.wait(lambda: (daemon.directory / "other.1.gz").exists(), "the other one is compressed")
    assert (home / "out.1").exists()
    os.killpg(group, signal.SIGCONT)
    daemon.wait(lambda: {path.name for path in home.iterdir()} == {"out", "out.1.gz"}, "and then his")


@pytest.mark.parametrize("trick", ["link", "source"])
def test_a_user_makes_no_file_for_root(start: Start, home: Path, trick: str) -> None:
    """He may rename root's files in his directory, and link the result into another one."""
    daemon = start(DOWN.replace("{dir}/out", "{dir}/home/out") + "user=nobody\n", main={"api_user": "daemon"})
    (home / "out").write_bytes(os.urandom(30 << 20))
    os.chown(home / "out", 65534, 65534)
    group = held(daemon)
    linked = home / "linked"
    if trick == "source":
        os.chown(home / "out.1", 0, 0)
    else:
        os.link(home / "out.compressing", linked)
    os.killpg(group, signal.SIGCONT)
    daemon.wait_log("belongs to uid 0;" if trick == "source" else "has more than one name (hard link)")
    daemon.wait(lambda: not (home / "out.compressing").exists(), "the result is removed")
    assert {path.name for path in home.iterdir()} - {"linked"} == {"out", "out.1"}
    assert trick == "source" or (linked.stat().st_uid, linked.stat().st_mode & 0o777) == (65534, 0o600)


def test_it_is_the_owner_who_compresses(start: Start, directory: Path) -> None:
    home = directory / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    daemon = start(DOWN.replace("{dir}/out", "{dir}/home/out") + "user=nobody\n", main={"api_user": "daemon"})
    (home / "out").write_bytes(os.urandom(30 << 20))
    os.chown(home / "out", 65534, 65534)
    (home / "out.compressing").symlink_to(directory / "secret")
    (directory / "secret").write_text("secret\n")
    group = held(daemon)
    status = Path(f"/proc/{group}/status").read_text()
    assert "Uid:\t65534\t65534" in status and "NoNewPrivs:\t1" in status
    assert os.getpriority(os.PRIO_PROCESS, group) == 19
    os.killpg(group, signal.SIGCONT)
    daemon.wait(lambda: {path.name for path in home.iterdir()} == {"out", "out.1.gz"}, "it is compressed")
    assert (home / "out.1.gz").stat().st_uid == 65534
    assert daemon.text("secret") == "secret\n"
