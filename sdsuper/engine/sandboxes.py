"""The sandboxes of runs: their steps, their credentials, and what could not be had.

Promises: a program without such options costs nothing; a step that was left out is told once for each program. Must
not: know how a step is taken (exec/sandbox.h).
"""

import os
from collections.abc import Mapping

from sdsuper.config.model import User
from sdsuper.config.sandbox import Sandbox
from sdsuper.engine.credentials import Credentials
from sdsuper.engine.trees import Run
from sdsuper.system.sandbox import Secrets, Steps, oom_step, steps

_MOST_KEPT = 1000       # different sandboxes whose steps are kept; after many reloads the old ones go


def _own_score() -> int:
    """How readily the kernel ends the daemon, proc_pid_oom_score_adj(5); 0 where that is not known."""
    try:
        with open("/proc/self/oom_score_adj", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _elsewhere(sandbox: Sandbox) -> bool:
    """Whether credentials are made in the program's own view of the file system. An optional one may not come to be,
    and then nobody would find them.
    """
    return sandbox.mounts and not sandbox.optional


class Sandboxes:
    """All of one daemon. `environment` is what it was started with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._credentials = Credentials(environment.get("XDG_RUNTIME_DIR"))
        self._secrets: dict[int, Secrets] = {}          # run's tag -> what it will be given at its start
        self._warned: set[tuple[str, str]] = set()
        #: what every child gets: a daemon that is not to be killed when memory is short has children that may be
        self.usual = Steps([oom_step(0)._replace(optional=True)] if _own_score() < 0 else [])
        self._made: dict[tuple[Sandbox, User | None], Steps] = {}

    def begin(self, run: Run, environment: dict[str, str]) -> None:
        """Prepare what a run is given beside its descriptors. Raises SpawnError."""
        sandbox = run.slot.config.sandbox
        if sandbox is None or not sandbox.credentials:
            return
        config = run.slot.config
        elsewhere = _elsewhere(sandbox)
        name = f"{run.slot.group}:{config.name}.{run.tag}"
        directory, contents = self._credentials.give(run.tag, name, sandbox.credentials, config.user, elsewhere)
        environment["CREDENTIALS_DIRECTORY"] = directory
        self._secrets[run.tag] = Secrets(directory, contents if elsewhere else None)

    def steps(self, run: Run) -> Steps:
        """The steps of a run. Asked again, for the words, they have no secrets any more."""
        sandbox, user = run.slot.config.sandbox, run.slot.config.user
        if sandbox is None:
            return self.usual
        made = self._made.get((sandbox, user))
        if made is not None:
            return made
        secrets = self._secrets.pop(run.tag, None)
        if secrets is None and sandbox.credentials:
            secrets = Secrets("", dict.fromkeys(dict(sandbox.credentials), b"") if _elsewhere(sandbox) else None)
        made = steps(sandbox, user, os.getpid(), secrets)
        if sandbox.oom_score_adj is None:
            made = Steps((*self.usual, *made))
        if secrets is None:
            if len(self._made) >= _MOST_KEPT:
                self._made.clear()
            self._made[sandbox, user] = made
        return made

    def is_news(self, program: str, text: str) -> bool:
        """Whether a step that was left out has not been told yet."""
        if (program, text) in self._warned:
            return False
        self._warned.add((program, text))
        return True

    def end(self, run: Run) -> None:
        """Nothing of the run is left, or it did not come to be."""
        self._secrets.pop(run.tag, None)
        self._credentials.take_back(run.tag)

    def close(self) -> None:
        """The daemon ends."""
        self._credentials.close()
