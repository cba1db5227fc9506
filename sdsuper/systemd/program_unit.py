"""The text of a native systemd unit that runs what a [program:x] runs, without a daemon between. PURE.

Promises: what the section says is in the unit, or in the notes that come with it; nothing in a value becomes or hides
a directive, or is a specifier or a variable; no variable of the program is in the unit, which everybody may read: any
of them may be a secret. Must not: know whether systemd is there. Sources: systemd.syntax(7), systemd.service(5),
systemd.exec(5), systemd.kill(5), systemd.resource-control(5).
"""

from typing import NamedTuple

from sdsuper.config.health import UNCHECKED
from sdsuper.config.lifecycle import ReadyKind
from sdsuper.config.logs import FACILITIES, word_for
from sdsuper.config.model import UNLIMITED, AutoRestart, Form, LogConfig, MissingFile, ProcessConfig, Syslog, TargetKind
from sdsuper.config.values import split_command
from sdsuper.core.vocabulary import signal_name
from sdsuper.systemd.from_unit import CLEAN_SIGNALS
from sdsuper.systemd.syntax import assignment
from sdsuper.systemd.unit import in_homes, list_word, word

SANDBOXES = ("off", "standard", "strict", "offline")
RESTART_SECONDS = 1
_EXPOSURE = {"standard": " (systemd-analyze security: 1.7 instead of 2.1)",
             "strict": " (systemd-analyze security: 1.1 instead of 1.5)"}
_LIMITS = {"memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
           "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight",
           "io.weight": "IOWeight"}
_IO = {"rbps": "IOReadBandwidthMax", "wbps": "IOWriteBandwidthMax", "riops": "IOReadIOPSMax", "wiops": "IOWriteIOPSMax"}
_STANDARD = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
{writable}ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
"""
_STRICT = """\
SystemCallFilter=~@resources
MemoryDenyWriteExecute=yes
ProtectProc=invisible
ProcSubset=pid
PrivateUsers=yes
PrivateIPC=yes
IPAddressDeny=any
IPAddressAllow=localhost
"""
_OFFLINE = """\
DynamicUser=yes
PrivateNetwork=yes
RestrictAddressFamilies=
RestrictAddressFamilies=AF_UNIX
"""


class Made(NamedTuple):
    """A unit. `variables` is the text of the file that its EnvironmentFile= names, for root alone; `notes` say what is
    not as it was.
    """

    text: str
    variables: str
    notes: tuple[str, ...]


def program_unit(process: ProcessConfig, config: str, sandbox: str, variables_file: str, may_append: bool) -> Made:
    """The unit of one process of the configuration file `config`. `may_append`: nobody but root can write to the
    directories of its logs, so that systemd may open them. Raises ValueError for values that no unit can have.
    """
    notes: list[str] = []
    variables = "".join(assignment(name, value) for name, value in process.environment)
    source = f"{process.name}, from [program:{process.program}] of {config}"
    lines = ["[Unit]", f"Description={_value('configuration', source)}",
             "After=network.target", *_start_limit(process), "", "[Service]",
             *_start(process, notes), *_who(process, sandbox, notes),
             *_files(process, notes),
             *([f"EnvironmentFile={_value('environment', variables_file)}"] if variables else ()),
             *_ends(process, notes), *_output(process, may_append, notes), *_limits(process, notes)]
    if sandbox != "off":
        lines += ["", *_sandbox(process, sandbox, notes)]
    lines += ["", "[Install]", "WantedBy=multi-user.target", ""]
    if process.sandbox is not None:
        notes.append("its own sandbox options are not carried over: the unit has the sandbox that was asked for")
    if process.health != UNCHECKED:
        notes.append("not carried over: its checks and its watchdog")
    if process.cron.schedule is not None:
        notes.append(f"not carried over: cron={process.cron.text}, which is a timer unit's business")
    if process.essential:
        notes.append("not carried over: essential")
    return Made("\n".join(lines), variables, tuple(notes))


def _start(process: ProcessConfig, notes: list[str]) -> list[str]:
    """What is run, and when it counts as started."""
    ready, hooks = process.readiness, process.hooks
    lines = ["Type=exec"]
    if ready.pidfile is not None:
        lines = ["Type=forking", f"PIDFile={_value('pidfile', ready.pidfile)}"]
    elif ready.kind is ReadyKind.NOTIFY:
        lines = ["Type=notify", f"NotifyAccess={'all' if ready.everybody else 'main'}"]
    elif ready.kind is not ReadyKind.STARTSECS:
        notes.append(f"not carried over: readiness={ready.kind.value}")
    if len(lines) > 1:
        lines.append(f"TimeoutStartSec={ready.timeout or 'infinity'}")
    around = (("ExecStartPre", hooks.pre_start), ("ExecStart", process.command), ("ExecStartPost", hooks.post_start),
              ("ExecReload", hooks.reload_command), ("ExecStop", hooks.pre_stop), ("ExecStopPost", hooks.post_stop))
    lines += [f"{name}={_command(command)}" for name, command in around if command or name == "ExecStart"]
    if hooks.reload_signal and not hooks.reload_command:
        lines.append(f"ExecReload=/bin/kill -{hooks.reload_signal} $MAINPID")
    if hooks.post_start:
        notes.append("a post_start_hook that fails ends the start: systemd's rule")
    if process.depends.needs:
        notes.append("not carried over: depends_on, for nobody knows which units the others are")
    return lines


def _command(text: str) -> str:
    words = split_command(text)
    if not words or not words[0] or words[0][0] in "-@:+!|" or "$" in words[0]:
        raise ValueError(f"command: no unit can run {words[0] if words else ''!r} (a path that begins with none of "
                         "-@:+!| and has no $ expected)")
    return " ".join(map(_argument, words))


def _start_limit(process: ProcessConfig) -> list[str]:
    if process.restart.limit > 0:
        return [f"StartLimitIntervalSec={process.restart.window or 'infinity'}",
                f"StartLimitBurst={process.restart.limit + 1}"]
    tries = process.startretries + 1
    if process.startretries == UNLIMITED or tries > 10_000:
        return ["StartLimitIntervalSec=0"]
    seconds = tries * (max(process.startsecs, 1) + _pause(process))
    return [f"StartLimitIntervalSec={seconds}", f"StartLimitBurst={tries}"]


def _pause(process: ProcessConfig) -> int:
    return process.restart.pause or RESTART_SECONDS


def _who(process: ProcessConfig, sandbox: str, notes: list[str]) -> list[str]:
    lines = []
    user = process.user
    if sandbox == "offline":
        if user is not None:
            notes.append(f"user={user.name} gives way to a user that exists only while it runs (DynamicUser)")
    elif user is not None:
        lines += [f"User={_value('user', user.name)}", f"Group={user.gid}"]
    else:
        notes.append("it runs as root; user= gives it an account of its own" + _EXPOSURE.get(sandbox, ""))
    if process.directory is not None:
        lines.append(f"WorkingDirectory={_value('directory', process.directory)}")
    if process.umask is not None:
        lines.append(f"UMask={process.umask:04o}")
    elif sandbox != "off":
        lines.append("UMask=0027")
    if process.nice is not None:
        lines.append(f"Nice={process.nice}")
    return lines


def _files(process: ProcessConfig, notes: list[str]) -> list[str]:
    """Before the variables, which win over them."""
    files = (*process.environment_files.common, *process.environment_files.own)
    if files:
        notes.append("environment files are read by systemd's rules: ${NAME} in them is not replaced, and the "
                     "environment of [supervisord] wins over them")
    return [f"EnvironmentFile={'-' * (file.missing is not MissingFile.REFUSED)}{_value('environment_file', file.path)}"
            for file in files]


def _ends(process: ProcessConfig, notes: list[str]) -> list[str]:
    restart = {AutoRestart.ALWAYS: "always", AutoRestart.UNEXPECTED: "on-failure", AutoRestart.NEVER: "no"}
    lines = [f"Restart={restart[process.autorestart]}"]
    if process.autorestart is not AutoRestart.NEVER:
        lines.append(f"RestartSec={_pause(process)}")
        if process.restart.factor > 1 or process.restart.jitter or process.restart.reset:
            notes.append("the back-off is not carried over: every pause is as long as the first")
    elif process.startretries:
        notes.append("autorestart=false: a start that fails is not tried again, which a daemon would do")
    expected = [code for code in process.exitcodes if code]
    if expected:
        lines.append("SuccessExitStatus=" + " ".join(map(str, expected)))
    if process.autorestart is AutoRestart.UNEXPECTED:
        lines.append(" ".join(["RestartForceExitStatus=" + "0 " * (0 not in process.exitcodes) + CLEAN_SIGNALS[0],
                               *CLEAN_SIGNALS[1:]]))
    lines += [f"KillSignal={_signal(process.stopsignal, notes)}",
              f"KillMode={'control-group' if process.stopasgroup else 'mixed'}",
              f"TimeoutStopSec={max(process.stopwaitsecs, 1)}"]
    if len(process.stopsignals) > 1:
        notes.append("of several stop signals a unit has the first")
    if not process.killasgroup and not process.stopasgroup:
        notes.append("what it leaves behind is ended, too, as systemd does it")
    return lines


def _signal(number: int, notes: list[str]) -> str:
    if number == 0:
        notes.append("stopsignal=0: SIGCONT, which means nothing to most programs")
        return "SIGCONT"
    name = signal_name(number)
    return name if name.isalnum() else str(number)


def _output(process: ProcessConfig, may_append: bool, notes: list[str]) -> list[str]:
    told = process.syslog
    lines = [f"SyslogIdentifier={_value('syslog_tag', told.tag or process.name)}",
             *([f"SyslogFacility={word_for(FACILITIES, told.facility)}"] if told.facility != Syslog().facility else ()),
             f"StandardOutput={_stream(process.stdout, may_append, notes)}"]
    stderr = "inherit" if process.redirect_stderr else _stream(process.stderr, may_append, notes)
    return [*lines, f"StandardError={stderr}"]


def _stream(log: LogConfig, may_append: bool, notes: list[str]) -> str:
    kinds = {target.kind for target in log.targets}
    files = [target.path for target in log.targets if target.kind is TargetKind.FILE]
    if files and kinds == {TargetKind.FILE} and len(files) == 1 and may_append:
        notes.append(f"{files[0]} is not rotated: that is logrotate's work now")
        return f"append:{_value('logfile', files[0])}"
    if files:
        notes.append(f"{', '.join(files)}: the output goes to the journal instead")
    notes += [f"not carried over: the syslog server {target.path}" for target in log.targets
              if target.kind is TargetKind.REMOTE]
    if log.form != Form() and "not carried over: the form of lines in logs" not in notes:
        notes.append("not carried over: the form of lines in logs")
    return "journal" if kinds else "null"


def _limits(process: ProcessConfig, notes: list[str]) -> list[str]:
    lines = [f"Limit{name.upper()}={_limit(soft)}:{_limit(hard)}" for name, soft, hard in process.rlimits]
    for file, value in process.limits:
        if file in _LIMITS:
            lines.append(f"{_LIMITS[file]}={value.removeprefix('default ').replace('max', 'infinity')}")
        elif file == "cpu.max":
            quota, period = value.split()
            lines.append("CPUQuota=" if quota == "max" else f"CPUQuota={int(quota) * 100 // int(period)}%")
        elif file == "memory.oom.group":
            lines.append(f"OOMPolicy={'kill' if value == '1' else 'continue'}")
        else:
            for line in value.splitlines():
                path, *words = line.split()
                pairs = (each.split("=") for each in words)
                lines += [f"{_IO[key]}={list_word(path)} {amount.replace('max', 'infinity')}" for key, amount in pairs]
    if lines and process.limits_optional:
        notes.append("limits that cannot be set are ignored by systemd without a word")
    return lines


def _limit(value: int) -> str:
    return "infinity" if value < 0 else str(value)


def _sandbox(process: ProcessConfig, sandbox: str, notes: list[str]) -> list[str]:
    folder = process.directory or "/"
    shown = any(map(in_homes, (folder, *split_command(process.command))))
    text = _STANDARD.format(writable=f"ReadWritePaths=-{list_word(folder)}\n" if folder != "/" else "",
                            home="read-only" if shown else "yes")
    if sandbox in ("strict", "offline"):
        text += _STRICT
    if sandbox == "offline":
        text += _OFFLINE
    if sandbox != "offline" and process.user is None:
        notes.append("the sandbox leaves root no capabilities: it may not change users, or read what others own")
    return text.rstrip("\n").split("\n")


# ---- quoting --------------------------------------------------------------------------------------------------------

def _argument(text: str) -> str:
    """A word of the command line; in double quotes there are C's escapes for newline and tab."""
    if text.isprintable():
        return word(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return _value("command", f'"{escaped}"').replace("$", "$$")


def _value(option: str, text: str) -> str:
    """What is the whole value of a directive: no quotes and no variables there, and nothing that could be escaped. A
    backslash at the end would take the next line with it. Raises ValueError, with the option that it comes from.
    """
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xd800 <= ord(letter) < 0xe000 for letter in text):
        raise ValueError(f"{option}: cannot write {text!r} into a unit (UTF-8 and no control characters expected)")
    if text != text.strip() or text.endswith("\\"):
        raise ValueError(f"{option}: cannot write {text!r} into a unit (no blank around it and no backslash behind it "
                         "expected)")
    return text.replace("%", "%%")
