"""What listeners of Supervisor 4.3.0 get from it and from sdsuper, and its own and superlance's listeners under ours.

The listeners are unmodified; so is what they use: supervisor.childutils, XML-RPC over SUPERVISOR_SERVER_URL.
"""

import contextlib
import http.server
import json
import re
import socketserver
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .peers import CONFIG, CTL_HTTP, CTL_UNIX, Daemon, peer_bin

RECORDER = Path(__file__).with_name("recorder.py")
PYTHON = "/usr/bin/python3 -SE"
TALKS = f"{PYTHON} {{dir}}/talk.py"
WIRE = f"""\
[eventlistener:l]
command={PYTHON} {RECORDER} {{dir}}/wire
events=PROCESS_STATE,PROCESS_COMMUNICATION,PROCESS_LOG,REMOTE_COMMUNICATION,SUPERVISOR_STATE_CHANGE,PROCESS_GROUP
buffer_size=1000

[program:cat]
command=/bin/cat
autostart=false

[program:pair]
command=/bin/cat
process_name=%(program_name)s_%(process_num)d
numprocs=2
autostart=false

[program:bad]
command=/bin/false
autostart=false
startretries=1
; Supervisor may notice the end late, and would take it for RUNNING until then
startsecs=20

[program:nofile]
command=/does/not/exist
autostart=false
startretries=0

[program:logged]
command={TALKS} logged
startsecs=0
autostart=false
autorestart=false
stdout_events_enabled=true
stderr_events_enabled=true

[program:message]
command={TALKS} message
startsecs=0
autostart=false
autorestart=false
stdout_capture_maxbytes=1MB
stderr_capture_maxbytes=1MB
exitcodes=0,5
"""
TALK = r"""
import os, sys, time
BEGIN, END = b"<!--XSUPERVISOR:BEGIN-->", b"<!--XSUPERVISOR:END-->"
if sys.argv[1] == "logged":
    for fd, data in ((1, b"one line\n"), (2, "gr\u00fc\u00dfe\n".encode()), (1, b"\xff\xfe bytes '\n")):
        os.write(fd, data)
        time.sleep(0.4)
    sys.exit(2)
text = b"a line of output that is longer than a token\n"
for fd, data in ((1, text + BEGIN + "m\u00e4rz".encode() + END + text), (2, text + BEGIN[:7]),
                 (2, BEGIN[7:] + b"\xffx"), (2, b"y" + END[:3]), (2, END[3:] + text),
                 (1, text + BEGIN + b"1" * 30 + END + BEGIN + b"2" * 30 + END)):
    os.write(fd, data)
    time.sleep(0.4)
sys.exit(5)
"""


def events(daemon: Daemon) -> list[str]:
    """What the recorder has, pids by the order in which they appeared."""
    path = daemon.folder / "wire"
    pids: dict[str, str] = {}
    found = path.read_bytes().decode().split("\0")[:-1] if path.exists() else []
    masked = []
    for text in found:
        text = re.sub(r"\bpid:([1-9]\d*)", lambda m: f"pid:<{pids.setdefault(m[1], str(len(pids)))}>", text)
        masked.append(re.sub(r"len:\d+\n", "len:N\n", text) if "pid:<" in text else text)
    return masked


def until(condition: Callable[[], object], what: str, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def record(whose: str, folder: Path) -> list[str]:
    """The scenario under one of the daemons."""
    folder.mkdir()
    (folder / "talk.py").write_text(TALK)
    daemon = Daemon(folder, whose, "theirs", CONFIG + CTL_HTTP, WIRE)
    try:
        daemon.until("l", "RUNNING")
        daemon.ctl("start cat")
        daemon.kill("cat", 9)
        daemon.ctl("stop cat")
        daemon.ctl("start pair:pair_1")
        daemon.ctl("stop pair:pair_1")
        daemon.ctl("start bad")
        daemon.until("bad", "FATAL")
        daemon.ctl("start nofile")
        daemon.ctl("start logged")
        daemon.until("logged", "EXITED")
        daemon.ctl("start message")
        daemon.until("message", "EXITED")
        server = xmlrpc.client.ServerProxy(f"http://user:secret@127.0.0.1:{daemon.port}/RPC2")
        with server:
            assert server.supervisor.sendRemoteCommEvent("kind", "töxt\nin lines\n") is True
            assert server.supervisor.sendRemoteCommEvent("", "") is True
        daemon.ctl("remove cat")
        daemon.ctl("add cat")
        daemon.configure(WIRE.replace("[program:pair]\ncommand=/bin/cat", "[program:pair]\ncommand=/bin/cat -u"))
        daemon.ctl("update")
        until(lambda: "PROCESS_GROUP_ADDED" in (events(daemon) or [""])[-1] and "pair" in events(daemon)[-1],
              "the last event")
        return events(daemon)
    finally:
        daemon.end()


def test_the_bytes_on_the_wire(tmp_path: Path) -> None:
    """Letter for letter the same, serials included; only pids are masked (and the lengths of what has them)."""
    found: dict[str, list[str]] = {}
    threads = [threading.Thread(target=lambda whose=whose: found.update({whose: record(whose, tmp_path / whose)}))
               for whose in ("theirs", "ours")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert found["ours"] == found["theirs"]
    seen = {re.search(r"eventname:(\S+)", text)[1] for text in found["theirs"]}  # type: ignore[index]
    assert len(seen) == 15, "all that can be caused here"


# ---- listeners as they are ------------------------------------------------------------------------------------------

CHILDUTILS = r"""
import json, os, sys
from supervisor import childutils
while True:
    headers, payload = childutils.listener.wait(sys.stdin, sys.stdout)
    kind, data = childutils.eventdata(payload)
    state = childutils.getRPCInterface(os.environ).supervisor.getState()
    with open(sys.argv[1], "a") as out:
        out.write(json.dumps([headers["eventname"], kind, data, state]) + "\n")
    childutils.listener.ok(sys.stdout)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    """Our daemon, with programs; asked by Supervisor's client."""
    daemons: list[Daemon] = []

    def begin(programs: str) -> Daemon:
        text = programs.replace("{peer}", peer_bin())
        daemons.append(Daemon(tmp_path, "ours", "theirs", CONFIG + CTL_UNIX, text))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.end()


def text_of(daemon: Daemon, name: str) -> str:
    path = daemon.folder / name
    return path.read_text() if path.exists() else ""


def test_childutils(run: Callable[[str], Daemon], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CHILDUTILS)
    (tmp_path / "says.py").write_text(
        "import sys\nfrom supervisor.childutils import ProcessCommunicationEvent as event\n"
        "sys.stdout.buffer.write(event.BEGIN_TOKEN + 'größe 3'.encode() + event.END_TOKEN)\n")
    daemon = run("[eventlistener:own]\ncommand={peer}/python {dir}/own.py {dir}/heard\nevents=PROCESS_COMMUNICATION\n"
                 "startsecs=0\n[program:says]\ncommand={peer}/python {dir}/says.py\nstartsecs=0\nautorestart=false\n"
                 "stdout_capture_maxbytes=1KB\n")
    until(lambda: text_of(daemon, "heard").endswith("\n"), "the message")
    (line,) = text_of(daemon, "heard").splitlines()
    name, kind, data, state = json.loads(line)
    assert (name, data, kind["processname"]) == ("PROCESS_COMMUNICATION_STDOUT", "größe 3", "says")
    assert state == {"statecode": 1, "statename": "RUNNING"}


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 asks, as far as smtplib goes."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailSession)
        self.mails: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class MailSession(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    mail += line
                self.server.mails.append(mail.decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_memmon_restarts_a_fat_program(run: Callable[[str], Daemon]) -> None:
    grows = "import os, time\nfat = bytearray(os.urandom(60 << 20))\ntime.sleep(1000)"
    daemon = run("[eventlistener:memmon]\ncommand={peer}/memmon -p fat=30MB -p thin=30MB\nevents=TICK_5\nstartsecs=0\n"
                 f"[program:fat]\ncommand={PYTHON} -c \"{grows.replace(chr(10), '; ')}\"\nstartsecs=0\n"
                 "[program:thin]\ncommand=sleep 1000\nstartsecs=0\n")
    daemon.until("fat", "RUNNING")
    fat, thin = (daemon.ctl(f"pid {name}") for name in ("fat", "thin"))
    until(lambda: daemon.ctl("pid fat") != fat, "another fat")
    daemon.until("fat", "RUNNING")
    daemon.until("memmon", "RUNNING")
    assert daemon.ctl("pid thin") == thin


def test_httpok_restarts_a_sick_program(run: Callable[[str], Daemon]) -> None:
    answers = {"status": 500, "asked": 0}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers["asked"] += 1
            self.send_response(answers["status"])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    with serving(server):
        daemon = run(f"[eventlistener:httpok]\ncommand={{peer}}/httpok -p sick http://127.0.0.1:{server.server_port}/\n"
                     "events=TICK_5\nstartsecs=0\n[program:sick]\ncommand=sleep 1000\nstartsecs=0\n"
                     "[program:other]\ncommand=sleep 1000\nstartsecs=0\n")
        daemon.until("sick", "RUNNING")
        sick, other = (daemon.ctl(f"pid {name}") for name in ("sick", "other"))
        until(lambda: daemon.ctl("pid sick") not in (sick, "0\n[7]"), "another run of it")
        answers["status"] = 200
        asked = answers["asked"]
        until(lambda: answers["asked"] > asked, "the next question")
        now = daemon.ctl("pid sick")
        asked = answers["asked"]
        until(lambda: answers["asked"] > asked, "the next question")
        assert (daemon.ctl("pid sick"), daemon.ctl("pid other")) == (now, other), "it is well"


def test_crashmail_sends(run: Callable[[str], Daemon]) -> None:
    daemon = run("[eventlistener:crashmail]\ncommand={peer}/crashmail -a -m root@example.com -s 'cat >>{dir}/mail'\n"
                 "events=PROCESS_STATE_EXITED\n"
                 "[program:crash]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n"
                 "[program:done]\ncommand=true\nstartsecs=0\nautorestart=false\n")
    until(lambda: "pid" in text_of(daemon, "mail"), "the mail")
    mail = text_of(daemon, "mail")
    assert mail.startswith("To: root@example.com\nSubject:  crash crashed at ")
    assert re.search(r"Process crash in group crash exited unexpectedly \(pid \d+\) from state RUNNING", mail)
    assert mail.count("Subject:") == 1, "an end that was expected is none"


@pytest.mark.parametrize("listener, programs, said", [
    ("crashmailbatch", "[program:crash]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n",
     r"Process crash:crash \(pid \d+\) died unexpectedly"),
    ("fatalmailbatch", "[program:fatal]\ncommand=false\nstartretries=0\n",
     "Process fatal:fatal failed to start too many times"),
])
def test_batches_of_mail(run: Callable[[str], Daemon], listener: str, programs: str, said: str) -> None:
    mailbox = Mailbox()
    with serving(mailbox):
        run(f"[eventlistener:batch]\ncommand={{peer}}/{listener} -i 0.08 -t root@example.com -f me@example.com "
            f"-H {mailbox.address} -e TICK_5\nevents=PROCESS_STATE,TICK_5\n{programs}")
        until(lambda: mailbox.mails, "the mail")
    (mail,) = mailbox.mails
    assert re.search(said, mail) and "To: root@example.com" in mail
