"""`sdsuper service`: run the daemon as a service of systemd, for an installation that no package has made one for.

Promises: writes a unit file in one step, and only over one that it has written itself for the same; drop-ins beside it
stay; with --program it acts on that program's units, never on the daemon's; a configuration with a mistake is not made
a service. Must not: start programs itself.
"""

import os
import shutil
import subprocess
import sys
from typing import NamedTuple

from sdsuper.cli.options import UsageError, parse
from sdsuper.cli.program_service import VARIABLES, head, installed, unit_name, units
from sdsuper.config.daemon import state_file
from sdsuper.config.load import load, search
from sdsuper.config.model import Model, TargetKind
from sdsuper.config.search import search_paths
from sdsuper.core.policy import stop_seconds
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost
from sdsuper.systemd.program_unit import SANDBOXES, Made
from sdsuper.systemd.unit import HARDENINGS, MARK, Plan, unit, user_unit

FOLDER = "/etc/systemd/system"
USER_FOLDER = "systemd/user"            # below XDG_CONFIG_HOME
PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
BOOTED = "/run/systemd/system"          # is there when systemd is the init system (sd_booted(3))
ACTIONS = ("start", "stop", "restart", "status")
STOP_SECONDS_LEAST, STOP_SECONDS_MORE = 90, 10

_TABLE = {
    "-c": ("configuration", True), "--configuration": ("configuration", True), "--name": ("name", True),
    "--now": ("now", False), "--print": ("print", False), "--dry-run": ("print", False), "--user": ("user", False),
    "--hardening": ("hardening", True), "--program": ("program", True), "--sandbox": ("sandbox", True),
    "-h": ("help", False), "--help": ("help", False),
}  # fmt: skip

_HELP = """\
sdsuper service -- run the daemon as a service of systemd

Usage: sdsuper service install|print [-c FILE] [--name NAME] [--user]
                       [--hardening default|hardened|strict] [--now] [--dry-run]
       sdsuper service install|print --program PROGRAM [-c FILE] [--name NAME]
                       [--sandbox off|standard|strict|offline] [--now] [--dry-run]
       sdsuper service uninstall|start|stop|restart|status [--name NAME] [--user]
       sdsuper service uninstall|start|stop|restart|status --program PROGRAM [--name NAME]

-c/--configuration FILE -- the configuration (searched for as the daemon does if not given)
--name NAME -- the unit is NAME.service (default sdsuper, or PROGRAM)
--user -- a service of the user's own systemd, not of the machine's
--hardening LEVEL -- what the daemon and its programs may not do (docs/install.md)
--program PROGRAM -- a unit that runs this program without the daemon
--sandbox LEVEL -- what that program may not do (default standard)
--now -- start it, too
--dry-run/--print -- print the unit and change nothing, as `print` does
"""


class Place(NamedTuple):
    """Whose systemd it is: where its units lie, and what systemctl is told."""

    folder: str
    words: tuple[str, ...]


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
        if action not in ("install", "print", "uninstall", *ACTIONS):
            raise UsageError(f"no such action: {action}" if action else "an action is missing")
        name = _name(options.get("name", "sdsuper"))
        hardening = options.setdefault("hardening", "default")
        if hardening not in HARDENINGS:
            raise UsageError(f"invalid value for --hardening {hardening!r}: {', '.join(HARDENINGS)} expected")
        if "user" in options and hardening != "default":
            raise UsageError("--hardening is for the machine's systemd; a user's has none of it")
        _check_program(options)
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper service -h\n")
        return 2
    place = _place("user" in options)
    if action == "print":
        options["print"] = ""
    if action in ("install", "print"):
        return _install(name, options, place)
    try:
        names = [name] if "program" not in options else installed(
            name.removesuffix(".service") if "name" in options else options["program"], options["program"],
            place.folder)
    except ValueError as error:
        return _fail(str(error))
    if action == "uninstall":
        return _uninstall(names, place)
    return _systemctl(action, names, place)


def _place(user: bool) -> Place:
    if not user:
        return Place(FOLDER, ())
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Place(os.path.join(home, USER_FOLDER), ("--user",))


def _name(text: str) -> str:
    try:
        return unit_name(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_program(options: dict[str, str]) -> None:
    sandbox = options.setdefault("sandbox", "standard")
    if sandbox not in SANDBOXES:
        raise UsageError(f"invalid value for --sandbox {sandbox!r}: {', '.join(SANDBOXES)} expected")
    if "program" in options and ("user" in options or options["hardening"] != "default"):
        raise UsageError("--user and --hardening are for the daemon's unit, not for one of --program")


def _install(name: str, options: dict[str, str], place: Place) -> int:
    host = RealHost()
    found = options.get("configuration") or search(host, sys.argv[0])
    if found is None:
        return _fail(f"no configuration at the usual places ({', '.join(search_paths(sys.argv[0]))}); "
                     "-c FILE names one, `sdsuper init -o FILE` makes one")
    config = os.path.abspath(found)
    try:
        if "program" not in options:
            host.cwd = os.path.expanduser("~") if "user" in options else "/"    # where systemd starts the daemon
        model = load(config, host)
        if "program" in options:
            wanted = units(model, config, options["program"], options["sandbox"],
                           name.removesuffix(".service") if "name" in options else "", place.folder)
        else:
            wanted = {name: _daemon_unit(model, config, options)}
    except ConfigError as error:
        return _fail(f"{error.refusing}\nno service is made of a configuration with mistakes")
    except ValueError as error:
        return _fail(str(error))
    if "print" in options:
        sys.stdout.write("\n".join(made.text for made in wanted.values()))
        return 0
    resting = {process.program for group in model.groups for process in group.processes if not process.autostart}
    return _put(wanted, config, options, place, options.get("program") not in resting)


def _daemon_unit(model: Model, config: str, options: dict[str, str]) -> Made:
    """The daemon's own. Raises ValueError."""
    command = os.path.abspath(shutil.which(sys.argv[0]) or sys.argv[0])
    daemon = os.path.join(os.path.dirname(command), "sdsuperd")
    if "print" not in options and not os.access(daemon, os.X_OK):
        raise ValueError(f"{daemon} is not there or not executable")
    plan = Plan(command, daemon, config, options["hardening"],
                max(STOP_SECONDS_LEAST, stop_seconds(model.groups) + STOP_SECONDS_MORE), _writable(model),
                _systemd_version())
    if options["hardening"] == "strict":
        _check_strict(model)
    return Made(f"{MARK}\n{user_unit(plan) if 'user' in options else unit(plan)}", "", ())


def _put(wanted: dict[str, Made], config: str, options: dict[str, str], place: Place, enabled: bool) -> int:
    """Write the units and enable them."""
    if "user" in options:
        os.makedirs(place.folder, exist_ok=True)
    wrong = next(filter(None, (_in_the_way(name, made, place) for name, made in wanted.items())), "")
    for name, made in wanted.items() if not wrong else ():
        path = os.path.join(place.folder, name)
        if made.variables:
            wrong = wrong or _write(_variables(path), made.variables, 0o600)
        wrong = wrong or _write(path, made.text)
        if not made.variables:
            wrong = wrong or _remove_variables(path)
    if wrong:
        return _fail(wrong)
    for name, made in wanted.items():
        sys.stdout.write(f"{place.folder}/{name} written, for {config}\n")
        sys.stdout.write("".join(f"    {note}\n" for note in made.notes))
    if not _running():
        sys.stdout.write("systemd does not run here: the service is there from the next boot with systemd on"
                         + (f", once it is enabled (systemctl enable {' '.join(wanted)})\n" if enabled else "\n"))
        return 0
    if "user" in options:
        sys.stdout.write("it ends with your last session, unless `loginctl enable-linger` says otherwise\n")
    if "program" in options and "now" in options:
        sys.stdout.write("the daemon may run the program, too: take it out of the configuration\n")
    status = _call(place, "daemon-reload")
    status = status or _call(place, "enable" if enabled else "disable", *wanted)
    return status or (_call(place, "start", *wanted) if "now" in options else 0)


def _files(model: Model) -> list[str]:
    """The files that the daemon writes, as far as the configuration says it."""
    settings = model.supervisord
    targets = [*settings.logfile]
    for group in model.groups:
        for process in group.processes:
            targets += [*process.stdout.targets, *process.stderr.targets]
    # the usual place is the unit's own StateDirectory=
    usual = settings.state_file == state_file(RealHost(), settings.control_socket)
    kept = [] if usual else [settings.state_file]
    return [settings.pidfile, settings.control_socket, *kept, *(server.file for server in model.servers if server.file),
            *(target.path for target in targets if target.kind is TargetKind.FILE)]


def _writable(model: Model) -> list[str]:
    """The directories that the daemon and its programs write to, as far as the configuration says it."""
    folders = {process.directory for group in model.groups for process in group.processes if process.directory}
    return sorted({model.supervisord.childlogdir, *folders, *map(os.path.dirname, _files(model))} - {"/"})


def _systemd_version() -> int:
    """0 where there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(said[1]) if len(said) > 1 and said[1].isdigit() else 0


def _check_strict(model: Model) -> None:
    """What lies in /, where relative paths lie, cannot be written then. Raises ValueError."""
    lost = [path for path in _files(model) if os.path.dirname(path) == "/"]
    if lost:
        raise ValueError(f"{', '.join(lost)}: --hardening strict keeps / read-only, and under systemd relative paths "
                         "are below it (absolute paths in another directory expected)")


def _uninstall(names: list[str], place: Place) -> int:
    for path in (os.path.join(place.folder, name) for name in names):
        if not os.path.lexists(path):
            return _fail(f"{path} is not there")
        if head(path)[0] != MARK:
            return _fail(f"{path} was not written by `sdsuper service install`; it stays")
    status = _call(place, "disable", "--now", *names) if _running() else 0
    for path in (os.path.join(place.folder, name) for name in names):
        try:
            os.unlink(path)
        except OSError as error:
            return _fail(f"cannot remove {path}: {error.strerror}")
        wrong = _remove_variables(path)
        if wrong:
            return _fail(wrong)
        sys.stdout.write(f"{path} removed\n")
    return (_call(place, "daemon-reload") if _running() else 0) or status


def _systemctl(action: str, names: list[str], place: Place) -> int:
    if not _running():
        return _fail("systemd does not run here")
    return _call(place, action, *["--no-pager"] * (action == "status"), *names)


def _in_the_way(name: str, made: Made, place: Place) -> str:
    """What keeps us from writing the unit; empty: nothing."""
    path = os.path.join(place.folder, name)
    mark, second = head(path)
    if os.path.lexists(path) and mark != MARK:
        return f"{path} is there and was not written by `sdsuper service install`; --name chooses another name"
    owner = made.text.split("\n")[1]
    if os.path.lexists(path) and second != owner:
        whose = second.removeprefix("# ") if second.startswith("# ") else "it runs the daemon."
        return f"{path} is there for something else: {whose} --name chooses another name"
    if made.variables and os.path.lexists(_variables(path)) and head(_variables(path))[0] != MARK:
        return f"{_variables(path)} is there and was not written by `sdsuper service install`"
    for folder in PACKAGED if place.folder == FOLDER else ():
        if os.path.exists(os.path.join(folder, name)):
            return (f"a package has brought {folder}/{name}: `systemctl enable --now {name}` runs it; "
                    "--name chooses another name")
    return ""


def _variables(path: str) -> str:
    return path.removesuffix(".service") + VARIABLES


def _remove_variables(path: str) -> str:
    """Remove the file of variables beside the unit `path`, if it is ours; returns what is wrong, or nothing."""
    file = _variables(path)
    try:
        if head(file)[0] == MARK:
            os.unlink(file)
    except OSError as error:
        return f"cannot remove {file}: {error.strerror}"
    return ""


def _write(path: str, text: str, mode: int = 0o644) -> str:
    """Write it beside, then put it in place; returns what is wrong, or nothing."""
    beside = f"{path}.{os.getpid()}"
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w",
                  encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.rename(beside, path)
    except OSError as error:
        if os.path.exists(beside):
            os.unlink(beside)
        return f"cannot write {path}: {error.strerror}"
    return ""


def _running() -> bool:
    return os.path.isdir(BOOTED)


def _call(place: Place, *words: str) -> int:
    sys.stdout.flush()
    return subprocess.run(["systemctl", *place.words, *words], check=False).returncode


def _fail(text: str) -> int:
    sys.stderr.write(f"Error: {text}\n")
    return 1
