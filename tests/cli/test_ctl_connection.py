"""Where ctl looks for the daemon, and what it says when none is there."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper.cli.ctl import options as module
from sdsuper.cli.ctl.options import Options
from sdsuper.errors import SdsuperError
from tests.ways import open_ways

from .fake_daemon import FakeDaemon

Ctl = Callable[..., subprocess.CompletedProcess[str]]

UPCHECKED = ("start x", "stop x", "restart x", "signal HUP x", "tail x", "maintail", "clear x", "fg x",
             "version", "pid", "why x", "scale x 2", "enable x", "disable x", "events",
             "restart --rolling x", "logs x y")  # fmt: skip
UNCHECKED = ("reread", "update", "add x", "remove x", "avail", "reload")


@pytest.fixture
def refusing(tmp_path: Path) -> str:
    """The URL of a socket that nobody listens on any more."""
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return f"unix://{path}"


@pytest.mark.parametrize("line", UPCHECKED)
def test_no_daemon(ctl: Ctl, refusing: str, line: str) -> None:
    missing = ctl(*line.split(), url="unix:///nowhere.sock")
    assert (missing.stdout, missing.returncode) == ("unix:///nowhere.sock no such file\n", 7)
    refused = ctl(*line.split(), url=refusing)
    assert (refused.stdout, refused.returncode) == (f"{refusing} refused connection\n", 4)


def test_no_daemon_for_status_is_4(ctl: Ctl, refusing: str) -> None:
    missing = ctl("status", url="unix:///nowhere.sock")
    assert (missing.stdout, missing.returncode) == ("unix:///nowhere.sock no such file\n", 4)
    assert ctl("status", url=refusing).returncode == 4


@pytest.mark.parametrize(("line", "status"), [("is-active x", 4), ("is-ready x", 4), ("health", 4), ("diff", 2),
                                              ("update --dry-run", 2)])
def test_no_daemon_for_scripts(ctl: Ctl, refusing: str, line: str, status: int) -> None:
    missing = ctl(*line.split(), url="unix:///nowhere.sock")
    assert (missing.stdout, missing.returncode) == ("unix:///nowhere.sock no such file\n", status)
    assert ctl(*line.split(), url=refusing).returncode == status


def test_no_daemon_for_shutdown(ctl: Ctl, refusing: str) -> None:
    missing = ctl("shutdown", url="unix:///nowhere.sock")
    assert (missing.stdout, missing.returncode) == (
        "ERROR: unix:///nowhere.sock no such file (already shut down?)\n", 1,
    )  # fmt: skip
    assert ctl("shutdown", url=refusing).stdout == f"ERROR: {refusing} refused connection (already shut down?)\n"


@pytest.mark.parametrize("line", UNCHECKED)
def test_no_daemon_for_the_others_is_the_error_line(ctl: Ctl, line: str) -> None:
    done = ctl(*line.split(), url="unix:///nowhere.sock")
    assert re.fullmatch(
        r"error: <class 'FileNotFoundError'>, \[Errno 2\] No such file or directory: file: \S+ line: \d+\n", done.stdout
    )
    assert done.returncode == 1


def test_another_protocol_version(ctl: Ctl, daemon: FakeDaemon) -> None:
    answer = daemon.on_GetState() | {"api_version": "4.0"}
    daemon.on_GetState = lambda: answer  # type: ignore[method-assign]
    done = ctl("pid")
    assert done.stdout == (
        "Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the remote version "
        "is 4.0.\n"
    )
    assert done.returncode == 5


def test_another_scheme(ctl: Ctl) -> None:
    done = ctl("status", url="https://x")
    assert done.stdout.startswith("error: <class 'ValueError'>, Unknown protocol for serverurl https://x: file: ")
    assert done.returncode == 1


def test_no_url(ctl: Ctl) -> None:
    done = ctl("status", url="foo")
    assert done.stderr == (
        "Error: invalid value for -s 'foo': value 'foo' is not a URL\nFor help, use sdsuper ctl -h\n"
    )  # fmt: skip
    assert done.returncode == 2


def test_the_socket_beside_supervisors(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.path.rename(daemon.path.with_name("s.sock.control"))
    done = ctl("pid", url=f"unix://{daemon.path.with_name('s.sock')}")
    assert (done.stdout, done.returncode) == ("321\n", 0)


def configured(folder: Path, text: str) -> Options:
    path = folder / "x.conf"
    path.write_text(text)
    return Options(["-c", str(path), "status"], "sdsuper ctl", True)


@pytest.mark.parametrize(
    ("text", "url", "sockets"),
    [
        ("[supervisorctl]\nserverurl=unix:///x", "unix:///x", ("/x.control", "/x")),
        ("[unix_http_server]\nfile=/y\n[supervisorctl]\nserverurl=unix:///x", "unix:///x",
         ("/x.control", "/y.control", "/x")),
        ("[supervisord]\ncontrol_socket=/c\n[supervisorctl]\nserverurl=unix:///x", "unix:///x",
         ("/x.control", "/c", "/x")),
        ("[supervisord]\ncontrol_socket=/c\n[supervisorctl]\n", "unix:///c", ("/c",)),
        ("[unix_http_server]\nfile=/y\n[supervisorctl]\n", "unix:///y.control", ("/y.control",)),
        ("[unix_http_server]\nfile=/y\n[supervisorctl]\nserverurl=http://localhost:9001", "unix:///y.control",
         ("/y.control",)),
        ("[unix_http_server]\nfile=/y\n[supervisorctl]\nserverurl=http://127.0.0.1:9001", "http://127.0.0.1:9001",
         None),
        ("[supervisorctl]\nserverurl=http://me:hush@other:9001", "http://other:9001", None),
    ],
)  # fmt: skip
def test_the_configured_url(tmp_path: Path, text: str, url: str, sockets: tuple[str, ...] | None) -> None:
    options = configured(tmp_path, text)
    assert options.url == url
    if sockets is not None:
        assert options.sockets(url.removeprefix("unix://")) == sockets


@pytest.mark.parametrize("text", ["[supervisorctl]\n", "[supervisord]\ncontrol_socket={own}\n[supervisorctl]\n"])
def test_the_default_of_a_daemon_that_root_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str,
) -> None:  # fmt: skip
    """Asked as the user that it runs as: the socket is his, where root's is."""
    roots, own = tmp_path / "root.sock", tmp_path / "sdsuper/control.sock"
    monkeypatch.setattr(module, "DEFAULT_SOCKET", str(roots))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() or 7)
    options = configured(tmp_path, text.format(own=own))
    assert options.sockets(str(own)) == (str(own),)
    roots.touch()
    assert options.sockets(str(own)) == (str(own), str(roots))
    own.parent.mkdir()
    own.touch()
    assert options.sockets(str(own)) == (str(own),)
    own.unlink()
    if os.geteuid() == 0:
        os.chown(roots, 7, 7)
        assert options.sockets(str(own)) == (str(own),)


def test_a_configured_socket_has_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root.sock").touch()
    monkeypatch.setattr(module, "DEFAULT_SOCKET", str(tmp_path / "root.sock"))
    assert configured(tmp_path, "[supervisord]\ncontrol_socket=/c\n[supervisorctl]\n").sockets("/c") == ("/c",)


def test_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("[supervisorctl]\nserverurl=unix:///x\nprompt=p\nhistory_file=/h\n")
    options = Options(["-c", str(path), "-s", "unix:///y", "-r", "/mine", "-i", "pid"], "sdsuper ctl", True)
    assert (options.url, options.history_file, options.prompt) == ("unix:///y", "/mine", "p")
    assert options.sockets("/y") == ("/y.control", "/y")
    assert options.interactive


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "could not find config file {path}"),
        ("[supervisord]\n", ".ini file does not include supervisorctl section"),
        ("[supervisorctl]\nserverurl=unix://%(nope)s\n",
         "{path}:2: error: [supervisorctl] serverurl: %(nope): no such name here, known are ENV_..., here"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "x.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SdsuperError) as refused:
        Options(["-c", str(path), "status"], "sdsuper ctl", True)
    assert str(refused.value) == message.format(path=path)


def test_found_by_itself(ctl: Ctl, daemon: FakeDaemon, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "supervisord.conf").write_text(f"[supervisorctl]\nserverurl=unix://{daemon.path}\n")
    done = subprocess.run([sys.executable, "-m", "sdsuper", "pid"], capture_output=True, text=True, timeout=60,
                          env=environment, cwd=tmp_path)  # fmt: skip
    assert (done.stdout, done.returncode) == ("321\n", 0)


def test_go_options_are_ctls_only(ctl: Ctl, daemon: FakeDaemon, environment: dict[str, str]) -> None:
    done = ctl("-v", "-P", "secret", "-u", "me", "pid")
    assert (done.stdout, done.stderr, done.returncode) == ("321\n", f"asking unix://{daemon.path}\n", 0)
    code = "import sys; from sdsuper.cli import compat; sys.argv[0] = 'supervisorctl'; sys.exit(compat.supervisorctl())"
    refused = subprocess.run([sys.executable, "-c", code, "-P", "x"], capture_output=True, text=True, timeout=60,
                             env=environment)  # fmt: skip
    assert refused.stderr == "Error: option -P not recognized\nFor help, use supervisorctl -h\n"
    assert refused.returncode == 2


@pytest.mark.root
def test_a_socket_that_somebody_else_has_put_beside_is_not_asked(tmp_path: Path) -> None:
    """Anybody may make /tmp/supervisor.sock.control; only root and the owner of /tmp/supervisor.sock are believed."""
    from sdsuper.cli.ctl import local

    path = tmp_path / "s"
    open_ways(tmp_path)
    with socket.socket(socket.AF_UNIX) as real, socket.socket(socket.AF_UNIX) as beside:
        real.bind(str(path))
        real.listen()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:                    # the impostor: the kernel tells who called listen(2)
            beside.bind(f"{path}.control")
            os.chmod(f"{path}.control", 0o666)
            os.setresuid(65534, 65534, 65534)
            beside.listen()
            os.write(write, b"x")
            beside.accept()[0].recv(1)
            os._exit(0)
        os.read(read, 1)
        os.close(read)
        os.close(write)
        try:
            real.settimeout(10)
            answers = threading.Thread(target=lambda: real.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
            answers.start()
            with pytest.raises(local.OtherProtocol):
                local.LocalBackend((f"{path}.control", str(path)))
            answers.join()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
