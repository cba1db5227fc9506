"""A program's processes where no cgroup holds them together.

Promises: what still can be found is found: descendants, their process groups and sessions, and whoever carries the
run's marker in its environment; a signal reaches only the process that was looked at, by its start time. Must not: be
used where a cgroup is; it looks at all of /proc, some 25 us a process.

The daemon should be a subreaper (or PID 1), so that orphans stay its descendants. One that leaves its session, loses
its parents and overwrites its environment before it is first seen is not found. Sources: proc_pid_stat(5),
proc_pid_environ(5), pidfd_open(2), setsid(2): a number in use as a group or session is not given to a new process.
"""

import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

#: In the environment of every child that is in no cgroup.
MARK = "SDSUPER_RUN"

_ROUNDS_MOST = 20


class Seen(NamedTuple):
    """One process of a scan. `start` is in clock ticks since boot: with the pid it names a process for good."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int


def find_tree(leader: int, marker: str, reaped: bool = False, known: frozenset[int] = frozenset()) -> list[Seen]:
    """The living processes of a run: `leader`, and all that belong to it in one way or another.

    The leader's pid is the number of the run's process group, too. Once the leader is `reaped` another process may
    have it. `marker` is the value of MARK in the run's environment, unique to the run; `known` are pids that were
    found before.
    """
    table = _scan()
    own, any_mark = f"\0{MARK}={marker}\0".encode(), f"\0{MARK}=".encode()
    below = _descendants(table)
    ids = known | {leader}
    members = {seen.pid: seen for seen in table
               if (seen.pid == leader and not reaped) or own in _environment(seen.pid)}
    rest, before = table, -1
    while len(members) > before:
        before = len(members)
        ids |= members.keys()
        rest = [seen for seen in rest if seen.pid not in members]
        for seen in rest:
            # A stranger may have got a number that was free again: it is no descendant of ours, or is of another run.
            if seen.parent in members or (
                (seen.group in ids or seen.session in ids) and seen.pid in below
                and (any_mark not in (environment := _environment(seen.pid)) or own in environment)
            ):
                members[seen.pid] = seen
    return list(members.values())


def hunt(leader: int, marker: str, reaped: bool = False) -> Iterator[int]:
    """End a run's processes, a round at a time; each step gives how many were seen for the first time. Over after two
    rounds in a row that saw nobody new, or 20 rounds.

    First all are stopped, so that none forks and no parent is lost by which its children are known, then all are
    killed. Whoever was seen has been sent SIGKILL when it is over, but need not be gone: one in an uninterruptible
    sleep dies later, one that we may not signal does not. Stepping is the caller's: between two steps the daemon can
    reap (the leader: then this must be begun anew) and serve.
    """
    known: frozenset[int] = frozenset()
    stopped: set[tuple[int, int]] = set()
    quiet = 0
    for left in reversed(range(_ROUNDS_MOST)):
        found = find_tree(leader, marker, reaped, known)
        known |= {seen.pid for seen in found}
        fresh = {(seen.pid, seen.start) for seen in found} - stopped
        for seen in found:
            if not fresh or not left:
                _signal(seen, signal.SIGKILL)
            elif (seen.pid, seen.start) in fresh:
                _signal(seen, signal.SIGSTOP)
        stopped |= fresh
        yield len(fresh)
        quiet = 0 if fresh else quiet + 1
        if quiet == 2:
            return


def kill_tree(leader: int, marker: str, reaped: bool = False) -> None:
    """All rounds of `hunt` at once, 20 scans of /proc at the most. What is alive after that needs another call."""
    for _ in hunt(leader, marker, reaped):
        pass


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or a zombie, which is in no cgroup any more."""
    seen = _look(pid)
    return seen is None or seen.state in "ZX"


# ---- small parts --------------------------------------------------------------------------------------------------

def _scan() -> list[Seen]:
    """Every living process but ourselves, zombies left out: they are dead already."""
    found = []
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != own:
            seen = _look(int(name))
            if seen is not None and seen.state not in "ZX":
                found.append(seen)
    return found


def _descendants(table: list[Seen]) -> set[int]:
    """Those of the table that descend from this process."""
    below = {os.getpid()}
    before = 0
    while len(below) > before:
        before = len(below)
        below |= {seen.pid for seen in table if seen.parent in below}
    return below


def _look(pid: int) -> Seen | None:
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(b")") + 2:].split()      # the name before may have blanks and brackets
    return Seen(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def _environment(pid: int) -> bytes:
    """The environment that the process was started with, each entry between two NULs."""
    return b"\0" + _read(f"/proc/{pid}/environ") + b"\0"


def _read(path: str) -> bytes:
    """The file, or nothing when the process is gone or not ours to look into."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _signal(seen: Seen, number: int) -> None:
    """Signal the very process that was seen, or nobody."""
    try:
        pidfd = os.pidfd_open(seen.pid)
    except OSError:
        return
    try:
        now = _look(seen.pid)
        if now is not None and now.start == seen.start:
            signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(pidfd)
