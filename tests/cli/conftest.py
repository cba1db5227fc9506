"""The fake daemon and a ctl to talk to it, each in its own process as a user has it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .fake_daemon import FakeDaemon, process

Ctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A daemon with a plain program, a stopped one, and a group of two."""
    logs = tmp_path / "logs"
    logs.mkdir()
    fake = FakeDaemon(tmp_path / "c.sock", logs)
    fake.processes = [
        process("cat", "cat", pid=41), process("off", "off", "STOPPED"),
        process("web", "web_00", pid=42), process("web", "web_01", "FATAL", spawnerr="spawn error"),
    ]  # fmt: skip
    yield fake
    fake.close()


@pytest.fixture
def environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}


@pytest.fixture
def ctl(daemon: FakeDaemon, tmp_path: Path, environment: dict[str, str]) -> Ctl:
    """`ctl("status", "x", stdin="…")`: `sdsuper ctl -s unix://… status x`, to its end."""

    def run(*words: str, stdin: str = "", url: str = f"unix://{daemon.path}") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sdsuper", "ctl", "-s", url, *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path
        )

    return run
