"""The command line and the configuration of ctl, brought together: where the daemon is and how to talk to the user.

Promises: command line before configuration before default, as supervisorctl has it. A configuration is read only when
something of it is needed. Must not: connect.
"""

import os
import sys

from sdsuper.cli.ctl.plain import control_socket, plain_values
from sdsuper.cli.options import Table, UsageError, parse
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError

DEFAULT_SOCKET = "/run/sdsuper/control.sock"
#: What Supervisor's client asks when nothing is configured. Ours asks the control socket then.
SUPERVISORS_DEFAULT = "http://localhost:9001"

_HELP = """\
{prog} -- control a running daemon

Usage: {prog} [options] [action [arguments]]

Options:
-c/--configuration FILENAME   configuration file (searched if not given)
-h/--help                     print this help and exit
-i/--interactive              open a shell after the action
-s/--serverurl URL            the daemon's socket, unix:///path, or any server
                              that speaks Supervisor's XML-RPC, http://host:port
                              (default: as configured, else unix://{socket})
-u/--username USERNAME        user name for the server
-p/--password PASSWORD        password for the server
-r/--history-file FILENAME    keep the shell's history in this file
-o/--output table|json        format of status and avail (default: table)
{more}
Without an action a shell is started, which reads actions from the terminal or
from a pipe. The action "help" lists what can be done.

Exit status: 0 done; 1 refused or wrong; 2 bad usage; 3 status: something is
not running; 4 status: unknown name or no daemon, others: connection refused;
5 another protocol version; 7 not running, or no such socket.
"""
_MORE = """\
-P PASSWORD                   the same as -p
-v                            say on stderr which daemon is asked
--pid PID                     ask the daemon with this process id, wherever its
                              socket is
"""

TABLE: Table = {
    "-c": ("configuration", True), "--configuration": ("configuration", True),
    "-h": ("help", False), "-?": ("help", False), "--help": ("help", False),
    "-i": ("interactive", False), "--interactive": ("interactive", False),
    "-s": ("serverurl", True), "--serverurl": ("serverurl", True),
    "-u": ("username", True), "--username": ("username", True),
    "-p": ("password", True), "--password": ("password", True),
    "-r": ("history_file", True), "--history-file": ("history_file", True), "--history_file": ("history_file", True),
    "-o": ("output", True), "--output": ("output", True),
}  # fmt: skip
#: What the client of the Go supervisord has besides, and more; only `sdsuper ctl` knows it, supervisorctl refuses it as
#: ever.
GO_TABLE: Table = {"-P": ("password", True), "-v": ("verbose", False), "--pid": ("pid", True)}


class Options:
    """What was asked for. `words` is the action; `url` is shown to the user as he or the configuration wrote it."""

    def __init__(self, argv: list[str], prog: str, go: bool) -> None:
        """Read `argv`. Raises UsageError, also for a configuration that was named and cannot be used."""
        values, self.words = parse(argv, TABLE | GO_TABLE if go else TABLE)
        self.compatible = not go        # who calls it supervisorctl is shown what supervisorctl shows
        self.help = _HELP.format(prog=prog, socket=DEFAULT_SOCKET, more=_MORE if go else "") if "help" in values else ""
        self.output = checked_format("-o", values.get("output", "table"))
        self.verbose = "verbose" in values
        self.interactive = "interactive" in values or not self.words
        self.prog = prog
        self.url = without_userinfo(values.get("serverurl", ""))
        self.username, self.password = values.get("username"), values.get("password")
        self.control_socket, self._configured = DEFAULT_SOCKET, ""
        self.prompt, self.history_file = "supervisor", values.get("history_file")
        if self.url and not _is_url(self.url):
            raise UsageError(f"invalid value for -s {self.url!r}: value {self.url!r} is not a URL")
        self._was_read = False
        file = values.get("configuration")
        if "pid" in values and (found := _socket_of(values["pid"], file)):
            self.control_socket = found
            self.url = self.url or f"unix://{found}"
            file = None             # it is for a process that cannot be looked into, and may be broken by now
        if not self.help and (not self.url or self.interactive or file is not None):
            self._configure(file)
        self.url = self.url or f"unix://{self.control_socket}"

    def credentials(self) -> tuple[str | None, str | None]:
        """User name and password for a server that wants them. Raises UsageError: they may be configured."""
        if not self._was_read:
            self._configure(None)
        return self.username, self.password

    def _configure(self, file: str | None) -> None:
        self._was_read = True
        found = read_configuration(file)
        if found is None:
            return
        values, self.control_socket = found
        self.prompt = values.get("prompt") or self.prompt
        self.history_file = self.history_file or values.get("history_file")
        self.username = self.username or values.get("username")
        self.password = self.password or values.get("password")
        if not self.url:
            url = without_userinfo(values.get("serverurl", SUPERVISORS_DEFAULT))
            self.url = self._configured = f"unix://{self.control_socket}" if url == SUPERVISORS_DEFAULT else url

    def sockets(self, path: str) -> tuple[str, ...]:
        """Where the daemon of `unix://path` may listen: beside that socket, where it was configured, at `path`.

        By default also where root's does: started as root, it may have become us.
        """
        if path == self.control_socket:
            return (path, DEFAULT_SOCKET) if _is_left_to_us(path) else (path,)
        elsewhere = (self.control_socket,) if self._configured == f"unix://{path}" else ()
        return tuple(dict.fromkeys((f"{path}.control", *elsewhere, path)))


def _socket_of(pid: str, file: str | None) -> str:
    """Where that daemon listens; nothing where that cannot be seen, but there is a configuration that may tell."""
    from sdsuper.cli.ctl.local import control_socket_of

    try:
        return control_socket_of(int(pid))
    except ValueError:
        raise UsageError(f"invalid value for --pid {pid!r}: number expected") from None
    except OSError as error:
        if isinstance(error, PermissionError) and file is not None:
            return ""       # it has become another user, and we may not look into others (no CAP_SYS_PTRACE)
        raise UsageError(f"no sdsuper answers as process {pid}: {error.strerror}") from None


def without_userinfo(url: str) -> str:
    """`url` without `user:password@`, which Supervisor ignores and no message may show."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


def _is_left_to_us(path: str) -> bool:
    """Whether our own default `path` is not there, and root's was made by a daemon that became us when it started."""
    try:
        ours = os.stat(DEFAULT_SOCKET).st_uid == os.geteuid()
    except OSError:
        return False
    return ours and not os.path.exists(path) and path == _own_default()


def _own_default() -> str:
    from sdsuper.config.daemon import control_socket as default
    from sdsuper.system.host import RealHost

    return default(RealHost(), ())


def read_configuration(file: str | None) -> tuple[dict[str, str], str] | None:
    """[supervisorctl] of `file`, or of the first file of the search order, and the path of the daemon's control socket.

    None when no file was named and none is found. Raises UsageError.
    """
    if file is None:
        file = next(filter(os.path.exists, search_paths(sys.argv[0])), None)
        if file is None:
            return None
    try:
        with open(file, encoding="utf-8") as stream:
            values = plain_values(stream.read())
    except (OSError, ValueError):
        values = None
    socket = control_socket(values) if values is not None else None
    if values is not None and socket is not None:
        return values, socket
    return _load(file)


def _load(file: str) -> tuple[dict[str, str], str]:
    from sdsuper.config.load import load_ctl
    from sdsuper.config.model import Severity
    from sdsuper.system.host import RealHost

    try:
        config, socket = load_ctl(file, RealHost())
    except ConfigError as error:
        problems = [problem for problem in error.problems if problem.severity is Severity.ERROR]
        # Supervisor's own texts, of the file as a whole, have no place
        texts = [one.message if one.where is None or one.message.startswith(".ini") else str(one) for one in problems]
        raise UsageError("\n".join(texts)) from None
    return {key: value for key, value in config._asdict().items() if value is not None}, socket


def checked_format(option: str, value: str) -> str:
    """`value` when it is an output format. Raises UsageError."""
    if value not in ("table", "json"):
        raise UsageError(f"invalid value for {option} {value!r}: table or json expected")
    return value


def _is_url(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    return bool(colon and scheme.isalnum() and scheme[0].isalpha() and rest not in ("", "//"))


def fail(prog: str, error: UsageError) -> int:
    """Say what is wrong with a command line, Supervisor's way; exit status 2."""
    sys.stderr.write(f"Error: {error}\nFor help, use {prog} -h\n")
    return 2
