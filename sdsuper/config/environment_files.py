"""Options that name environment files: their values, and the record they make.

Promises: the files are looked at, so that a mistake is said with its place before a program is started; no value of a
variable is kept, for the daemon reads the files again at each start. Must not: say a part of a file's text.
"""

from collections.abc import Collection
from typing import NamedTuple

from sdsuper.config.dotenv import parse
from sdsuper.config.environment import variable_lines
from sdsuper.config.lookup import Host, absolute
from sdsuper.config.model import EnvironmentFile, EnvironmentFiles, MissingFile
from sdsuper.config.places import Place, variable
from sdsuper.config.source import Entry
from sdsuper.config.values import Noted, refused

_MOST_TOLD = 3      # mistakes of one file


class Common(NamedTuple):
    """What all programs are given: variables, sorted by name, and files."""

    variables: tuple[tuple[str, str], ...]
    files: tuple[EnvironmentFile, ...]


def files(text: str, host: Host) -> object:
    """A comma list of paths; with `-` before one it may be missing."""
    return _files(text, host, MissingFile.REFUSED)


def go_files(text: str, host: Host) -> object:
    """The same for Go's option, where a program starts without what cannot be read."""
    return _files(text, host, MissingFile.TOLD)


def _files(text: str, host: Host, missing: MissingFile) -> object:
    found: list[EnvironmentFile] = []
    notes: list[str] = []
    for word in text.split(",") if text.strip() else ():
        bare = word.strip()
        path = bare.removeprefix("-").lstrip()
        if not path:
            raise refused(text, "environment files", "paths with single commas between, `-` before one that may miss")
        file = EnvironmentFile(absolute(path, host), MissingFile.FINE if bare != path else missing)
        found.append(file)
        notes += _mistakes(file, host)
    value = tuple(dict.fromkeys(found))
    return Noted(value, "; ".join(notes)) if notes else value


def _mistakes(file: EnvironmentFile, host: Host) -> list[str]:
    """What is wrong with a file now."""
    then = "the program starts without it" if file.missing is MissingFile.TOLD else "the program cannot start"
    try:
        content = host.read_private(file.path)
    except FileNotFoundError:
        return [] if file.missing is MissingFile.FINE else [f"{file.path}: no such file, and {then}"]
    except OSError as error:
        return [f"{file.path}: {error.strerror}, and {then}"]
    problems = [f"{file.path}:{line}: {message}" for line, message in parse(content, file.path).problems]
    more = [f"{len(problems) - _MOST_TOLD} more mistakes"] if len(problems) > _MOST_TOLD else []
    return [*problems[:_MOST_TOLD], *more, then] if problems else []


def environment_files(common: Common, own: tuple[EnvironmentFile, ...], variables: dict[str, str]) -> EnvironmentFiles:
    """The record of a process; `variables` are those of its own `environment`."""
    return EnvironmentFiles(common.files, own, tuple(sorted(variables)) if own else ())


def variable_places(entry: Entry, text: str, variables: Collection[str], section: str) -> dict[str, Place]:
    """Where each variable of an `environment` is written; `text` is its expanded value, `section` as in Place."""
    # what a name has been replaced with may have brought lines of its own
    lines = variable_lines(text) if text.count("\n") == entry.value.count("\n") > 0 else {}
    return {variable(name): Place(entry.where.file, entry.line(lines.get(name, 0)), section) for name in variables}
