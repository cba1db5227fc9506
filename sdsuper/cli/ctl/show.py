"""status, pid, avail, version: what the daemon says of itself and of its processes.

`-o json` gives the records of the control interface unchanged, one object with a `schema`; new fields may appear, none
vanish. Its exit status says only whether the answer could be had.
"""

import sys

from sdsuper.cli.ctl.each import collect, miss, named
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.options import checked_format
from sdsuper.cli.ctl.session import INVALID_ARGS, NOT_RUNNING, STATUS_NOT_RUNNING, STATUS_UNKNOWN
from sdsuper.cli.options import UsageError
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

# Supervisor's STOPPED, EXITED, FATAL and UNKNOWN; the other states count as up.
_DOWN = (0, 100, 200, 1000)
_NARROWEST = 30


def status(session: "Session", argument: str) -> None:
    """`status [name …]`: exit 3 when one of them is down, 4 when a name is unknown or no daemon answers."""
    if not session.up():
        session.status = STATUS_UNKNOWN
        return
    for notice in session.server["notices"]:
        sys.stderr.write(f"{session.options.prog}: {notice}\n")
    words, as_json = output(session, argument.split())
    if words is None:
        return
    processes: list[dict[str, Any]] = []
    if not words or "all" in words:
        processes = session.call("List")["processes"]
    else:
        for name in words:
            try:
                processes += session.call("List", name=name)["processes"]
            except Refusal as refusal:
                if refusal.fault != "BAD_NAME":
                    raise
                miss(session, name, as_json, STATUS_UNKNOWN)
    if as_json:
        say_json(session, {"schema": "sdsuper.status/1", "processes": processes})
        return
    _table(session, processes)
    if any(process["statecode"] in _DOWN for process in processes):
        session.status = STATUS_NOT_RUNNING


def _table(session: "Session", processes: "list[dict[str, Any]]") -> None:
    names = [shown(process["group"], process["name"]) for process in processes]
    width = max([_NARROWEST, *map(len, names)]) + 3
    lines = [
        f"{name:<{width}}{process['state']:<10}{process['description']}"
        for name, process in zip(names, processes, strict=True)
    ]
    if lines:
        session.say("\n".join(lines))


def pid(session: "Session", argument: str) -> None:
    """`pid [name …|all]`: of the daemon without a name. Exit 7 when a single process has none."""
    if not session.up():
        return
    names = argument.split()
    if not names:
        session.say(str(session.server["pid"]))
        return
    for name in ["all"] if "all" in names else names:
        try:
            processes = session.call("List", name=name)["processes"]
        except Refusal as refusal:
            if refusal.fault != "BAD_NAME":
                raise
            session.wrong(f"No such process {name}")
            continue
        for process in processes:
            session.say(str(process["pid"]))
            if process["pid"] == 0 and shown(process["group"], process["name"]) == name:
                session.status = NOT_RUNNING


def avail(session: "Session", argument: str) -> None:
    """`avail`: every configured process, whether it is in use, starts by itself, and its priorities."""
    words, as_json = output(session, argument.split())
    if words is None:
        return
    if words:
        session.wrong("Error: avail accepts no arguments")
        explain(session, "avail")
        return
    try:
        configs = session.call("ListConfigs")["configs"]
    except Refusal as refusal:
        if refusal.fault != "SHUTDOWN_STATE":
            raise
        session.wrong("ERROR: supervisor shutting down")
        return
    if as_json:
        say_json(session, {"schema": "sdsuper.avail/1", "configs": configs})
        return
    for config in configs:
        name = shown(config["group"], config["name"])
        inuse = "in use" if config["inuse"] else "avail"
        autostart = "auto" if config["autostart"] else "manual"
        session.say(f"{name:<32} {inuse:<9} {autostart:<9} {config['group_priority']}:{config['process_priority']}")


def version(session: "Session", argument: str) -> None:
    """`version`: the daemon's, not this program's."""
    if argument:
        session.wrong("Error: version accepts no arguments")
        explain(session, "version")
    elif session.up():
        session.say(session.server["version"])


def output(session: "Session", words: list[str]) -> tuple[list[str] | None, bool]:
    """The words without `-o FORMAT` (or `--json`), and whether it is json; no words when the format is wrong, which is
    said.
    """
    chosen, rest = session.output, []
    waiting = iter(words)
    try:
        for word in waiting:
            if word in ("-o", "--output"):
                chosen = checked_format(word, next(waiting, ""))
            elif word == "--json":
                chosen = "json"
            elif word.startswith("--output="):
                chosen = checked_format("--output", word.partition("=")[2])
            else:
                rest.append(word)
    except UsageError as error:
        session.wrong(f"Error: {error}", INVALID_ARGS)
        return None, False
    return rest, chosen == "json"


def told(session: "Session", argument: str, command: str, method: str) -> "tuple[list[dict[str, Any]] | None, bool]":
    """What a method answers of the processes that were named, and whether to say it as JSON; None, once it was told why
    there is nothing.
    """
    if not session.up():
        return None, False
    words, as_json = output(session, argument.split())
    names = named(session, command, words) if words is not None else ()
    if not names:
        return None, as_json
    try:
        return list(collect(session, method, names, "processes", as_json)), as_json
    except Refusal as refusal:
        if refusal.fault != "FAILED":
            raise
        session.wrong(f"Error: {refusal.detail}")
        return None, as_json


def say_json(session: "Session", value: object) -> None:
    """Say a value as JSON."""
    import json

    session.say(json.dumps(value, indent=1))
