"""The same XML-RPC script on the same configuration, with Supervisor 4.3.0 and with sdsuper, over HTTP and over the
unix socket: values, their types, the order of lists and the faults are equal.

Pids, times, the test's own directory and random names are masked; where sdsuper differs on purpose the call says how
and why.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xmlrpc.client import Fault, ProtocolError, ServerProxy

import pytest

from tests.api.web import proxy

from .peers import CONFIG, CTL_HTTP, Daemon

PROGRAMS = """\
[program:cat]
command=/bin/cat
priority=5
stdout_logfile={dir}/cat.out
stderr_logfile={dir}/cat.err

[program:talk]
command=/bin/sh -c "printf 'one\\ntwo\\nthree\\n'; printf 'oops <&> \\"\\n' >&2; exec sleep 1000"
stdout_logfile={dir}/talk.out
stderr_logfile={dir}/talk.err
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=3
startsecs=0

[program:silent]
command=/bin/sleep 1000
stdout_logfile=NONE
stderr_logfile=NONE
autostart=false

[program:joined]
command=/bin/sleep 1000
redirect_stderr=true
directory=/tmp
stopsignal=INT
stopwaitsecs=3
startsecs=2
startretries=1
exitcodes=0,2
killasgroup=true
stopasgroup=true
autostart=false
autorestart=true
stdout_capture_maxbytes=1KB
serverurl=http://elsewhere:1

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
command=/bin/sh -c "sleep 0.3; exit 1"
startretries=0
autostart=false

[program:nofile]
command=/does/not/exist
autostart=false

[program:noexec]
command=/etc/passwd
autostart=false

[program:web]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=2
stdout_logfile={dir}/%(program_name)s_%(process_num)02d.out

[group:pair]
programs=left,right
priority=7

[program:left]
command=/bin/sleep 1000
autostart=false

[program:right]
command=/bin/sleep 1000
autostart=false
"""
OLD = "\n[program:old]\ncommand=/bin/sleep 1000\n"
NEW = "\n[program:new]\ncommand=/bin/sleep 1000\nautostart=false\n"
BAD = "\n[program:bad]\ncommand=/bin/cat\nautostart=maybe\n"


class Place:
    """A daemon, and a proxy of it over one transport."""

    def __init__(self, folder: Path, whose: str, transport: str) -> None:
        self.daemon = Daemon(folder, whose, whose, CONFIG + CTL_HTTP, PROGRAMS + OLD)
        if transport == "unix":
            self._proxy = proxy(f"{folder}/s.sock")
        else:
            self._proxy = ServerProxy(f"http://user:secret@127.0.0.1:{self.daemon.port}")

    def call(self, method: str, *arguments: Any) -> Any:
        """The value, or what came instead: `Fault CODE TEXT`, `HTTP STATUS`."""
        try:
            return getattr(self._proxy, method)(*arguments)
        except Fault as fault:
            return f"Fault {fault.faultCode} {fault.faultString}"
        except ProtocolError as error:
            return f"HTTP {error.errcode}"

    def until(self, name: str, state: str) -> None:
        """Wait until a process is in that state."""
        end = time.monotonic() + 60
        while (info := self.call("supervisor.getProcessInfo", name)) is None or info["statename"] != state:
            assert time.monotonic() < end, f"{name} is not {state}: {info}"
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait for the daemon, and for what it starts by itself."""
        end = time.monotonic() + 60
        while True:
            try:
                for name in ("cat", "talk", "web:web_00", "web:web_01"):
                    self.until(name, "RUNNING")
                return
            except (OSError, TypeError):
                assert time.monotonic() < end, "the daemon does not answer"
                time.sleep(0.05)

    def text(self, name: str, wanted: str) -> None:
        """Wait until a log has that text."""
        end = time.monotonic() + 60
        while wanted not in (self.daemon.folder / name).read_text():
            assert time.monotonic() < end, wanted
            time.sleep(0.02)

    def close(self) -> None:
        self._proxy("close")()
        self.daemon.end()


class Call(NamedTuple):
    """One call, after something done; `why` says why sdsuper answers what `ours` accepts, given both masked answers."""

    method: str
    arguments: tuple[Any, ...] = ()
    before: Callable[[Place], object] | None = None
    ours: Callable[[Any, Any], bool] | None = None
    why: str = ""
    unordered: bool = False


def wait(name: str, state: str) -> Callable[[Place], object]:
    return lambda place: place.until(name, state)


def configure(programs: str) -> Callable[[Place], object]:
    return lambda place: place.daemon.configure(programs)


def at_rest(place: Place) -> None:
    """After all were started: what does not stay up has given up, the others are up."""
    for name, state in (("retry", "FATAL"), ("once", "EXITED"), ("wrong", "EXITED"), ("joined", "RUNNING")):
        place.until(name, state)


def says(text: str) -> Callable[[Any, Any], bool]:
    return lambda _theirs, ours: bool(ours == f"str:{text}")


def wrong(name: str, type: str) -> Callable[[Any, Any], bool]:
    """HTTP 500 there, a fault here."""
    fault = f"str:Fault 2 INCORRECT_PARAMETERS: {name}: {type} expected"
    return lambda theirs, ours: bool(theirs == "str:HTTP 500" and ours == fault)


def no_detail(theirs: Any, ours: Any) -> bool:
    return bool(theirs == f"{ours}: ")


def one_log(theirs: Any, ours: Any) -> bool:
    """Equal but for the limits of a log that there is not."""
    none = {"stderr_logfile_backups": "int:0", "stderr_logfile_maxbytes": "int:0"}
    return ours == [config | (none if config["redirect_stderr"] == "bool:True" else {}) for config in theirs]


S = "supervisor."
NAMES = ["cat", "web:web_00", "web:*", "web", "nope", "nope:*", "web:nope", ":", "cat:cat", "cat:"]
EMPTY = "a detail that is empty is left out"
TYPES = "Supervisor answers a value of a wrong type with HTTP 500, ours with a fault"
ASKING = ["getAPIVersion", "getVersion", "getIdentification", "getState", "getPID", "getAllProcessInfo"]
ALL = ["getAPIVersion", "getVersion", "getSupervisorVersion", "getIdentification", "getState", "getPID", "readLog",
       "readMainLog", "clearLog", "shutdown", "restart", "reloadConfig", "addProcessGroup", "removeProcessGroup",
       "startProcess", "startProcessGroup", "startAllProcesses", "stopProcess", "stopProcessGroup", "stopAllProcesses",
       "signalProcess", "signalProcessGroup", "signalAllProcesses", "getAllConfigInfo", "getProcessInfo",
       "getAllProcessInfo", "readProcessStdoutLog", "readProcessLog", "readProcessStderrLog", "tailProcessStdoutLog",
       "tailProcessLog", "tailProcessStderrLog", "clearProcessLogs", "clearProcessLog", "clearAllProcessLogs",
       "sendProcessStdin", "sendRemoteCommEvent"]  # fmt: skip
WINDOWS = [(0, 0), (0, 5), (4, 4), (-5, 0), (-500, 0), (-5, 3), (0, -1), (3, -2), (14, 0), (1000, 0), (0, 1000),
           (13, 9)]  # fmt: skip


def multicall(*calls: tuple[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    return ([{"methodName": method, "params": list(arguments)} for method, arguments in calls],)


SCRIPT = [
    Call("system.listMethods", (), Place.settle, why="there are methods of our own besides",
         ours=lambda theirs, ours: [name for name in ours if not name.startswith("str:sdsuper.")] == theirs),
    *(Call("system.methodSignature", (S + name,)) for name in ALL),
    *(Call("system.methodSignature", (name,)) for name in ("system.multicall", "system.listMethods", "nope", "")),
    *(Call("system.methodSignature", arguments) for arguments in ((), ("a", "b"))),
    Call("system.methodHelp", ("supervisor.getPID",), why="the words are our own",
         ours=lambda theirs, ours: "@return int" in theirs and "@return int" in ours),
    Call("system.methodHelp", ("nope",)), Call("system.methodHelp", ()),
    # no such method
    *(Call(name) for name in ("supervisor.nope", "nope.getPID", "nope", "supervisor", "supervisor._update", "system",
                              "supervisor.getPID.x", "system._listMethods", "supervisor.supervisord", "a.b.c",
                              "supervisor.__init__", "supervisor.", ".getPID")),
    # asking
    *(Call(S + name) for name in ASKING), *(Call(S + name, (1,)) for name in ASKING),
    Call("supervisor.getSupervisorVersion", (), why="another program",
         ours=lambda theirs, ours: theirs == "str:4.3.0" and re.fullmatch(r"str:\d+\.\d+\.\d+\S*", ours) is not None),
    Call("supervisor.getAllConfigInfo", (), why="with redirect_stderr there is one log", ours=one_log),
    *(Call("supervisor.getProcessInfo", (name,)) for name in NAMES), Call("supervisor.getProcessInfo"),
    Call("supervisor.getProcessInfo", ("",), why=EMPTY, ours=no_detail),
    Call("supervisor.getProcessInfo", (5,), why=TYPES, ours=wrong("name", "string")),
    # logs
    *(Call("supervisor.readProcessStdoutLog", ("talk", *window), lambda place: place.text("talk.out", "three\n"))
      for window in WINDOWS),
    *(Call("supervisor.tailProcessStdoutLog", ("talk", *window)) for window in WINDOWS if min(window) >= 0),
    Call("supervisor.readProcessStderrLog", ("talk", 0, 0)), Call("supervisor.tailProcessStderrLog", ("talk", 0, 9)),
    Call("supervisor.readProcessLog", ("talk", "0", "3")), Call("supervisor.tailProcessLog", ("talk", "2", "3")),
    *(Call("supervisor.readProcessStdoutLog", (name, 0, 0)) for name in ("silent", "nope", "web:*", "nofile")),
    *(Call("supervisor.tailProcessStdoutLog", (name, 0, 0)) for name in ("silent", "nope", "web:*", "nofile")),
    *(Call(f"supervisor.{verb}ProcessStdoutLog", ("", 0, 0), why=EMPTY, ours=no_detail) for verb in ("read", "tail")),
    Call("supervisor.readProcessStdoutLog", ("talk", 0)), Call("supervisor.tailProcessStdoutLog", ("talk",)),
    Call("supervisor.readProcessStdoutLog", ("talk", "x", 0), why=TYPES, ours=wrong("offset", "int")),
    Call("supervisor.readLog", (-3, 2)),
    Call("supervisor.readLog", (0, -2)), Call("supervisor.readLog", (10_000_000, 0)), Call("supervisor.readLog", (1,)),
    Call("supervisor.readMainLog", (0, 4)), Call("supervisor.readMainLog", (0, 0, 0)),
    # stdin
    Call("supervisor.sendProcessStdin", ("cat", "grüße <&>\n")),
    Call("supervisor.readProcessStdoutLog", ("cat", 0, 0), lambda place: place.text("cat.out", "<&>\n")),
    *(Call("supervisor.sendProcessStdin", (name, "x")) for name in ("silent", "nope", "web:*", "talk:")),
    Call("supervisor.sendProcessStdin", ("cat", 5), why="ours says what was expected",
         ours=says("Fault 2 INCORRECT_PARAMETERS: chars: string expected")),
    Call("supervisor.sendProcessStdin", ("cat",)),
    Call("supervisor.sendProcessStdin", ("cat", "")), Call("supervisor.sendRemoteCommEvent", ("a", "b\nc")),
    Call("supervisor.sendRemoteCommEvent", ("a",)),
    # clear
    Call("supervisor.clearProcessLogs", ("talk",)), Call("supervisor.readProcessStdoutLog", ("talk", 0, 0)),
    *(Call("supervisor.clearProcessLog", (name,)) for name in ("silent", "nope", "web:*", "web:web_00")),
    Call("supervisor.clearAllProcessLogs"), Call("supervisor.clearLog"), Call("supervisor.clearLog", (1,)),
    # start
    Call("supervisor.startProcess", ("cat",)), Call("supervisor.startProcess", ("silent",)),
    Call("supervisor.startProcess", ("joined", False)), Call("supervisor.startProcess", ("joined", 1)),
    *(Call("supervisor.startProcess", (name,)) for name in ("nope", "nope:*", "web:nope", "nofile", "noexec", "once",
                                                              "retry", "web:*", "pair:*")),
    Call("supervisor.startProcess", ("",), why=EMPTY, ours=no_detail), Call("supervisor.startProcess", ("wrong", 0)),
    Call("supervisor.getProcessInfo", ("wrong",), wait("wrong", "EXITED")),
    Call("supervisor.getProcessInfo", ("retry",), wait("retry", "FATAL")),
    Call("supervisor.getProcessInfo", ("once",), wait("once", "EXITED")),
    Call("supervisor.startProcess", ()), Call("supervisor.startProcess", ("cat", True, 1)),
    *(Call("supervisor.startProcessGroup", (name,)) for name in ("web", "nope", "pair", "web:*", "nofile")),
    Call("supervisor.stopProcessGroup", ("pair",), unordered=True),
    Call("supervisor.startProcessGroup", ("pair", False), unordered=True),
    Call("supervisor.startAllProcesses", (False,), wait("pair:right", "RUNNING"), unordered=True),
    Call("supervisor.getAllProcessInfo", (), at_rest),
    # signal
    *(Call("supervisor.signalProcess", ("cat", sign)) for sign in ("CONT", "SIGCONT", "cont", 18, "18", "WHAT", 999, -1,
                                                                    "SIG")),
    Call("supervisor.signalProcess", ("cat", ""), why=EMPTY, ours=no_detail),
    *(Call("supervisor.signalProcess", (name, "CONT")) for name in ("once", "nope", "nope:*", "web:*", "web:web_01")),
    *(Call("supervisor.signalProcessGroup", arguments) for arguments in (("web", "CONT"), ("web", "WHAT"), ("web",),
                                                                        ("nope", "CONT"), ("once", "CONT"))),
    Call("supervisor.signalAllProcesses", ("CONT",)),
    Call("supervisor.signalProcess", ("cat", 0), why="0 is no signal; Supervisor takes it as Python's SIG_DFL is 0",
         ours=says("Fault 11 BAD_SIGNAL: 0")),
    # stop
    Call("supervisor.stopProcess", ("cat",)), Call("supervisor.stopProcess", ("cat",)),
    Call("supervisor.getProcessInfo", ("cat",)), Call("supervisor.stopProcess", ("silent", False)),
    *(Call("supervisor.stopProcess", (name,)) for name in ("nope", "nope:*", "web:nope", "once", "retry")),
    Call("supervisor.stopProcess", ("web:*",), unordered=True), Call("supervisor.stopProcess", ("web:*",)),
    *(Call("supervisor.stopProcessGroup", (name,)) for name in ("web", "nope", "talk")),
    Call("supervisor.stopProcess", ()), Call("supervisor.stopProcess", ("cat", True, 1)),
    # configuration
    Call("supervisor.reloadConfig"), Call("supervisor.reloadConfig", (1,)),
    Call("supervisor.reloadConfig", (), configure(PROGRAMS + NEW)),
    *(Call("supervisor.addProcessGroup", (name,)) for name in ("nope", "new", "new", "cat")),
    Call("supervisor.addProcessGroup", ("",), why=EMPTY, ours=no_detail),
    *(Call("supervisor.removeProcessGroup", (name,)) for name in ("nope", "old", "web", "web", "pair:left")),
    Call("supervisor.stopProcess", ("old",), wait("old", "RUNNING")), Call("supervisor.removeProcessGroup", ("old",)),
    Call("supervisor.addProcessGroup", ("web",)), Call("supervisor.reloadConfig"),
    Call("supervisor.reloadConfig", (), configure(PROGRAMS + NEW + BAD)),
    Call("supervisor.addProcessGroup", ()), Call("supervisor.removeProcessGroup", (1, 2)),
    # many in one
    Call("system.multicall", multicall(*((S + name, ()) for name in ASKING)), wait("web:web_01", "RUNNING")),
    Call("system.multicall", multicall((S + "getProcessInfo", ("nope",)), (S + "nope", ()), ("system.multicall", ([],)),
                                       ("nope", ()), (S + "getPID", (1,)), (S + "startProcess", ("cat",)),
                                       (S + "stopProcess", ("cat",)), (S + "signalProcess", ("talk", "WHAT")),
                                       (S + "readProcessStdoutLog", ("talk", -1, 1)), ("system.methodHelp", ("x",)))),
    Call("system.multicall", ([{"methodName": "supervisor.getPID"}, {"params": []}],)), Call("system.multicall", ([],)),
    Call("system.multicall", ()), Call("system.multicall", ([], [])),
    # everything
    Call("supervisor.stopAllProcesses", (), unordered=True), Call("supervisor.stopAllProcesses"),
    Call("supervisor.getAllProcessInfo"), Call("supervisor.signalAllProcesses", ("HUP",)),
    Call("supervisor.startAllProcesses", (1, 2)), Call("supervisor.shutdown", (1,)),
    Call("system.multicall", multicall((S + "shutdown", ()), (S + "getState", ()), (S + "getPID", ()))),
]  # fmt: skip


PASSING = ("pid", "now", "start", "stop")


def masked(value: Any, key: str, place: Place) -> Any:
    """`value` with the types of all its parts, without what differs from run to run."""
    if isinstance(value, dict):
        return {name: masked(part, name, place) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part, key, place) for part in value]
    if isinstance(value, int) and value and (value == place.daemon.process.pid or key in PASSING):
        return key or "pid"
    if isinstance(value, str):
        value = place.daemon.masked(value)
        value = re.sub(r"---\w+-\w+\.log", "---RANDOM.log", value)
        value = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME", value)
        value = re.sub(r"(?s)(CANT_REREAD: ).*", r"\1MISTAKE", value)
    return f"{type(value).__name__}:{value}"


class Answers:
    """What a daemon answers to the script over one transport."""

    def __init__(self, folder: Path, whose: str, transport: str) -> None:
        self.answers: list[Any] = []
        self.place = Place(folder, whose, transport)
        self.thread = threading.Thread(target=self._play)
        self.thread.start()

    def _play(self) -> None:
        for call in SCRIPT:
            if call.before:
                call.before(self.place)
            answer = masked(self.place.call(call.method, *call.arguments), "", self.place)
            self.answers.append(sorted(answer, key=str) if call.unordered else answer)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], list[Any]]]:
    """The answers of both daemons over both transports."""
    ways = [(whose, transport) for whose in ("theirs", "ours") for transport in ("http", "unix")]
    playing = {way: Answers(tmp_path_factory.mktemp("-".join(way)), *way) for way in ways}
    for one in playing.values():
        one.thread.join()
    for one in playing.values():
        one.place.close()
    yield {way: one.answers for way, one in playing.items()}


def name(number: int) -> str:
    return f"{number} {SCRIPT[number].method}{SCRIPT[number].arguments}"[:80]


@pytest.mark.parametrize("number", range(len(SCRIPT)), ids=name)
@pytest.mark.parametrize("transport", ["http", "unix"])
def test_call(answers: dict[tuple[str, str], list[Any]], transport: str, number: int) -> None:
    theirs, ours = answers["theirs", transport], answers["ours", transport]
    assert number < len(theirs), f"Supervisor came to call {name(len(theirs))}"
    assert number < len(ours), f"sdsuper came to call {name(len(ours))}"
    call = SCRIPT[number]
    if call.ours is not None:
        assert call.ours(theirs[number], ours[number]), (call.why, theirs[number], ours[number])
        assert ours[number] != theirs[number], "no difference any more"
    else:
        assert ours[number] == theirs[number]
