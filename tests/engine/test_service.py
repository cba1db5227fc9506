"""What systemd is told, over a real socket, and the sockets that it hands over."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.client import Client
from tests.api.web import free_port
from tests.engine.conftest import Start

SLEEP = "[program:web]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
BROKEN = "[program:web]\ncommand=/bin/sleep 1000\nstartsecs=soon\n"


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self.heard: list[dict[str, str]] = []

    def next(self, name: str) -> dict[str, str]:
        """Wait for the next message that has a name; those before it are in `heard`."""
        while True:
            lines = self.socket.recv(10000).decode().split("\n")
            message = dict(line.split("=", 1) for line in lines)
            self.heard.append(message)
            if name in message:
                return message

    def ready(self) -> str:
        """Wait for READY; the status that came before it."""
        assert self.next("READY") == {"READY": "1"}
        return next(message["STATUS"] for message in reversed(self.heard) if "STATUS" in message)

    def status(self, text: str) -> None:
        """Wait for a status that matches."""
        while not re.fullmatch(text, found := self.next("STATUS")["STATUS"]):
            assert len(self.heard) < 100, found


@pytest.fixture
def systemd(directory: Path) -> Iterator[Systemd]:
    """A listener."""
    found = Systemd(directory / "notify")
    yield found
    found.socket.close()


def test_ready_is_told_when_what_starts_by_itself_has_been_started(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment=systemd.environment, ready=False)
    assert systemd.ready() == "1/1 running"
    assert all(list(message) == ["EXTEND_TIMEOUT_USEC"] for message in systemd.heard[:-2])
    assert daemon.status("web")["state"] == "RUNNING"


def test_the_status_follows_what_happens(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP + "[program:bad]\ncommand=/bin/false\nstartretries=0\n[program:other]\nautostart=false\n"
                   "command=/bin/sleep 1000\nstartsecs=0\n", environment=systemd.environment)
    systemd.status("1/3 running; bad: FATAL")
    daemon.call("Start", name="other")
    systemd.status("2/3 running; bad: FATAL")


def test_many_that_are_ill_are_counted(start: Start, systemd: Systemd) -> None:
    start("[program:bad]\ncommand=/bin/false\nstartretries=0\nnumprocs=8\nprocess_name=b%(process_num)s\n",
          environment=systemd.environment)
    systemd.status("0/8 running; " + ", ".join(f"bad:b{n}: FATAL" for n in range(5)) + " and 3 more")


@pytest.mark.parametrize("way", ["signal", "client"])
def test_a_reload_is_told_and_its_end(start: Start, systemd: Systemd, way: str) -> None:
    daemon = start(SLEEP, environment=systemd.environment)
    systemd.next("READY")

    def reload() -> None:
        if way == "signal":
            daemon.signal(signal.SIGHUP)
            return
        try:
            daemon.call("Update")
        except Exception as error:
            assert "soon" in str(error)

    daemon.write(SLEEP + "[program:more]\ncommand=/bin/sleep 1000\nstartsecs=0\n")
    reload()
    begun = systemd.next("RELOADING")
    assert int(begun["MONOTONIC_USEC"]) > 0
    assert systemd.ready().endswith("/2 running")

    daemon.write(BROKEN)
    reload()
    systemd.next("RELOADING")
    status = systemd.ready()
    assert re.match(r"./2 running; the newest configuration was refused: .*sdsuper.conf:\d+: error: .*'soon'", status)

    daemon.write(SLEEP)
    reload()
    systemd.next("RELOADING")
    assert "refused" not in systemd.ready()


def test_an_update_of_a_group_that_is_not_there_ends_its_reload(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment=systemd.environment)
    systemd.next("READY")
    with pytest.raises(Exception, match="nobody"):
        daemon.call("Update", groups=["nobody"])
    systemd.next("RELOADING")
    systemd.next("READY")


def test_who_stops_slowly_gets_more_time(start: Start, systemd: Systemd) -> None:
    daemon = start("[program:slow]\ncommand={python} -uc \"import signal, time; signal.signal(15, signal.SIG_IGN); "
                   "print('up'); time.sleep(1000)\"\nstopwaitsecs=4\nstdout_logfile={dir}/slow\n",
                   environment=systemd.environment)
    daemon.wait(lambda: daemon.text("slow"), "it ignores SIGTERM")
    daemon.signal(signal.SIGTERM)
    assert systemd.next("STOPPING") == {"STOPPING": "1"}
    assert int(systemd.next("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) == 30_000_000
    assert systemd.next("STATUS")["STATUS"] == "stopping, waiting for slow"
    assert 1_000_000 < int(systemd.next("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) <= 30_000_000
    assert daemon.process.wait(20) == 0
    assert sum("STOPPING" in message for message in systemd.heard) == 1, "it is told once"


def test_a_status_is_one_line(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment=systemd.environment)
    systemd.next("READY")
    daemon.write("[program:web]\ncommand=/bin/true\nstartsecs=a\nstopwaitsecs=b\n")
    daemon.signal(signal.SIGHUP)
    systemd.next("RELOADING")
    found = systemd.ready()
    assert "'a'" in found and "'b'" not in found


@pytest.mark.parametrize("name", ["веб", "w\u00e9b", "x" * 200, "a,b"])
def test_any_name_can_be_told(start: Start, systemd: Systemd, name: str) -> None:
    daemon = start(f"[program:{name}]\ncommand=/nonexistent/x\nnumprocs=5\nprocess_name={name}%(process_num)s\n"
                   "startretries=0\n", environment=systemd.environment)
    systemd.status("0/5 running; .*")
    daemon.signal(signal.SIGHUP)
    systemd.next("RELOADING")
    status = systemd.ready()
    assert len(status.encode()) < 450 and name[:20] in status


def test_a_refusal_may_be_long(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment=systemd.environment)
    systemd.ready()
    daemon.write(f"[program:web]\ncommand=/bin/true\nstartsecs={'ж' * 5000}\n")
    daemon.signal(signal.SIGHUP)
    systemd.next("RELOADING")
    assert "refused" in (status := systemd.ready()) and len(status.encode()) < 450


def test_a_systemd_that_does_not_read_hears_it_later(start: Start, systemd: Systemd, directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        other.connect(str(directory / "notify"))
        with pytest.raises(BlockingIOError):
            while True:
                other.send(b"FILL=1")
    daemon = start(SLEEP, environment=systemd.environment)
    daemon.wait_state("web", "RUNNING")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("configuration taken over")
    systemd.next("READY")
    systemd.next("RELOADING")
    systemd.next("READY")


def test_who_is_to_end_is_not_ready_any_more(start: Start, systemd: Systemd) -> None:
    daemon = start("[program:many]\ncommand=/bin/sleep 1000\nnumprocs=300\nprocess_name=p%(process_num)s\n",
                   environment=systemd.environment, ready=False)
    daemon.wait(lambda: "spawned" in daemon.log, "it has begun")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0
    systemd.next("STOPPING")
    systemd.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.next("READY")


# ---- watchdog -------------------------------------------------------------------------------------------------------

def test_the_watchdog_gets_signs_of_life(start: Start, systemd: Systemd) -> None:
    start(SLEEP, environment={**systemd.environment, "WATCHDOG_USEC": "400000"})
    for _ in range(5):
        assert systemd.next("WATCHDOG") == {"WATCHDOG": "1"}


def test_a_daemon_that_was_held_up_says_so(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment={**systemd.environment, "WATCHDOG_USEC": "400000"})
    systemd.next("WATCHDOG")
    daemon.signal(signal.SIGSTOP)
    systemd.socket.settimeout(1)
    with pytest.raises(TimeoutError):       # no sign of life for more than two periods
        for _ in range(10):
            systemd.next("WATCHDOG")
    daemon.signal(signal.SIGCONT)
    systemd.socket.settimeout(20)
    systemd.next("WATCHDOG")
    daemon.wait_log("the daemon was held up for ")


def test_a_watchdog_of_another_process_is_none(start: Start, systemd: Systemd) -> None:
    daemon = start(SLEEP, environment={**systemd.environment, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    systemd.next("READY")
    daemon.stop()
    systemd.next("STOPPING")
    assert not [message for message in systemd.heard if "WATCHDOG" in message]


# ---- sockets --------------------------------------------------------------------------------------------------------

#: Puts sockets where systemd puts them, and becomes the daemon.
ACTIVATE = """\
import os, socket, sys
unix, port, *words = sys.argv[1:]
made = []
for path in unix.split(","):
    one = socket.socket(socket.AF_UNIX)
    one.bind(path)
    made.append(one)
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind(("127.0.0.1", int(port)))
made.append(one)
for number, one in enumerate(made, 3):
    one.listen(5)
    if one.fileno() != number:
        os.dup2(one.fileno(), number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(made)))
os.execv(words[0], words)
"""


def test_sockets_of_systemd_are_used_and_stay(start: Start, directory: Path) -> None:
    port = free_port()
    (directory / "activate.py").write_text(ACTIVATE)
    control, http, foreign = directory / "control", directory / "http", directory / "foreign"
    daemon = start(SLEEP + f"[unix_http_server]\nfile={http}\n[inet_http_server]\nport=127.0.0.1:{port}\n"
                   "username=u\npassword=p\n",
                   before=["/usr/bin/python3", "-SE", str(directory / "activate.py"),
                           f"{control},{http},{foreign}", str(port)])
    places = {path: path.stat().st_ino for path in (control, http)}
    with socket.socket(socket.AF_UNIX) as page:
        page.settimeout(20)
        page.connect(str(http))
        page.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert page.recv(1000).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as tcp:
        tcp.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert tcp.recv(1000).startswith(b"HTTP/1.1 401")
    daemon.wait_log(f"a socket at {foreign} was handed over, and no section has it")
    with socket.socket(socket.AF_UNIX) as refused, pytest.raises(ConnectionRefusedError):
        refused.connect(str(foreign))
    environment = Path(f"/proc/{daemon.status('web')['pid']}/environ").read_bytes()
    assert b"LISTEN_" not in environment
    assert daemon.stop() == 0
    assert {path: path.stat().st_ino for path in places} == places, "they are systemd's"


@pytest.mark.parametrize("environment", [{"LISTEN_PID": "1", "LISTEN_FDS": "3"}, {"LISTEN_FDS": "\u00b2"},
                                         {"WATCHDOG_USEC": "\u00b2"}, {"WATCHDOG_USEC": "9" * 30}])
def test_another_process_sockets_are_left_alone(start: Start, systemd: Systemd, environment: dict[str, str]) -> None:
    daemon = start(SLEEP, environment={**systemd.environment, **environment})
    with Client(str(daemon.socket)) as client:
        assert client.call("GetState")["state"] == "RUNNING"
