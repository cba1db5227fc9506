"""Listening sockets: owners, modes, stale ones, addresses."""

import os
import socket
import stat
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
