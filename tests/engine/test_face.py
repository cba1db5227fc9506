"""The HTTP face as the daemon sees it: bound sockets, a process that comes, goes, dies and has no rights."""

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xmlrpc.client import ServerProxy

import pytest

from sdsuper.config.model import User
from sdsuper.engine import companion, face
from tests.api.web import Connection, free_port, proxy
from tests.engine.conftest import Daemon, Start

STATE = b"<?xml version='1.0'?><methodCall><methodName>supervisor.getState</methodName></methodCall>"


def state(path: Path) -> str:
    """One XML-RPC call on a connection of its own."""
    with proxy(str(path)) as server:
        found = server.supervisor.getState()
    assert isinstance(found, dict)
    return str(found["statename"])


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def faces(daemon: Daemon) -> list[int]:
    """The pids of HTTP faces."""
    return [pid for pid in children(daemon.pid)
            if b"sdsuper.api" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]


def facts(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def path(directory: Path) -> Path:
    return directory / "http.sock"


def test_it_comes_with_the_first_connection_and_has_no_rights(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n[program:cat]\ncommand=/bin/cat\n",
                   environment={"SECRET_OF_THE_DAEMON": "x"})
    assert faces(daemon) == []
    assert state(path) == "RUNNING"
    (pid,) = faces(daemon)
    found = facts(pid)
    assert found["NoNewPrivs"] == "1"
    assert {found[kind] for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    if os.geteuid() == 0:
        gid = str(face.NOBODYS_GID)
        assert found["Uid"].split() == ["65534"] * 4 and found["Gid"].split() == [gid] * 4
        assert found["Groups"] == gid
    variables = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"SECRET_OF_THE_DAEMON" not in variables
    assert "cat" in daemon.processes() and len(daemon.processes()) == 1


TAKE = """\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = libc.syscall(434, int(sys.argv[1]), 0)
print(libc.syscall(438, pid, 0, 0), os.strerror(ctypes.get_errno()))
try:
    os.listdir(f"/proc/{sys.argv[1]}/fd")
except PermissionError:
    print("closed")
"""


@pytest.mark.root
@pytest.mark.parametrize("gid", [65534, face.NOBODYS_GID])
def test_others_that_are_nobody_cannot_take_its_connection(start: Start, path: Path, gid: int) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n")
    assert state(path) == "RUNNING"
    (pid,) = faces(daemon)
    done = subprocess.run(["setpriv", "--reuid=65534", f"--regid={gid}", "--clear-groups", "/usr/bin/python3", "-SEc",
                           TAKE, str(pid)], capture_output=True, text=True)
    assert done.stdout == "-1 Operation not permitted\nclosed\n", done.stderr


def test_root_is_no_account_for_it(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n", main={"api_user": "root"}, ready=False)
    assert daemon.process.wait(20) == 2
    assert "[supervisord] api_user: cannot be 'root': it is there to have no privileges" in daemon.stderr


@pytest.mark.parametrize("idle", ["60", "always"])
def test_no_descriptor_is_left_and_it_comes_back(start: Start, path: Path, idle: str) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n[program:cat]\ncommand=/bin/cat\nstartsecs=0\n",
                   main={"api_idle": idle})
    if idle == "always":
        assert state(path) == "RUNNING"
    before = daemon.status("cat")["pid"]
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd"))
    for failures, more in enumerate((0, 1), 1):         # room for no descriptor, or not for all that are needed
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (highest + 1 + more, most[1]))
        for pid in faces(daemon):
            os.kill(pid, signal.SIGKILL)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            daemon.wait_log("the HTTP face cannot be started", failures)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, most)
    assert state(path) == "RUNNING"
    assert daemon.status("cat")["pid"] == before


@pytest.mark.parametrize(("options", "mode", "owner"), [
    ("", 0o700, (0, 0)), ("chmod=0777\n", 0o777, (0, 0)), ("chmod=0660\nchown=nobody:adm\n", 0o660, (65534, 4)),
    ("chown=nobody\n", 0o700, (65534, 0)),
])
def test_mode_and_owner_are_as_configured(
    start: Start, path: Path, options: str, mode: int, owner: tuple[int, int],
) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n{options}")
    found = path.lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)) == (mode, owner)
    daemon.stop()
    assert not path.exists()


def test_it_ends_when_idle_and_no_connection_is_lost(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n", main={"api_idle": "1", "loglevel": "debug"})
    for number in range(1, 4):
        assert state(path) == "RUNNING"
        daemon.wait_log("the HTTP face has ended, for it was idle", number)
    assert daemon.log.count("the HTTP face has started") == 3
    assert "unexpectedly" not in daemon.log


def test_always(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n", main={"api_idle": "always"})
    daemon.wait(lambda: faces(daemon), "it is there without a connection")
    (first,) = faces(daemon)
    os.kill(first, signal.SIGKILL)
    daemon.wait(lambda: faces(daemon) not in ([], [first]), "another one is")


def test_it_dies_and_the_next_connection_waits_for_another(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n[program:cat]\ncommand=/bin/cat\nstartsecs=0\n")
    before = daemon.status("cat")["pid"]
    for _ in range(2):
        assert state(path) == "RUNNING"
        (pid,) = faces(daemon)
        os.kill(pid, signal.SIGKILL)
        daemon.wait(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), "it is gone")
        assert state(path) == "RUNNING"
    assert daemon.log.count("the HTTP face ended unexpectedly (terminated by SIGKILL)") == 2
    assert daemon.status("cat")["pid"] == before


def test_a_port_without_password_stays_closed_and_the_rest_works(start: Start, path: Path) -> None:
    port, other = free_port(), free_port()
    daemon = start(f"[unix_http_server]\nfile={path}\n[inet_http_server]\nport=*:{port}\n"
                   f"[inet_http_server:local]\nport=127.0.0.1:{other}\n[program:cat]\ncommand=/bin/cat\nstartsecs=0\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert state(path) == "RUNNING"
    with ServerProxy(f"http://127.0.0.1:{other}") as server:
        assert server.supervisor.getProcessInfo("cat")["statename"] == "RUNNING"
    (notice,) = daemon.call("GetState")["notices"]
    assert notice.startswith(f"{daemon.config}:") and "[inet_http_server] port: stays closed" in notice
    assert f"ERRO {notice}" in daemon.log
    check = subprocess.run([sys.executable, "-m", "sdsuper", "check", "-c", daemon.config], capture_output=True,
                           text=True, env={**os.environ, "PYTHONPATH": str(Path(face.__file__).parents[2])})
    assert (check.returncode, check.stderr) == (2, f"{notice}\n")


def test_what_is_said_of_sockets_is_what_they_are(start: Start) -> None:
    """A reload changes no socket, so it changes nothing that is said of them either."""
    open_port, closed_port = free_port(), free_port()
    text = f"[inet_http_server:a]\nport=*:{open_port}\nallow_insecure=OPEN\n" \
           f"[inet_http_server:b]\nport=*:{closed_port}\nallow_insecure=CLOSED\n"
    daemon = start(text.replace("OPEN", "true").replace("CLOSED", "false"))
    (notice,) = daemon.call("GetState")["notices"]
    assert "[inet_http_server:b]" in notice
    daemon.write(text.replace("OPEN", "false").replace("CLOSED", "true"))
    daemon.call("Update")
    assert daemon.call("GetState")["notices"] == [notice]
    assert "ERRO from the next start of the daemon on: " in daemon.log
    with ServerProxy(f"http://127.0.0.1:{open_port}") as server:
        assert server.supervisor.getState()["statename"] == "RUNNING"


@pytest.mark.root
def test_a_socket_that_cannot_be_removed_does_not_disturb_the_end(start: Start, directory: Path) -> None:
    folder = directory / "folder"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    for name in ("daemon.log", "daemon.pid"):
        (directory / name).touch()
        os.chown(directory / name, 65534, 65534)
    daemon = start(f"[unix_http_server]\nfile={folder}/s\n",
                   main={"user": "nobody", "control_socket": f"{folder}/control", "cgroup": "off"},
                   ready=False)
    daemon.socket = folder / "control"
    daemon.wait(daemon.answers)
    os.chown(folder, 0, 0)
    assert daemon.stop() == 0
    assert (folder / "s").exists() and "Traceback" not in daemon.stderr


def test_insecure_when_that_is_meant(start: Start) -> None:
    port = free_port()
    start(f"[inet_http_server]\nport=*:{port}\nallow_insecure=true\n")
    with ServerProxy(f"http://127.0.0.1:{port}") as server:
        assert server.supervisor.getState()["statename"] == "RUNNING"


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(start: Start, path: Path, directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    first = start(f"[unix_http_server]\nfile={path}\n")
    assert state(path) == "RUNNING"
    second = start(f"[unix_http_server]\nfile={path}\n", place="second", ready=False)
    assert second.process.wait(20) == 2
    assert "Another program is already listening on a port that one of our HTTP servers is configured to use" \
        in second.stderr
    assert f"[unix_http_server] at {second.config}:" in second.stderr
    assert state(path) == "RUNNING" and first.process.poll() is None


def test_an_address_that_is_taken_or_cannot_be(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon = start(f"[inet_http_server]\nport=127.0.0.1:{taken.getsockname()[1]}\n", ready=False)
        assert daemon.process.wait(20) == 2
        assert "Another program is already listening" in daemon.stderr
    daemon = start("[inet_http_server]\nport=[::zz]:1\nusername=u\npassword=p\n", ready=False, place="second")
    assert daemon.process.wait(20) == 2
    assert "cannot open http://[::zz]:1 of [inet_http_server] at" in daemon.stderr


def test_a_plain_file_is_not_replaced(start: Start, path: Path) -> None:
    path.write_text("mine")
    daemon = start(f"[unix_http_server]\nfile={path}\n", ready=False)
    assert daemon.process.wait(20) == 2
    assert "it exists and is not a socket" in daemon.stderr and path.read_text() == "mine"


def test_ipv6(start: Start) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        port = probe.getsockname()[1]
    start(f"[inet_http_server]\nport=[::1]:{port}\n")
    with ServerProxy(f"http://[::1]:{port}") as server:
        assert server.supervisor.getState()["statename"] == "RUNNING"


def test_it_goes_with_the_daemon(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n")
    connection = Connection(str(path))
    connection.request("POST", "/RPC2", STATE)
    assert connection.getresponse().status == 200       # and the connection stays open
    (pid,) = faces(daemon)
    assert daemon.stop() == 0
    assert not os.path.exists(f"/proc/{pid}") and not path.exists()
    connection.close()


def test_while_the_daemon_ends_it_still_answers(start: Start, path: Path) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n[program:slow]\nstartsecs=0\nstopwaitsecs=20\n"
                   "command=/bin/sh -c \"trap 'while [ ! -e {dir}/go ]; do sleep 0.05; done; exit' TERM; "
                   "touch {dir}/up; while :; do sleep 0.05; done\"\n")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "the program runs")
    with proxy(str(path)) as server:
        assert server.supervisor.shutdown() is True
        with pytest.raises(Exception, match="SHUTDOWN_STATE"):
            server.supervisor.getAllProcessInfo()
    (daemon.directory / "go").touch()
    assert daemon.process.wait(20) == 0


def test_an_account_that_cannot_read_the_code_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed" / "sdsuper"
    closed.mkdir(parents=True)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(companion, "_package", lambda: str(closed))
    nobody = User("nobody", 65534, 65534, (65534,), "/", "/bin/sh")
    why = companion.why_not(nobody)
    assert why.startswith(f"api_user nobody cannot read {closed}, for ") and "has the mode 0" in why
    assert "needs an account" in companion.why_not(None)


def test_what_it_says_is_in_the_log(start: Start, path: Path, wait_for: Callable[..., None]) -> None:
    daemon = start(f"[unix_http_server]\nfile={path}\n", main={"directory": "/"}, environment={"TZ": "No/Where"})
    assert state(path) == "RUNNING"
    (pid,) = faces(daemon)
    if os.geteuid() == 0:
        with open(f"/proc/{pid}/fd/2", "wb", buffering=0) as stderr:
            stderr.write(b"first line\nsecond \xff line\n")
        daemon.wait_log("INFO http: first line")
        daemon.wait_log("INFO http: second \\xff line")
