"""[template:x], `extends` and [program-default]: which sections a section takes options over from, and in which order.

Promises: the nearest comes first; templates that extend each other are an error that shows the way round, told once,
as is a name that is not there. Must not: know what an option means.
"""

from collections.abc import Callable, Mapping

from sdsuper.config.settings import name_hint
from sdsuper.config.source import Entry, Section

_PREFIX = "template:"


class Templates:
    """The templates of one configuration. `names_of` reads `extends`, `error` notes what is wrong with it."""

    def __init__(self, sections: Mapping[str, Section], names_of: Callable[[Entry], tuple[str, ...]],
                 error: Callable[[Entry, str], None]) -> None:
        self._names_of, self._error = names_of, error
        self._named: dict[str, Section] = {}
        for section in sections.values():
            if section.name.startswith(_PREFIX):
                self._named.setdefault(section.name.removeprefix(_PREFIX).strip(), section)
        self._known: dict[str, tuple[Section, ...]] = {}
        for name in self._named:
            self._with_ancestors(name, [])

    def of(self, section: Section) -> tuple[Section, ...]:
        """The templates that hold for a section, nearest first."""
        entry = section.entries.get("extends")
        return () if entry is None else self._extended(entry, [])

    def _with_ancestors(self, name: str, way: list[Entry]) -> tuple[Section, ...]:
        """A template and those behind it. `way` are the `extends` that have led to it."""
        known = self._known.get(name)
        if known is None:
            section = self._named[name]
            entry = section.entries.get("extends")
            behind = () if entry is None else self._extended(entry, [*way, entry])
            known = self._known[name] = (section, *(each for each in behind if each is not section))
        return known

    def _extended(self, entry: Entry, way: list[Entry]) -> tuple[Section, ...]:
        found: dict[str, Section] = {}
        for name in reversed(self._names_of(entry)):
            template = self._named.get(name)
            if template is None:
                self._error(entry, f"no such template: {name!r}{name_hint(name, self._named)}")
            elif template.name in [step.section for step in way]:
                first = [step.section for step in way].index(template.name)
                steps = [f"{step.section.removeprefix(_PREFIX).strip()} ({step.where})" for step in way[first:]]
                self._error(entry, f"goes round in a circle: {' -> '.join(steps)} -> {name}")
            else:
                for section in self._with_ancestors(name, way):
                    found.setdefault(section.name, section)
        return tuple(found.values())
