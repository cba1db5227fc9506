"""`echo_supervisord_conf`: a commented sample configuration on stdout, made from the settings table.

Promises: the sample loads without an error, and every option that is acted on is in it. Must not: describe an option in
words of its own.
"""

import sys
import textwrap

from sdsuper.config.row import Row
from sdsuper.config.settings import ROWS, SECTIONS

_HEAD = """\
; Sample supervisor config file.
;
; Comments begin with ; or # at the start of a line or after a blank, even inside quotes: "command=sh -c 'a ; b'" is cut
; behind the a. Values are not quoted, except in environment. %(ENV_HOME)s is a variable of the daemon's environment,
; %(here)s the directory of this file, and a percent sign is written %%. Check the file with "sdsuper check -c FILE".
"""

#: Sections as they are in the sample, and whether they are in force.
_SAMPLES = (
    ("unix_http_server", True), ("inet_http_server", False), ("supervisord", True), ("rpcinterface:supervisor", True),
    ("supervisorctl", True), ("program:theprogramname", False), ("eventlistener:thelistenername", False),
    ("fcgi-program:thefcginame", False), ("template:thetemplatename", False), ("group:thegroupname", False),
    ("include", False),
)

#: Options that are in force in the sample.
_SET = {
    ("unix_http_server", "file"): "%(here)s/supervisor.sock",
    ("supervisord", "logfile"): "%(here)s/supervisord.log",
    ("supervisord", "pidfile"): "%(here)s/supervisord.pid",
    ("rpcinterface", "supervisor.rpcinterface_factory"): "supervisor.rpcinterface:make_main_rpcinterface",
    ("supervisorctl", "serverurl"): "unix://%(here)s/supervisor.sock",
}

#: Examples for options whose default says nothing; an option without either is not in the sample.
_EXAMPLES = {
    "chown": "nobody:nogroup", "username": "user", "password": "123", "port": "127.0.0.1:9001",
    "childlogdir": "/tmp", "user": "nobody", "directory": "/tmp", "environment": 'KEY="value",OTHER="two words"',
    "environment_file": "-/etc/default/theprogramname", "extends": "thetemplatename",
    "history_file": "~/.sc_history", "control_socket": "/run/sdsuper/control.sock", "control_group": "adm",
    "state_file": "/var/lib/sdsuper/state",
    "api_user": "nobody", "allowed_hosts": "status.example.com",
    "command": "/bin/cat", "killasgroup": "false", "umask": "022", "nice": "10", "rlimit_nofile": "4096:65536",
    "rlimit_core": "0", "events": "PROCESS_STATE", "buffer_size": "100",
    "socket": "unix:///run/php.sock", "socket_backlog": "1024",
    "socket_owner": "nobody:nogroup", "socket_mode": "0700", "programs": "progname1,progname2",
    "files": "conf.d/*.conf", "memory_max": "512MB", "memory_high": "400MB", "memory_low": "64MB",
    "memory_min": "16MB", "memory_swap_max": "0", "memory_oom_group": "true", "pids_max": "200", "cpu_max": "50%",
    "cpu_weight": "100", "io_weight": "100", "io_max": "/var/lib wbps=10MB",
    "ionice": "best-effort:4", "cpu_affinity": "0-3", "sched_policy": "rr", "sched_priority": "10",
    "oom_score_adj": "100", "pdeathsig": "TERM", "no_new_privs": "true", "capabilities": "CAP_NET_BIND_SERVICE",
    "read_only_paths": "/srv", "read_write_paths": "/srv/data", "inaccessible_paths": "-/srv/private",
    "stdout_logfile_prefix": "%(program_name)s:", "stderr_logfile_prefix": "%(program_name)s:",
    "syslog_ca": "/etc/ssl/syslog-ca.pem", "syslog_cert": "/etc/ssl/certs/sdsuper.pem",
    "syslog_key": "/etc/ssl/private/sdsuper.key",
    "backoff_max": "60", "restart_limit": "5/60s",
    "depends_on": "db?, migrate:completed?", "ready_timeout": "90", "type": "forking", "pidfile": "/run/theprogram.pid",
    "pre_start_hook": "/srv/bin/before", "post_start_hook": "/srv/bin/running", "pre_stop_hook": "/srv/bin/drain",
    "post_stop_hook": "/srv/bin/clean-up", "reload_command": "/srv/bin/reload", "reload_signal": "HUP",
    "startup_check_script": "tcp://127.0.0.1:8000", "ready_check_script": "http://127.0.0.1:8000/ready",
    "liveness_check_script": "http://127.0.0.1:8000/health", "liveness_check_success_action": "/srv/bin/well",
    "cron": "30 2 * * *", "cron_timezone": "Europe/Berlin", "killwaitsecs": "10", "conf_file": "/srv/theprogram.conf",
    "landlock_read": "/", "landlock_write": "/srv/data", "credential": "db:/etc/sdsuper/db.key",
}


def sample() -> str:
    """The text of the sample."""
    parts = [_HEAD]
    described: set[str] = set()
    for header, in_force in _SAMPLES:
        kind = header.partition(":")[0]
        purpose = SECTIONS.get(kind) or SECTIONS[kind + ":"]
        lines = [_comment(purpose), f"{'' if in_force else ';'}[{header}]"]
        for row in dict.fromkeys(ROWS[kind].values()):
            lines += _option(kind, row, described)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _option(kind: str, row: Row, described: set[str]) -> list[str]:
    """The lines of one option. What a program's option means is said once, not again for listeners and FastCGI."""
    value = _SET.get((kind, row.name))
    shown = value or _EXAMPLES.get(row.name) or row.default
    if row.later or shown is None or (kind == "eventlistener" and row.name == "redirect_stderr"):
        return []
    first = f"{row.name} {row.doc}" not in described
    described.add(f"{row.name} {row.doc}")
    if not first:
        return []
    return [_comment(row.doc), f"{'' if value else ';'}{row.name}={shown}"]


def _comment(text: str) -> str:
    return textwrap.fill(text.replace("`", "'"), 110, initial_indent="; ", subsequent_indent="; ")


def main(argv: list[str] | None = None) -> int:
    """Print the sample. Arguments are ignored, as Supervisor does."""
    sys.stdout.write(sample())
    return 0
