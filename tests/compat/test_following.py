"""What goes on at a terminal: `tail -f`, `maintail -f`, `fg`, and a server that asks who is there.

Each client with each daemon, over the unix socket and over HTTP; the screens are equal.
"""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .peers import CONFIG, CTL_HTTP, Daemon, commands

PROGRAMS = """\
[program:cat]
command=/bin/cat
stdout_logfile={dir}/cat.out
stderr_logfile={dir}/cat.err

[program:two]
command=/bin/sh -c "while read line; do echo out $line; echo err $line >&2; done"
stdout_logfile={dir}/two.out
stderr_logfile={dir}/two.err

[program:last]
command=/bin/sh -c "read line; echo last $line"
autorestart=false
stdout_logfile={dir}/last.out
stderr_logfile={dir}/last.err

[program:chatty]
command=/usr/bin/python3 -u -c "[print('more') or __import__('time').sleep(0.05) for _ in iter(int, 1)]"
stdout_logfile={dir}/chatty.out

[program:file]
command=/bin/sleep 1000
autostart=false
stdout_logfile={dir}/file.out
"""
WAYS = [("theirs", "ours"), ("ours", "theirs"), ("ours", "ours")]
Pair = tuple[str, str]


class Terminal:
    """A client at a terminal of its own, and all that its screen has shown."""

    def __init__(self, daemon: Daemon, ctl: str, transport: str, words: str) -> None:
        environment, _, command = commands(ctl)
        self._daemon, self._screen, self._what = daemon, b"", f"{ctl} ctl, {words}"
        url = [] if transport == "http" else ["-s", f"unix://{daemon.folder}/s.sock"]
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*command, "-c", f"{daemon.folder}/x.conf", *url, *words.split()], stdin=slave, stdout=slave, stderr=slave,
            env=environment | {"TERM": "dumb"}, cwd=daemon.folder, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    @property
    def screen(self) -> str:
        text = self._screen.decode().replace("\r\n", "\n").replace(f"unix://{self._daemon.folder}/s.sock", "URL")
        return self._daemon.masked(text)

    def until(self, text: str, times: int = 1) -> None:
        """Wait until the screen has shown `text`."""
        end = time.monotonic() + 60
        while self.screen.count(text) < times:
            assert time.monotonic() < end and self._read(), (self._what, text, self.screen)

    def silent(self) -> bool:
        """Whether what is typed is not shown."""
        return not termios.tcgetattr(self._master)[3] & termios.ECHO

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """The exit status, after it has ended by itself."""
        while self._read():
            pass
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        os.close(self._master)

    def _read(self) -> bool:
        """Take what is shown; false at the end."""
        if not select.select([self._master], [], [], 60)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self._screen += data
        return bool(data)


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    started = {whose: Daemon(tmp_path_factory.mktemp(whose), whose, "theirs", CONFIG + CTL_HTTP, PROGRAMS)
               for whose in ("theirs", "ours")}  # fmt: skip
    for daemon in started.values():
        for name in ("cat", "two", "last", "chatty"):
            daemon.until(name, "RUNNING")
    yield started
    for daemon in started.values():
        daemon.end()


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


@pytest.fixture
def open_tail(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    """`open_tail(whose)`: a daemon of that kind for this test alone, whose log `file` has something in it."""
    started: list[Daemon] = []

    def start(whose: str) -> Daemon:
        (tmp_path / whose).mkdir()
        daemon = Daemon(tmp_path / whose, whose, "theirs", CONFIG + CTL_HTTP, PROGRAMS)
        started.append(daemon)
        daemon.until("cat", "RUNNING")
        (daemon.folder / "file.out").write_text("begin\n")
        return daemon

    yield start
    for daemon in started:
        daemon.end()


@pytest.fixture
def open_all(daemons: dict[str, Daemon], terminals: list[Terminal], transport: str):  # type: ignore[no-untyped-def]
    """`open_all(words)`: a terminal for each pair of client and daemon, Supervisor's own first."""

    def open_each(words: str, ways: list[Pair] = WAYS) -> list[Terminal]:
        opened = [Terminal(daemons[daemon], ctl, transport, words) for ctl, daemon in [("theirs", "theirs"), *ways]]
        terminals.extend(opened)
        return opened

    return open_each


pytestmark = pytest.mark.parametrize("transport", ["unix", "http"])


def equal(terminals: list[Terminal], upto: str = "") -> None:
    """All screens are what the first one is."""
    screens = [terminal.screen.partition(upto)[0] if upto else terminal.screen for terminal in terminals]
    for screen in screens[1:]:
        assert screen == screens[0]


def test_tail_f(daemons: dict[str, Daemon], open_all) -> None:  # type: ignore[no-untyped-def]
    files = [daemon.folder / "file.out" for daemon in daemons.values()]
    for file in files:
        file.write_text("earlier\n" * 1000 + "before\n" + "x" * 1000 + "\nbegin\n")
    tails = open_all("tail -f file")
    for text in ("first\n", "second grüße\n"):
        for tail in tails:
            tail.until("begin\n")
        for file in files:
            with file.open("a") as stream:
                stream.write(text)
        for tail in tails:
            tail.until(text)
    for file in files:
        file.rename(f"{file}.1")
        file.write_text("rotated\n")
    for tail in tails:
        tail.until("rotated\n")
    equal(tails)
    assert tails[0].screen.count("earlier\n") == 1
    tails[1].type("\x03")
    tails[2].type("\x03")
    assert (tails[1].end(), tails[2].end()) == (0, 0)
    equal(tails[1:3])


def test_tail_f_of_what_is_truncated(daemons: dict[str, Daemon], open_all) -> None:  # type: ignore[no-untyped-def]
    """Supervisor's server means to say so, but ends."""
    files = [daemon.folder / "file.out" for daemon in daemons.values()]
    for file in files:
        file.write_text("begin\n")
    tails = open_all("tail -f file")
    for tail in tails:
        tail.until("begin\n")
    for file in files:
        file.write_text("")
    for on_theirs in (tails[0], tails[2]):
        assert on_theirs.end() == 0
        assert on_theirs.screen.endswith("\nbegin\n")
    for on_ours in (tails[1], tails[3]):
        on_ours.until("\nbegin\n==> File truncated <==\n")
    files[1].write_text("again\n")
    for on_ours in (tails[1], tails[3]):
        on_ours.until("again\n")


def test_tail_f_ends_with_the_daemon(
    terminals: list[Terminal], transport: str, open_tail: Callable[[str], Daemon],
) -> None:  # fmt: skip
    for whose in ("theirs", "ours"):
        daemon = open_tail(whose)
        for ctl in ("theirs", "ours"):
            terminals.append(Terminal(daemon, ctl, transport, "tail -f file"))
            terminals[-1].until("begin\n")
        daemon.process.send_signal(signal.SIGTERM)
    assert [tail.end() for tail in terminals] == [0, 0, 0, 0]
    equal(terminals)


def test_maintail_f(daemons: dict[str, Daemon], open_all) -> None:  # type: ignore[no-untyped-def]
    tails = open_all("maintail -f")
    for tail in tails:
        tail.until("==> Press Ctrl-C to exit <==\n")
        tail.until("RUNNING state")
        tail.type("\x03")
        assert tail.end() == 0      # Supervisor's takes ^C for an error of the connection now and then, and says so
    for tail in tails[2:]:
        assert tail.screen.endswith("\n^C\n")
    equal(tails, "\n")


def test_fg(daemons: dict[str, Daemon], open_all, transport: str) -> None:  # type: ignore[no-untyped-def]
    for number, one in enumerate(opened := open_all("fg two")):
        one.until("==> Press Ctrl-C to exit <==\n")
        for line in (f"{transport}{number}a", f"{transport}{number}b"):
            one.type(f"{line}\n")
            one.until(f"out {line}\n")
            one.until(f"err {line}\n")
        one.type("\x03")
        one.until("Exiting foreground\n")
        if number >= 2:  # Supervisor's waits for its thread after that
            assert one.end() == 0
    for one in opened:
        assert "\n^CExiting foreground\n" in one.screen


def test_fg_ends_at_the_end_of_the_input(daemons: dict[str, Daemon], open_all) -> None:  # type: ignore[no-untyped-def]
    for number, one in enumerate(opened := open_all("fg cat")):
        one.until("==> Press Ctrl-C to exit <==\n")
        one.type("bye\n")
        one.until("bye\nbye\n")
        one.type("\x04")
        one.until("Exiting foreground\n")
        if number >= 2:
            assert one.end() == 0
    assert all(one.screen.count("Exiting foreground") == 1 for one in opened)


def test_fg_of_what_is_never_silent(open_all) -> None:  # type: ignore[no-untyped-def]
    for one in open_all("fg chatty")[2:]:
        one.until("more\nmore\n")
        one.type("\x04")
        assert one.end() == 0
        assert re.search("\nm?o?r?e?Exiting foreground\n$", one.screen), "a line may be cut by the end"


def test_fg_of_what_ends(daemons: dict[str, Daemon], open_all) -> None:  # type: ignore[no-untyped-def]
    """Supervisor's client notices at the next line; ours by itself."""
    for daemon in daemons.values():
        daemon.ctl("start last")
        daemon.until("last", "RUNNING")
    opened = open_all("fg last", [("ours", "ours")])
    for one in opened:
        one.until("==> Press Ctrl-C to exit <==\n")
        one.type("go\n")
    opened[1].until("last go\n")
    for daemon in daemons.values():
        daemon.until("last", "EXITED")
    opened[0].type("more\n")
    for one in opened:
        one.until("Process got killed\nExiting foreground\n")
    assert opened[1].end() == 0


def test_who_is_there(daemons: dict[str, Daemon], open_all, transport: str) -> None:  # type: ignore[no-untyped-def]
    if transport == "unix":
        shells = open_all("")
    else:
        shells = open_all("-u user -p wrong")
        for shell in shells:
            shell.until("Server requires authentication\nUsername:")
            shell.type("user\n")
            shell.until("Password:")
            while not shell.silent():
                time.sleep(0.01)
            shell.type("secret\n")
    for shell in shells:
        shell.until("supervisor> ")
        shell.type("status cat\n")
        shell.until("supervisor> ", 2)
        shell.type("exit\n")
        assert shell.end() == 0
        assert "secret" not in shell.screen
    equal(shells)
