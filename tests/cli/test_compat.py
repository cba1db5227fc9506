"""pidproxy, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = "import sys; from sdsuper.cli.compat import pidproxy; sys.exit(pidproxy())"


def pidproxy(environment: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", CODE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment)  # fmt: skip


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_status_of_the_command(environment: dict[str, str], script: str, code: int) -> None:
    before = time.monotonic()
    proxy = pidproxy(environment, "/nowhere.pid", "/bin/sh", "-c", script)
    proxy.communicate(timeout=30)
    assert proxy.returncode == code
    assert time.monotonic() - before < 4


@pytest.mark.parametrize("words", [[], ["x.pid"]])
def test_usage(environment: dict[str, str], words: list[str]) -> None:
    proxy = pidproxy(environment, *words)
    output, _ = proxy.communicate(timeout=30)
    assert "Usage: " in output
    assert proxy.returncode == 1


def test_a_command_that_is_not_there(environment: dict[str, str]) -> None:
    proxy = pidproxy(environment, "x.pid", "/does/not/exist")
    assert proxy.communicate(timeout=30)[1] == "/does/not/exist: No such file or directory\n"
    assert proxy.returncode == 127


def test_signals_go_to_the_pid_in_the_file(environment: dict[str, str], tmp_path: Path) -> None:
    pidfile, ready, heard = tmp_path / "pid", tmp_path / "ready", tmp_path / "heard"
    script = f"trap 'touch {heard}' USR1; trap 'exit 5' TERM; touch {ready}; while :; do sleep 0.05; done"
    proxy = pidproxy(environment, str(pidfile), "/bin/sh", "-c", script)
    wait_for(ready)
    proxy.send_signal(signal.SIGUSR2)  # no pidfile yet: said, and nothing else
    assert proxy.stdout is not None
    assert proxy.stdout.readline() == f"Can't read child pidfile {pidfile}!\n"
    children = Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()
    pidfile.write_text(f"{children[0]}\n")
    proxy.send_signal(signal.SIGUSR1)
    wait_for(heard)
    proxy.send_signal(signal.SIGTERM)
    proxy.communicate(timeout=30)
    assert proxy.returncode == 5
    assert not os.path.exists(f"/proc/{children[0]}")
