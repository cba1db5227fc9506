"""tail, maintail, logtail, logs and fg, on real files and through real descriptors."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .fake_daemon import FakeDaemon

Ctl = Callable[..., subprocess.CompletedProcess[str]]


class Running:
    """A ctl that goes on; `until` waits for a text in what it printed."""

    def __init__(self, url: str, environment: dict[str, str], *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdsuper", "ctl", "-s", url, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0,
        )  # fmt: skip
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.output += data

    def until(self, text: str) -> None:
        end = time.monotonic() + 30
        while text.encode() not in self.output:
            assert time.monotonic() < end, (text, self.output)
            time.sleep(0.01)

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def end(self, number: int = 0) -> tuple[str, int]:
        if number:
            self.process.send_signal(number)
        elif self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        code = self.process.wait(30)
        self._reader.join(30)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return self.output.decode(), code


Follow = Callable[..., Running]


@pytest.fixture
def follow(daemon: FakeDaemon, environment: dict[str, str]) -> Iterator[Follow]:
    started: list[Running] = []

    def run(*words: str) -> Running:
        started.append(Running(f"unix://{daemon.path}", environment, *words))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.end()


@pytest.mark.parametrize(
    ("line", "stdout"),
    [
        ("tail cat", "x" * 1595 + "tail\n\n"),
        ("tail -3 cat", "il\n\n"),
        ("tail -0 cat", "head\n" + "x" * 3000 + "tail\n\n"),
        ("tail -99999 cat", "head\n" + "x" * 3000 + "tail\n\n"),
        ("tail -100000 cat STDOUT", "head\n" + "x" * 3000 + "tail\n\n"),
        ("tail --3000 cat", "xxxxxtail\n\n"),
        ("tail cat stderr", "bad\n\n"),
        ("logtail cat", "x" * 1595 + "tail\n\n"),
        ("logtail -t stderr cat", "bad\n\n"),
        ("maintail", "main\n\n"),
        ("maintail -2", "n\n\n"),
    ],
)
def test_tail(ctl: Ctl, daemon: FakeDaemon, line: str, stdout: str) -> None:
    daemon.log("cat").write_text("head\n" + "x" * 3000 + "tail\n")
    daemon.log("cat", "stderr").write_text("bad\n")
    daemon.log("main").write_text("main\n")
    done = ctl(*line.split())
    assert (done.stdout, done.returncode) == (stdout, 0)


def test_bytes_that_are_no_text(daemon: FakeDaemon, environment: dict[str, str]) -> None:
    daemon.log("cat").write_bytes(b"\x1b[31m\xff\x00end")
    command = [sys.executable, "-m", "sdsuper", "tail", "cat"]
    command[3:3] = ["ctl", "-s", f"unix://{daemon.path}"]
    assert subprocess.run(command, capture_output=True, timeout=60, env=environment).stdout == b"\x1b[31m\xff\x00end\n"


def test_tail_f_follows_rotation_and_truncation(daemon: FakeDaemon, follow: Follow) -> None:
    log = daemon.log("cat")
    log.write_text("a" * 5000 + "before\n")
    tail = follow("tail", "-f", "cat")
    tail.until("before\n")
    with log.open("a") as file:
        file.write("more\n")
        file.flush()
        tail.until("more\n")
        log.rename(log.with_suffix(".1"))
        file.write("last of the old\n")
        file.flush()
        tail.until("last of the old\n")
    log.write_text("first of the new\n")
    tail.until("first of the new\n")
    with log.open("r+") as file:
        file.truncate(0)
        tail.until("==> File truncated <==\n")
        file.write("again\n")
        file.flush()
        tail.until("again\n")
    output, code = tail.end(signal.SIGINT)
    assert output == (
        "==> Press Ctrl-C to exit <==\n" + "a" * (1024 - 7) + "before\nmore\nlast of the old\nfirst of the new\n"
        "==> File truncated <==\nagain\n\n"
    )  # fmt: skip
    assert code == 0


def test_maintail_f(daemon: FakeDaemon, follow: Follow) -> None:
    daemon.log("main").write_text("started\n")
    tail = follow("maintail", "-f")
    tail.until("started\n")
    assert tail.end(signal.SIGINT) == ("==> Press Ctrl-C to exit <==\nstarted\n\n", 0)


def test_tail_f_ends_with_the_daemon(daemon: FakeDaemon, follow: Follow) -> None:
    daemon.log("cat").write_text("x\n")
    tail = follow("tail", "-f", "cat")
    tail.until("x\n")
    daemon.close()
    assert tail.end() == ("==> Press Ctrl-C to exit <==\nx\n", 0)


def test_fg_shows_what_its_lines_bring(daemon: FakeDaemon, follow: Follow) -> None:
    daemon.log("cat").write_text("ready\n")
    daemon.log("cat", "stderr").write_text("warning\n")
    fg = follow("fg", "cat")
    fg.until("warning\n")
    fg.type("one\ntwo\n")
    fg.until("<two>\n")
    fg.type("no newline")
    output, code = fg.end()
    assert daemon.stdin == ["one\n", "two\n", "no newline\n"]
    assert re.fullmatch(
        "==> Press Ctrl-C to exit <==\nready\nwarning\n<one>\n<two>\n<no newline>\nExiting foreground\n", output
    )
    assert code == 0


def test_fg_of_one_line_from_a_pipe(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.log("cat").write_text("")
    done = ctl("fg", "cat", stdin="hello\n")
    assert done.stdout == "==> Press Ctrl-C to exit <==\n<hello>\nExiting foreground\n"
    assert done.returncode == 0


def test_fg_ends_when_the_process_is_gone(daemon: FakeDaemon, follow: Follow) -> None:
    fg = follow("fg", "cat")
    fg.until("<==\n")
    daemon.processes[0] |= {"state": "EXITED", "statecode": 100, "pid": 0}
    fg.process.wait(30)
    assert fg.end() == ("==> Press Ctrl-C to exit <==\nProcess got killed\nExiting foreground\n", 0)


def test_fg_ends_when_another_run_has_begun(daemon: FakeDaemon, follow: Follow) -> None:
    fg = follow("fg", "cat")
    fg.until("<==\n")
    daemon.processes[0] |= {"run": 2}
    fg.process.wait(30)
    assert fg.end()[0].endswith("Process got killed\nExiting foreground\n")


def test_fg_ends_at_ctrl_c(daemon: FakeDaemon, follow: Follow) -> None:
    fg = follow("fg", "cat")
    fg.until("<==\n")
    assert fg.end(signal.SIGINT) == ("==> Press Ctrl-C to exit <==\nExiting foreground\n", 0)


def test_a_reader_that_has_seen_enough(daemon: FakeDaemon, environment: dict[str, str], tmp_path: Path) -> None:
    daemon.log("cat").write_text("line\n" * 200000)
    command = f"{sys.executable} -m sdsuper ctl -s unix://{daemon.path} tail -0 cat | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("line\n", "")


# --- logs


@pytest.mark.parametrize(
    ("line", "stdout"),
    [
        ("logs cat", "".join(f"line {number}\n" for number in range(100, 200))),
        ("logs -n 2 cat", "line 198\nline 199\n"),
        ("logs cat -n2", "line 198\nline 199\n"),
        ("logs --lines=2 cat stdout", "line 198\nline 199\n"),
        ("logs -n 0 cat", ""),
        ("logs -n 1 cat STDERR", "bad, no end"),
        ("logs -n 2 cat stderr", "x" * 200_000 + "\nbad, no end"),
        ("logs -n 3 cat stderr", "first\n" + "x" * 200_000 + "\nbad, no end"),
        ("logs -n 9 cat stderr", "first\n" + "x" * 200_000 + "\nbad, no end"),
    ],
)
def test_logs_of_a_file(ctl: Ctl, daemon: FakeDaemon, line: str, stdout: str) -> None:
    daemon.log("cat").write_text("".join(f"line {number}\n" for number in range(200)))
    daemon.log("cat", "stderr").write_text("first\n" + "x" * 200_000 + "\nbad, no end")
    done = ctl(*line.split())
    assert (done.stdout, done.returncode) == (stdout, 0)


@pytest.mark.parametrize(
    ("line", "stdout"),
    [
        ("logs", "Error: too few arguments\n"),
        ("logs cat stdout more", "stdout: ERROR (no such process)\nmore: ERROR (no such process)\n"),
        ("logs cat stdin", "stdin: ERROR (no such process)\n"),
        ("logs -n -3 cat", "Error: cannot read '-3' as a number\n"),
        ("logs -x cat", "Error: option -x not recognized\n"),
        ("logs -o xml cat", "Error: cannot read 'xml' as a format (short, cat or json expected)\n"),
        ("logs --since soon cat", "Error: cannot read 'soon' as a time (10m, 2h, 2026-11-21T10:00 or @1795251600 "
         "expected)\n"),
        ("logs nope", "nope: ERROR (no such process)\n"),
        ("logs cat", "cat: ERROR (no log file)\n"),
        ("logs --run 2 cat", "Error: cat has a log file: --since, --run and -o are for the journal\n"),
        ("logs --since 10m cat", "Error: cat has a log file: --since, --run and -o are for the journal\n"),
        ("logs -o cat *", "Error: these have log files: --since, --run and -o are for the journal\n"),
    ],
)
def test_logs_that_cannot_be_shown(ctl: Ctl, daemon: FakeDaemon, line: str, stdout: str) -> None:
    done = ctl(*line.split())
    assert done.stdout.startswith(stdout) and done.returncode == 1 and not done.stderr


def test_logs_f(daemon: FakeDaemon, follow: Follow) -> None:
    daemon.log("cat").write_text("one\ntwo\n")
    running = follow("logs", "-f", "-n", "1", "cat")
    running.until("two\n")
    with daemon.log("cat").open("a") as file:
        file.write("three\n")
    running.until("three\n")
    assert running.end(signal.SIGINT) == ("two\nthree\n\n", 0)
