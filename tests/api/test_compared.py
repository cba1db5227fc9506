"""The same XML-RPC script against Supervisor 4.3.0 and against sdsuper: the answers must be equal."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from tests.api.web import proxy
from tests.engine.conftest import ROOT, Start

CONFIG = """
[unix_http_server]
file={dir}/http.sock
[program:cat]
command=/bin/cat
priority=5
stdout_logfile={dir}/cat.out
stderr_logfile={dir}/cat.err
stdout_logfile_maxbytes=1MB
[program:two]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)d
numprocs=2
autostart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
[program:bad]
command=/nonexistent
autostart=false
directory=/tmp
exitcodes=0,2
stopsignal=QUIT
killasgroup=true
redirect_stderr=true
stdout_logfile={dir}/bad.out
[program:mode]
command=/etc/passwd
autostart=false
stdout_logfile=NONE
stderr_logfile=NONE
[program:quick]
command=/bin/sh -c "exit 3"
startretries=0
autostart=false
stdout_logfile={dir}/quick.out
stderr_logfile=NONE
[group:both]
programs=one,other
[program:one]
command=/bin/sleep 1000
autostart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
[program:other]
command=/nonexistent
autostart=false
stdout_logfile=NONE
stderr_logfile=NONE
"""
RPC = """
[supervisord]
logfile={dir}/daemon.log
pidfile={dir}/daemon.pid
nodaemon=true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

#: what is asked, in this order; arguments as they are written
SCRIPT = """
supervisor.getAPIVersion
supervisor.getVersion
supervisor.getIdentification
supervisor.getState
supervisor.getState 1
supervisor.nosuch
supervisor._update 'x'
supervisor.getState.x
nosuch.getState
getState
system.methodSignature 'supervisor.startProcess'
system.methodSignature 'nosuch'
system.methodHelp 'nosuch'
system.methodHelp
supervisor.getAllProcessInfo
supervisor.getAllConfigInfo
supervisor.getProcessInfo 'cat'
supervisor.getProcessInfo 'both:one'
supervisor.getProcessInfo 'both:*'
supervisor.getProcessInfo 'both:'
supervisor.getProcessInfo 'one'
supervisor.getProcessInfo 'c?t'
supervisor.getProcessInfo 'all'
supervisor.getProcessInfo 'both:nosuch'
supervisor.getProcessInfo
supervisor.startProcess 'bad'
supervisor.startProcess 'mode'
supervisor.startProcess 'quick'
UNTIL quick FATAL
supervisor.getProcessInfo 'quick'
supervisor.startProcess 'cat'
supervisor.startProcess 'all'
supervisor.startProcess '*'
supervisor.startProcess 'w*'
supervisor.startProcess 'c*'
supervisor.startProcess '*:*'
supervisor.startProcess 'b*:*'
supervisor.startProcess '[c]at:[c]at'
supervisor.startProcess ':'
supervisor.startProcess ':x'
supervisor.startProcess 'two:*'
supervisor.startProcess 'two:'
supervisor.startProcess 'two:two_0', True
supervisor.startProcess 'two', True
supervisor.startProcess 'nosuch:*'
supervisor.startProcess
supervisor.startProcess 'cat', True, 1
supervisor.startProcessGroup 'both'
supervisor.startProcessGroup 'both', False
supervisor.startProcessGroup 'both:*'
supervisor.startProcessGroup 'b*'
supervisor.startProcessGroup 'all'
supervisor.startProcessGroup 'nosuch'
supervisor.signalProcess 'cat', 'CONT'
supervisor.signalProcess 'cat', 'SIGCONT'
supervisor.signalProcess 'cat', 18
supervisor.signalProcess 'cat', '18'
supervisor.signalProcess 'cat', 'NOSUCH'
supervisor.signalProcess 'cat', 99
supervisor.signalProcess 'bad', 'HUP'
supervisor.signalProcess 'all', 'HUP'
supervisor.signalProcess 'two:*', 'CONT'
supervisor.signalProcess 'two:*', 'NOSUCH'
supervisor.signalProcessGroup 'two', 'CONT'
supervisor.signalProcessGroup 'nosuch', 'CONT'
supervisor.signalProcessGroup 't*', 'CONT'
supervisor.signalProcessGroup 'bad', 'CONT'
supervisor.sendProcessStdin 'cat', 'a line\\n'
supervisor.sendProcessStdin 'cat', 'two é\\n'
supervisor.sendProcessStdin 'bad', 'x'
supervisor.sendProcessStdin 'both:*', 'x'
supervisor.sendProcessStdin 'nosuch', 'x'
supervisor.sendProcessStdin 'cat', 5
WAIT cat.out 14
supervisor.readProcessStdoutLog 'cat', 0, 0
supervisor.readProcessLog 'cat', 2, 4
supervisor.readProcessStdoutLog 'cat', '2', '4'
supervisor.readProcessStdoutLog 'cat', -4, 0
supervisor.readProcessStdoutLog 'cat', -4, 4
supervisor.readProcessStdoutLog 'cat', 4, -4
supervisor.readProcessStdoutLog 'cat', 1000, 10
supervisor.readProcessStdoutLog 'cat', 0
supervisor.readProcessStderrLog 'cat', 0, 0
supervisor.readProcessStdoutLog 'two:two_0', 0, 0
supervisor.readProcessStdoutLog 'mode', 0, 0
supervisor.readProcessStdoutLog 'two:*', 0, 0
supervisor.readProcessStdoutLog 'c*', 0, 0
supervisor.readProcessStdoutLog 'all', 0, 0
supervisor.readProcessStderrLog 'nosuch', 0, 0
supervisor.tailProcessStdoutLog 'cat', 0, 5
supervisor.tailProcessLog 'cat', 14, 5
supervisor.tailProcessStdoutLog 'cat', 0, 100
supervisor.tailProcessStderrLog 'cat', 0, 100
supervisor.tailProcessStdoutLog 'two:two_0', 0, 100
supervisor.tailProcessStdoutLog 'nosuch', 0, 100
supervisor.readLog -5, 5
supervisor.readMainLog 5, -5
supervisor.clearProcessLogs 'cat'
supervisor.readProcessStdoutLog 'cat', 0, 0
supervisor.clearProcessLog 'two:two_1'
supervisor.clearProcessLogs 'two:*'
supervisor.clearProcessLogs 'c*'
supervisor.clearProcessLogs 'all'
supervisor.clearProcessLogs 'nosuch'
supervisor.clearAllProcessLogs
supervisor.stopProcess 'bad'
supervisor.stopProcess 'all'
supervisor.stopProcess 't*'
supervisor.stopProcess 'two:*'
supervisor.stopProcess 'two:*'
supervisor.stopProcess 'both:one'
supervisor.stopProcess 'both:one', False
supervisor.stopProcessGroup 'both'
supervisor.stopProcessGroup 'cat', True
supervisor.stopProcessGroup 'all'
supervisor.startProcess 'cat', False
supervisor.startAllProcesses False, 1
supervisor.addProcessGroup 'cat'
supervisor.addProcessGroup 'nosuch'
supervisor.removeProcessGroup 'cat'
supervisor.removeProcessGroup 'nosuch'
supervisor.removeProcessGroup 'bad'
supervisor.removeProcessGroup 'bad'
supervisor.reloadConfig
supervisor.addProcessGroup 'bad'
supervisor.addProcessGroup 'bad'
supervisor.sendRemoteCommEvent 'type', 'data é'
supervisor.sendRemoteCommEvent 'type'
system.multicall [{'methodName': 'supervisor.getState'}, {'methodName': 'nosuch'}, {'params': []}, {'methodName': 'system.multicall', 'params': [[]]}, {'methodName': 'supervisor.stopProcess', 'params': ['cat']}, {'methodName': 'supervisor.getProcessInfo', 'params': ['cat']}, {'methodName': 'supervisor.getState', 'params': [1]}, {'methodName': 'supervisor.getState', 'params': 'ab'}]
system.multicall []
supervisor.stopAllProcesses
supervisor.stopAllProcesses False
supervisor.signalAllProcesses 'HUP'
"""  # noqa: E501

#: what differs from one run to the next
NUMBERS = ("pid", "start", "stop", "now")


def masked(value: Any, directory: str) -> Any:
    """Without what differs between two runs, and whichever of several processes came first."""
    if isinstance(value, dict):
        found = {key: masked(item, directory) for key, item in value.items()}
        found |= {key: bool(found[key]) for key in NUMBERS if key in found}
        if found.get("redirect_stderr"):        # sizes of a log that does not exist: Supervisor tells its defaults
            del found["stderr_logfile_maxbytes"], found["stderr_logfile_backups"]
        if "description" in found:
            found["description"] = re.sub(r"^pid \d+, uptime .*", "UP", found["description"])
            found["description"] = re.sub(r"^[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M$", "DATE", found["description"])
        return found
    if isinstance(value, list):
        items = [masked(item, directory) for item in value]
        if items and all(isinstance(item, dict) and "status" in item for item in items):
            items.sort(key=lambda item: (item["group"], item["name"]))
        return items
    return value.replace(directory, "DIR") if isinstance(value, str) else value


def answers(directory: Path, wait: Callable[[Callable[[], bool]], None]) -> list[tuple[str, Any]]:
    """The script's lines and what became of them."""
    found = []
    with proxy(str(directory / "http.sock")) as server:
        for line in SCRIPT.strip().splitlines():
            name, _blank, arguments = line.partition(" ")
            if name == "WAIT":
                file, size = arguments.split()
                wait(lambda file=file, size=size: (directory / file).stat().st_size >= int(size))
                continue
            if name == "UNTIL":
                process, state = arguments.split()
                wait(lambda process=process, state=state:
                     server.supervisor.getProcessInfo(process)["statename"] == state)
                continue
            try:
                value = getattr(server, name)(*eval(f"({arguments},)" if arguments else "()"))
            except Fault as fault:
                value = (fault.faultCode, masked(fault.faultString, str(directory)))
            found.append((line, masked(value, str(directory))))
    return found


@pytest.fixture
def original(tmp_path: Path, wait_for: Callable[..., None]) -> Iterator[Path]:
    """The directory of a Supervisor that answers there."""
    directory = tmp_path / "original"
    directory.mkdir()
    (directory / "supervisord.conf").write_text((RPC + CONFIG).replace("{dir}", str(directory)))
    process = subprocess.Popen([ROOT / ".venv/original/bin/supervisord", "-c", directory / "supervisord.conf"],
                               stdout=subprocess.DEVNULL, cwd=directory)
    try:
        wait_for(lambda: (directory / "http.sock").exists(), "Supervisor answers")
        yield directory
    finally:
        process.terminate()
        process.wait(30)


#: the fault numbers are equal, the words are not: Supervisor gives none where we say which argument is wrong
OTHER_WORDS = {"supervisor.sendProcessStdin 'cat', 5"}


def test_the_same_answers(start: Start, original: Path, wait_for: Callable[..., None]) -> None:
    daemon = start(CONFIG, place="ours")
    for directory in (original, daemon.directory):
        with proxy(str(directory / "http.sock")) as server:
            wait_for(lambda server=server: server.supervisor.getProcessInfo("cat")["statename"] == "RUNNING")
    theirs, ours = answers(original, wait_for), answers(daemon.directory, wait_for)
    assert len(ours) == len(theirs) > 100
    different = [f"{line}\n  {expected}\n  {found}"
                 for (line, expected), (_line, found) in zip(theirs, ours, strict=True)
                 if found != expected and (line not in OTHER_WORDS or found[0] != expected[0])]
    assert not different, "\n".join(different)


def test_the_same_methods_with_the_same_signatures(start: Start, original: Path) -> None:
    daemon = start(CONFIG, place="ours")
    found = []
    for directory in (original, daemon.directory):
        with proxy(str(directory / "http.sock")) as server:
            names = [name for name in server.system.listMethods() if not name.startswith("sdsuper.")]
            found.append({name: server.system.methodSignature(name) for name in names})
            for name in names:
                text = server.system.methodHelp(name)
                tags = [line.split()[:2] for line in text.splitlines() if line.strip().startswith("@")]
                assert [words[1] for words in tags if words[0] == "@param"] == found[-1][name][1:], name
                assert [words[1] for words in tags if words[0] == "@return"] == found[-1][name][:1], name
    assert found[0] == found[1] and len(found[0]) == 41
