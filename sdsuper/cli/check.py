"""`sdsuper check [-c FILE] [--env-file FILE]`: read a configuration as the daemon would, and say all that is wrong
with it.

Promises: starts nothing, touches nothing; problems gcc-style on stderr, exit status 2 when the daemon would refuse the
file, 0 otherwise. Must not: know what an option means.
"""

import sys

from sdsuper.cli.given import given_variables
from sdsuper.cli.options import UsageError, parse
from sdsuper.cli.unit import examine, looks_like_unit
from sdsuper.config.load import load, search
from sdsuper.config.lookup import absolute
from sdsuper.config.model import Model, Severity
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost

_TABLE = {"-c": ("configuration", True), "--configuration": ("configuration", True), "-h": ("help", False),
          "--help": ("help", False), "--env-file": ("env_file", True)}

_HELP = """\
sdsuper check -- read a configuration and say what is wrong with it

Usage: sdsuper check [-c FILE] [--env-file FILE]

-c/--configuration FILE -- the configuration (searched for as the daemon does if not given)
--env-file FILE -- variables that the daemon is given with its option of this name
"""


def main(argv: list[str]) -> int:
    """Check one configuration; returns the exit status."""
    try:
        options, words = parse(argv, _TABLE)
        if words:
            raise UsageError("positional arguments are not supported: " + " ".join(words))
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper check -h\n")
        return 2
    if "help" in options:
        sys.stdout.write(_HELP)
        return 0
    host = RealHost()
    path = options.get("configuration") or search(host, sys.argv[0])
    if path is None:
        sys.stderr.write(f"Error: No config file found at default paths ({', '.join(search_paths(sys.argv[0]))}); "
                         "use the -c option to specify a config file at a different path\n")
        return 2
    return _check(path, host, options.get("env_file"))


def _check(path: str, host: RealHost, env_file: str | None) -> int:
    unit = _unit_text(path, host)
    if unit is not None:
        sys.stderr.writelines(f"{problem}\n" for problem in examine(unit, path))
        return 2
    try:
        given = None if env_file is None else given_variables(absolute(env_file, host), host.environ)
        if given is not None:
            host.environ = {**host.environ, **given.variables}
        model = load(path, host, given=given)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.writelines(f"{problem}\n" for problem in model.warnings)
    if any(problem.severity is Severity.ERROR for problem in model.warnings):
        return 2
    sys.stdout.write(f"{path}: ok, {_summary(model)}\n")
    return 0


def _unit_text(path: str, host: RealHost) -> str | None:
    """The text of a systemd unit that was given by mistake."""
    try:
        text = host.read(absolute(path, host)).data.decode(errors="replace")
    except (OSError, ValueError):
        return None
    return text if looks_like_unit(text) else None


def _summary(model: Model) -> str:
    parts = [_some(len(model.groups), "group", "groups"),
             _some(sum(len(group.processes) for group in model.groups), "process", "processes")]
    if model.warnings:
        parts.append(_some(len(model.warnings), "warning", "warnings"))
    return ", ".join(parts)


def _some(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
