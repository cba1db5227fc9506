"""[program:x], [eventlistener:x] and [fcgi-program:x] to the processes they describe.

Promises: Supervisor's meaning of each option and its errors; options are converted once per section unless they use a
process's own names; equal parts are shared between records. Must not: read files, know groups.
"""

from typing import Any

from sdsuper.config import health_values as checking
from sdsuper.config import lifecycle_values as lifecycle
from sdsuper.config import schedule_values as schedules
from sdsuper.config import values
from sdsuper.config import watch as watching
from sdsuper.config.environment import environment
from sdsuper.config.environment_files import Common, environment_files, variable_places
from sdsuper.config.expand import Names, environment_names
from sdsuper.config.logs import check_log, form, syslog
from sdsuper.config.model import FcgiSocket, LogConfig, LogTarget, ProcessConfig, TargetKind
from sdsuper.config.places import Place, places
from sdsuper.config.reading import Reading
from sdsuper.config.restart import check, restart
from sdsuper.config.row import Row, Scope
from sdsuper.config.rows_sandbox import SANDBOX_OPTIONS
from sdsuper.config.sandbox import Sandbox, sandbox
from sdsuper.config.source import Entry, Section

#: More copies of one program are a slip of the finger.
_MOST_PROCESSES = 100_000

_AUTO = (LogTarget(TargetKind.AUTO),)
_SYSLOG = LogTarget(TargetKind.SYSLOG)
_UNCAPTURED = LogConfig((), 0, 0, 0, False)
_USUAL = LogConfig((), 50 << 20, 10, 0, False)[1:]


class Recipe:
    """A section under way: what is known for all its processes, and what each must expand for itself."""

    def __init__(self, reading: Reading, section: Section, kind: str, group: str, common: Common) -> None:
        self.reading = reading
        self.section = section
        self.kind = kind
        self.common = common
        self.program = section.name.partition(":")[2].strip()
        self.names = Names({"program_name": self.program, "group_name": group, "host_node_name": reading.host.node},
                           reading.names)
        self.each: list[tuple[Row, Entry]] = []
        self.rlimits: list[tuple[str, int, int]] = []
        self.limits: list[tuple[str, str]] = []
        self.entries: dict[str, Entry] = {}
        self.environment = reading.layers(section, kind, "environment")
        self.places: dict[str, Place] = {}
        self.placed = False             # whether the variables of `environment` are in `places`
        self.values: dict[str, Any] = dict(reading.defaults(kind))
        self.broken = False
        for row, entry in reading.entries(section, kind):
            self.entries[row.name] = entry
            self.places[row.name] = Place(entry.where.file, entry.where.line, self.beside(entry))
            if (row.scope is Scope.PROCESS and "%" in entry.value) or row.name in ("environment", "process_name"):
                self.each.append((row, entry))
            else:
                self.take(row, entry, self.names, self.values)

    def take(self, row: Row, entry: Entry, names: Names, into: dict[str, Any]) -> None:
        """Convert one option to where it belongs."""
        found = self.reading.value(row, entry, names)
        if found.error is not None:
            self.broken = True
        elif row.field == "rlimits":
            self.rlimits.append((row.name[7:], *found.value))
        elif row.field == "limits":
            self.limits.append((row.name.replace("_", "."), found.value))
        else:
            into[row.name] = found.value

    def beside(self, entry: Entry) -> str:
        """The section of an option that is not written in the program's own."""
        return "" if entry.section == self.section.name else entry.section

    def error(self, option: str, message: str) -> None:
        self.broken = True
        self.reading.error(self.entries.get(option, self.section), message, option)

    def warn(self, option: str, message: str) -> None:
        self.reading.warn(self.entries.get(option, self.section), message, option)


def processes(reading: Reading, section: Section, kind: str, group: str, common: Common
              ) -> tuple[dict[str, Any], list[ProcessConfig]]:
    """The section's values and its processes; none when it has an error."""
    recipe = Recipe(reading, section, kind, group, common)
    _scale(recipe)
    _check(recipe)
    count = recipe.values["numprocs"]
    first = recipe.values["numprocs_start"]
    made: list[ProcessConfig] = []
    # With an error one process is enough to find the rest of them.
    for number in range(first, first + (min(count, 1) if recipe.broken else count)):
        process = _process(recipe, number, count)
        if process is not None:
            made.append(process)
    reading.places[f"{kind}:{recipe.program}"] = places(section.where.line, recipe.places, reading.share)
    return recipe.values, [] if recipe.broken else made


def _scale(recipe: Recipe) -> None:
    """Take the number of processes that a client has set."""
    count, template = recipe.reading.scale.get(recipe.program), recipe.entries.get("process_name")
    if count is None or recipe.broken:
        return
    if count > 1 and (template is None or "%(process_num)" not in template.value):
        recipe.warn("process_name", f"must have %(process_num) in it for the {count} processes that the program was "
                                    "scaled to: numprocs holds")
        return
    recipe.values["numprocs"] = count


def _check(recipe: Recipe) -> None:
    """What must fit together in a section."""
    found = recipe.values
    try:
        values.name(recipe.program)
    except ValueError as error:
        recipe.broken = True
        recipe.reading.error(recipe.section, str(error))
    if not recipe.program:
        recipe.reading.warn(recipe.section, "the name is empty")
    if "command" not in recipe.entries:
        recipe.broken = True
        recipe.reading.error(recipe.section, "is required", "command")
    if found["numprocs"] > _MOST_PROCESSES:
        recipe.error("numprocs", f"cannot make {found['numprocs']} processes (number <= {_MOST_PROCESSES} expected)")
        found["numprocs"] = 1
    if found["killasgroup"] is None:
        found["killasgroup"] = found["stopasgroup"]
    elif found["stopasgroup"] and not found["killasgroup"]:
        recipe.error("killasgroup", "cannot be false when stopasgroup is true")
    if recipe.kind == "eventlistener" and found["redirect_stderr"]:
        recipe.error("redirect_stderr", "cannot be true for an event listener, whose output is the protocol")
    if (found["serverurl"] or "").strip().upper() == "AUTO":
        found["serverurl"] = None
    for look in (check, lifecycle.check, checking.check, watching.check, schedules.check):
        look(found, recipe.entries.keys(), recipe.error, recipe.warn)
    template = recipe.entries.get("process_name")
    if template is not None:
        try:
            values.name(template.value)
        except ValueError as error:
            recipe.error("process_name", str(error))
    if found["numprocs"] > 1 and (template is None or "%(process_num)" not in template.value):
        recipe.error("process_name", "must have %(process_num) in it when numprocs is above 1")


def _process(recipe: Recipe, number: int, count: int) -> ProcessConfig | None:
    """The process of one `process_num`."""
    found, name, variables = recipe.values, recipe.program, recipe.common.variables
    own: dict[str, str] = {}
    if recipe.each:
        found = dict(found)
        names = Names({"process_num": number, "numprocs": count}, recipe.names)
        merged = _environment(recipe, names)
        if merged is None:
            return None   # the other options may use its variables, and would only repeat the problem
        own = merged
        if own:
            variables = recipe.reading.share(tuple(sorted({**dict(variables), **own}.items())))
            names.update(environment_names(own))
        for row, entry in recipe.each:
            if row.name == "process_name":
                name = _name(recipe, entry, names)
            elif row.name != "environment":
                recipe.take(row, entry, names, found)
    if recipe.broken or found["command"] is None:
        return None
    _check_command(recipe, found["command"])
    return _record(recipe, found, name, variables, own)


def _name(recipe: Recipe, entry: Entry, names: Names) -> str:
    text = recipe.reading.text(entry, names)
    try:
        if text is None:
            raise ValueError
        return values.name(text)
    except ValueError as error:
        recipe.broken = True
        if text is not None:
            recipe.reading.error(entry, str(error))
        return ""


def _environment(recipe: Recipe, names: Names) -> dict[str, str] | None:
    """The program's own variables, those of templates and defaults included; None with a problem."""
    found: dict[str, str] = {}
    for entry in recipe.environment:
        text = recipe.reading.text(entry, names)
        if text is None:
            recipe.broken = True
            return None
        try:
            variables, notes = environment(text)
        except ValueError as error:
            recipe.broken = True
            recipe.reading.error(entry, str(error))
            return None
        for note in notes:
            recipe.reading.warn(entry, note)
        found |= variables
        if not recipe.placed:
            recipe.places |= variable_places(entry, text, variables, recipe.beside(entry))
    recipe.placed = True        # all processes of a section have their variables from the same lines
    return found


def _check_command(recipe: Recipe, command: str) -> None:
    """Supervisor finds these only when it starts the program."""
    if not command:
        recipe.warn("command", "is empty, the program cannot start")
    elif '"' in command or "'" in command or "\\" in command:
        try:
            values.split_command(command)
        except ValueError as error:
            cut = "; note that ' ;' and ' #' begin a comment even in quotes" if "quotation" in str(error) else ""
            recipe.warn("command", f"cannot be split into words, the program cannot start: {error}{cut}")


def _record(recipe: Recipe, found: dict[str, Any], name: str, variables: tuple[tuple[str, str], ...],
            own: dict[str, str]) -> ProcessConfig:
    share = recipe.reading.share
    stderr = _UNCAPTURED
    if not found["redirect_stderr"]:
        stderr = _log(recipe, found, "stderr")
    elif any(target.kind is TargetKind.FILE for target in found["stderr_logfile"]):
        recipe.warn("stderr_logfile", "is ignored, for redirect_stderr is true")
    return ProcessConfig(
        name, recipe.program, found["command"], variables, found["directory"], found["umask"], found["user"],
        found["priority"], found["autostart"], found["autorestart"], found["startsecs"], found["startretries"],
        found["exitcodes"], found["stopsignal"], found["stopwaitsecs"], found["stopasgroup"], found["killasgroup"],
        found["redirect_stderr"], _log(recipe, found, "stdout"), stderr, found["serverurl"], found["nice"],
        share(tuple(sorted(recipe.rlimits))), found["leftovers"], found["user_environment"],
        share(tuple(sorted(recipe.limits))), found["limits_unsupported"], _sandbox(recipe, found),
        share(restart(found)), depends=share(lifecycle.depends(found)),
        readiness=share(lifecycle.ready(found)), hooks=share(lifecycle.hooks(found)), syslog=share(syslog(found)),
        environment_files=share(environment_files(
            recipe.common, (*(found["envFiles"] or ()), *(found["environment_file"] or ())), own)),
        watch=share(watching.watch(found)), health=share(checking.health(found)), cron=share(schedules.cron(found)),
        essential=found["essential"], killwaitsecs=found["killwaitsecs"], conf_file=found["conf_file"],
    )


def _sandbox(recipe: Recipe, found: dict[str, Any]) -> Sandbox | None:
    if recipe.entries.keys().isdisjoint(SANDBOX_OPTIONS):
        return None
    made = sandbox(found, recipe.entries.keys(), recipe.reading.host.uid == 0, recipe.error)
    return None if made == Sandbox() else recipe.reading.share(made)


def _log(recipe: Recipe, found: dict[str, Any], stream: str) -> LogConfig:
    """One stream's log, shared between all processes with an equal one."""
    targets: tuple[LogTarget, ...] = found[f"{stream}_logfile"]
    if found[f"{stream}_syslog"] and _SYSLOG not in targets:
        targets = (*targets, _SYSLOG)
    log = LogConfig(targets, found[f"{stream}_logfile_maxbytes"], found[f"{stream}_logfile_backups"],
                    found[f"{stream}_capture_maxbytes"], found[f"{stream}_events_enabled"],
                    found[f"{stream}_logfile_rotate"], found[f"{stream}_logfile_compress"], form(found, stream))
    if log.targets != _AUTO or log[1:] != _USUAL:
        check_log(log, stream, recipe.warn)
        if any(target.kind is TargetKind.MEMORY or target.path.startswith(("udp:", "tcp:")) for target in log.targets):
            recipe.reading.go = recipe.reading.go or recipe.section.where
    return recipe.reading.share(log)


def fcgi_socket(reading: Reading, section: Section, found: dict[str, Any]) -> FcgiSocket | None:
    """The socket of a [fcgi-program:x] from its values."""
    url: str | None = found["socket"]
    if url is None:
        if not reading.layers(section, "fcgi-program", "socket"):
            reading.error(section, "is required", "socket")
        return None
    owner, mode, user = found["socket_owner"], found["socket_mode"], found["user"]
    if url.startswith("tcp:"):
        if owner is not None or mode is not None:
            reading.error(section, "socket_owner and socket_mode are for unix sockets only")
        return FcgiSocket(url, found["socket_backlog"], None, None)
    if owner is None and user is not None and user.uid != reading.host.uid:
        owner = (user.uid, user.gid)
    return FcgiSocket(url, found["socket_backlog"], owner, 0o700 if mode is None else mode)
