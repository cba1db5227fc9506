"""`sdsuper`: the first word chooses, and little is imported for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper import VERSION
from sdsuper.cli import VERBS
from sdsuper.cli.ctl.commands import ALIASES, COMMANDS, find, split_line
from sdsuper.cli.ctl.help import MORE, TEXTS

from .fake_daemon import FakeDaemon
from .test_ctl_wording import CAT

#: What a client that is used in loops has no time for.
TOO_DEAR = {
    "argparse", "asyncio", "configparser", "dataclasses", "getopt", "inspect", "logging", "pathlib",
    "readline", "shlex", "ssl", "subprocess", "tempfile", "threading", "urllib", "xmlrpc", "http",
    "sdsuper.config.load", "sdsuper.config.model", "sdsuper.engine", "sdsuper.system",
}  # fmt: skip


@pytest.fixture
def configured(daemon: FakeDaemon, tmp_path: Path) -> str:
    path = tmp_path / "x.conf"
    path.write_text(f"[unix_http_server]\nfile={daemon.path}\n[supervisorctl]\nserverurl=unix://{daemon.path}\n")
    return str(path)


def sdsuper(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "sdsuper", *words], capture_output=True, text=True, timeout=60,
                          env=environment)  # fmt: skip


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-v"]])
def test_version(environment: dict[str, str], words: list[str]) -> None:
    done = sdsuper(environment, *words)
    assert (done.stdout, done.stderr, done.returncode) == (f"{VERSION}\n", "", 0)


def test_version_takes_nothing(environment: dict[str, str]) -> None:
    assert sdsuper(environment, "version", "x").returncode == 2


def test_help(environment: dict[str, str]) -> None:
    assert "sdsuper ctl" in sdsuper(environment, "help").stdout
    done = sdsuper(environment, "ctl", "-h")
    assert "Usage: sdsuper ctl [options] [action [arguments]]" in done.stdout
    assert done.returncode == 0


def test_an_unknown_command(environment: dict[str, str]) -> None:
    done = sdsuper(environment, "stauts")
    assert (done.stderr, done.returncode) == ("Error: no such command: stauts\nFor help, use sdsuper help\n", 2)


@pytest.mark.parametrize("words", [["status", "cat"], ["status cat"], ["ctl", "status", "cat"]])
def test_an_action_is_a_command(
    environment: dict[str, str], configured: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "supervisord.conf").write_text(Path(configured).read_text())
    done = subprocess.run([sys.executable, "-m", "sdsuper", *words], capture_output=True, text=True, timeout=60,
                          env=environment, cwd=tmp_path)  # fmt: skip
    assert (done.stdout, done.returncode) == (CAT, 0)


def test_the_tables_fit() -> None:
    assert set(TEXTS) | set(MORE) == set(COMMANDS) and not set(TEXTS) & set(MORE)
    assert (set(COMMANDS) | set(ALIASES)) - VERBS == {"exit", "help", "quit", "version"} and not VERBS - set(
        COMMANDS) - set(ALIASES)
    assert all(find(command) for command in [*COMMANDS, *ALIASES, "EOF"])


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("status", ("status", "")),
        ("tail -f  x", ("tail", "-f  x")),
        ("tail-f x", ("tail", "-f x")),
        ("?", ("help", "")),
        ("?start", ("help", "start")),
        ("start-group x", ("start-group", "x")),
        ("start-groupx", ("start", "-groupx")),
        ("!x", ("", "!x")),
        ("state_1;", ("state_1", ";")),
    ],
)
def test_how_a_line_is_split(line: str, parts: tuple[str, str]) -> None:
    assert split_line(line) == parts


@pytest.mark.parametrize("action", ["status", "version", "pid cat", "start cat"])
def test_what_an_action_imports(environment: dict[str, str], configured: str, action: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
from sdsuper.cli import main
main(["ctl", "-c", {configured!r}, {action!r}])
print("|", *sorted(set(sys.modules) - before))
"""
    plain = {key: value for key, value in environment.items() if not key.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, env=plain)
    loaded = done.stdout.partition("|")[2].split()
    assert "sdsuper.client" in loaded
    assert {name for name in loaded if any(name == dear or name.startswith(dear + ".") for dear in TOO_DEAR)} == set()
