"""Where the options of a section are written.

Promises: small, for there is one for each program as long as the daemon lives; apart from the records of processes,
which are equal wherever they are written. Must not: know a value.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeVar

_Record = TypeVar("_Record")


#: The word for the files of [supervisord], which a program may have beside its own.
COMMON_FILES = "supervisord.environment_file"


class Place(NamedTuple):
    """File and line of an option; `section` only where that is not the program's own."""

    file: str
    line: int
    section: str = ""


def variable(name: str) -> str:
    """The word under which the place of a variable is kept."""
    return f"environment {name}"


class Places(NamedTuple):
    """The options of one section, the variables of its `environment` by `variable(name)`: three columns, which
    sections that are alike share.
    """

    first: int = 0                                # line of the section
    options: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()     # file, section
    lines: tuple[int, ...] = ()                   # from `first` on, in the section itself

    def find(self, option: str) -> Place | None:
        """The place of an option; None for one that is written nowhere."""
        if option not in self.options:
            return None
        at = self.options.index(option)
        file, section = self.sources[at]
        return Place(file, self.lines[at] + (0 if section else self.first), section)


class _Share(Protocol):
    """Gives an equal record that is already there."""

    def __call__(self, record: _Record, /) -> _Record: ...


def places(first: int, found: Mapping[str, Place], share: _Share) -> Places:
    """The record of what was found; the section begins on line `first`."""
    return Places(first, share(tuple(found)), share(tuple([(place.file, place.section) for place in found.values()])),
                  share(tuple([place.line - (0 if place.section else first) for place in found.values()])))
