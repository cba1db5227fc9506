"""A process of ours beside the daemon, without rights: it does what needs libraries, patience or trust in others.

Promises: it has the rights of its account and one connection to the daemon, descriptor 0, and nothing else; what it
says comes into the log; when it fails it may be started again after a pause, which grows with each failure in a row.
Must not: know what it is for.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic, sleep

from sdsuper.config.model import User
from sdsuper.core.vocabulary import Exit
from sdsuper.engine.supervise import Engine
from sdsuper.system.loop import EPOLLIN
from sdsuper.system.process import SAME_AS_STDOUT, Launch

FAILED_SECONDS = 10.0             # one that ends earlier and not by itself has failed
PAUSE, PAUSE_MOST = 1.0, 30.0     # seconds after a failure, doubled by each one in a row
NICE = 10                         # supervision comes first, however much is asked of it
LINE_BYTES = 2000                 # of what it says, in one line of the log
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


class Companion:
    """One such process: `module` is run as `user` (None: the daemon's own account), `title` is what the log calls it.

    `connected` gets our end of its connection before it is started on; `ended` hears that it has ended and after how
    many seconds there may be another, 0 if it ended in order. `waits` says in the log who waits that long meanwhile.
    """

    def __init__(self, engine: Engine, module: str, user: User | None, title: str, prefix: str, level: str, waits: str,
                 connected: Callable[[socket.socket], object], ended: Callable[[float], object]) -> None:
        self._engine, self._module, self._user, self._title = engine, module, user, title
        self._prefix, self._level, self._waits, self._connected, self._on_end = prefix, level, waits, connected, ended
        self._started, self._failures, self._said, self._reader = 0.0, 0, b"", -1
        self.pid = 0                    # 0: there is none

    def start(self) -> None:
        """Start it, unless there is one."""
        if self.pid:
            return
        made: list[int] = []
        try:
            made += [end.detach() for end in socket.socketpair()]
            made += os.pipe2(os.O_CLOEXEC)
            ours, theirs, reader, writer = made
            os.set_blocking(reader, False)
            self.pid = self._engine.launch(Launch(
                0, sys.executable, (sys.executable, "-P", "-m", self._module), _environment(), directory="/",
                user=self._user, stdin=theirs,
                stdout=writer, stderr=SAME_AS_STDOUT, no_new_privs=True, nice=NICE), self._ended)
        except OSError as error:
            self._fail(f"cannot be started: {error.strerror}")
        else:
            self._started = monotonic()
            self._connected(socket.socket(fileno=ours))
            self._reader = reader
            self._engine.loop.watch(reader, EPOLLIN, lambda _events: self._listen())
            self._engine.log.write("debug", f"{self._title} has started (pid {self.pid})")
            made = [theirs, writer]
        finally:
            for fd in made:
                os.close(fd)
            self._engine.log.flush()

    def end(self, seconds: float, number: int = signal.SIGTERM) -> None:
        """The daemon ends: send it the signal (0: it knows by itself), wait for it so long, then kill it."""
        if not self.pid:
            return
        os.kill(self.pid, number)
        until = monotonic() + seconds
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            sleep(0.005)
        self.pid = 0
        if self._reader >= 0:
            self._listen()              # its last words

    def _ended(self, exit: Exit) -> None:
        self.pid = 0
        if exit.code != 0:
            if monotonic() - self._started >= FAILED_SECONDS:
                self._failures = 0
            self._fail(f"ended unexpectedly ({exit})")
            return
        self._failures = 0
        self._engine.log.write("debug", f"{self._title} has ended, for it was idle")
        self._on_end(0.0)

    def _fail(self, why: str) -> None:
        pause = min(PAUSE * 2 ** self._failures, PAUSE_MOST)
        self._failures += 1
        self._engine.log.write("error", f"{self._title} {why}; {self._waits} wait {pause:g} seconds for the next one")
        self._on_end(pause)

    def _listen(self) -> None:
        """What it says is for the log."""
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        *lines, self._said = (self._said + data).split(b"\n")
        if not data or len(self._said) > LINE_BYTES:
            lines.append(self._said)
            self._said = b""
        for line in lines:
            if line:
                text = line[:LINE_BYTES].decode(errors="backslashreplace")
                self._engine.log.write(self._level, f"{self._prefix}: {text}")
        self._engine.log.flush()
        if not data:
            self._engine.loop.unwatch(self._reader)
            os.close(self._reader)
            self._reader = -1


def alone(user: User | None, gid: int) -> User | None:
    """The account in one group alone, that of the number: a process may take over another one (ptrace(2),
    pidfd_getfd(2)) if all their ids are equal.
    """
    return None if user is None else user._replace(gid=gid, groups=(gid,))


def _environment() -> dict[str, str]:
    """Little of the daemon's own: who can look into the face shall find nothing there."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "PYTHONPATH": os.path.dirname(_package())}


def _package() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def why_not(user: User | None) -> str:
    """Why an account cannot run what is installed here; empty when it can."""
    if user is None:
        return "it needs an account without privileges, api_user"
    for path in (_package(), sys.executable, os.path.realpath(sys.executable)):
        step = path
        while True:
            facts = os.stat(step)
            shift = 6 if facts.st_uid == user.uid else 3 if facts.st_gid == user.gid else 0
            needed = 5 if step == os.path.dirname(_package()) else 1        # where Python looks for us it lists
            if facts.st_mode >> shift & needed != needed:
                return (f"api_user {user.name} cannot read {path}, for {step} has the mode "
                        f"{facts.st_mode & 0o7777:04o}")
            if step == "/":
                break
            step = os.path.dirname(step)
    return ""
