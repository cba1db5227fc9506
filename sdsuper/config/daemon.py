"""The sections that are not programs: [supervisord], the servers, [supervisorctl], plugins.

Promises: one function per record of the model. Must not: read files.
"""

from collections.abc import Mapping
from typing import Any

from sdsuper.config import values
from sdsuper.config.dotenv import Parsed
from sdsuper.config.environment import environment
from sdsuper.config.environment_files import Common, variable_places
from sdsuper.config.expand import Names, environment_names
from sdsuper.config.lookup import Host
from sdsuper.config.model import CtlConfig, Plugin, Problem, Server, Severity, SupervisordConfig, Where
from sdsuper.config.places import COMMON_FILES, Place, places, variable
from sdsuper.config.reading import Reading
from sdsuper.config.settings import ROWS, kind_of, option_hint
from sdsuper.config.source import DEFAULT, Section

_OPEN_TO_ALL = ("stays closed: it can be reached from other machines, and everybody could run programs; set username "
                "and password, or listen on 127.0.0.1, or set allow_insecure=true")
_INSTEAD = {
    "rpcinterface": "XML-RPC has the namespaces supervisor, system and sdsuper, and other methods do not exist",
    "ctlplugin": "supervisorctl has its own commands alone",
}
_MAIN = "supervisor.rpcinterface:make_main_rpcinterface"


def supervisord(reading: Reading, section: Section, overrides: Mapping[str, tuple[str, str]]) -> SupervisordConfig:
    """[supervisord]; `overrides` (key -> text, flag as typed) win over the file. Its environment joins the names."""
    names = Names({"host_node_name": reading.host.node}, reading.names)
    found = reading.values(section, "supervisord", names)
    for key, (text, flag) in overrides.items():
        row = ROWS["supervisord"][key]
        converted = reading.convert(row, text)
        if converted.error is None:
            found[key] = converted.value
        else:
            reading.problems.append(Problem(None, Severity.ERROR, None, flag, converted.error))
        if converted.note:
            reading.problems.append(Problem(None, Severity.WARNING, None, flag, converted.note))
    found["environment"] = _environment(reading, section, found["environment"])
    reading.names.update(environment_names(dict(found["environment"])))
    if (found["syslog_cert"] is None) != (found["syslog_key"] is None):
        reading.error(section, "syslog_cert and syslog_key go together: both or neither")
    if found["childlogdir"] is None:
        found["childlogdir"] = reading.host.tempdir
    if found["api_user"] is None and reading.host.uid == 0:
        found["api_user"] = reading.host.user("sdsuper", None) or reading.host.user("nobody", None)
    if found["control_socket"] is None:
        found["control_socket"] = ""
    if found["state_file"] is None:
        found["state_file"] = ""
    found["environment_file"] = found["environment_file"] or ()
    return SupervisordConfig(later=(), **found)


def _environment(reading: Reading, section: Section, text: str | None) -> tuple[tuple[str, str], ...]:
    place = section.entries.get("environment", section)
    try:
        variables, notes = environment(text or "")
    except ValueError as error:
        reading.error(place, str(error), "environment")
        return ()
    for note in notes:
        reading.warn(place, note, "environment")
    return tuple(sorted(variables.items()))


def common(reading: Reading, config: SupervisordConfig, given: Parsed | None) -> Common:
    """What all programs have: `environment` and `environment_file`, and below them the variables of `given`."""
    section = reading.sections.get("supervisord", missing("supervisord", ""))
    variables: dict[str, str] = {}
    found: dict[str, Place] = {}
    if given is not None:
        variables |= given.variables
        found |= {variable(name): Place(given.file, line, "--env-file") for name, line in given.lines.items()}
    if config.environment:
        variables |= dict(config.environment)
        entry = section.entries.get("environment") or reading.sections[DEFAULT].entries["environment"]
        text = reading.text(entry, Names({"host_node_name": reading.host.node}, reading.names)) or ""
        found |= variable_places(entry, text, [name for name, _value in config.environment], entry.section)
    if "environment_file" in section.entries:
        where = section.entries["environment_file"].where
        found[COMMON_FILES] = Place(where.file, where.line, section.name)
    reading.places["supervisord"] = places(0, found, reading.share)
    return Common(tuple(sorted(variables.items())), config.environment_file)


def control_socket(host: Host, servers: tuple[Server, ...]) -> str:
    """Where the control socket is when the configuration does not say."""
    for server in servers:
        if server.file:
            return f"{server.file}.control"
    if host.uid == 0:
        return "/run/sdsuper/control.sock"
    return f"{host.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{host.uid}'}/sdsuper/control.sock"


def state_file(host: Host, control_socket: str) -> str:
    """Where the daemon of that socket keeps what clients have set, when the configuration does not say."""
    name = control_socket.strip("/").replace("/", "-") + ".state"
    given = host.environ.get("STATE_DIRECTORY", "").partition(":")[0]       # systemd.exec(5)
    if given:
        return f"{given}/{name}"
    if host.uid == 0:
        return f"/var/lib/sdsuper/{name}"
    home = host.environ.get("XDG_STATE_HOME") or f"{host.environ.get('HOME', '')}/.local/state"
    return f"{home}/sdsuper/{name}"


def control_socket_of(reading: Reading, ctl: CtlConfig) -> str:
    """The control socket as a client finds it in the main file alone, by `serverurl` when there is nothing else."""
    section = reading.sections.get("supervisord")
    entry = section.entries.get("control_socket") if section else None
    if entry is not None:
        return str(reading.value(ROWS["supervisord"]["control_socket"], entry, Names({}, reading.names)).value)
    for section in reading.sections.values():
        if kind_of(section.name) == "unix_http_server" and "file" in section.entries:
            entry = section.entries["file"]
            return f"{reading.value(ROWS['unix_http_server']['file'], entry, Names({}, reading.names)).value}.control"
    if ctl.serverurl.startswith("unix://"):
        return f"{ctl.serverurl[7:]}.control"
    return control_socket(reading.host, ())


def servers(reading: Reading) -> tuple[Server, ...]:
    """The HTTP listeners, TCP ones first, as Supervisor opens them."""
    found: list[Server] = []
    for kind in ("inet_http_server", "unix_http_server"):
        for section in reading.sections.values():
            if kind_of(section.name) == kind:
                server = _server(reading, section, kind)
                if server is not None:
                    found.append(server)
    return tuple(found)


def _server(reading: Reading, section: Section, kind: str) -> Server | None:
    found = reading.values(section, kind, Names({}, reading.names))
    required = "port" if kind == "inet_http_server" else "file"
    if found[required] is None:
        if required not in section.entries:
            reading.error(section, "is required", required)
        return None
    username, password = found["username"], found["password"]
    if sum(found[key] is None and key not in section.entries for key in ("username", "password")) == 1:
        reading.error(section, "username and password go together: both or neither")
    elif username == "" or password == "":
        reading.warn(section, "an empty username turns authentication off, and an empty password is none")
    if required == "port":
        host, port = found["port"]
        server = Server(section.name, section.where, None, host, port, 0, (-1, -1), username or None, password,
                        tuple(found["allowed_hosts"] or ()))
        if not (username and password) and not values.is_loopback(host) and not found["allow_insecure"]:
            server = server._replace(closed=_OPEN_TO_ALL)
            reading.close(section.entries["port"], _OPEN_TO_ALL, "port")
        return server
    return Server(section.name, section.where, found["file"], None, None, found["chmod"], found["chown"] or (-1, -1),
                  username or None, password)


def ctl(reading: Reading, section: Section) -> CtlConfig:
    """[supervisorctl]."""
    found: dict[str, Any] = reading.values(section, "supervisorctl", Names({}, reading.names))
    return CtlConfig(**found)


def plugins(reading: Reading) -> tuple[Plugin, ...]:
    """[rpcinterface:x] and [ctlplugin:x]; they get their own keys only, never those of [DEFAULT]."""
    found: list[Plugin] = []
    for section in reading.sections.values():
        kind = kind_of(section.name)
        if kind not in ("rpcinterface", "ctlplugin"):
            continue
        (key, row), = ROWS[kind].items()
        factory: str | None = None
        options: list[tuple[str, str]] = []
        for entry in section.entries.values():
            text = reading.text(entry, Names({}, reading.names))
            if text is not None and entry.key == key:
                converted = reading.convert(row, text)
                factory = converted.value
                if converted.error is not None:
                    reading.error(entry, converted.error)
            elif text is not None:
                options.append((entry.key, text))
        if key not in section.entries:
            reading.error(section, "is required", key)
        if factory is not None:
            found.append(Plugin(section.name, section.where, factory, tuple(options)))
            if (kind, factory) != ("rpcinterface", _MAIN):
                reading.warn(section, f"{factory} is not supported and left out: {_INSTEAD[kind]}")
    return tuple(found)


def missing(name: str, file: str) -> Section:
    """An empty section for one that the file does not have."""
    return Section(name, Where(file, 1), {})


def check_unread(reading: Reading) -> None:
    """Warn about inherited keys that no section can have."""
    defaults = reading.sections.get(DEFAULT)
    for entry in defaults.entries.values() if defaults else ():
        if not any(entry.key in rows for rows in ROWS.values()):
            reading.warn(entry, "no section has such an option")
    programs = reading.sections.get("program-default")
    if programs is not None:
        reading.go = reading.go or programs.where
    for section in reading.sections.values():
        kind = kind_of(section.name)
        if kind in ("program-default", "template"):
            for entry in section.entries.values():
                if entry.key not in ROWS[kind]:
                    reading.warn(entry, f"no such option{option_hint(kind, entry.key)}")
        if "extends" in section.entries and section.name in ("program-default", DEFAULT):
            reading.error(section.entries["extends"], "belongs into a program or a template, not in here")
