"""why: one screen about a process that is not as somebody wishes it to be.

Promises: everything that the daemon knows in one answer, with the newest lines of the log; `--json` has the same.
Must not: change anything.
"""

from time import localtime, strftime

from sdsuper.cli.ctl.names import shown
from sdsuper.cli.ctl.output import last_lines
from sdsuper.cli.ctl.show import say_json, told
from sdsuper.errors import Refusal
from sdsuper.usage import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_LINES = 10
_LINE_BYTES = 400
_WANTED = {"itself": "by itself", "stop": "it was stopped", "restart": "it was stopped for a restart",
           "signal": "it was sent the signal", "check": "the daemon's checks ended it"}


def why(session: "Session", argument: str) -> None:
    """`why name …`: exit 1 for a name that is unknown."""
    found, as_json = told(session, argument, "why", "Why")
    if found is None:
        return
    for one in found:
        one["log"] = _log(session, shown(one["group"], one["name"]))
        one["usage"] = _usage(session, one)
    if as_json:
        say_json(session, {"schema": "sdsuper.why/1", "processes": found})
        return
    session.say("\n\n".join(map(_screen, found)))


def _usage(session: "Session", one: "dict[str, Any]") -> "dict[str, Any]":
    """What the present run uses of its limits, as far as there are any."""
    try:
        (run,) = session.call("ListRuns", name=f"{one['group']}:{one['name']}")["runs"]
    except (Refusal, ValueError):
        return {}                       # it has been removed meanwhile
    measured = usage(run)
    return {name: measured[name] for name in ("oom_kills", "memory", "memory_max", "tasks", "tasks_max")
            if name in measured}


def _log(session: "Session", name: str) -> "dict[str, Any] | None":
    """The newest lines of stderr, or where there are none of stdout; None without a log that can be read."""
    found: dict[str, Any] | None = None
    for channel in ("stderr", "stdout"):
        try:
            log = session.backend.log(name, channel)
        except Refusal:
            continue
        try:
            lines = last_lines(log, _LINES).splitlines()
            found = {"channel": channel, "path": getattr(log, "path", ""), "lines": [_text(line) for line in lines]}
        finally:
            log.close()
        if lines:
            break
    return found


def _text(line: bytes) -> str:
    """A line for a terminal, whatever is in it."""
    text = line[:_LINE_BYTES].decode(errors="backslashreplace")
    safe = "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text)
    return safe + "…" * (len(line) > _LINE_BYTES)


# ---- the screen ------------------------------------------------------------------------------------------------------

def _screen(one: "dict[str, Any]") -> str:
    name = shown(one["group"], one["name"])
    run = f", run {one['run']}" if one["run"] else ""
    lines = [f"{name} is {one['state']}, wanted {one['goal']}{run}"]
    lines += [f"  {word:<12}{text}" for word, text in _facts(one)]
    if one["ends"]:
        lines += ["  ends", *(f"    {_end(end)}" for end in one["ends"])]
    return "\n".join([*lines, *_tail(one)])


def _facts(one: "dict[str, Any]") -> "list[tuple[str, str]]":
    facts = [("is", one["description"])] if one["description"] else []
    facts += [("waits for", text) for text in one["waits"]]
    if one["spawnerr"] and one["spawnerr"] != one["description"]:
        facts.append(("error", one["spawnerr"]))
    if one["health"] != "unknown" or one["trouble"]:
        facts.append(("health", ": ".join(filter(None, (one["health"], one["trouble"])))))
    if one["said"]:
        facts.append(("says", one["said"]))
    if one["restarts"]:
        facts.append(("restarts", one["restarts"]))
    facts += [("limits", text) for text in _limits(one["usage"])]
    if one["disabled"]:
        facts.append(("disabled", "it does not start by itself (ctl enable)"))
    if "scale" in one:
        facts.append(("scaled", f"its program to {one['scale']} processes (ctl scale)"))
    place = f" {one['file']}:{one['line']}" if one.get("file") else ""
    return [*facts, ("written", f"[{one['section']}]{place}")]


def _limits(used: "dict[str, Any]") -> list[str]:
    found = []
    if used.get("oom_kills"):
        found.append(f"{used['oom_kills']} processes ended by the kernel, out of memory")
    for word, unit in (("memory", "bytes"), ("tasks", "tasks")):
        now, most = used.get(word), used.get(f"{word}_max")
        if now is not None and most and now * 10 >= most * 9:
            found.append(f"{now} of {most} {unit}")
    return found


def _end(end: "dict[str, Any]") -> str:
    at = strftime("%Y-%m-%d %H:%M:%S", localtime(end["time"]))
    if not end["pid"]:
        return f"{at}  run {end['run']}: not started: {end['reason']}"
    how = f"exit status {end['status']}" if "status" in end else end.get("signal", "")
    how += " (core dumped)" * end["core"] + " (out of memory)" * end["oom"]
    why = f": {end['reason']}" if end["reason"] else ""
    by = f" by {_name(end['by'])}" if "by" in end else ""
    return f"{at}  run {end['run']}, pid {end['pid']}, {end['seconds']} s: {how}, {_WANTED[end['wanted']]}{by}{why}"


def _name(by: str) -> str:
    """`root` for `uid 0`; what is no account of this machine as it is."""
    import pwd

    try:
        return pwd.getpwuid(int(by.removeprefix("uid "))).pw_name if by.startswith("uid ") else by
    except KeyError:
        return by


def _tail(one: "dict[str, Any]") -> list[str]:
    log = one["log"]
    if log is None:
        name = shown(one["group"], one["name"])
        return [f"  no log file (where output goes to the journal, `sdsuper ctl logs {name}` shows it)"]
    if not log["lines"]:
        return [f"  nothing in the log {log['path']}".rstrip()]
    return [f"  {log['channel']}, {log['path']}", *(f"    {line}" for line in log["lines"])]
