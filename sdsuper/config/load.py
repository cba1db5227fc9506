"""Files to a Model, or all problems at once.

Promises: the whole of Supervisor's rules of reading: include files, inheritance, merging; every problem has its place.
Must not: touch the system but through the `Host` it is given.
"""

from collections.abc import Mapping

from sdsuper.config import daemon, go
from sdsuper.config.dotenv import Parsed
from sdsuper.config.expand import Names, environment_names
from sdsuper.config.groups import groups
from sdsuper.config.lookup import Host, absolute, normal, parent
from sdsuper.config.model import CtlConfig, Model, Where
from sdsuper.config.reading import Reading
from sdsuper.config.search import search_paths
from sdsuper.config.settings import kind_of, section_hint
from sdsuper.config.source import DEFAULT, Section
from sdsuper.errors import ConfigError

_NO_OVERRIDES: Mapping[str, tuple[str, str]] = {}
_NO_SCALE: Mapping[str, int] = {}


def load(path: str, host: Host, overrides: Mapping[str, tuple[str, str]] = _NO_OVERRIDES,
         given: Parsed | None = None, scale: Mapping[str, int] = _NO_SCALE) -> Model:
    """Read the configuration at `path`.

    `overrides` are values of the command line for keys of [supervisord]: key -> (text, the flag as it was typed).
    `given` is a file of the command line, whose variables are those of all programs where nothing else is said.
    `scale` has numbers of processes, by program, that win over `numprocs`.
    Raises ConfigError with all problems, warnings included, when there is an error among them.
    """
    reading = _read_main(path, host)
    reading.scale = scale
    if given is not None:
        reading.names.update(environment_names(given.variables))
    _read_included(reading, path)
    _check_sections(reading, path)
    config = daemon.supervisord(reading, _section(reading, "supervisord", path), overrides)
    servers = daemon.servers(reading)
    if not config.control_socket:
        config = config._replace(control_socket=daemon.control_socket(host, servers))
    if not config.state_file:
        config = config._replace(state_file=daemon.state_file(host, config.control_socket))
    ctl = daemon.ctl(reading, _section(reading, "supervisorctl", path))
    plugins = daemon.plugins(reading)
    found = groups(reading, daemon.common(reading, config, given))
    daemon.check_unread(reading)
    if reading.go is not None and not reading.ours:
        go.check(reading)
    problems = reading.sorted_problems()
    if reading.broken():
        raise ConfigError(problems)
    return Model(config, servers, ctl, found, plugins, problems, tuple(reading.files), reading.places)


def load_ctl(path: str, host: Host) -> tuple[CtlConfig, str]:
    """What a client needs: [supervisorctl] of the main file, and the path of the control socket.

    As Supervisor's client it reads no included file. Raises ConfigError.
    """
    reading = _read_main(path, host)
    if "supervisorctl" not in reading.sections:
        reading.error(Where(path, 1), ".ini file does not include supervisorctl section")
    ctl = daemon.ctl(reading, _section(reading, "supervisorctl", path))
    socket = daemon.control_socket_of(reading, ctl)
    if reading.broken():
        raise ConfigError(reading.sorted_problems())
    return ctl, socket


def search(host: Host, argv0: str) -> str | None:
    """The first of `search_paths` that exists."""
    return next((path for path in search_paths(argv0) if host.exists(absolute(path, host))), None)


def _read_main(path: str, host: Host) -> Reading:
    reading = Reading(host)
    try:
        reading.read(path)
    except FileNotFoundError:
        reading.error(None, f"could not find config file {path}")
    except OSError as error:
        reading.error(None, f"could not read config file {path}: {error.strerror}")
    except ValueError as error:
        reading.error(None, f"could not read config file {path}: it {error}")
    if not reading.files:
        raise ConfigError(reading.sorted_problems())
    return reading


def _is_empty_drop_in(pattern: str, host: Host) -> bool:
    """Whether a pattern without files is as it should be: a directory for drop-ins (`.d`) that is there and empty."""
    folder = parent(pattern)
    return folder.endswith(".d") and pattern.removeprefix(folder).startswith("/*") and host.is_dir(folder)


def _read_included(reading: Reading, path: str) -> None:
    """The files of [include], in the order of its patterns."""
    section = reading.sections.get("include")
    if section is None:
        return
    found = reading.values(section, "include", Names({"host_node_name": reading.host.node}, reading.names))
    if found["files"] is None:
        if "files" not in section.entries:
            reading.error(section, "is required", "files")
        return
    place = section.entries.get("files", section)
    base = parent(absolute(path, reading.host))
    seen = {absolute(path, reading.host)}
    for pattern in found["files"].split():
        full = pattern if pattern.startswith("/") else f"{base.rstrip('/')}/{pattern}"
        files = reading.host.glob(full)
        if not files and not _is_empty_drop_in(full, reading.host):
            reading.warn(place, f'no file matches "{full}"')
        for file in files:
            if normal(file) in seen:
                reading.warn(place, f"{file} is named twice and read once")
                continue
            seen.add(normal(file))
            try:
                reading.read(file)
            except (FileNotFoundError, IsADirectoryError, ValueError) as error:
                reading.warn(place, f"{file}: not read, it {error if isinstance(error, ValueError) else 'is no file'}")
            except OSError as error:
                # Supervisor leaves such a file out without a word, and with it the programs that should run.
                reading.error(place, f"cannot read {file}: {error.strerror}")
    for entry in section.entries.values():
        if entry.where.file != path:
            reading.warn(entry, "an included file cannot include others, this is ignored")


def _check_sections(reading: Reading, path: str) -> None:
    """Unknown sections, and the one that must be there."""
    kinds = set()
    for section in reading.sections.values():
        kind = kind_of(section.name)
        kinds.add(kind)
        if kind is None and section.name != DEFAULT:
            reading.warn(section, f"no such section{section_hint(section.name)}")
    if "supervisord" not in kinds and not reading.broken():
        if kinds & {"program", "fcgi-program", "eventlistener", "group"}:
            reading.warn(Where(path, 1), ".ini file does not include supervisord section, its defaults are used")
        else:
            reading.error(Where(path, 1), ".ini file does not include supervisord section")


def _section(reading: Reading, name: str, path: str) -> Section:
    return reading.sections.get(name) or daemon.missing(name, path)
