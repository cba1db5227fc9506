"""The shell of ctl: a prompt on a terminal, or commands from a pipe.

Promises: on a terminal readline edits, completes and, when a history file is configured, remembers. The exit status of
a shell is always 0, as Supervisor's.
"""

from sdsuper.cli.ctl.commands import COMMANDS, run_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session

_GROUPS = ("add", "diff", "remove", "scale", "update")
_PROCESSES = ("cat", "clear", "disable", "enable", "fg", "freeze", "health", "is-active", "is-ready", "logs", "pid",
              "reload-program", "restart", "rotate", "signal", "start", "status", "stop", "tail", "thaw", "usage",
              "why")


def run(session: "Session") -> None:
    """Show the status, then do what each line says until `quit`, ^C or the end of the input."""
    history = _terminal(session)
    try:
        run_line(session, "status")
        while True:
            line = session.lines.ask(f"{session.options.prompt}> ")
            if run_line(session, "EOF" if line is None else line):
                return
    except KeyboardInterrupt:
        session.say("")
    finally:
        if history:
            _save(history)


def _terminal(session: "Session") -> str | None:
    """Set up readline; the history file to be written at the end, if any."""
    try:
        import readline
    except ImportError:  # a Python built without it
        return None
    readline.set_completer_delims("".join(c for c in readline.get_completer_delims() if c not in ":*-"))
    readline.set_completer(Completer(session).complete)
    readline.parse_and_bind("tab: complete")
    history = session.options.history_file
    if history:
        try:
            readline.read_history_file(history)
        except OSError:
            pass  # the first time there is none
    return history


def _save(history: str) -> None:
    import readline

    try:
        readline.write_history_file(history)
    except OSError:
        pass  # a history that cannot be kept is no reason to end badly


class Completer:
    """Tab completion: commands first, then what a command takes. The daemon is asked once for a line."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._line = ""
        self._found: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """The `state`th completion of the word `text`, as readline asks for it; None when there are no more."""
        import readline

        if state == 0:
            self._found = self.matches(text, readline.get_line_buffer())
        return self._found[state] if state < len(self._found) else None

    def matches(self, text: str, line: str) -> list[str]:
        """Every completion of `text`, the last word of `line`, each with a blank after it."""
        words = line.split()
        if not words or (len(words) == 1 and not line.endswith(" ")) or words[0] == "help":
            candidates = ["help", *(command for command in COMMANDS if command != "help")]
        elif words[0] in _GROUPS:
            candidates = list(dict.fromkeys(group for group, _ in self._processes()))
        elif words[0] in _PROCESSES:
            candidates = _names(self._processes(), ":" in text)
        else:
            candidates = []
        return [word + " " for word in candidates if word.startswith(text)]

    def _processes(self) -> list[tuple[str, str]]:
        try:
            return [(process["group"], process["name"]) for process in self._session.call("List")["processes"]]
        except Exception:
            return []  # a daemon that does not answer completes nothing
        finally:
            self._session.disconnect()


def _names(processes: list[tuple[str, str]], with_groups: bool) -> list[str]:
    names: dict[str, None] = {}
    for group, name in processes:
        if with_groups or name != group:
            names[f"{group}:{name}"] = None
            names[f"{group}:*"] = None
        else:
            names[name] = None
    return list(names)
