"""`sdsuper service install --program NAME`: native units of systemd for one program, without the daemon.

Promises: one unit for each process of the program; what looks like a secret goes into a file for root alone beside it;
what the unit does differently is said. Must not: stop the program under the daemon (it says how).
"""

import os
import stat

from sdsuper.config.model import LogConfig, Model, ProcessConfig, TargetKind
from sdsuper.systemd.program_unit import Made, program_unit
from sdsuper.systemd.unit import MARK

SECRETS = ".env"        # instead of .service; systemd reads nothing with that ending by itself


class NoUnit(ValueError):
    """There is no such program, or no unit can be made of it."""


def units(model: Model, config: str, program: str, sandbox: str, name: str, folder: str) -> dict[str, Made]:
    """The units by name: `name` (the program's when empty) for a single process, else with the process's behind it.
    Raises NoUnit.
    """
    processes = [process for group in model.groups for process in group.processes if process.program == program]
    if not processes:
        known = sorted({process.program for group in model.groups for process in group.processes})
        raise NoUnit(f"{config} has no [program:{program}] (expected: {', '.join(known) or 'there is none at all'})")
    first = name or program
    names = [first] if len(processes) == 1 else [f"{first}-{process.name}" for process in processes]
    found = {}
    for unit_name, process in zip(names, processes, strict=True):
        try:
            secrets_file = os.path.join(folder, unit_name + SECRETS)
            made = program_unit(process, config, sandbox, secrets_file, _may_append(process))
        except ValueError as error:
            raise NoUnit(f"[program:{program}] {error}") from None
        notes = "".join(f"# {note}\n" for note in made.notes)
        found[f"{unit_name}.service"] = made._replace(text=f"{MARK}\n{notes}{made.text}")
    return found


def _may_append(process: ProcessConfig) -> bool:
    """Whether systemd, as root, may open its logs: nobody else could put something in their place."""
    def folders(log: LogConfig) -> set[str]:
        return {os.path.dirname(target.path) for target in log.targets if target.kind is TargetKind.FILE}
    return all(map(_only_roots, folders(process.stdout) | folders(process.stderr)))


def _only_roots(folder: str) -> bool:
    try:
        for path in (folder, os.path.dirname(folder)):
            facts = os.lstat(path)
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
                return False
    except OSError:
        return False
    return True
