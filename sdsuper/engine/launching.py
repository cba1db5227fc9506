"""What a child is started with: its command, environment, limits and descriptors.

Promises: everything that a program's options and the daemon's surroundings say of a start is put together here. Must
not: start anything.
"""

import errno
from collections.abc import Mapping
from typing import NamedTuple

from sdsuper.config.model import ProcessConfig
from sdsuper.config.values import split_command
from sdsuper.core.slot import Slot
from sdsuper.engine.environment import Say, add_variables
from sdsuper.engine.sandboxes import Sandboxes
from sdsuper.engine.trees import Run
from sdsuper.errors import LACKS, SpawnError
from sdsuper.system import process as system
from sdsuper.system.limits import NUMBERS


class Surroundings(NamedTuple):
    """What every child gets, settled at start."""

    environment: Mapping[str, str]                 # inherited, without what was meant for the daemon alone
    serverurl: str | None
    limits: tuple[tuple[int, int, int], ...]       # the daemon's own limits before it raised them
    strip_ansi: bool


class Launching:
    """Launches in the surroundings of one daemon."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.strip_ansi = surroundings.strip_ansi
        self._surroundings = surroundings
        self._inherited = system.environment_block(surroundings.environment)
        self.sandboxes = Sandboxes(surroundings.environment)

    def own_environment(self, slot: Slot, say: Say = lambda _level, _text: None) -> dict[str, str]:
        """What a process gets on top of, or instead of, what the daemon itself was given. `say` hears of environment
        files that it does without. Raises SpawnError for one that it needs.
        """
        config, user = slot.config, slot.config.user
        own = {"SUPERVISOR_PROCESS_NAME": config.name, "SUPERVISOR_GROUP_NAME": slot.group}
        url = config.serverurl or self._surroundings.serverurl
        if url:
            own["SUPERVISOR_SERVER_URL"] = url
        if config.user_environment and user is not None:
            own.update(HOME=user.home, USER=user.name, LOGNAME=user.name, SHELL=user.shell)
        add_variables(own, config, self._surroundings.environment, say)
        return own

    def environment(self, own: dict[str, str]) -> bytes:
        """The whole environment. What is inherited is encoded once; only who overrides some of it pays for all."""
        inherited = self._surroundings.environment
        if own.keys().isdisjoint(inherited):
            return self._inherited + system.environment_block(own)
        return system.environment_block({**inherited, **own})

    def command(self, slot: Slot, own: dict[str, str]) -> tuple[str, list[str]]:
        """The file to execute and its argv. Raises SpawnError with Supervisor's texts, NotFound where there is no
        file.
        """
        try:
            argv = split_command(slot.config.command)
        except ValueError as error:
            raise SpawnError(f"can't parse command '{slot.config.command}': {error}") from None
        if not argv:
            raise SpawnError("command is empty")
        return self.find(argv[0], own), argv

    def find(self, name: str, own: Mapping[str, str]) -> str:
        """The file that a first word names with this environment. Raises SpawnError, NotFound."""
        return system.resolve_command(name, own.get("PATH", self._surroundings.environment.get("PATH")))

    def check_command(self, slot: Slot) -> None:
        """Whether there is a command to start. Raises NotFound, or SpawnError for what is there but cannot be run."""
        try:
            own = self.own_environment(slot)
        except SpawnError:
            return              # where the command would be found is not known; the start itself says why
        self.command(slot, own)

    def launch(self, run: Run, path: str, argv: list[str], environment: bytes,
               writers: Mapping[str, int]) -> system.Launch:
        """All of it. `writers` are the descriptors for stdin, stdout and stderr; what has none gets /dev/null."""
        config, sandbox = run.slot.config, run.slot.config.sandbox
        # the daemon's own directory would be a way around what the program is to see of the file system
        directory = "/" if config.directory is None and sandbox is not None and sandbox.mounts else config.directory
        return system.Launch(
            tag=run.tag, path=path, argv=argv, environment=environment, directory=directory, umask=config.umask,
            user=config.user, nice=config.nice, rlimits=self._limits(config), cgroup=run.tree,
            stdin=writers.get("stdin"), stdout=writers.get("stdout"),
            stderr=system.SAME_AS_STDOUT if config.redirect_stderr else writers.get("stderr"),
            no_new_privs=sandbox is not None and sandbox.no_new_privs, steps=self.sandboxes.steps(run),
            ready=(writers["ready"], int(config.readiness.detail)) if "ready" in writers else None)

    def _limits(self, config: ProcessConfig) -> tuple[tuple[int, int, int], ...]:
        if not config.rlimits:
            return self._surroundings.limits
        own = tuple((NUMBERS[name], soft, hard) for name, soft, hard in config.rlimits)
        named = {number for number, _soft, _hard in own}
        return tuple(row for row in self._surroundings.limits if row[0] not in named) + own


#: The limits of a program's own (rlimit_NAME) that explain as well why something was not there for it.
_OWN_LIMITS = {errno.EMFILE: frozenset(("nofile",)), errno.ENOMEM: frozenset(("as", "data", "stack", "memlock"))}


def lacks(config: ProcessConfig, number: int) -> bool:
    """Whether a launch failed with this errno for want of something that no option of the program limits."""
    own = _OWN_LIMITS.get(number, frozenset())
    return number in LACKS and own.isdisjoint(name for name, _soft, _hard in config.rlimits)


def failure(name: str, error: OSError | ValueError) -> SpawnError:
    """What is told of a start that failed before there was a child, in Supervisor's texts."""
    if isinstance(error, OSError):
        return SpawnError(_why(name, error), error.errno in LACKS)
    return SpawnError(str(error))


def _why(name: str, error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"too many open files to spawn '{name}'"
    if error.filename is not None:
        return f"cannot open {error.filename}: {error.strerror}"
    if error.errno == errno.EAGAIN:
        return f"Too many processes in process table to spawn '{name}'"
    return f"unknown error during fork for '{name}': {errno.errorcode.get(error.errno or 0, str(error))}"
