"""What processes use of the machine: the figures of their cgroups, read by whoever wants to know.

The daemon says only where each run's cgroup is (method `ListRuns` of the control interface): the kernel lets everybody
read the figures, and reading eight files for each of a thousand processes would hold up supervision.

Promises: never raises for a process that ends meanwhile; a figure that is not to be had is not there. Must not: write.
Source: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

from typing import Any

#: Fields of `usage` that may be larger than an int of XML-RPC.
AMOUNTS = frozenset(("memory", "memory_peak", "memory_max", "swap", "cpu_microseconds", "read_bytes", "written_bytes"))
_FILES = (("memory", "memory.current"), ("memory_peak", "memory.peak"), ("memory_max", "memory.max"),
          ("swap", "memory.swap.current"), ("tasks", "pids.current"), ("tasks_max", "pids.max"))


def usage(run: dict[str, Any]) -> dict[str, Any]:
    """The interface's type Run with the figures: memory, memory_peak, memory_max, swap, read_bytes, written_bytes in
    bytes, tasks, tasks_max (processes and threads), cpu_microseconds, oom_kills (how many of its processes the kernel
    has ended for lack of memory).
    """
    found = dict(run)
    cgroup = found.pop("cgroup", None)
    if not cgroup:
        return found
    for field, file in _FILES:
        number = _number(f"{cgroup}/{file}")
        if number is not None:
            found[field] = number
    for field, file, name in (("cpu_microseconds", "cpu.stat", "usage_usec"), ("oom_kills", "memory.events",
                                                                              "oom_kill")):
        words = _read(f"{cgroup}/{file}").split()
        if name in words:
            found[field] = int(words[words.index(name) + 1])
    words = _read(f"{cgroup}/io.stat").split()
    if words:
        for field, name in (("read_bytes", "rbytes="), ("written_bytes", "wbytes=")):
            found[field] = sum(int(word.removeprefix(name)) for word in words if word.startswith(name))
    return found


def memory(run: dict[str, Any]) -> int | None:
    """`memory` alone, for who shows no more: one file instead of nine."""
    return _number(f"{run['cgroup']}/memory.current") if run.get("cgroup") else None


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
