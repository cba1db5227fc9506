"""Listening sockets: owners, modes, stale ones, addresses."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.system import sockets


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    before = os.umask(0)
    try:
        with sockets.listen_unix(str(path), 0o640) as listener:
            facts = path.lstat()
            assert stat.S_ISSOCK(facts.st_mode) and stat.S_IMODE(facts.st_mode) == 0o640
            assert not listener.getblocking() and not listener.get_inheritable()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
    finally:
        os.umask(before)


@pytest.mark.root
def test_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with sockets.listen_unix(str(path), 0o600, 65534, 4):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 4)


def test_who_answers_is_not_replaced_and_who_does_not_is(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with sockets.listen_unix(path, 0o600):
        first = sockets.identity(path)
        with pytest.raises(sockets.InUse):
            sockets.listen_unix(path, 0o600)
        assert sockets.identity(path) == first
    with sockets.listen_unix(path, 0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_busy_socket_is_alive(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with sockets.listen_unix(path, 0o600, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(path)
        with pytest.raises(sockets.InUse):
            sockets.listen_unix(path, 0o600)


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    for name, make in (("file", Path.touch), ("folder", Path.mkdir), ("fifo", os.mkfifo)):
        path = tmp_path / name
        make(path)
        with pytest.raises(OSError, match="not a socket"):
            sockets.listen_unix(str(path), 0o600)
        assert path.exists()
    target, link = tmp_path / "target", tmp_path / "link"
    with sockets.listen_unix(str(target), 0o600):
        link.symlink_to(target)
        with pytest.raises(OSError, match="not a socket"):
            sockets.listen_unix(str(link), 0o600)
        assert target.exists()


def test_only_the_known_file_is_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with sockets.listen_unix(path, 0o600):
        known = sockets.identity(path)
        os.rename(path, f"{path}.old")
        Path(path).touch()
        sockets.remove(path, known)
        assert os.path.exists(path)
        os.rename(f"{path}.old", path)
        sockets.remove(path, known)
        assert not os.path.exists(path)
        sockets.remove(path, known)
    sockets.remove(path, None)


@pytest.mark.parametrize(("host", "bound"), [
    ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("", "0.0.0.0"), ("[127.0.0.1]", "127.0.0.1"),
])
def test_a_tcp_socket(host: str, bound: str) -> None:
    with sockets.listen_tcp(host, 0) as listener:
        address, port = listener.getsockname()
        assert address == bound and not listener.getblocking()
        with pytest.raises(sockets.InUse):
            sockets.listen_tcp(host, port)
        socket.create_connection(("127.0.0.1", port), 5).close()


def test_no_such_address() -> None:
    with pytest.raises(OSError):
        sockets.listen_tcp("[::zz]", 0)


# ---- handed over ----------------------------------------------------------------------------------------------------

HANDED = """\
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from sdsuper.system.sockets import Passed
deaf, listening, tcp = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()
deaf.bind("deaf")
listening.bind(os.path.abspath("listening"))
listening.listen()
tcp.bind(("127.0.0.1", 0))
tcp.listen()
port = tcp.getsockname()[1]
reader, _writer = os.pipe()
for number, fd in enumerate((reader, deaf.fileno(), listening.fileno(), tcp.fileno()), 20):
    os.dup2(fd, number)
for number in range(3, 7):
    os.dup2(number + 17, number)
found = Passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "5"}, os.getpid(), 30)
assert found.unix("deaf") is None and found.unix("/nowhere") is None and found.tcp("127.0.0.2", port) is None
one, other = found.unix(os.path.abspath("listening")), found.tcp("localhost", port)
assert one.fileno() >= 30 and not one.getblocking() and not one.get_inheritable()
assert other.getsockname()[1] == port and found.tcp("", port) is None
assert found.close() == ["deaf"]
for number in range(3, 7):
    try:
        os.fstat(number)
    except OSError:
        continue
    raise AssertionError(number)
"""


def test_what_systemd_hands_over(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", HANDED, root], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "3"}, {"LISTEN_PID": "7"},
                                         {"LISTEN_PID": "7", "LISTEN_FDS": "x"}])
def test_nothing_is_handed_over(environment: dict[str, str]) -> None:
    found = sockets.Passed(environment, 7, 30)
    assert found.unix("/x") is None and found.tcp("", 1) is None and found.close() == [] and not found.paths
