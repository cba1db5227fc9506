"""usage, freeze, thaw: what programs use of the machine, and holding them still.

`usage` shows what the kernel counts for each process and all it has started; where it does not count memory (no cgroup,
or one without that controller) the resident memory of the process and its descendants is added up instead, for which
Python's psutil is needed. `-o json` gives the records of the control interface.
"""

from sdsuper.cli.ctl.each import collect, named
from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.operate import operate
from sdsuper.cli.ctl.session import GENERIC
from sdsuper.cli.ctl.show import output, say_json
from sdsuper.usage import usage as measured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_HEADER = ("NAME", "PID", "MEMORY", "PEAK", "MAX", "CPU", "TASKS", "MAX", "")
_UNITS = ("B", "K", "M", "G", "T")


def usage(session: "Session", argument: str) -> None:
    """`usage [name …|all]`: exit 1 for a name that is unknown."""
    if not session.up():
        return
    words, as_json = output(session, argument.split())
    if words is None:
        return
    names = [None] if not words or "all" in words else words
    found = [*map(measured, collect(session, "ListRuns", names, "runs", as_json))]
    if unknown_memory := [one for one in found if one["pid"] and one.get("memory") is None]:
        _measure(unknown_memory)
    if as_json:
        say_json(session, {"schema": "sdsuper.usage/1", "usages": found})
    elif found:
        _table(session, found)


def freeze(session: "Session", argument: str) -> None:
    """`freeze name …`: exit 7 for what does not run."""
    _hold(session, argument, "freeze", "Freeze")


def thaw(session: "Session", argument: str) -> None:
    """`thaw name …`: exit 7 for what does not run."""
    _hold(session, argument, "thaw", "Thaw")


def _hold(session: "Session", argument: str, command: str, method: str) -> None:
    if not session.up():
        return
    for name in named(session, command, argument.split()):
        operate(session, name, method, GENERIC)


def _measure(runs: "list[dict[str, Any]]") -> None:
    """The memory of processes and their descendants by another way, in one look at all that is there; what has ended
    meanwhile has none.
    """
    try:
        import psutil
    except ImportError:
        return
    memory: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid", "memory_info"]):
        if process.info["memory_info"] is not None:
            memory[process.pid] = process.info["memory_info"].rss
            children.setdefault(process.info["ppid"], []).append(process.pid)
    for run in runs:
        waiting, seen = [run["pid"]], set()
        while waiting:
            pid = waiting.pop()
            if pid not in seen:
                seen.add(pid)
                waiting += children.get(pid, [])
        if run["pid"] in memory:
            run["memory"] = sum(memory.get(pid, 0) for pid in seen)


def _table(session: "Session", found: "list[dict[str, Any]]") -> None:
    rows = [_HEADER, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1],
                                                                                     strict=True)), row[-1]]
        session.say("  ".join(cells).rstrip())


def _row(one: "dict[str, Any]") -> tuple[str, ...]:
    notes = ["frozen"] * one["frozen"]
    if one.get("oom_kills"):
        notes.append(f"{one['oom_kills']} killed, out of memory")
    microseconds = one.get("cpu_microseconds")
    return (shown(one["group"], one["name"]), str(one["pid"] or "-"), _bytes(one.get("memory")),
            _bytes(one.get("memory_peak")), _bytes(one.get("memory_max")),
            "-" if microseconds is None else f"{microseconds / 1e6:.1f}s", str(one.get("tasks") or "-"),
            str(one.get("tasks_max") or "-"), ", ".join(notes))


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}{_UNITS[unit]}" if unit and value < 100 else f"{value:.0f}{_UNITS[unit]}"
