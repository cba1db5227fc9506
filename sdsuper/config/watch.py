"""Options about files whose change restarts a program: their values, the record, and what makes no sense together.

Promises: without any of these options the record is `Watch()`, and nothing is watched. Must not: look at files.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sdsuper.config.model import Watch
from sdsuper.config.values import refused, split_command

_MOST_SECONDS = 3600
#: To say that something is wrong with an option.
_Say = Callable[[str, str], None]
_OF_BINARY = ("restart_cmd_when_binary_changed", "restart_signal_when_binary_changed")
_OF_FILES = ("restart_file_pattern", "restart_file_exclude", "restart_cmd_when_file_changed",
             "restart_signal_when_file_changed")

#: What editors, version control and Python leave in a tree and nobody deploys.
USUALLY_LEFT_OUT = ".git,.hg,.svn,__pycache__,*.pyc,*.pid,*~,.*.sw?,.*.swpx,4913,.#*,#*#,.goutputstream-*,*.kate-swp"

#: Interpreters: how their files are called (without a version at the end), and which options take the next word.
_TAKE = {"python": ("-W", "-X", "--check-hash-based-pycs"), "pypy": ("-W", "-X"), "perl": ("-I", "-M"),
         "ruby": ("-I", "-r"), "php": ("-d", "-c", "-z"), "node": ("-r", "--require", "--import", "--loader"),
         "sh": ("-o", "+o"), "bash": ("-o", "+o", "-O"), "dash": ("-o", "+o"), "zsh": ("-o", "+o"),
         "ksh": ("-o", "+o"), "lua": ("-l",), "Rscript": (), "tclsh": (),
         "java": ("-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules")}
#: With one of these there is no script.
_NONE = {"python": ("-c",), "pypy": ("-c",), "perl": ("-e", "-E"), "ruby": ("-e",), "php": ("-r", "-S"),
         "node": ("-e", "--eval", "-p", "--print"), "sh": ("-c", "-s"), "bash": ("-c", "-s"), "dash": ("-c", "-s"),
         "zsh": ("-c", "-s"), "ksh": ("-c", "-s"), "lua": ("-e",), "Rscript": ("-e",)}
_WRAPPERS = ("env", "nohup", "setsid", "exec")
_ASSIGNMENT = re.compile("[A-Za-z_][A-Za-z0-9_]*=")


# ---- values -------------------------------------------------------------------------------------------------------

def delay(text: str) -> float:
    """Seconds with up to three decimals, an hour at most."""
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text.strip()) and float(text) <= _MOST_SECONDS:
        return float(text)
    raise refused(text, "seconds", f"number from 0 to {_MOST_SECONDS}, such as 1.5")


def listed(text: str) -> tuple[str, ...]:
    """Words with commas between."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def directories(text: str) -> tuple[str, ...]:
    """Directories with commas between."""
    found = listed(text)
    if not found:
        raise refused(text, "directories", "paths with commas between")
    return found


# ---- the record ---------------------------------------------------------------------------------------------------

def watch(found: dict[str, Any]) -> Watch:
    """The record of a section's values."""
    binary, trees = found["restart_when_binary_changed"], found["restart_directory_monitor"] or ()
    if not binary and not trees:
        return Watch()
    return Watch(
        binary, found["restart_cmd_when_binary_changed"] or "", found["restart_signal_when_binary_changed"] or (),
        trees, found["restart_file_pattern"] or ("*",), found["restart_file_exclude"],
        found["restart_cmd_when_file_changed"] or "", found["restart_signal_when_file_changed"] or (),
        found["restart_delay"])


def check(found: dict[str, Any], given: Collection[str], _error: _Say, warn: _Say) -> None:
    """Say which options change nothing. `given` are the names of those written."""
    binary, trees = found["restart_when_binary_changed"], found["restart_directory_monitor"]
    for names, needed, there in ((_OF_BINARY, "restart_when_binary_changed", binary),
                                 (_OF_FILES, "restart_directory_monitor", trees)):
        for name in names:
            if name in given and not there and found[name] not in (("*",), listed(USUALLY_LEFT_OUT)):
                warn(name, f"has no effect without {needed}")
    if "restart_delay" in given and found["restart_delay"] != 1 and not binary and not trees:
        warn("restart_delay", "has no effect without restart_when_binary_changed or restart_directory_monitor")
    for kind in ("binary", "file"):
        command, number = f"restart_cmd_when_{kind}_changed", f"restart_signal_when_{kind}_changed"
        if found[command] and found[number]:
            warn(number, f"has no effect, for {command} comes first")
        if found[command]:
            try:
                split_command(found[command])
            except ValueError as error:
                warn(command, f"cannot be split into words: {error}")


# ---- the script of an interpreter ---------------------------------------------------------------------------------

def script(argv: Sequence[str]) -> tuple[int, str, str] | None:
    """Where a command's words name the script of an interpreter.

    Returns (index of the interpreter's word, the script's path, its module for `python -m`), one of the two empty; both
    are empty for a wrapper around a program of its own; None where the first word is the program itself.
    """
    first = 0
    while first < len(argv) and argv[first].rpartition("/")[2] in _WRAPPERS:
        wrapper = argv[first].rpartition("/")[2]
        first += 1
        while first < len(argv) and (argv[first].startswith("-") or (
                wrapper == "env" and _ASSIGNMENT.match(argv[first]))):
            first += 2 if wrapper == "env" and argv[first] in ("-u", "--unset", "-C", "--chdir") else 1
    if first >= len(argv):
        return None
    kind = _interpreter(argv[first])
    if kind is None:
        return (first, "", "") if first else None
    path, module = _named(kind, argv[first + 1:])
    return first, path, module


def _interpreter(word: str) -> str | None:
    name = word.rpartition("/")[2]
    if name in _TAKE:
        return name
    plain = re.sub(r"[-0-9.]+$", "", name)
    return {"nodejs": "node"}.get(plain, plain if plain in _TAKE else None)


def _named(kind: str, words: Sequence[str]) -> tuple[str, str]:
    """Script and module, both empty where there is neither."""
    at = 0
    while at < len(words):
        word = words[at]
        if kind == "java" and word == "-jar":
            return (words[at + 1] if at + 1 < len(words) else ""), ""
        if kind in ("python", "pypy") and word == "-m":
            return "", words[at + 1] if at + 1 < len(words) else ""
        if word in _NONE.get(kind, ()):
            return "", ""
        if word == "--":
            return (words[at + 1] if at + 1 < len(words) else ""), ""
        if not word.startswith(("-", "+")):
            return ("" if kind == "java" else word), ""     # java takes a class there
        at += 2 if word in _TAKE[kind] else 1
    return "", ""
