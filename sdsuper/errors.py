"""The exception families of sdsuper, on one page.

An exception type exists only where a caller acts on it; everything else is a plain Python error and a bug.
Texts are lower case, name the most specific thing first and say what was expected.
"""

from errno import EAGAIN, EMFILE, ENFILE, ENOMEM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.config.model import Problem


class SdsuperError(Exception):
    """Base of all errors that sdsuper raises on purpose."""


class ConfigError(SdsuperError):
    """A configuration that cannot be used. `problems` has every mistake found, errors and warnings, sorted by place."""

    def __init__(self, problems: "tuple[Problem, ...]") -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems

    @property
    def refusing(self) -> str:
        """The errors alone, a line each."""
        return "\n".join(str(p) for p in self.problems if p.severity.value == "error")


class StartError(SdsuperError):
    """The daemon cannot start (limits, privileges, pidfile, sockets). Exit status 2, text for stderr."""


#: The errnos that say that the machine lacks processes, descriptors or memory, which may be there the next time.
LACKS: frozenset[int | None] = frozenset((EAGAIN, EMFILE, ENFILE, ENOMEM))


class SpawnError(SdsuperError):
    """A child could not be made; the text is what `spawnerr` shows. `lack`: because of one of LACKS."""

    def __init__(self, text: str, lack: bool = False) -> None:
        super().__init__(text)
        self.lack = lack


class Refusal(SdsuperError):
    """The daemon says no to a command. `code` and `fault` are Supervisor's fault number and name, `detail` what was
    asked.
    """

    def __init__(self, fault: str, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else fault)
        self.fault = fault
        self.code = FAULTS[fault]
        self.detail = detail


#: Supervisor's fault numbers (supervisor.xmlrpc.Faults of 4.3.0); 80 is no fault, it marks a success in result lists.
FAULTS = {
    "UNKNOWN_METHOD": 1, "INCORRECT_PARAMETERS": 2, "BAD_ARGUMENTS": 3, "SIGNATURE_UNSUPPORTED": 4, "SHUTDOWN_STATE": 6,
    "BAD_NAME": 10, "BAD_SIGNAL": 11, "NO_FILE": 20, "NOT_EXECUTABLE": 21, "FAILED": 30, "ABNORMAL_TERMINATION": 40,
    "SPAWN_ERROR": 50, "ALREADY_STARTED": 60, "NOT_RUNNING": 70, "SUCCESS": 80, "ALREADY_ADDED": 90,
    "STILL_RUNNING": 91, "CANT_REREAD": 92,
}
