"""What is in force for a process, as the kernel says it.

Promises: nothing of the configuration is repeated here, all is read below /proc or asked of the kernel; what cannot be
seen (a process of another user and no rights, Landlock and the IO priority in any case) is left out. Must not: decide
what it ought to be. Sources: proc(5), proc_pid_status(5), namespaces(7).
"""

import os

from sdsuper.config.sandbox import capability_names

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
_SECCOMP = {"0": "off", "1": "strict mode of the kernel", "2": "filter"}
#: The lines of /proc/PID/limits, in their order.
_LIMITS = ("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending",
           "msgqueue", "nice", "rtprio", "rttime")
_MOST_MOUNTS = 100


def in_force(pid: int) -> list[tuple[str, str]]:
    """(name, value) of a living process, in a stable order. A process that is gone has none."""
    status = dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines() if ":\t" in line)
    if not status:
        return []
    found = [("uid", _ids(status.get("Uid", ""))), ("gid", _ids(status.get("Gid", ""))),
             ("groups", status.get("Groups", "").strip()), ("umask", status.get("Umask", "")),
             ("directory", _link(pid, "cwd")), ("executable", _link(pid, "exe"))]
    found += [("nice", _asked(os.getpriority, os.PRIO_PROCESS, pid)), ("sched_policy", _scheduling(pid)),
              ("cpu_affinity", status.get("Cpus_allowed_list", "")),
              ("oom_score_adj", _read(pid, "oom_score_adj").strip())]
    found += [(f"capabilities {what}", capability_names(int(status[field], 16)))
              for what, field in (("effective", "CapEff"), ("permitted", "CapPrm"), ("bounding", "CapBnd"),
                                  ("ambient", "CapAmb")) if field in status]
    found += [("no_new_privs", {"0": "false", "1": "true"}.get(status.get("NoNewPrivs", ""), "")),
              ("seccomp", _SECCOMP.get(status.get("Seccomp", ""), ""))]
    found += _limits(pid)
    own = [name for name in _NAMESPACES if _link(pid, f"ns/{name}") not in ("", _link("self", f"ns/{name}"))]
    found.append(("namespaces of its own", " ".join(own) or "none"))
    if "mnt" in own:
        found += _mounts(pid)
    found.append(("cgroup", " ".join(_read(pid, "cgroup").split())))
    return [(name, value) for name, value in found if value]


def _read(pid: int | str, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _link(pid: int | str, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def _asked(ask: object, *arguments: int) -> str:
    try:
        return str(ask(*arguments)) if callable(ask) else ""
    except OSError:
        return ""


def _ids(text: str) -> str:
    """One number where all four are the same, which they are but for set-user-ID programs."""
    numbers = text.split()
    return " ".join(numbers if len(set(numbers)) > 1 else numbers[:1])


def _scheduling(pid: int) -> str:
    try:
        policy, priority = os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority
    except OSError:
        return ""
    return f"{_POLICIES.get(policy, policy)}{f' with priority {priority}' if priority else ''}"


def _limits(pid: int) -> list[tuple[str, str]]:
    lines = _read(pid, "limits").splitlines()[1:]
    return [(f"rlimit_{name}", ":".join(line[26:].split()[:2])) for name, line in zip(_LIMITS, lines, strict=False)]


def _mounts(pid: int) -> list[tuple[str, str]]:
    """What is mounted otherwise than for the daemon."""
    daemons = set(_table("self"))
    other = [line for line in _table(pid) if line not in daemons]
    return [(f"mount {path}", f"{kind} {access}") for path, kind, access in other[:_MOST_MOUNTS]]


def _table(pid: int | str) -> list[tuple[str, str, str]]:
    """Path, kind of file system and `ro` or `rw`; of several on one path the last counts, which covers the others."""
    found = {}
    for line in _read(pid, "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        found[words[4]] = after.split()[0], words[5].split(",")[0]
    return [(path, kind, access) for path, (kind, access) in found.items()]
