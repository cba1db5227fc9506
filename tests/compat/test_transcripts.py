"""The same script on the same configuration, with Supervisor 4.3.0 and with sdsuper: the transcripts are equal.

Supervisor is looked for in SDSUPER_PEER_BIN, then in `original/bin` of the environment that runs the tests, then
beside its Python. Pids, times, places in source files and the test's own directory are masked; where sdsuper differs on
purpose the step says how and why.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CONFIG = """\
[unix_http_server]
file={dir}/s.sock

[supervisord]
logfile={dir}/daemon.log
pidfile={dir}/daemon.pid
childlogdir={dir}
cgroup=off

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{dir}/s.sock
"""
PROGRAMS = """\
[program:cat]
command=/bin/cat
priority=5

[program:talk]
command=/bin/sh -c "echo hello; echo oops >&2; exec sleep 1000"
autostart=false
stdout_logfile={dir}/talk.out
stderr_logfile={dir}/talk.err

[program:silent]
command=/bin/sleep 1000
stdout_logfile=NONE

[program:crash]
command=/bin/sleep 1000
autorestart=true
startsecs=0

[program:once]
command=/bin/sh -c "sleep 0.2; exit 0"
startsecs=0
autostart=false

[program:wrong]
command=/bin/sh -c "sleep 0.2; exit 3"
startsecs=0
autostart=false
autorestart=false

[program:retry]
command=/bin/false
autostart=false
startretries=1

[program:nofile]
command=/does/not/exist
autostart=false

[program:noexec]
command={dir}/plain.txt
autostart=false

[program:stubborn]
command=/bin/sh -c "trap '' TERM; while :; do sleep 0.1; done"
stopwaitsecs=1
autostart=false

[program:term]
command=/bin/sh -c "trap 'exit 0' TERM; while :; do sleep 0.1; done"
autostart=false

[program:web]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=3

[group:pair]
programs=left,right
priority=7

[program:left]
command=/bin/sleep 1000

[program:right]
command=/bin/sleep 1000
autostart=false
"""
OLD = """
[program:old]
command=/bin/sleep 1000

[program:format]
command={dir}/noformat
autostart=false
startretries=0
"""
NEW = "\n[program:new]\ncommand=/bin/sleep 1000\n"
SLOW = "[program:later]\ncommand=/bin/sleep 1000\nautostart=false\n"


class Step(NamedTuple):
    """One line of the script: words for supervisorctl, after something done to the daemon or its programs.

    `ours` is a pattern of what sdsuper says where it says something else on purpose, `why` the reason.
    """

    words: str
    before: "Callable[[Daemon], None] | None" = None
    stdin: str = ""
    ours: str = ""
    why: str = ""
    unordered: bool = False


class Daemon:
    """One of the two, in a directory of its own."""

    def __init__(self, folder: Path, daemon: list[str], ctl: list[str], environment: dict[str, str]) -> None:
        self.folder, self._ctl, self._environment = folder, ctl, environment
        (folder / "plain.txt").write_text("no program\n")
        (folder / "noformat").write_bytes(b"\0\1\2")
        (folder / "noformat").chmod(0o755)
        self.configure(PROGRAMS + OLD)
        self._process = subprocess.Popen([*daemon, "-n", "-c", str(folder / "x.conf")], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, env=environment, cwd=folder)  # fmt: skip

    def configure(self, programs: str) -> None:
        (self.folder / "x.conf").write_text((CONFIG + programs).replace("{dir}", str(self.folder)))

    def ctl(self, words: str, stdin: str = "") -> str:
        done = subprocess.run([*self._ctl, "-c", str(self.folder / "x.conf"), *words.split()], input=stdin, text=True,
                              capture_output=True, timeout=120, env=self._environment, cwd=self.folder)  # fmt: skip
        return f"{done.stdout}{done.stderr}[{done.returncode}]"

    def until(self, name: str, wanted: str) -> None:
        """Wait until the status line of `name` has `wanted` in it."""
        end = time.monotonic() + 60
        while not re.search(wanted, shown := self.ctl(f"status {name}")):
            assert time.monotonic() < end, f"{self._ctl}: waiting for {wanted} of {name}, it shows\n{shown}"
            time.sleep(0.05)

    def kill(self, name: str, number: int) -> None:
        """Send a signal to a program behind the daemon's back and wait until another process has its place."""
        pid = self.ctl(f"pid {name}").split()[0]
        os.kill(int(pid), number)
        self.until(name, rf"RUNNING +pid (?!{pid},)")

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def gone(self) -> None:
        """Wait for the end that was asked for."""
        assert self._process.wait(60) == 0


def settle(daemon: Daemon) -> None:
    for name in ("cat", "silent", "crash", "web:web_02", "pair:left", "old"):
        daemon.until(name, "RUNNING")


def again(daemon: Daemon) -> None:
    for name in ("cat", "silent", "crash", "web:web_02", "pair:left", "new"):
        daemon.until(name, "RUNNING")


def quiet(daemon: Daemon) -> None:
    """After `start all`: what does not stay up has given up."""
    for name, wanted in (("retry", "FATAL"), ("once", "EXITED"), ("wrong", "EXITED")):
        daemon.until(name, wanted)


def wait(name: str, wanted: str) -> Callable[[Daemon], None]:
    return lambda daemon: daemon.until(name, wanted)


def configure(programs: str) -> Callable[[Daemon], None]:
    return lambda daemon: daemon.configure(programs)


def written(file: str) -> Callable[[Daemon], None]:
    """Wait until a log has something in it."""

    def look(daemon: Daemon) -> None:
        end = time.monotonic() + 30
        while not (daemon.folder / file).read_bytes():
            assert time.monotonic() < end, file
            time.sleep(0.05)

    return look


CHANGED = PROGRAMS.replace("/bin/cat\npriority=5", "/bin/cat -u\npriority=5")

SCRIPT = [
    # what there is
    Step("status", settle), Step("status cat web:* nope no:* silent"), Step("status web"),
    Step("status pair:left crash"), Step("avail"), Step("pid nope"), Step("pid talk"), Step("reread"), Step("update"),
    # start
    Step("start cat"), Step("start"), Step("start nope nope:* nope:x web:nope"), Step("start talk"),
    Step("start web:*"), Step("start pair:*"), Step("status pair:*"), Step("start nofile"), Step("start noexec nofile"),
    Step("start nofile cat"), Step("start once"), Step("status once", wait("once", "EXITED")),
    Step("start wrong"), Step("status wrong", wait("wrong", "EXITED")), Step("start wrong"),
    Step("start retry"), Step("status retry", wait("retry", "FATAL")), Step("start retry"),
    Step("stop retry", wait("retry", "FATAL")), Step("status nofile noexec"), Step("stop nofile"),
    Step("start format"),
    Step("status format", wait("format", "FATAL"),
         ours=r"format +FATAL +executing DIR/noformat: Exec format error\n\[3\]",
         why="the launcher tells why exec failed, Supervisor's child only exits with 127"),
    # crash
    Step("status crash", lambda daemon: daemon.kill("crash", signal.SIGKILL)),
    Step("status crash", lambda daemon: daemon.kill("crash", signal.SIGTERM)),
    # signal
    Step("signal HUP"), Step("signal WHAT cat"), Step("signal USR1 nope"), Step("signal USR1 once"),
    Step("signal CONT cat web:*"), Step("signal SIGCONT cat"), Step("signal 18 cat"), Step("signal cont nope:* cat"),
    Step("signal CONT pair:*"), Step("signal 999 cat"),
    Step("signal WHAT web:*"),
    Step("signal 0 cat", ours=r"cat: ERROR \(bad signal name\)\n\[1\]",
         why="0 is no signal; Supervisor takes it only because Python's SIG_DFL is 0"),
    # logs
    Step("tail talk", written("talk.out")), Step("tail talk stderr", written("talk.err")), Step("tail -3 talk"),
    Step("tail -0 talk"), Step("tail silent"), Step("tail nope"), Step("tail web:*"), Step("tail nofile"),
    Step("clear talk"), Step("tail talk"), Step("clear nope"), Step("clear silent nofile"),
    Step("clear talk web:web_00"),
    Step("tail -f nope"), Step("tail -f silent"), Step("maintail x"), Step("fg nope"), Step("fg once"),
    Step("fg web:*"), Step("fg cat silent"),
    Step("clear pair:*", ours=r"pair:left: cleared\npair:right: cleared\n\[0\]",
         why="Supervisor promises groups nowhere here, and answers `pair:None: ERROR (no such process)`"),
    Step("pid nope:*"),
    Step("pid once:*", ours=r"0\n\[0\]", why="groups work everywhere; Supervisor answers `No such process once:*`"),
    Step("tail -f nope:*"),
    # stop
    Step("stop"), Step("stop cat"), Step("stop cat"), Step("status cat"), Step("stop nope nope:*"),
    Step("stop web:*", unordered=True),
    Step("stop web:*"), Step("status web:*"), Step("restart cat"),
    Step("restart web:*", unordered=True), Step("restart nope"),
    Step("restart nope:*"), Step("restart once"), Step("restart cat nope web:web_01"), Step("start stubborn term"),
    Step("stop stubborn term"), Step("status stubborn term"), Step("stop pair:left"), Step("start pair:"),
    # configuration
    Step("reread", configure(CHANGED + NEW + SLOW)), Step("reread"), Step("avail"), Step("status old new"),
    Step("add new nope cat"), Step("remove old"), Step("stop old"), Step("remove old"), Step("update nope"),
    Step("update later"), Step("update"), Step("update"), Step("reread"), Step("status cat new later old", again),
    Step("reread", configure(PROGRAMS + NEW + "[program:bad]\ncommand=/bin/cat\nautostart=maybe\n")),
    Step("update"), Step("status cat", configure(PROGRAMS + NEW)), Step("update all"),
    Step("status later cat", wait("cat", "RUNNING")), Step("add later"),
    Step("remove web"), Step("remove web:web_00"), Step("reread x"), Step("avail x"),
    # everything
    Step("stop all", unordered=True), Step("status"), Step("stop all"), Step("start once wrong"),
    Step("signal CONT all"), Step("start all", wait("wrong", "EXITED"), unordered=True),
    Step("status", quiet), Step("restart pair:* web:web_00", unordered=True),
    # the shell
    Step("", stdin="status cat\nwibble\n\nhelp start\nshutdown\nn\nquit\n"), Step("wibble"), Step("version x"),
    Step("help"), Step("help nosuch"), Step("open ftp://x"), Step("open unix:///nope"), Step("status ; pid"),
    # the end
    Step("reload x"), Step("reload"), Step("status cat silent crash web:* pair:left new", again),
    Step("status term", ours=r"term +RUNNING +pid PID, uptime TIME\n\[0\]",
         why="a reload never stops what has not changed; Supervisor ends everything and starts anew"),
    Step("shutdown x"), Step("shutdown"), Step("status", Daemon.gone), Step("start cat"), Step("shutdown"),
    Step("reread"),
]  # fmt: skip


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], list[str]]]:
    """Both transcripts: Supervisor's and ours."""
    root = Path(__file__).parents[2]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    ours = plain | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    peer = peer_bin()
    daemons = [
        Daemon(tmp_path_factory.mktemp("theirs"), [f"{peer}/supervisord"], [f"{peer}/supervisorctl"], plain),
        Daemon(tmp_path_factory.mktemp("ours"), [sys.executable, "-m", "sdsuper"],
               [sys.executable, "-m", "sdsuper", "ctl"], ours),
    ]  # fmt: skip
    results: list[list[str]] = [[], []]
    threads = [
        threading.Thread(target=play, args=(daemon, result)) for daemon, result in zip(daemons, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for daemon in daemons:
        daemon.end()
    yield results[0], results[1]


def peer_bin() -> str:
    """Where Supervisor's commands are."""
    for folder in (os.environ.get("SDSUPER_PEER_BIN"), f"{sys.prefix}/original/bin", os.path.dirname(sys.executable)):
        if folder and os.path.exists(f"{folder}/supervisorctl"):
            return folder
    pytest.fail("no Supervisor to compare with; ./dev test installs it, or set SDSUPER_PEER_BIN")


def play(daemon: Daemon, transcript: list[str]) -> None:
    for step in SCRIPT:
        if step.before:
            step.before(daemon)
        said = masked(daemon.ctl(step.words, step.stdin), daemon.folder)
        # all at once answers in the order of being done, which is nobody's promise
        transcript.append("\n".join(sorted(said.split("\n"))) if step.unordered else said)


MASKS = [
    (r"pid \d+, uptime \d+:\d\d:\d\d", "pid PID, uptime TIME"),
    (r"\w{3} \d\d \d\d:\d\d [AP]M", "DATE"),
    (r": file: \S+ line: \d+", ": PLACE"),
    (r"(?s)(CANT_REREAD: ).*(\n\[|'>: PLACE)", r"\1MISTAKE\2"),
]


def masked(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "DIR")
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("number", range(len(SCRIPT)), ids=[f"{i} {step.words}" for i, step in enumerate(SCRIPT)])
def test_step(transcripts: tuple[list[str], list[str]], number: int) -> None:
    theirs, ours = transcripts
    assert number < len(theirs), f"Supervisor came to step {len(theirs)}: {SCRIPT[len(theirs)].words}"
    assert number < len(ours), f"sdsuper came to step {len(ours)}: {SCRIPT[len(ours)].words}"
    step = SCRIPT[number]
    if step.why:
        assert re.fullmatch(step.ours, ours[number]), step.why
        assert ours[number] != theirs[number], "no difference any more"
    else:
        assert ours[number] == theirs[number]
