"""The same script on the same configuration, with the clients and the daemons of Supervisor 4.3.0 and of sdsuper: the
transcripts are equal.

Pids, times, places in source files, the address and the test's own directory are masked; where sdsuper differs on
purpose the step says how and why.
"""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .peers import CONFIG, CTL_HTTP, CTL_UNIX, Daemon

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

    `ours` is a pattern of what is said where sdsuper does something else on purpose, `why` the reason, `by` which part
    of it: the transcript of a pair that has this part differs there, the others do not.
    """

    words: str
    before: "Callable[[Daemon], None] | None" = None
    stdin: str = ""
    ours: str = ""
    why: str = ""
    by: str = "daemon"
    unordered: bool = False


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


def ended(daemon: Daemon) -> None:
    for name in ("once", "wrong"):
        daemon.until(name, "EXITED")


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


def calm(daemon: Daemon) -> None:
    """Ours answers those who guess passwords with 429; another face has not heard of it."""
    daemon.end_face()


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
    Step("clear talk web:web_00"), Step("clear all"),
    Step("tail -f nope"), Step("tail -f silent"), Step("maintail x"), Step("fg nope"), Step("fg once"),
    Step("fg web:*"), Step("fg cat silent"),
    Step("clear pair:*", ours=r"pair:left: cleared\npair:right: cleared\n\[0\]", by="ctl",
         why="Supervisor promises groups nowhere here, and answers `pair:None: ERROR (no such process)`"),
    Step("pid nope:*"),
    Step("pid once:*", ours=r"0\n\[0\]", by="ctl",
         why="groups work everywhere; Supervisor answers `No such process once:*`"),
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
    Step("stop all", unordered=True), Step("status"), Step("stop all"), Step("start term"),
    Step("signal CONT all"), Step("start once wrong"), Step("start all", ended, unordered=True),
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


SHELL = "-i opens a shell after the action, as Supervisor's help says and it does not"
ASKED = "Server requires authentication\nUsername:"
NOBODY = "error: <class 'EOFError'>, EOF when reading a line: PLACE\n"
SHOWN = r"cat +RUNNING +pid PID, uptime TIME\n(?s:.*)supervisor> \n"
SECRET = r"Warning: Password input may be echoed\.\nPassword:"
OUT = r"\[0\]"

HTTP_SCRIPT = [
    Step("status", settle), Step("status cat web:* nope no:*"), Step("avail"), Step("pid nope"), Step("version x"),
    Step("start cat"), Step("start nope nope:*"), Step("start nofile"), Step("start pair:*"), Step("stop web:web_01"),
    Step("start web:web_01"), Step("signal HUP once"), Step("signal CONT web:*"), Step("start talk"),
    Step("tail talk", written("talk.out")), Step("tail talk stderr", written("talk.err")), Step("tail -3 talk"),
    Step("tail silent"), Step("tail -f nope"), Step("clear talk"), Step("clear nope"), Step("maintail x"),
    Step("fg once"), Step("restart cat"), Step("stop pair:*", unordered=True),
    Step("reread", configure(PROGRAMS + NEW + SLOW)), Step("add new"), Step("remove old"), Step("stop old"),
    Step("remove old"), Step("update"), Step("update nope"), Step("start all", unordered=True),
    # who asks
    Step("-u user -p wrong status", calm), Step("-u nobody -p secret pid", calm),
    Step("-u user -p wrong shutdown", calm),
    Step("-u user -p wrong tail -f talk", calm), Step("-u user -p wrong reread", calm),
    Step("-u user -p wrong -i status cat", calm, stdin="user\nsecret\n", by="ctl", why=SHELL,
         ours=f"{ASKED}\n{SHOWN}{SECRET}\n{OUT}"),
    Step("-u user -p wrong -i status cat", calm, stdin="user\nbad\nuser\nsecret\n", by="ctl", why=SHELL,
         ours=f"{ASKED}\n{ASKED}\n{SHOWN}{SECRET}\n{SECRET}\n{OUT}"),
    Step("-u user -p wrong -i status cat", calm, stdin="user\n", by="ctl", why=SHELL,
         ours=f"{ASKED}error: <class 'EOFError'>, : PLACE\n{ASKED}{NOBODY}supervisor> \n{SECRET}{OUT}"),
    Step("-u user -p wrong", calm, stdin="user\n"), Step("-u user -p wrong", calm),
    Step("-u user -p wrong", calm, stdin="user\nsecret\nstatus cat\nstop cat\nstart cat\nexit\n"),
    # where
    Step("open {url}"), Step("open http://127.0.0.1:1"), Step("open unix:///nope"), Step("open https://x"),
    Step("-s http://127.0.0.1:1 status"), Step("-s http://127.0.0.1:1 pid"), Step("-s http://127.0.0.1:1 reread"),
    Step("-s {url}/somewhere/else status cat"), Step("-s https://127.0.0.1:1 status"),
    # the end
    Step("", stdin="shutdown\nn\nreload\nn\n"), Step("reload"), Step("status cat web:*", again), Step("shutdown"),
    Step("status", Daemon.gone), Step("pid"), Step("start cat"), Step("shutdown"), Step("avail"),
]  # fmt: skip


class Transcript:
    """What a client says to a script, played in a thread of its own."""

    def __init__(self, folder: Path, ctl: str, daemon: str, transport: str) -> None:
        self.script = SCRIPT if transport == "unix" else HTTP_SCRIPT
        self.said: list[str] = []
        config = CONFIG + (CTL_UNIX if transport == "unix" else CTL_HTTP)
        (folder / "plain.txt").write_text("no program\n")
        (folder / "noformat").write_bytes(b"\0\1\2")
        (folder / "noformat").chmod(0o755)
        self.daemon = Daemon(folder, daemon, ctl, config, PROGRAMS + OLD)
        self.thread = threading.Thread(target=self._play)
        self.thread.start()

    def _play(self) -> None:
        for step in self.script:
            if step.before:
                step.before(self.daemon)
            said = self.daemon.masked(self.daemon.ctl(step.words, step.stdin))
            # all at once answers in the order of being done, which is nobody's promise
            self.said.append("\n".join(sorted(said.split("\n"))) if step.unordered else said)


#: Client, daemon, transport; those that are all Supervisor's are what the others are compared with.
PAIRS = [
    ("ours", "ours", "unix"), ("ours", "theirs", "unix"), ("theirs", "ours", "unix"),
    ("ours", "theirs", "http"), ("theirs", "ours", "http"), ("ours", "ours", "http"),
]  # fmt: skip
STEPS = [(*pair, number) for pair in PAIRS for number in range(len(SCRIPT if pair[2] == "unix" else HTTP_SCRIPT))]


@pytest.fixture(scope="module")
def transcripts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, str, str], list[str]]]:  # fmt: skip
    """The transcript of each pair that is to be looked at, and Supervisor's alone."""
    places = [item.callspec.params["place"] for item in request.session.items if item.fspath == request.fspath]
    wanted = {pair for place in places for pair in (place[:3], ("theirs", "theirs", place[2]))}
    playing = {pair: Transcript(tmp_path_factory.mktemp("-".join(pair)), *pair) for pair in wanted}
    for one in playing.values():
        one.thread.join()
    for one in playing.values():
        one.daemon.end()
    yield {pair: one.said for pair, one in playing.items()}


def name(step: tuple[str, str, str, int]) -> str:
    ctl, daemon, transport, number = step
    script = SCRIPT if transport == "unix" else HTTP_SCRIPT
    return f"{ctl}-ctl-{daemon}-daemon-{transport} {number} {script[number].words}"


@pytest.mark.parametrize("place", STEPS, ids=name)
def test_step(transcripts: dict[tuple[str, str, str], list[str]], place: tuple[str, str, str, int]) -> None:
    ctl, daemon, transport, number = place
    theirs, ours = transcripts["theirs", "theirs", transport], transcripts[ctl, daemon, transport]
    script = SCRIPT if transport == "unix" else HTTP_SCRIPT
    assert number < len(theirs), f"Supervisor came to step {len(theirs)}: {script[len(theirs)].words}"
    assert number < len(ours), f"sdsuper came to step {len(ours)}: {script[len(ours)].words}"
    step = script[number]
    if step.why and (ctl if step.by == "ctl" else daemon) == "ours":
        assert re.fullmatch(step.ours, ours[number]), step.why
        assert ours[number] != theirs[number], "no difference any more"
    else:
        assert ours[number] == theirs[number]
