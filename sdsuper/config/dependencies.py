"""`depends_on` of programs and groups to the processes that are meant, across all sections.

Promises: a name that means nothing and a circle are errors with their place; a circle is told with its whole path, and
once. Must not: order anything (core/dependencies.py does).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sdsuper.config.lifecycle import Condition, Need, Wanted
from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.config.reading import Reading
from sdsuper.config.source import Entry, Section

Key = tuple[str, str]


class Wish(NamedTuple):
    """One `depends_on`, and where it is written."""

    place: Entry | Section
    items: tuple[Wanted, ...]


class Wishes:
    """Those of groups (by name), and of programs (by group and program)."""

    def __init__(self) -> None:
        self.of_groups: dict[str, Wish] = {}
        self.of_programs: dict[Key, Wish] = {}

    def of(self, group: str, process: ProcessConfig) -> Iterable[Wish]:
        """Those that hold for a process."""
        for wish in (self.of_programs.get((group, process.program)), self.of_groups.get(group)):
            if wish is not None:
                yield wish

    def __bool__(self) -> bool:
        return bool(self.of_groups or self.of_programs)


def resolved(reading: Reading, groups: tuple[GroupConfig, ...], wishes: Wishes) -> tuple[GroupConfig, ...]:
    """The groups with the needs of their processes filled in."""
    if not wishes:
        return groups
    members = {group.name: group.processes for group in groups}
    places: dict[Key, Entry | Section] = {}
    made = []
    for group in groups:
        processes = []
        for process in group.processes:
            key = (group.name, process.name)
            needs: dict[tuple[str, str, Condition], Need] = {}
            for wish in wishes.of(group.name, process):
                places.setdefault(key, wish.place)
                for need in _needs(reading, members, wish):
                    # what is said twice holds as it is said more strictly: a wish is less than a need
                    what = (need.group, need.process, need.condition)
                    needs[what] = need._replace(optional=need.optional and needs.get(what, need).optional)
            depends = process.depends._replace(needs=reading.share(tuple(needs.values())))
            processes.append(process._replace(depends=reading.share(depends)) if needs else process)
        made.append(group._replace(processes=tuple(processes)))
    _check_circles(reading, made, places)
    return tuple(made)


def _needs(reading: Reading, members: Mapping[str, tuple[ProcessConfig, ...]], wish: Wish) -> Iterable[Need]:
    """The processes that an option names."""
    for item in wish.items:
        group, colon, process = item.name.partition(":")
        found = [one.name for one in members.get(group, ()) if not colon or one.name == process]
        where = [(group, name) for name in found]
        if not where and not colon:
            # a program that is a member of other groups, as Go's supervisord names it
            where = [(name, one.name) for name, processes in members.items() for one in processes
                     if item.name in (one.program, one.name)]
        if not where and not item.optional:
            hint = ", put a ? behind it if it may be missing"
            reading.error(wish.place, f"no such program or group: {item.name!r}{hint}", "depends_on")
        for group_name, name in where:
            yield Need(group_name, name, item.condition, item.optional)


def _check_circles(reading: Reading, groups: Iterable[GroupConfig], places: Mapping[Key, Entry | Section]) -> None:
    """A circle is an error, told with its path. What hangs together is told of once: one change may mend it all."""
    edges = {(group.name, process.name): [(need.group, need.process) for need in process.depends.needs]
             for group in groups for process in group.processes if process.depends.needs}
    seen: set[Key] = set()
    for start in edges:
        path = {} if start in seen else {start: iter(edges[start])}      # in order; no recursion, for chains are long
        seen.add(start)
        while path:
            following = next(path[next(reversed(path))], None)
            if following is None:
                path.popitem()
            elif following in path:
                circle = [*path][[*path].index(following):]
                shown = " -> ".join(map(_shown, [*circle, following]))
                reading.error(places.get(following), f"is a circle: {shown}", "depends_on")
                break
            elif following not in seen:
                seen.add(following)
                path[following] = iter(edges.get(following, ()))


def _shown(key: Key) -> str:
    return key[1] if key[0] == key[1] else ":".join(key)
