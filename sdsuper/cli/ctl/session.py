"""One use of ctl: the daemon that is talked to, what is said to the user, and the exit status.

Promises: the connection is made when the first command needs it and lives for one command line, so a shell survives a
restarted daemon. Whatever a command raises ends as one line and an exit status (`Session.run`). Must not: know
commands.
"""

import errno
import os
import sys

from sdsuper.errors import FAULTS, Refusal, SdsuperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sdsuper.cli.ctl.backend import Backend
    from sdsuper.cli.ctl.lines import Lines
    from sdsuper.cli.ctl.options import Options

API_VERSION = "3.0"

# Exit statuses, from the LSB's two tables.
GENERIC, INVALID_ARGS, REFUSED, NOT_INSTALLED, NOT_RUNNING = 1, 2, 4, 5, 7
NOT_IMPLEMENTED = 3
STATUS_NOT_RUNNING, STATUS_UNKNOWN = 3, 4
UNAUTHORIZED = 401

_NO_NAMESPACE = (
    "Sorry, supervisord responded but did not recognize the supervisor namespace commands that supervisorctl uses to "
    "control it.  Please check that the [rpcinterface:supervisor] section is enabled in the configuration file (see "
    "sample.conf)."
)
_DEAD = ("SPAWN_ERROR", "ABNORMAL_TERMINATION", "NOT_RUNNING")


class NoHttp(SdsuperError):
    """The libraries for a server over HTTP are not installed."""


class Session:
    """State that outlives a command: URL, exit status, standard input."""

    def __init__(self, options: "Options") -> None:
        self.options = options
        self.url = options.url
        self.output = options.output
        self.status = 0
        self.deaf = False           # standard output takes no more
        self.server: dict[str, Any] = {}
        self._backend: Backend | None = None
        self._lines: Lines | None = None

    def run(self, command: "Callable[[Session, str], object]", argument: str) -> object:
        """Do one command; an error is shown as Supervisor shows it: class, text, place.

        Where a server wants to know who asks, so does a shell, and the command is repeated.
        """
        try:
            while True:
                try:
                    return command(self, argument)
                except Exception as error:
                    if getattr(error, "errcode", 0) != UNAUTHORIZED:
                        raise
                    self.say("Server requires authentication")
                    if not self.options.interactive:
                        raise
                self.disconnect()
                self._authenticate()
        except Exception as error:  # a shell outlives any command
            self.say(_generic(error))
        finally:
            self.disconnect()
        self.status = GENERIC
        return None

    # --- the user

    def say(self, text: str) -> None:
        """One line (or several) on standard output. Raises OSError, after which nothing is said any more (`deaf`)."""
        try:
            sys.stdout.write(text + "\n")
        except OSError as error:
            self.hush(error)
            raise

    def wrong(self, text: str, status: int = GENERIC) -> None:
        """Say what is wrong, and leave with `status` unless something later has another one."""
        self.say(text)
        self.status = status

    def flush(self) -> None:
        """Let all be read that was said. Raises OSError, after which nothing is said any more (`deaf`)."""
        try:
            sys.stdout.flush()
        except OSError as error:
            self.hush(error)
            raise

    def hush(self, error: OSError) -> None:
        """Standard output takes no more; that its reader has seen enough (`| head -1`) is not worth a word."""
        if self.deaf:
            return
        self.deaf = True
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"{self.options.prog}: cannot write to standard output: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    @property
    def lines(self) -> "Lines":
        """Standard input as lines, shared by the shell and `fg`."""
        if self._lines is None:
            from sdsuper.cli.ctl.lines import Lines

            self._lines = Lines(0)
        return self._lines

    def confirm(self, question: str) -> bool:
        """In a shell, ask; without one, yes."""
        if not self.options.interactive:
            return True
        answer = self.lines.ask(question)
        return answer is not None and answer.lower().startswith("y")

    def _authenticate(self) -> None:
        username = self.lines.ask("Username:")
        if username is None:
            raise EOFError("EOF when reading a line")
        password = self.lines.ask_secretly("Password:")
        if password is None:
            raise EOFError
        self.say("")
        self.options.username, self.options.password = username, password

    # --- the daemon

    @property
    def backend(self) -> "Backend":
        """The connection. Raises OSError, NoHttp, or ValueError for a URL of another kind."""
        if self._backend is None:
            self._backend = self._connect()
        return self._backend

    def call(self, method: str, **parameters: "Any") -> "dict[str, Any]":
        """Call the daemon; what was said so far is shown first, for the call may take long."""
        self.flush()
        return self.backend.call(method, **parameters)

    def disconnect(self) -> None:
        """Let the connection go; the next call makes a new one."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def up(self) -> bool:
        """Look whether a daemon of our kind answers, say so if not. Its GetState is in `server` then."""
        try:
            self.server = self.call("GetState")
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                self.wrong(f"{self.url} refused connection", REFUSED)
                return False
            if error.errno == errno.ENOENT:
                self.wrong(f"{self.url} no such file", NOT_RUNNING)
                return False
            if error.errno == errno.EACCES:
                self.wrong(f"{self.url} permission denied (it is for root, and for the group that control_group names)")
                return False
            raise
        except Refusal as refusal:
            if refusal.fault != "UNKNOWN_METHOD":
                raise
            self.wrong(_NO_NAMESPACE, NOT_IMPLEMENTED)
            return False
        if self.server["api_version"] != API_VERSION:
            self.wrong(
                f"Sorry, this version of supervisorctl expects to talk to a server with API version {API_VERSION}, "
                f"but the remote version is {self.server['api_version']}.", NOT_INSTALLED)  # fmt: skip
            return False
        return True

    def note(self, fault: str, harmless: str = "") -> None:
        """Remember what a result means for the exit status."""
        if fault not in ("SUCCESS", harmless):
            self.status = NOT_RUNNING if fault in _DEAD else GENERIC

    def _connect(self) -> "Backend":
        scheme, _, path = self.url.partition("://")
        if scheme not in ("http", "unix"):
            raise ValueError(f"Unknown protocol for serverurl {self.url}")
        if self.options.verbose:
            sys.stderr.write(f"asking {self.url}\n")
        if scheme == "unix":
            from sdsuper.cli.ctl.local import LocalBackend, OtherProtocol

            try:
                return LocalBackend(self.options.sockets(path))
            except OtherProtocol:
                pass    # a Supervisor's socket, and not our HTTP face's, which has a control socket beside it
        try:
            from sdsuper.cli.ctl.remote import RemoteBackend
        except ImportError as error:
            raise NoHttp(f"{self.url}: control over HTTP needs the Python module {error.name}") from None
        return RemoteBackend(self.url, *self.options.credentials())


def _generic(error: Exception) -> str:
    if isinstance(error, SdsuperError) and not isinstance(error, Refusal):
        return f"error: {error}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"file: {trace.tb_frame.f_code.co_filename} line: {trace.tb_lineno}" if trace else "file: ? line: 0"
    if isinstance(error, Refusal):  # scripts look for the client library's words
        return f"error: <class 'xmlrpc.client.Fault'>, {fault_text(error)}: {place}"
    return f"error: {type(error)}, {error}: {place}"


def fault_text(refusal: Refusal) -> str:
    """`<Fault 10: 'BAD_NAME: x'>`, as Supervisor's client prints a fault."""
    return f"<Fault {FAULTS[refusal.fault]}: {str(refusal)!r}>"
