"""`sdsuper service … --program NAME`: native units of systemd for one program, without the daemon.

Promises: one unit for each process of the program, whose second line says of which program it is: by that line the
other actions find them, whatever the configuration says by then; the program's variables go into a file for root alone
beside it; what the unit does differently is said. Must not: stop the program under the daemon (it says how).
"""

import os
import stat

from sdsuper.config.model import GroupConfig, GroupKind, LogConfig, Model, TargetKind
from sdsuper.systemd.program_unit import Made, program_unit
from sdsuper.systemd.unit import MARK

VARIABLES = ".env"        # instead of .service; systemd reads nothing with that ending by itself


class NoUnit(ValueError):
    """There is no such program, or no unit can be made of it."""


def unit_name(text: str) -> str:
    """`NAME.service`, with or without that ending. Raises ValueError."""
    name = text.removesuffix(".service")
    if not name or len(name) > 200 or not all(letter.isalnum() or letter in "-_.@:" for letter in name) \
            or not name.isascii() or name.startswith("."):
        raise ValueError(f"no name for a unit: {text!r} (letters, digits and -_.@: expected)")
    return f"{name}.service"


def owner(name: str, program: str) -> str:
    """The second line of the units that `--program PROGRAM --name NAME` has made."""
    return f"# {name} is [program:{program}]."


def units(model: Model, config: str, program: str, sandbox: str, name: str, folder: str) -> dict[str, Made]:
    """The units by name: `name` (the program's when empty) for a single process, else with the process's behind it.
    Raises NoUnit.
    """
    processes = [process for group in model.groups for process in group.processes if process.program == program]
    if not processes:
        known = sorted({process.program for group in model.groups for process in group.processes})
        raise NoUnit(f"{config} has no [program:{program}] (expected: {', '.join(known) or 'there is none at all'})")
    for group in model.groups:
        _check_kind(group, program)
    first = name or program
    names = [first] if len(processes) == 1 else [f"{first}-{process.name}" for process in processes]
    found = {}
    for each, process in zip(names, processes, strict=True):
        try:
            file = unit_name(each)
            variables_file = os.path.join(folder, each + VARIABLES)
            may_append = _may_append(process.stdout) and _may_append(process.stderr)
            made = program_unit(process, config, sandbox, variables_file, may_append)
        except ValueError as error:
            raise NoUnit(f"[program:{program}] {error}") from None
        resting = () if process.autostart else ("autostart=false: it is not enabled, `systemctl start` starts it",)
        notes = tuple(map(_shown, (*made.notes, *resting)))
        comments = "".join(f"# {note}\n" for note in notes)
        variables = f"{MARK}\n{made.variables}" if made.variables else ""
        found[file] = Made(f"{MARK}\n{owner(first, program)}\n{comments}{made.text}", variables, notes)
    return found


def installed(name: str, program: str, folder: str) -> list[str]:
    """The names of the units in `folder` that `--program PROGRAM --name NAME` has made, sorted. Raises NoUnit for
    none.
    """
    lines = {file: head(os.path.join(folder, file)) for file in _files(folder) if file.endswith(".service")}
    ours = sorted(file for file, found in lines.items() if found == (MARK, owner(name, program)))
    if not ours:
        others = sorted(file for file, (mark, line) in lines.items()
                        if mark == MARK and line.endswith(f" is [program:{program}]."))
        raise NoUnit(f"{folder} has no unit of [program:{program}] by the name of {name}"
                     + (f" (there are {', '.join(others)}; --name says which)" if others else ""))
    return ours


def head(path: str) -> tuple[str, str]:
    """The first two lines of a file, which is no link; empty when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.readline(4096).rstrip("\n"), file.readline(4096).rstrip("\n")
    except OSError:
        return "", ""


def _files(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _check_kind(group: GroupConfig, program: str) -> None:
    """What needs the daemon beside it. Raises NoUnit."""
    if not any(process.program == program for process in group.processes):
        return
    if group.kind is GroupKind.EVENTLISTENER:
        raise NoUnit(f"[eventlistener:{program}] cannot be a unit: the daemon gives it its events")
    if any(name == program for name, _socket in group.sockets):
        raise NoUnit(f"[fcgi-program:{program}] cannot be a unit: the daemon gives it its socket")


def _shown(note: str) -> str:
    """As one line, for a comment and for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in note)


def _may_append(log: LogConfig) -> bool:
    """Whether systemd, as root, may open the files: nobody else could put something in their place."""
    return all(_only_roots(os.path.dirname(target.path)) for target in log.targets if target.kind is TargetKind.FILE)


def _only_roots(folder: str) -> bool:
    try:
        for path in (folder, os.path.dirname(folder)):
            facts = os.lstat(path)
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
                return False
    except OSError:
        return False
    return True
