"""How a process and its options are shown: the fields of the interface, and the words of `description`.

Promises: the same words as Supervisor 4.3.0, and more only where options are in use that it does not have. Monotonic
times become dates here and nowhere else. Must not: know the engine.
"""

from time import localtime, strftime
from typing import Any

from sdsuper.config.model import UNLIMITED, GroupConfig, LogConfig, ProcessConfig, Restart, TargetKind
from sdsuper.core.policy import limit_text
from sdsuper.core.vocabulary import Process, State


def describe(process: Process, now: float, offset: float) -> str:
    """The `description` of a process. `now` is monotonic, `offset` what makes a date of it."""
    state = process.state
    if state is State.RUNNING:
        return f"pid {process.pid}, uptime {uptime(now - process.started)}"
    if state in (State.FATAL, State.BACKOFF):
        return process.spawnerr or 'unknown error (try "tail NAME")'
    if state in (State.STOPPED, State.EXITED):
        if not process.ended:
            return "Not started"
        date = strftime("%b %d %I:%M %p", localtime(process.ended + offset))
        return f"{date}; out of memory" if process.exit is not None and process.exit.oom else date
    return ""


def waiting(process: Process, policy: ProcessConfig, offset: float) -> str:
    """What a process in BACKOFF waits for: `retry 2 of 3 at 16:20:05`. Nothing where all is as with Supervisor."""
    if process.state is not State.BACKOFF or process.deadline is None:
        return ""
    at = strftime("%H:%M:%S", localtime(process.deadline + offset))
    if process.lacking:
        return f"no fault of the program: retried until it works, next at {at}"
    if policy.restart == Restart():
        return ""
    if not process.tries:
        return f"{limit_text(policy)} allows the next start at {at}"
    most = "" if policy.startretries == UNLIMITED else f" of {policy.startretries}"
    return f"retry {process.tries}{most} at {at}"


def trouble(process: Process) -> str:
    """What the checks of a process say, if that is not good: `unhealthy: HTTP 503`."""
    words = {"unhealthy": "unhealthy", "unready": "not ready"}
    return f"{words[process.health]}: {process.trouble}" if process.health in words else ""


def uptime(seconds: float) -> str:
    """`0:01:02`, `1 day, 3:04:05`: the text of Python's timedelta."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    day = f"{days} day{'' if days == 1 else 's'}, " if days else ""
    return f"{day}{hour}:{minute:02d}:{second:02d}"


def shown(name: str, group: str, process: Process, now: float, offset: float) -> dict[str, Any]:
    """The fields of the interface's type Process that come from the record alone."""
    return {
        "name": name, "group": group, "description": describe(process, now, offset), "state": process.state.name,
        "statecode": int(process.state), "goal": process.goal.value, "pid": 0 if process.reaped else process.pid,
        "run": process.run, "exitstatus": process.exit.code if process.exit else 0, "spawnerr": process.spawnerr,
        "start": int(process.started + offset) if process.started else 0,
        "stop": int(process.ended + offset) if process.ended else 0, "now": int(now + offset),
    }


def config(process: ProcessConfig, group: GroupConfig, in_use: bool, has_journal: bool) -> dict[str, Any]:
    """The interface's type Config. `has_journal`: the target syslog is the journal."""
    user = process.user
    fields: dict[str, Any] = {
        "name": process.name, "group": group.name, "inuse": in_use, "autostart": process.autostart,
        "autorestart": process.autorestart.value, "group_priority": group.priority,
        "process_priority": process.priority, "command": process.command, "startsecs": process.startsecs,
        "startretries": process.startretries, "exitcodes": list(process.exitcodes), "stopsignal": process.stopsignal,
        "stopwaitsecs": process.stopwaitsecs, "stopasgroup": process.stopasgroup, "killasgroup": process.killasgroup,
        "redirect_stderr": process.redirect_stderr, "stdout": _log(process.stdout, has_journal),
        "stderr": _log(process.stderr, has_journal),
    }
    optional = {"directory": process.directory, "uid": user.uid if user else None, "serverurl": process.serverurl}
    return fields | {key: value for key, value in optional.items() if value is not None}


def _log(log: LogConfig, has_journal: bool) -> dict[str, Any]:
    kinds = {target.kind for target in log.targets}
    first = next((target for target in log.targets if target.kind in (TargetKind.FILE, TargetKind.AUTO,
                                                                       TargetKind.MEMORY, TargetKind.CONSOLE)), None)
    names = {TargetKind.AUTO: "AUTO", TargetKind.MEMORY: "memory"}
    return {
        "logfile": "" if first is None else first.path or names[first.kind],
        "maxbytes": log.maxbytes, "backups": log.backups,
        "capture_maxbytes": log.capture_maxbytes, "events_enabled": log.events_enabled,
        "syslog": bool(kinds & {TargetKind.SYSLOG, TargetKind.JOURNAL, TargetKind.REMOTE}),
        "journal": TargetKind.JOURNAL in kinds or (has_journal and TargetKind.SYSLOG in kinds),
    }
