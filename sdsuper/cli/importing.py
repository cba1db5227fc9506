"""`sdsuper import systemd UNIT`: print a [program:x] section that does what a systemd service does.

Promises: changes nothing; says in comments what the section cannot do; prints nothing that `sdsuper check` would refuse
on this machine. Must not: ask systemd for more than the text.
"""

import os
import subprocess
import sys

from sdsuper.cli.options import UsageError, parse_anywhere
from sdsuper.cli.program_service import VARIABLES
from sdsuper.config.load import load
from sdsuper.config.lookup import File
from sdsuper.config.model import Severity
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost
from sdsuper.systemd.from_unit import NoProgram, section
from sdsuper.systemd.unit import MARK

_TABLE = {"--name": ("name", True), "-h": ("help", False), "--help": ("help", False)}
_MOST_BYTES = 1 << 20

_HELP = """\
sdsuper import -- print a program's section for a service of systemd

Usage: sdsuper import systemd UNIT|FILE [--name NAME]

UNIT -- a service of this machine, with its drop-ins, as `systemctl cat` shows it
FILE -- a unit file, a name with a slash
--name NAME -- of the program (default: that of the unit)
"""


def main(argv: list[str]) -> int:
    """Print the section; returns the exit status: 0, 1 for a unit that cannot be a program, 2 for a wrong command
    line.
    """
    try:
        options, words = parse_anywhere(argv, _TABLE)
        if "help" in options:
            sys.stdout.write(_HELP)
            return 0
        if len(words) != 2 or words[0] != "systemd":
            raise UsageError("`systemd` and one unit expected")
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper import -h\n")
        return 2
    unit = words[1]
    name = options.get("name") or os.path.basename(unit).removesuffix(".service")
    try:
        text = _file(unit) if "/" in unit else _known(unit)
        made = section(text, name, _variables)
        _check(made)
        sys.stdout.write(made)
    except OSError as error:
        return _fail(f"{unit}: {error.strerror}")
    except UnicodeDecodeError:
        return _fail(f"{unit}: not a text in UTF-8")
    except NoProgram as error:
        return _fail(f"{unit}: {error}")
    return 0


def _file(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(_MOST_BYTES)


def _known(unit: str) -> str:
    """What systemd knows under that name. Raises NoProgram."""
    name = unit if "." in unit else f"{unit}.service"
    try:
        done = subprocess.run(["systemctl", "cat", "--no-pager", "--", name], capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        raise NoProgram("systemctl is not there; name the unit's file instead") from None
    if done.returncode:
        raise NoProgram(done.stderr.strip() or "systemctl cat shows nothing")
    return done.stdout


class _Host(RealHost):
    """This machine for a daemon that is root, as who runs units is, with one text for a configuration."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.uid = 0
        self.text = text

    def read(self, path: str) -> File:
        """The text, whatever the path."""
        return File(self.text.encode(), None)


def _check(made: str) -> None:
    """Read the section as the daemon would. Raises NoProgram with what it would refuse."""
    try:
        load("/section", _Host(f"[supervisord]\n{made}"))
    except ConfigError as error:
        problems = [problem._replace(where=None) for problem in error.problems if problem.severity is Severity.ERROR]
        raise NoProgram("the section would be refused:" + "".join(f"\n    {each}" for each in problems)) from None


def _variables(path: str) -> str | None:
    """The text of a file that `sdsuper service install` has written, if it can be read."""
    if not path.endswith(VARIABLES):
        return None
    try:
        text = _file(path)
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.startswith(f"{MARK}\n") else None


def _fail(text: str) -> int:
    sys.stderr.write(f"Error: {text}\n")
    return 1
