"""`sdsuper import systemd UNIT`: print a [program:x] section that does what a systemd service does.

Promises: changes nothing; says in comments what the section cannot do. Must not: ask systemd for more than the text.
"""

import os
import subprocess
import sys

from sdsuper.cli.options import UsageError, parse
from sdsuper.systemd.from_unit import NoProgram, section

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
        options, words = parsed(argv)
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
        sys.stdout.write(section(text, name))
    except OSError as error:
        return _fail(f"{unit}: {error.strerror}")
    except UnicodeDecodeError:
        return _fail(f"{unit}: not a text in UTF-8")
    except NoProgram as error:
        return _fail(f"{unit}: {error}")
    return 0


def parsed(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options may stand anywhere. Raises UsageError."""
    options, rest = parse(argv, _TABLE)
    words = []
    while rest:
        words.append(rest[0])
        more, rest = parse(rest[1:], _TABLE)
        options |= more
    return options, words


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


def _fail(text: str) -> int:
    sys.stderr.write(f"Error: {text}\n")
    return 1
