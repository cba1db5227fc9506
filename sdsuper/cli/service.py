"""`sdsuper service`: run the daemon as a service of systemd, for an installation that no package has made one for.

Promises: writes one unit file, in one step, and only over one that it has written itself; a configuration with a
mistake is not made a service. Must not: start programs itself.
"""

import os
import shutil
import subprocess
import sys

from sdsuper.cli.options import UsageError, parse
from sdsuper.config.load import load, search
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost
from sdsuper.systemd.unit import MARK, unit

FOLDER = "/etc/systemd/system"
PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
BOOTED = "/run/systemd/system"          # is there when systemd is the init system (sd_booted(3))
ACTIONS = ("start", "stop", "restart", "status")

_TABLE = {
    "-c": ("configuration", True), "--configuration": ("configuration", True), "--name": ("name", True),
    "--now": ("now", False), "--print": ("print", False), "-h": ("help", False), "--help": ("help", False),
}  # fmt: skip

_HELP = """\
sdsuper service -- run the daemon as a service of systemd

Usage: sdsuper service install [-c FILE] [--name NAME] [--now] [--print]
       sdsuper service uninstall|start|stop|restart|status [--name NAME]

-c/--configuration FILE -- the configuration (searched for as the daemon does if not given)
--name NAME -- the unit is NAME.service (default sdsuper)
--now -- start it, too
--print -- print the unit and change nothing
"""


def main(argv: list[str]) -> int:
    """Do one action; returns the exit status: 0, 1 when it could not be done, 2 for a wrong command line."""
    action, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)
    try:
        options, words = parse(rest, _TABLE)
        if "help" in options or action == "help":
            sys.stdout.write(_HELP)
            return 0
        if words:
            raise UsageError("positional arguments are not supported: " + " ".join(words))
        if action not in ("install", "uninstall", *ACTIONS):
            raise UsageError(f"no such action: {action}" if action else "an action is missing")
        name = _unit_name(options.get("name", "sdsuper"))
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper service -h\n")
        return 2
    if action == "install":
        return _install(name, options)
    if action == "uninstall":
        return _uninstall(name)
    return _systemctl(action, name)


def _unit_name(text: str) -> str:
    name = text.removesuffix(".service")
    if not name or len(name) > 200 or not all(letter.isalnum() or letter in "-_.@:" for letter in name) \
            or not name.isascii() or name.startswith("."):
        raise UsageError(f"no name for a unit: {text!r} (letters, digits and -_.@: expected)")
    return f"{name}.service"


def _install(name: str, options: dict[str, str]) -> int:
    host = RealHost()
    found = options.get("configuration") or search(host, sys.argv[0])
    if found is None:
        return _fail(f"no configuration at the usual places ({', '.join(search_paths(sys.argv[0]))}); "
                     "-c FILE names one, `sdsuper init -o FILE` makes one")
    config = os.path.abspath(found)
    try:
        load(config, host)
    except ConfigError as error:
        return _fail(f"{error.refusing}\nno service is made of a configuration with mistakes")
    command = os.path.abspath(shutil.which(sys.argv[0]) or sys.argv[0])
    daemon = os.path.join(os.path.dirname(command), "sdsuperd")
    try:
        text = f"{MARK}\n{unit(command, daemon, config)}"
    except ValueError as error:
        return _fail(str(error))
    if "print" in options:
        sys.stdout.write(text)
        return 0
    if not os.access(daemon, os.X_OK):
        return _fail(f"{daemon} is not there or not executable")
    wrong = _in_the_way(name) or _write(os.path.join(FOLDER, name), text)
    if wrong:
        return _fail(wrong)
    sys.stdout.write(f"{FOLDER}/{name} written, for {config}\n")
    if not _running():
        sys.stdout.write("systemd does not run here: the service is there from the next boot with systemd on, "
                         f"once it is enabled (systemctl enable {name})\n")
        return 0
    return _call("daemon-reload") or _call("enable", *["--now"] * ("now" in options), name)


def _uninstall(name: str) -> int:
    path = os.path.join(FOLDER, name)
    if not os.path.exists(path):
        return _fail(f"{path} is not there")
    if not _is_ours(path):
        return _fail(f"{path} was not written by `sdsuper service install`; it stays")
    status = _call("disable", "--now", name) if _running() else 0
    try:
        os.unlink(path)
    except OSError as error:
        return _fail(f"cannot remove {path}: {error.strerror}")
    sys.stdout.write(f"{path} removed\n")
    return (_call("daemon-reload") if _running() else 0) or status


def _systemctl(action: str, name: str) -> int:
    if not _running():
        return _fail("systemd does not run here")
    return _call(action, *["--no-pager"] * (action == "status"), name)


def _in_the_way(name: str) -> str:
    """What keeps us from writing the unit; empty: nothing."""
    path = os.path.join(FOLDER, name)
    if os.path.lexists(path) and not _is_ours(path):
        return f"{path} is there and was not written by `sdsuper service install`; --name chooses another name"
    for folder in PACKAGED:
        if os.path.exists(os.path.join(folder, name)):
            return (f"a package has brought {folder}/{name}: `systemctl enable --now {name}` runs it; "
                    "--name chooses another name")
    return ""


def _is_ours(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n") == MARK
    except OSError:
        return False


def _write(path: str, text: str) -> str:
    """Write it beside, then put it in place; returns what is wrong, or nothing."""
    beside = f"{path}.{os.getpid()}"
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "w",
                  encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.rename(beside, path)
    except OSError as error:
        if os.path.exists(beside):
            os.unlink(beside)
        return f"cannot write {path}: {error.strerror}"
    return ""


def _running() -> bool:
    return os.path.isdir(BOOTED)


def _call(*words: str) -> int:
    sys.stdout.flush()
    return subprocess.run(["systemctl", *words], check=False).returncode


def _fail(text: str) -> int:
    sys.stderr.write(f"Error: {text}\n")
    return 1
