"""The frozen records that a configuration becomes.

Promises: plain data, comparable with `==`, every value converted, validated and expanded; no record refers to the
text it came from, except problems, which carry their place. Must not: read anything, decide anything.
Durations are seconds, sizes bytes, paths absolute unless said otherwise.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from sdsuper.config.health import UNCHECKED, Health
from sdsuper.config.lifecycle import Depends, Hooks, Readiness
from sdsuper.config.places import Places
from sdsuper.config.sandbox import Sandbox
from sdsuper.config.schedule import Cron


class Where(NamedTuple):
    """A place in a configuration file: path as given, line from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Severity(Enum):
    """How bad a problem is: an error refuses the configuration, a warning is only said."""

    ERROR = "error"
    WARNING = "warning"


class Problem(NamedTuple):
    """One mistake: `web.conf:7: error: [program:web] startsecs: cannot read 'soon' as seconds (…)`."""

    where: Where | None
    severity: Severity
    section: str | None
    option: str | None
    message: str

    def __str__(self) -> str:
        parts = [f"{self.where}: " if self.where else "", f"{self.severity.value}: "]
        if self.section is not None:
            parts.append(f"[{self.section}] ")
        if self.option is not None:
            parts.append(f"{self.option}: ")
        return "".join(parts) + self.message


class User(NamedTuple):
    """A resolved account: what setgroups/setgid/setuid and HOME, USER, LOGNAME, SHELL need."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


class AutoRestart(Enum):
    """`autorestart=`: what follows an exit from RUNNING."""

    NEVER = "false"
    UNEXPECTED = "unexpected"
    ALWAYS = "true"


class LimitAction(Enum):
    """`restart_limit_action=`: what follows when the limit is used up."""

    FATAL = "fatal"
    STOP = "stop"          # it stays as it has ended
    WAIT = "wait"          # until the window has room again


class Restart(NamedTuple):
    """When a process is started again by itself, and how often. The defaults are Supervisor's ways."""

    pause: int = 0                     # `restartpause`; 0: one second for each failed start in a row
    factor: float = 1.0                # what the pause is multiplied by each further time
    longest: int = 0                   # `backoff_max`; 0: no pause is too long
    jitter: int = 0                    # percent that a pause may be longer, by chance
    reset: int = 0                     # seconds that a good run lasts; 0: until RUNNING, -1: no run is good
    limit: int = -1                    # starts by itself; -1: any number, 0: the process is resigned
    window: int = 0                    # seconds that the limit is for; 0: since somebody started it
    action: LimitAction = LimitAction.FATAL


#: `startretries` without end.
UNLIMITED = -1


class TargetKind(Enum):
    """Where captured output goes. NONE is not a target: a stream without targets is not captured."""

    AUTO = "auto"          # a file of ours in childlogdir; `path` is empty until the daemon names it
    FILE = "file"          # `path`
    CONSOLE = "console"    # `path` is /dev/stdout or /dev/stderr: the daemon's own
    SYSLOG = "syslog"      # the local syslog, or the journal where there is one; `path` is empty
    JOURNAL = "journal"    # the systemd journal; `path` is empty
    REMOTE = "remote"      # a syslog server; `path` is `udp:`, `tcp:` or `tls:` and host:port, IPv6 in brackets
    MEMORY = "memory"      # Go's `memory`: the newest output, in the daemon; `path` is empty


class LogTarget(NamedTuple):
    """One destination of a stream."""

    kind: TargetKind
    path: str = ""


class Form(NamedTuple):
    """How output looks in files, on consoles and in memory. The default: the bytes as they came."""

    json: bool = False
    timestamp: str = ""    # of strftime(3), with %L and %f; ISO: RFC 3339; empty: none (and ISO in JSON)
    prefix: str = ""


#: `Form.timestamp` for the usual one.
ISO = "iso"


class Syslog(NamedTuple):
    """What lines of a program say of themselves to syslog and the journal (numbers of RFC 5424)."""

    facility: int = 1
    tag: str = ""          # empty: the name of the process
    stdout: int = 6        # severities
    stderr: int = 3


class LogConfig(NamedTuple):
    """One captured stream of a process. No targets, no capture and no events: the child gets /dev/null."""

    targets: tuple[LogTarget, ...]
    maxbytes: int
    backups: int
    capture_maxbytes: int
    events_enabled: bool
    every: int = 0                     # seconds between rotations, from midnight on; a WEEK from Monday on; 0: never
    compress: str = ""                 # gzip, zstd, xz, bzip2
    form: Form = Form()


#: The one `LogConfig.every` that is longer than a day.
WEEK = 7 * 86400


class MissingFile(Enum):
    """What follows when an environment file cannot be read."""

    REFUSED = "refused"    # the program is not started
    FINE = "fine"          # nothing, when it is not there; otherwise as REFUSED
    TOLD = "told"          # Go's way: the log says so, and the program is started


class EnvironmentFile(NamedTuple):
    """One file with variables, read at each start."""

    path: str
    missing: MissingFile = MissingFile.REFUSED


class EnvironmentFiles(NamedTuple):
    """The files of a process, in order; a later one wins over an earlier one, `environment` over those beside it."""

    common: tuple[EnvironmentFile, ...] = ()      # of [supervisord]; less than any `environment`
    own: tuple[EnvironmentFile, ...] = ()         # of the program; more than the `environment` of [supervisord]
    settled: tuple[str, ...] = ()                 # variables of the program's own `environment`: no file changes them


class Watch(NamedTuple):
    """Files whose change restarts a process (`restart_when_…`, `restart_directory_monitor`). A command or signals are
    what is done instead; `delay` are the seconds that it has to be quiet.
    """

    binary: bool = False
    binary_command: str = ""
    binary_signals: tuple[int, ...] = ()
    directories: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ("*",)
    excludes: tuple[str, ...] = ()
    file_command: str = ""
    file_signals: tuple[int, ...] = ()
    delay: float = 1.0


class ProcessConfig(NamedTuple):
    """One supervised process: a program's section after expansion for one `process_num`."""

    name: str
    program: str                                  # the section's name, `web` of [program:web]
    command: str                                  # as written, expanded; split at spawn
    environment: tuple[tuple[str, str], ...]      # [supervisord] environment overridden by the program's, sorted by key
    directory: str | None
    umask: int | None
    user: User | None
    priority: int
    autostart: bool
    autorestart: AutoRestart
    startsecs: int
    startretries: int                             # or UNLIMITED
    exitcodes: tuple[int, ...]
    stopsignals: tuple[int, ...]                  # one, or Go's list; each is followed by stopwaitsecs
    stopwaitsecs: int
    stopasgroup: bool
    killasgroup: bool
    redirect_stderr: bool
    stdout: LogConfig
    stderr: LogConfig
    serverurl: str | None                         # None is AUTO
    nice: int | None
    rlimits: tuple[tuple[str, int, int], ...]     # (name as in RLIMIT_NAME, lower case, soft, hard); -1 is infinity
    leftovers: bool                               # `leftovers=kill`: end what a finished run leaves in its cgroup
    user_environment: bool                        # set HOME, USER, LOGNAME, SHELL for `user=`
    limits: tuple[tuple[str, str], ...]           # (cgroup file, what is written into it), sorted
    limits_optional: bool                         # a limit that cannot be set is a warning, and no reason not to start
    sandbox: Sandbox | None                       # None: the daemon's own rights and surroundings
    restart: Restart
    syslog: Syslog = Syslog()
    environment_files: EnvironmentFiles = EnvironmentFiles()
    watch: Watch = Watch()
    health: Health = UNCHECKED
    cron: Cron = Cron()
    essential: bool = False                       # when it is over for good, so is the daemon
    killwaitsecs: int | None = None               # seconds between two SIGKILL; None: stopwaitsecs
    conf_file: str | None = None                  # what clients may read
    depends: Depends = Depends()
    readiness: Readiness = Readiness()
    hooks: Hooks = Hooks()

    @property
    def stopsignal(self) -> int:
        """The first stop signal, Supervisor's `stopsignal`."""
        return self.stopsignals[0]


class GroupKind(Enum):
    """What a group was made from; event listener pools and FastCGI groups have fields of their own."""

    PROGRAM = "program"
    EVENTLISTENER = "eventlistener"
    FCGI = "fcgi-program"


class FcgiSocket(NamedTuple):
    """`[fcgi-program:x] socket` and what belongs to it."""

    url: str
    backlog: int | None
    owner: tuple[int, int] | None      # uid, gid (-1: unchanged)
    mode: int | None


class GroupConfig(NamedTuple):
    """A group and its processes, in start order (priority, name)."""

    name: str
    kind: GroupKind
    priority: int
    processes: tuple[ProcessConfig, ...]
    events: tuple[str, ...] = ()
    buffer_size: int = 0               # 0: as many as a storm of all programs makes
    result_handler: str = ""
    listener_timeout: int = 0          # seconds; 0: never
    payload_bytes: bool = False        # `len` of an event counts bytes, not characters
    sockets: tuple[tuple[str, FcgiSocket], ...] = ()   # FastCGI: program name -> socket


class Server(NamedTuple):
    """An HTTP listener: [unix_http_server] (`file`) or [inet_http_server] (`host`, `port`)."""

    section: str
    where: Where
    file: str | None
    host: str | None
    port: int | None
    chmod: int
    chown: tuple[int, int]
    username: str | None
    password: str | None
    allowed_hosts: tuple[str, ...] = ()
    closed: str = ""                   # why it is not opened, though everything else starts

    def __repr__(self) -> str:
        return f"Server({self.section}, {self.url})"        # a password is in no message, whatever is shown there

    @property
    def url(self) -> str:
        """What SUPERVISOR_SERVER_URL says of it."""
        return f"unix://{self.file}" if self.file else f"http://{self.host or 'localhost'}:{self.port}"


class SupervisordConfig(NamedTuple):
    """[supervisord]: the daemon itself."""

    logfile: tuple[LogTarget, ...]     # FILE, CONSOLE, SYSLOG, JOURNAL or REMOTE
    logfile_maxbytes: int
    logfile_backups: int
    loglevel: str                      # critical error warn info debug trace blather
    pidfile: str
    umask: int
    nodaemon: bool
    silent: bool
    minfds: int
    minprocs: int
    nocleanup: bool
    childlogdir: str
    user: User | None
    directory: str | None
    environment: tuple[tuple[str, str], ...]
    strip_ansi: bool
    identifier: str
    control_socket: str                # the Varlink socket
    control_group: int | None          # gid whose members may operate
    api_user: User | None              # of the HTTP face, when the daemon is root
    api_idle: int                      # seconds; 0: it never ends
    api_body_maxbytes: int
    cgroup: str                        # `auto`, `off`, or the directory to make the programs' cgroups in
    later: tuple[tuple[str, object], ...] = ()
    environment_file: tuple[EnvironmentFile, ...] = ()    # for all programs
    logfile_rotate: int = 0            # as `LogConfig.every`
    logfile_compress: str = ""
    syslog_ca: str | None = None       # files for servers with TLS
    syslog_cert: str | None = None
    syslog_key: str | None = None
    checks_at_once: int = 32
    state_file: str = ""               # what clients have set and a restart must not forget


class CtlConfig(NamedTuple):
    """[supervisorctl]."""

    serverurl: str
    username: str | None
    password: str | None
    prompt: str
    history_file: str | None


class Plugin(NamedTuple):
    """[rpcinterface:x] or [ctlplugin:x]: the factory's spec and its own keys."""

    section: str
    where: Where
    factory: str
    options: tuple[tuple[str, str], ...]


class Model(NamedTuple):
    """A whole configuration. `warnings` are the problems that did not refuse it (an error among them means that
    something is left out: a server that stays closed); `files` all files read, main first; `places` are by section
    (`program:web`; `supervisord` for the variables of all programs).
    """

    supervisord: SupervisordConfig
    servers: tuple[Server, ...]
    ctl: CtlConfig
    groups: tuple[GroupConfig, ...]    # sorted by (priority, name)
    plugins: tuple[Plugin, ...]
    warnings: tuple[Problem, ...]
    files: tuple[str, ...]
    places: Mapping[str, Places]
