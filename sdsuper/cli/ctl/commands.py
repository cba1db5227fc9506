"""The table of ctl's commands, and how a line becomes one of them.

Promises: a command's module is imported when the command runs. Lines are split as supervisorctl's `cmd` does it:
letters, digits and underscores are the command, the rest is its argument.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sdsuper.cli.ctl.session import Session

#: Command -> the module of this package that has the function of that name, `_` for `-`. A true result of it ends the
#: shell.
COMMANDS = {
    "add": "groups", "avail": "show", "cat": "cat", "clear": "logs", "diff": "difference", "disable": "scaling",
    "enable": "scaling", "events": "events", "exit": "life", "fg": "fg", "freeze": "usage", "health": "asking",
    "help": "help", "is-active": "asking", "is-ready": "asking", "logs": "output", "maintail": "logs", "open": "life",
    "pid": "show", "quit": "life", "reload": "life", "reload-program": "operate", "remove": "groups",
    "reread": "groups", "restart": "operate", "rotate": "logs", "scale": "scaling", "shutdown": "life",
    "signal": "operate", "start": "operate", "status": "show", "stop": "operate", "tail": "logs", "thaw": "usage",
    "update": "groups", "usage": "usage", "version": "show", "why": "why",
}  # fmt: skip

#: Words of the Go supervisord's client that Supervisor has no command for: word -> (module, function).
ALIASES = {
    "start-group": ("operate", "start_group"),
    "stop-group": ("operate", "stop_group"),
    "logtail": ("logs", "logtail"),
}

_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def split_line(line: str) -> tuple[str, str]:
    """(command, argument) of a stripped line; the command is empty when the line starts with something else."""
    if line.startswith("?"):
        return "help", line[1:].strip()
    first, _, rest = line.partition(" ")
    if first in ALIASES or (first in COMMANDS and "-" in first):
        return first, rest.strip()
    end = next((i for i, letter in enumerate(line) if letter not in _WORD), len(line))
    return line[:end], line[end:].strip()


def find(command: str) -> "Callable[[Session, str], object] | None":
    """The function of a command, None when there is none of that name."""
    if command == "EOF":
        command = "exit"
    if command in ALIASES:
        module, function = ALIASES[command]
    elif command in COMMANDS:
        module, function = COMMANDS[command], command.replace("-", "_")
    else:
        return None
    package = __import__(f"sdsuper.cli.ctl.{module}", fromlist=[function])
    found: Callable[[Session, str], object] = getattr(package, function if function != "exit" else "quit")
    return found


def run_line(session: "Session", line: str) -> object:
    """Do what a line says; the result is true when the shell shall end."""
    line = line.strip()
    if not line:
        return None
    command, argument = split_line(line)
    function = find(command)
    if function is None:
        session.wrong(f"*** Unknown syntax: {line}")
        return None
    return session.run(function, argument)
