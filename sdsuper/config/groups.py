"""Sections to groups: which program is in which group, in which order, and whose name hides whose.

Promises: Supervisor's rules. Must not: convert options (programs.py does).
"""

from typing import Any

from sdsuper.config import values
from sdsuper.config.dependencies import Wish, Wishes, resolved
from sdsuper.config.environment_files import Common
from sdsuper.config.expand import Names
from sdsuper.config.model import FcgiSocket, GroupConfig, GroupKind, ProcessConfig, TargetKind
from sdsuper.config.programs import fcgi_socket, processes
from sdsuper.config.reading import Reading
from sdsuper.config.source import DEFAULT, Entry, Section

_HANDLER = "supervisor.dispatchers:default_handler"


def groups(reading: Reading, common: Common) -> tuple[GroupConfig, ...]:
    """All groups, sorted by priority and name."""
    made: list[tuple[Section, GroupConfig]] = []
    grouped: set[str] = set()
    wishes = Wishes()
    for section in _named(reading, "group:"):
        made.append((section, _heterogeneous(reading, section, common, grouped, wishes)))
    for prefix, kind in (("program:", GroupKind.PROGRAM), ("eventlistener:", GroupKind.EVENTLISTENER),
                         ("fcgi-program:", GroupKind.FCGI)):
        for section in _named(reading, prefix):
            if section.name not in grouped:
                made.append((section, _homogeneous(reading, section, kind, common, wishes)))
    made.sort(key=lambda pair: (pair[1].priority, pair[1].name))
    kept: dict[str, tuple[Section, GroupConfig]] = {}
    for section, group in made:
        # Supervisor adds the groups in this order, and refuses a second one of a name without a word.
        winner = kept.setdefault(group.name, (section, group))[0]
        if winner is not section:
            reading.warn(section, f"is left out, for [{winner.name}] at {winner.where} has the name {group.name!r}")
    _check_shared_logs(reading, [group for _, group in kept.values()])
    return resolved(reading, tuple(group for _, group in kept.values()), wishes)


def _named(reading: Reading, prefix: str) -> list[Section]:
    return [section for section in reading.sections.values() if section.name.startswith(prefix)]


def _ordered(reading: Reading, section: Section, found: list[ProcessConfig]) -> tuple[ProcessConfig, ...]:
    """In start order, each name once."""
    unique = {process.name: process for process in found}
    if len(unique) < len(found):
        names = [process.name for process in found]
        for name in sorted({name for name in names if names.count(name) > 1}):
            reading.warn(section, f"several processes have the name {name!r}, only the last of them is used")
    if len(unique) == 1:
        return tuple(unique.values())
    return tuple(sorted(unique.values(), key=lambda process: (process.priority, process.name)))


def _heterogeneous(reading: Reading, section: Section, common: Common, grouped: set[str], wishes: Wishes
                   ) -> GroupConfig:
    name = section.name.partition(":")[2].strip()
    try:
        values.name(name)
    except ValueError as error:
        reading.error(section, str(error))
    own = reading.values(section, "group", Names({}, reading.names))
    if own["programs"] is None and "programs" not in section.entries:
        reading.warn(section, "has no programs, so the group is empty")
    if own["depends_on"]:
        wishes.of_groups[name] = Wish(section.entries.get("depends_on", section), own["depends_on"])
    members: list[ProcessConfig] = []
    sockets: list[tuple[str, FcgiSocket]] = []
    for program in own["programs"] or ():
        found = [kind for kind in ("program", "fcgi-program") if f"{kind}:{program}" in reading.sections]
        place = section.entries.get("programs", section)
        if len(found) != 1:
            reading.error(place, f"{program!r} is both a program and an fcgi-program" if found else
                          f"no such program: {program!r}", "programs")
            continue
        member = reading.sections[f"{found[0]}:{program}"]
        if member.name in grouped:
            reading.warn(place, f"{program!r} is grouped more than once, each time with own processes", "programs")
        grouped.add(member.name)
        recipe, made = processes(reading, member, found[0], name, common)
        members += made
        _note_wish(member, name, recipe, wishes)
        if found[0] == "fcgi-program":
            _add_socket(reading, member, recipe, sockets)
    ordered = _ordered(reading, section, members)
    return GroupConfig(name, GroupKind.PROGRAM, own["priority"], ordered, sockets=tuple(sockets))


def _note_wish(section: Section, group: str, found: dict[str, Any], wishes: Wishes) -> None:
    if found["depends_on"]:
        program = section.name.partition(":")[2].strip()
        wishes.of_programs[group, program] = Wish(section.entries.get("depends_on", section), found["depends_on"])


def _homogeneous(reading: Reading, section: Section, kind: GroupKind, common: Common, wishes: Wishes
                 ) -> GroupConfig:
    name = section.name.partition(":")[2].strip()
    found, made = processes(reading, section, kind.value, name, common)
    _note_wish(section, name, found, wishes)
    ordered = _ordered(reading, section, made)
    if kind is GroupKind.PROGRAM:
        return GroupConfig(name, kind, found["priority"], ordered)
    if kind is GroupKind.FCGI:
        sockets: list[tuple[str, FcgiSocket]] = []
        _add_socket(reading, section, found, sockets)
        return GroupConfig(name, kind, found["priority"], ordered, sockets=tuple(sockets))
    if found["events"] is None and not reading.layers(section, kind.value, "events"):
        reading.error(section, "is required", "events")
    if found["result_handler"] != _HANDLER:
        reading.warn(_written(reading, section, kind, "result_handler"), f"{found['result_handler']!r} is not used: "
                     f"the daemon runs no code of others, answers are judged as {_HANDLER} does", "result_handler")
    for option in ("stdout_capture_maxbytes", "stdout_events_enabled"):
        if found[option]:
            reading.warn(_written(reading, section, kind, option), "is ignored: a listener's output is the protocol",
                         option)
    # Listeners start first and stop last; as processes they have the priority of any program.
    place = _written(reading, section, kind, "priority")
    priority = found["priority"] if isinstance(place, Entry) and place.section != DEFAULT else -1
    return GroupConfig(name, kind, priority, ordered, found["events"] or (), found["buffer_size"] or 0,
                       found["result_handler"], found["listener_timeout"], found["payload_length"])


def _written(reading: Reading, section: Section, kind: GroupKind, option: str) -> Entry | Section:
    """Where an option that counts is written, which may be in a template; the section when it is nowhere."""
    found = reading.layers(section, kind.value, option)
    return found[-1] if found else section


def _add_socket(reading: Reading, section: Section, found: dict[str, Any], sockets: list[tuple[str, FcgiSocket]]
                ) -> None:
    socket = fcgi_socket(reading, section, found)
    if socket is not None:
        sockets.append((section.name.partition(":")[2].strip(), socket))


def _check_shared_logs(reading: Reading, found: list[GroupConfig]) -> None:
    """Two streams that rotate one file by turns lose each other's output."""
    owners: dict[str, tuple[str, str]] = {}
    for group in found:
        for process in group.processes:
            for stream, log in (("stdout", process.stdout), ("stderr", process.stderr)):
                for target in log.targets:
                    if target.kind is not TargetKind.FILE or not log.maxbytes:
                        continue
                    this = (f"{group.name}:{process.name}", stream)
                    owner = owners.setdefault(target.path, this)
                    if owner != this:
                        advice = "redirect_stderr=true is meant for this" if owner[0] == this[0] else "both rotate it"
                        message = f"{target.path} is also the {owner[1]} log of {owner[0]}: {advice}"
                        reading.warn(_place(reading, process, f"{stream}_logfile"), message, f"{stream}_logfile")


def _place(reading: Reading, process: ProcessConfig, key: str) -> Entry | Section | None:
    """Where a process's option is written."""
    for kind in (GroupKind.PROGRAM, GroupKind.FCGI, GroupKind.EVENTLISTENER):
        section = reading.sections.get(f"{kind.value}:{process.program}")
        place = section and _written(reading, section, kind, key)
        if isinstance(place, Entry):
            return place
    return None
