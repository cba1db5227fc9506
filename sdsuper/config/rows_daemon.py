"""The settings table, part one: the daemon, its servers and clients, groups, includes, plugins.

Promises: rows only. Must not: decide anything.
"""

from sdsuper.config import lookup, passwords, values
from sdsuper.config.row import Change, Row, Scope

_D = ("supervisord",)
_INET = ("inet_http_server",)
_UNIX = ("unix_http_server",)
_CTL = ("supervisorctl",)

DAEMON_ROWS = (
    Row("logfile", _D, "supervisord.log", "The daemon's own log: a path, `/dev/stdout`, `/dev/stderr`, `journal`, "
        "`syslog` or `syslog @[udp:|tcp:|tls:]host[:port]`; several with commas between. A relative path starts at the "
        "directory the daemon was started in.", find=lookup.main_log),
    Row("logfile_maxbytes", _D, "50MB", "The size at which the daemon's log is rotated; 0 is never.", values.size,
        aliases=("logfileMaxbytes",)),
    Row("logfile_backups", _D, "10", "How many rotated logs are kept.", values.count, aliases=("logfileBackups",)),
    Row("loglevel", _D, "info", "The least important messages that are logged: critical, error, warn, info, debug, "
        "trace or blather.", values.loglevel),
    Row("pidfile", _D, "supervisord.pid", "The file with the daemon's process id. It is locked while the daemon runs.",
        find=lookup.path),
    Row("umask", _D, "022", "The file mode mask of the daemon and of programs without their own.", values.octal),
    Row("nodaemon", _D, "false", "Stay in the foreground.", values.boolean),
    Row("silent", _D, "false", "Do not copy the log to the standard output in the foreground.", values.boolean),
    Row("minfds", _D, "1024", "How many file descriptors the daemon must be able to open. Its soft limit is raised to "
        "this, and the hard limit when that is allowed; otherwise it does not start.", values.count),
    Row("minprocs", _D, "200", "How many processes the daemon's user must be able to have; enforced as `minfds` is.",
        values.count),
    Row("nocleanup", _D, "false", "Keep the AUTO logs of the last time at the start.", values.boolean),
    Row("childlogdir", _D, None, "The directory of AUTO logs. The default is the system's directory for temporary "
        "files.", find=lookup.directory),
    Row("user", _D, None, "The account the daemon changes to when it is started by root.", find=lookup.user),
    Row("directory", _D, None, "The directory the daemon changes to, in the foreground too.", find=lookup.directory),
    Row("environment", _D, None, "Variables for all programs, `NAME=\"value\"` with commas between. A program's own "
        "`environment` wins. They are known as `ENV_X` in the sections of programs.", change=Change.LIVE,
        scope=Scope.HOST),
    Row("strip_ansi", _D, "false", "Take ANSI colour sequences out of the programs' logs.", values.boolean),
    Row("identifier", _D, "supervisor", "The daemon's name in events, AUTO logs and for clients."),
    Row("control_socket", _D, None, "The path of the control socket. The default is the first `[unix_http_server]` "
        "file with `.control` added; without one `/run/sdsuper/control.sock` for root and "
        "`$XDG_RUNTIME_DIR/sdsuper/control.sock` for others.", find=lookup.socket_path, since="sdsuper"),
    Row("control_group", _D, None, "A group whose members may see, start, stop and signal programs over the control "
        "socket. Root and the daemon's account may do everything.", find=lookup.group, since="sdsuper"),
    Row("state_file", _D, None, "Where it is kept what `ctl scale`, `enable` and `disable` have set, and the last "
        "times of programs with `cron_missed=once`. The default is a file of its own for each control socket, in the "
        "state directory of systemd's unit, else in `/var/lib/sdsuper` for root and in `$XDG_STATE_HOME/sdsuper` for "
        "others; it is made when there is something to keep.", find=lookup.socket_path, since="sdsuper"),
    Row("cgroup", _D, "auto", "Where each process gets a cgroup of its own: `auto` looks for a place that can be "
        "written, `off` uses none, a path names the directory.", values.cgroup, since="sdsuper"),
    Row("api_user", _D, None, "The account of the process that answers HTTP, when the daemon is root: not root, and "
        "best used by nothing else. The default is `sdsuper` where there is such an account, else `nobody`.",
        find=lookup.unprivileged, since="sdsuper"),
    Row("api_idle", _D, "60", "Seconds without a connection after which the process that answers HTTP ends; the next "
        "connection starts it again. `always` keeps it.", values.idle, since="sdsuper"),
    Row("api_body_maxbytes", _D, "1MB", "The largest body of an HTTP request.", values.size, since="sdsuper"),
    Row("checks_at_once", _D, "32", "How many checks of programs may be under way at the same time; others wait for "
        "their turn.", values.between(1, 1000), since="sdsuper"),

    Row("port", _INET, None, "Required. Where to listen: `port`, `host:port` or `*:port`.", values.inet_address),
    Row("file", _UNIX, None, "Required. The path of the socket.", find=lookup.socket_path),
    Row("chmod", _UNIX, "0700", "The socket's mode.", values.octal),
    Row("chown", _UNIX, None, "The socket's owner, `user` or `user:group`.", find=lookup.owner),
    Row("username", _INET + _UNIX, None, "The name that clients must give. Needs `password`."),
    Row("password", _INET + _UNIX, None, "The password that clients must give, plain, as `{SHA}` and 40 hexadecimal "
        "digits, or as `sdsuper passwd` prints it, `{SCRYPT}` first. Needs `username`.", passwords.stored),
    Row("allow_insecure", _INET, "false", "Open the port beyond this machine although there is no `username` and "
        "`password`. Without this such a port stays closed.", values.boolean, since="sdsuper"),
    Row("allowed_hosts", _INET, None, "Names by which browsers and clients may call this machine, with commas between, "
        "besides its own name, `localhost` and addresses. Other names are answered with 421, against DNS rebinding.",
        values.names, since="sdsuper"),
    Row("nodename", _INET, None, "The name of this daemon among the `remotes` of others.", since="go", later=True),
    Row("remotes", _INET, None, "Other daemons to show, `name:host:port` with commas between.", values.names,
        since="go", later=True),

    Row("serverurl", _CTL, "http://localhost:9001", "The server that ctl talks to when it does not use the control "
        "socket.", find=lookup.server_url, change=Change.LIVE),
    Row("username", _CTL, None, "The user name for the server.", change=Change.LIVE),
    Row("password", _CTL, None, "The password for the server.", change=Change.LIVE),
    Row("prompt", _CTL, "supervisor", "The shell's prompt.", change=Change.LIVE),
    Row("history_file", _CTL, None, "Where the shell keeps its history; without it there is none.",
        find=lookup.history_path, change=Change.LIVE),

    Row("files", ("include",), None, "Required. Files to read as if they stood here: shell patterns with blanks "
        "between, relative to the directory of the main file. Each pattern's files are read in alphabetical order. An "
        "included file cannot include others.", change=Change.LIVE, scope=Scope.HOST),

    Row("programs", ("group",), None, "The programs of the group, with commas between. They are no longer groups of "
        "their own.", values.names, change=Change.LIVE),
    Row("priority", ("group",), "999", "Groups with lower numbers start first and stop last.", values.number,
        change=Change.LIVE),

    Row("supervisor.rpcinterface_factory", ("rpcinterface",), None, "Required. The Python callable that makes the "
        "interface, `module:name`. Only Supervisor's own is known; of any other a warning says that it is left out.",
        values.spec),
    Row("supervisor.ctl_factory", ("ctlplugin",), None, "Required. The Python callable that makes a plugin of "
        "supervisorctl, `module:name`. None is supported; a warning says that it is left out.", values.spec),
)
