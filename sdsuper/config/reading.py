"""One load in progress: the sections read, the problems found, and the way from an entry to a value.

Promises: a problem is noted with its place and the load goes on, so that all are found at once; equal texts become one
shared value. Must not: know what an option means.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from sdsuper.config.expand import Names, environment_names, expand
from sdsuper.config.lookup import Host, absolute, parent
from sdsuper.config.model import Problem, Severity, Where
from sdsuper.config.places import Places
from sdsuper.config.row import Row, Scope
from sdsuper.config.settings import ROWS, option_hint
from sdsuper.config.source import DEFAULT, Entry, Section, parse
from sdsuper.config.templates import Templates
from sdsuper.config.values import Noted

NOT_YET = "not yet acted on by this version"
#: How the sections begin whose options are those of others.
_FOR_MANY = ("template:", "program-default")

_Record = TypeVar("_Record")


class Converted(NamedTuple):
    """The value of a text, or why there is none."""

    value: Any
    note: str | None = None
    error: str | None = None


class Reading:
    """What one call of `load` knows so far."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sections: dict[str, Section] = {}
        self.problems: list[Problem] = []
        self._bearable: set[Problem] = set()
        self.files: list[str] = []
        self.names = Names(environment_names(dict(host.environ)))
        self.go: Where | None = None       # the first option that only Go's supervisord knows
        self.ours = False                  # whether there is one that neither it nor Supervisor knows
        self._shared: dict[Any, Any] = {}
        self._defaults: dict[str, dict[str, Any]] = {}
        self._here: dict[str, str] = {}
        self._converted: dict[tuple[object, str], Converted] = {}
        self._templates: Templates | None = None
        self._told: set[tuple[Where, str]] = set()
        self.places: dict[str, Places] = {}
        self.scale: Mapping[str, int] = {}      # program -> number of processes that wins over its numprocs

    # --- problems -----------------------------------------------------------------------------------------------------

    def error(self, place: Entry | Section | Where | None, message: str, option: str | None = None) -> None:
        self._say(Severity.ERROR, place, message, option)

    def warn(self, place: Entry | Section | Where | None, message: str, option: str | None = None) -> None:
        self._say(Severity.WARNING, place, message, option)

    def close(self, place: Entry, message: str, option: str) -> None:
        """An error that leaves one thing out and refuses nothing else."""
        self.error(place, message, option)
        self._bearable.add(self.problems[-1])

    def _say(self, severity: Severity, place: Entry | Section | Where | None, message: str, option: str | None) -> None:
        if isinstance(place, Entry):
            problem = Problem(place.where, severity, place.section, option or place.key, message)
            if severity is Severity.ERROR and place.section.startswith(_FOR_MANY):
                if (place.where, problem.option or "") in self._told:
                    return          # each program that has it would say it in its own words
                self._told.add((place.where, problem.option or ""))
            self.problems.append(problem)
        elif isinstance(place, Section):
            self.problems.append(Problem(place.where, severity, place.name, option, message))
        else:
            self.problems.append(Problem(place, severity, None, option, message))

    def sorted_problems(self) -> tuple[Problem, ...]:
        """By file in the order of reading, then line; each once, for a program in two groups is read twice."""
        order = {file: number for number, file in enumerate(self.files, 1)}

        def key(problem: Problem) -> tuple[int, int, str, str, str]:
            where = problem.where
            place = (order.get(where.file, 0), where.line) if where else (0, 0)
            return *place, problem.severity.value, problem.option or "", problem.message
        return tuple(sorted(set(self.problems), key=key))

    def broken(self) -> bool:
        """Whether there is an error so far that refuses the configuration."""
        return any(problem.severity is Severity.ERROR and problem not in self._bearable for problem in self.problems)

    # --- files --------------------------------------------------------------------------------------------------------

    def read(self, file: str) -> None:
        """Read one file into `sections`. Raises OSError; anything wrong with its text becomes a problem."""
        found = self.host.read(absolute(file, self.host))
        self.files.append(file)
        self._here[file] = parent(absolute(file, self.host))
        if found.distrust:
            self.warn(Where(file, 1), found.distrust)
        try:
            text = found.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = found.data.count(b"\n", 0, error.start) + 1
            self.error(Where(file, line), f"cannot read byte 0x{found.data[error.start]:02x} as text (UTF-8 expected)")
            return
        if "\0" in text:
            self.error(Where(file, text.count("\n", 0, text.index("\0")) + 1), "there is a NUL byte in the text")
            return
        self.problems += parse(text, file, self.sections)

    # --- values -------------------------------------------------------------------------------------------------------

    def entries(self, section: Section, kind: str) -> Iterator[tuple[Row, Entry]]:
        """The section's options with their rows, inherited ones included. Unknown keys become warnings."""
        rows = ROWS[kind]
        seen: set[str] = set()
        for key, entry in section.entries.items():
            row = rows.get(key)
            if row is None:
                self.warn(entry, f"no such option{option_hint(kind, key)}")
            else:
                seen.add(row.name)
                yield row, entry
        for inherited in self._inherited(section, kind):
            found = [(rows[key], entry) for key, entry in inherited.entries.items() if key in rows and key != "extends"
                     and rows[key].name not in seen]
            seen.update(row.name for row, _entry in found)
            yield from found

    def layers(self, section: Section, kind: str, option: str) -> list[Entry]:
        """All that there is of an option whose values are merged, the nearest last. [DEFAULT] has a say only where
        nobody else has one, as with Supervisor.
        """
        found = [each.entries[option] for each in (section, *self._inherited(section, kind)) if option in each.entries]
        return [entry for entry in reversed(found) if entry.section != DEFAULT] or found

    def _inherited(self, section: Section, kind: str) -> list[Section]:
        """The sections that it takes options over from, nearest first."""
        found = list(self.templates.of(section)) if "extends" in ROWS[kind] else []
        for name in ("program-default", DEFAULT) if kind == "program" else (DEFAULT,):
            if name in self.sections:
                found.append(self.sections[name])
        return found

    @property
    def templates(self) -> Templates:
        """The templates of all files; to be asked when these have been read."""
        if self._templates is None:
            self._templates = Templates(self.sections, self._extended, self.error)
        return self._templates

    def _extended(self, entry: Entry) -> tuple[str, ...]:
        """The names that an `extends` has."""
        found = self.value(ROWS["template"]["extends"], entry, Names({}, self.names))
        return found.value or ()

    def text(self, entry: Entry, names: Names) -> str | None:
        """The entry's text, expanded; None and a problem when that is not possible."""
        if "%" not in entry.value:
            return entry.value
        names["here"] = self._here[entry.where.file]
        try:
            return expand(entry.value, names)
        except ValueError as error:
            self.error(entry, str(error))
            return None

    def convert(self, row: Row, text: str) -> Converted:
        """The value of an expanded text; equal texts give the same object."""
        key = (row.find or row.read, text)
        found = self._converted.get(key)
        if found is None:
            try:
                value = row.find(text, self.host) if row.find else row.read(text)
            except ValueError as error:
                found = Converted(None, None, str(error))
            else:
                found = Converted(value.value, value.note) if isinstance(value, Noted) else Converted(value)
            self._converted[key] = found
        return found

    def value(self, row: Row, entry: Entry, names: Names) -> Converted:
        """The entry's value; what is wrong with it is noted."""
        text = entry.value if row.scope is Scope.NOTHING else self.text(entry, names)
        if text is None:
            return Converted(None, None, "")
        found = self.convert(row, text)
        if found.error is not None:
            self.error(entry, found.error, row.name)
            return found
        if found.note is not None:
            self.warn(entry, found.note, row.name)
        if row.since == "go" or entry.key in row.aliases:
            self.go = self.go or entry.where
        self.ours = self.ours or row.since == "sdsuper"
        if row.later and found.value != self.default(row):
            self.warn(entry, NOT_YET, row.name)
        return found

    def default(self, row: Row) -> Any:
        """The value of the row's default. Raises ValueError when the system does not fit it."""
        if row.default is None:
            return None
        found = self.convert(row, row.default)
        if found.error is not None:
            raise ValueError(found.error)
        return found.value

    def defaults(self, kind: str) -> dict[str, Any]:
        """The defaults of a program's kind of section, made once. Not to be changed."""
        found = self._defaults.get(kind)
        if found is None:
            rows = (row for row in ROWS[kind].values() if row.field not in ("rlimits", "limits"))
            found = {row.name: self.default(row) for row in rows}
            self._defaults[kind] = found
        return found

    def share(self, value: _Record) -> _Record:
        """An equal record that the model already has, or this one: a thousand programs mostly say the same."""
        found: _Record = self._shared.setdefault(value, value)
        return found

    def values(self, section: Section, kind: str, names: Names) -> dict[str, Any]:
        """All values of a section that is read once, defaults filled in. A value with a problem is its default."""
        found: dict[str, Any] = {}
        for row, entry in self.entries(section, kind):
            converted = self.value(row, entry, names)
            if converted.error is None:
                found[row.name] = converted.value
            elif row.default is None:
                found[row.name] = None
        for row in ROWS[kind].values():
            if row.name not in found:
                try:
                    found[row.name] = self.default(row)
                except ValueError as error:
                    self.error(section, str(error), row.name)
                    found[row.name] = None
        return found
