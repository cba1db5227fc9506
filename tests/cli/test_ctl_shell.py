"""The shell: from a pipe with the very bytes of supervisorctl, on a terminal with readline."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper.cli.ctl.commands import COMMANDS
from sdsuper.cli.ctl.options import Options
from sdsuper.cli.ctl.session import Session
from sdsuper.cli.ctl.shell import Completer

from .fake_daemon import FakeDaemon
from .test_ctl_wording import ALL, CAT

Ctl = Callable[..., subprocess.CompletedProcess[str]]
PROMPT = "supervisor> "


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("", "\n"),
        ("quit\n", "\n"),
        ("exit", "\n"),
        ("EOF\n", "\n"),
        ("\n  \npid\n", f"{PROMPT}{PROMPT}321\n{PROMPT}\n"),
        ("status cat\nwibble\nquit\npid\n", f"{CAT}{PROMPT}*** Unknown syntax: wibble\n{PROMPT}\n"),
        ("help quit\n!\n", f"quit\tExit the supervisor shell.\n{PROMPT}*** Unknown syntax: !\n{PROMPT}\n"),
        ("shutdown\nn\nshutdown\n\n", "Really shut the remote supervisord process down y/N? " + PROMPT
         + "Really shut the remote supervisord process down y/N? " + PROMPT + "\n"),
        ("reload\nyes\n", f"Really restart the remote supervisord process y/N? Restarted supervisord\n{PROMPT}\n"),
        ("shutdown\nY\n", f"Really shut the remote supervisord process down y/N? Shut down\n{PROMPT}\n"),
        ("shutdown\n", f"Really shut the remote supervisord process down y/N? {PROMPT}\n"),
        ("open unix:///nope\npid\n", f"unix:///nope no such file\n{PROMPT}unix:///nope no such file\n{PROMPT}\n"),
    ],
)  # fmt: skip
def test_from_a_pipe(ctl: Ctl, typed: str, shown: str) -> None:
    done = ctl(stdin=typed)
    assert done.stdout == ALL + PROMPT + shown
    assert done.returncode == 0


def test_fg_takes_the_lines_that_follow_it(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.log("cat").write_text("")
    done = ctl(stdin="fg cat\none\ntwo\n")
    assert done.stdout == (
        f"{ALL}{PROMPT}==> Press Ctrl-C to exit <==\n<one>\n<two>\nExiting foreground\n{PROMPT}\n"
    )  # fmt: skip
    assert daemon.stdin == ["one\n", "two\n"]


def test_interactive_with_an_action(ctl: Ctl) -> None:
    done = ctl("-i", "pid", stdin="pid cat\n")
    assert done.stdout == f"321\n{ALL}{PROMPT}41\n{PROMPT}\n"
    assert done.returncode == 0


def test_a_shell_survives_a_daemon_that_goes_and_comes(tmp_path: Path, environment: dict[str, str]) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    path = tmp_path / "c.sock"
    command = [sys.executable, "-m", "sdsuper", "ctl", "-s", f"unix://{path}"]
    first = FakeDaemon(path, logs)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0) as shell:
        assert shell.stdin and shell.stdout
        assert read_until(shell.stdout.fileno(), PROMPT) == PROMPT
        shell.stdin.write(b"pid\n")
        assert read_until(shell.stdout.fileno(), PROMPT) == f"321\n{PROMPT}"
        first.close()
        path.unlink()
        shell.stdin.write(b"pid\n")
        assert read_until(shell.stdout.fileno(), PROMPT) == f"unix://{path} no such file\n{PROMPT}"
        second = FakeDaemon(path, logs)
        shell.stdin.write(b"pid\n")
        assert read_until(shell.stdout.fileno(), PROMPT) == f"321\n{PROMPT}"
        shell.stdin.close()
        second.close()


def read_until(fd: int, text: str) -> str:
    """What is read until it ends with `text`."""
    found = ""
    end = time.monotonic() + 30
    while not found.endswith(text):
        assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], found
        data = os.read(fd, 65536)
        assert data, found
        found += data.decode()
    return found


class Terminal:
    """ctl's shell on a terminal of its own."""

    def __init__(self, url: str, environment: dict[str, str], *words: str) -> None:
        self.fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdsuper", "ctl", "-s", url, *words], stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment | {"TERM": "dumb"}, start_new_session=True, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, text: str) -> str:
        return read_until(self.fd, text)

    def end(self) -> int:
        code = self.process.wait(30)
        os.close(self.fd)
        return code


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_on_a_terminal(daemon: FakeDaemon, environment: dict[str, str], tmp_path: Path) -> None:
    history = tmp_path / "history"
    terminal = Terminal(f"unix://{daemon.path}", environment, "-r", str(history))
    terminal.until(PROMPT)
    terminal.type("pi\t")
    terminal.until("pid ")
    terminal.type("ca\t\n")
    terminal.until("cat \r\n41\r\n" + PROMPT)
    terminal.type("shutdown\n")
    terminal.until("y/N? ")
    terminal.type("n\n")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0
    assert history.read_text().splitlines()[:2] == ["pid cat ", "shutdown"]


def test_ctrl_c_leaves_the_shell(daemon: FakeDaemon, environment: dict[str, str]) -> None:
    terminal = Terminal(f"unix://{daemon.path}", environment)
    terminal.until(PROMPT)
    for _ in range(30):                         # between showing the prompt and reading Python may lose one
        terminal.type("\x03")
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal.process.wait(1)
            break
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("sta", "sta", ["start ", "status "]),
        ("re", "re", ["reload ", "reload-program ", "remove ", "reread ", "restart "]),
        ("s", "help s", ["scale ", "shutdown ", "signal ", "start ", "status ", "stop "]),
        ("", "update ", ["cat ", "off ", "web "]),
        ("w", "add w", ["web "]),
        ("", "start ", ["cat ", "off ", "web:web_00 ", "web:* ", "web:web_01 "]),
        ("web:", "stop web:", ["web:web_00 ", "web:* ", "web:web_01 "]),
        ("cat:", "tail cat:", ["cat:cat ", "cat:* "]),
        ("x", "start x", []),
        ("", "reread ", []),
    ],
)
def test_completion(daemon: FakeDaemon, text: str, line: str, found: list[str]) -> None:
    session = Session(Options(["-s", f"unix://{daemon.path}", "status"], "sdsuper ctl", True))
    assert Completer(session).matches(text, line) == found


def test_completion_of_an_empty_line_is_every_command(daemon: FakeDaemon) -> None:
    session = Session(Options(["-s", f"unix://{daemon.path}", "status"], "sdsuper ctl", True))
    assert Completer(session).matches("", "")[:3] == ["help ", "add ", "avail "]
    assert len(Completer(session).matches("", "")) == len(COMMANDS)
    assert daemon.calls == []


def test_completion_without_a_daemon() -> None:
    session = Session(Options(["-s", "unix:///nowhere.sock", "status"], "sdsuper ctl", True))
    assert Completer(session).matches("", "start ") == []
