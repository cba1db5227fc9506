"""FastCGI programs: sockets that a pool shares, with cgi-fcgi of libfcgi as the web server's side."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.api.web import free_port
from tests.engine.conftest import Daemon, Start

#: A responder after the FastCGI specification: accepts on descriptor 0, answers with its pid and the request's method.
APPLICATION = """\
import os, socket, struct

def records(connection):
    stream = connection.makefile("rb")
    while len(head := stream.read(8)) == 8:
        _version, kind, request, length, padding = struct.unpack(">BBHHBx", head)
        yield kind, request, stream.read(length + padding)[:length]

def record(kind, request, content):
    return struct.pack(">BBHHBx", 1, kind, request, len(content), 0) + content

listener = socket.socket(fileno=0)
while True:
    connection = listener.accept()[0]
    parameters = b""
    for kind, request, content in records(connection):
        if kind == 4:               # FCGI_PARAMS
            parameters += content
        elif kind == 5 and not content:     # the end of FCGI_STDIN
            method = parameters.partition(b"REQUEST_METHOD")[2][:4].decode()
            text = f"Content-Type: text/plain\\r\\n\\r\\n{os.getpid()} {method}\\n".encode()
            connection.sendall(record(6, request, text) + record(6, request, b"") + record(3, request, bytes(8)))
            break
    connection.close()
"""


@pytest.fixture
def application(directory: Path) -> str:
    (directory / "app.py").write_text(APPLICATION)
    return f"/usr/bin/python3 -SE {directory}/app.py"


def ask(address: str) -> int:
    """One real request; returns the pid that answered it."""
    done = subprocess.run(["cgi-fcgi", "-bind", "-connect", address], capture_output=True, text=True, timeout=20,
                          env={"REQUEST_METHOD": "HEAD", "PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL)
    found = re.fullmatch(r"Content-Type: text/plain\s+(\d+) HEAD\n", done.stdout)
    assert found is not None, done
    return int(found[1])


def up(daemon: Daemon) -> set[int]:
    daemon.wait(lambda: all(p["state"] == "RUNNING" for p in daemon.processes().values()), "all run")
    return set(daemon.pids().values())


def test_a_pool_shares_a_unix_socket(start: Start, directory: Path, application: str) -> None:
    path = directory / "app.sock"
    daemon = start(f"[fcgi-program:app]\ncommand={application}\nsocket=unix://{path}\nsocket_mode=0660\n"
                   "socket_owner=nobody:nogroup\nnumprocs=3\nprocess_name=%(process_num)d\nstartsecs=0\n")
    pids = up(daemon)
    facts = path.stat()
    assert (facts.st_mode & 0o777, facts.st_uid, facts.st_gid) == (0o660, 65534, 65534)
    assert ask(str(path)) in pids
    inodes = {os.readlink(f"/proc/{pid}/fd/0") for pid in pids}
    assert len(inodes) == 1
    # one of them restarts: the same socket, no moment without it
    victim = daemon.status("app:1")["pid"]
    os.kill(victim, signal.SIGKILL)
    daemon.wait(lambda: daemon.status("app:1")["pid"] not in (0, victim), "it is back")
    assert os.readlink(f"/proc/{daemon.status('app:1')['pid']}/fd/0") in inodes
    # stopping two keeps it, stopping the last one closes and removes it
    for name in ("app:0", "app:1"):
        assert daemon.result("Stop", name)[0] == "SUCCESS"
    assert ask(str(path)) == daemon.status("app:2")["pid"]
    daemon.result("Stop", "app:2")
    assert not path.exists()
    daemon.result("Start", "app:2")
    assert ask(str(path)) == daemon.status("app:2")["pid"]
    assert daemon.log.count("Creating socket") == 2


def test_a_tcp_socket_inside_a_group(start: Start, application: str) -> None:
    port = free_port()
    daemon = start(f"[fcgi-program:app]\ncommand={application}\nsocket=tcp://localhost:{port}\nstartsecs=0\n"
                   "[program:other]\ncommand=/bin/cat\nstartsecs=0\n[group:web]\nprograms=app,other\n")
    up(daemon)
    assert ask(f"localhost:{port}") == daemon.status("web:app")["pid"]
    assert not os.readlink(f"/proc/{daemon.status('web:other')['pid']}/fd/0").startswith("socket:")


def test_it_runs_as_its_user_who_owns_the_socket(start: Start, directory: Path, application: str) -> None:
    path = directory / "app.sock"
    daemon = start(f"[fcgi-program:app]\ncommand={application}\nsocket=unix://{path}\nuser=nobody\nstartsecs=0\n")
    up(daemon)
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (65534, 0o700)
    assert ask(str(path)) == daemon.status("app")["pid"]


def test_a_socket_that_cannot_be_opened_is_a_failed_start(start: Start, directory: Path, application: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = start(f"[fcgi-program:app]\ncommand={application}\nsocket=tcp://127.0.0.1:{port}\nstartretries=0\n")
        spawnerr = daemon.wait_state("app", "FATAL")["spawnerr"]
        assert spawnerr == f"cannot open tcp://127.0.0.1:{port}: Address already in use"
    daemon.result("Start", "app")
    assert ask(f"127.0.0.1:{port}") == daemon.status("app")["pid"]


def test_what_a_daemon_that_died_has_left_is_replaced(start: Start, directory: Path, application: str) -> None:
    path = directory / "app.sock"
    text = f"[fcgi-program:app]\ncommand={application}\nsocket=unix://{path}\nstartsecs=0\n"
    first = start(text, main={"cgroup": "off"})
    old = ask(str(path))
    first.close_clients()
    first.process.kill()
    first.process.wait()
    try:
        second = start(text, main={"cgroup": "off"}, place="second")
        assert ask(str(path)) == second.status("app")["pid"] != old
    finally:
        os.kill(old, signal.SIGKILL)
        first.process.returncode = 0        # it was ended on purpose


def test_a_stale_socket_file_is_replaced_and_a_plain_file_is_not(
    start: Start, directory: Path, application: str,
) -> None:
    plain = directory / "plain"
    plain.write_text("mine")
    daemon = start(f"[fcgi-program:app]\ncommand={application}\nsocket=unix://{plain}\nstartretries=0\n")
    assert daemon.wait_state("app", "FATAL")["spawnerr"] == f"cannot open unix://{plain}: it exists and is not a socket"
    assert plain.read_text() == "mine"


def test_another_socket_after_a_reload(start: Start, directory: Path, application: str) -> None:
    text = f"[fcgi-program:app]\ncommand={application}\nsocket=unix://{directory}/NAME\nstartsecs=0\n"
    daemon = start(text.replace("NAME", "one"))
    first = ask(f"{directory}/one")
    daemon.write(text.replace("NAME", "two"))
    daemon.call("Update")                   # answered when the old one is down
    daemon.wait(lambda: daemon.status("app")["pid"] not in (0, first), "the new one has been started")
    second = ask(f"{directory}/two")
    assert second == daemon.status("app")["pid"] != first
    assert not (directory / "one").exists()
