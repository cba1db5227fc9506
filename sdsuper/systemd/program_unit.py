"""The text of a native systemd unit that runs what a [program:x] runs, without a daemon between. PURE.

Promises: what the section says is in the unit, or in the notes that come with it; nothing in a value becomes a
directive, a specifier or a variable; values that look like secrets are not in the unit, which everybody may read. Must
not: know whether systemd is there. Sources: systemd.service(5), systemd.exec(5), systemd.kill(5),
systemd.resource-control(5).
"""

from typing import NamedTuple

from sdsuper.config.model import AutoRestart, LogConfig, ProcessConfig, TargetKind
from sdsuper.config.values import split_command
from sdsuper.core.vocabulary import signal_name
from sdsuper.systemd.unit import word

SANDBOXES = ("off", "standard", "strict", "offline")
RESTART_SECONDS = 1
_HOMES = ("/home/", "/root/", "/run/user/")
_SECRET = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL")
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
    """A unit. `secrets` is the text of the file that its EnvironmentFile= names, for root alone; `notes` say what is
    not as it was.
    """

    text: str
    secrets: str
    notes: tuple[str, ...]


def program_unit(process: ProcessConfig, config: str, sandbox: str, secrets_file: str, may_append: bool) -> Made:
    """The unit of one process of the configuration file `config`. `may_append`: nobody but root can write to the
    directories of its logs, so that systemd may open them. Raises ValueError for values that no unit can have.
    """
    notes: list[str] = []
    plain, secrets = _environment(process, secrets_file)
    lines = ["[Unit]", f"Description={_text(process.name)}, from [program:{_text(process.program)}] of {_text(config)}",
             "After=network.target", *_start_limit(process), "", "[Service]", "Type=exec",
             "ExecStart=" + " ".join(map(_argument, split_command(process.command)))]
    lines += _who(process, sandbox, notes) + plain + _ends(process, notes) + _output(process, may_append, notes)
    lines += _limits(process, notes)
    if sandbox != "off":
        lines += ["", *_sandbox(process, sandbox, notes)]
    lines += ["", "[Install]", "WantedBy=multi-user.target", ""]
    if process.sandbox is not None:
        notes.append("its own sandbox options are not carried over: the unit has the sandbox that was asked for")
    if process.later:
        notes.append("not carried over: " + ", ".join(name for name, _value in process.later))
    return Made("\n".join(lines), secrets, tuple(notes))


def _start_limit(process: ProcessConfig) -> list[str]:
    tries = max(process.startretries, 0) + 1
    if tries > 10_000:
        return ["StartLimitIntervalSec=0"]
    seconds = tries * (max(process.startsecs, 1) + RESTART_SECONDS)
    return [f"StartLimitIntervalSec={seconds}", f"StartLimitBurst={tries}"]


def _who(process: ProcessConfig, sandbox: str, notes: list[str]) -> list[str]:
    lines = []
    user = process.user
    if sandbox == "offline":
        if user is not None:
            notes.append(f"user={user.name} gives way to a user that exists only while it runs (DynamicUser)")
    elif user is not None:
        lines += [f"User={user.name}", f"Group={user.gid}"]
    else:
        notes.append("it runs as root; user= gives it an account of its own")
    if process.directory is not None:
        lines.append(f"WorkingDirectory={_value(process.directory)}")
    if process.umask is not None:
        lines.append(f"UMask={process.umask:04o}")
    elif sandbox != "off":
        lines.append("UMask=0027")
    if process.nice is not None:
        lines.append(f"Nice={process.nice}")
    return lines


def _environment(process: ProcessConfig, secrets_file: str) -> tuple[list[str], str]:
    """Lines of the unit, and the text of the file for root alone."""
    lines, secrets = [], ""
    for name, value in process.environment:
        if any(part in name.upper() for part in _SECRET):
            if "\n" in value:
                raise ValueError(f"environment: {name} has a newline, which no EnvironmentFile can have")
            secrets += f"{name}={_quoted(value)}\n"
        else:
            lines.append(f"Environment={_quoted(f'{_escaped(name)}={_escaped(value)}')}")
    if secrets:
        lines.append(f"EnvironmentFile={_value(secrets_file)}")
    return lines, secrets


def _ends(process: ProcessConfig, notes: list[str]) -> list[str]:
    restart = {AutoRestart.ALWAYS: "always", AutoRestart.UNEXPECTED: "on-failure", AutoRestart.NEVER: "no"}
    lines = [f"Restart={restart[process.autorestart]}"]
    if process.autorestart is not AutoRestart.NEVER:
        lines.append(f"RestartSec={RESTART_SECONDS}")
    elif process.startretries > 0:
        notes.append("autorestart=false: a start that fails is not tried again, which a daemon would do")
    expected = [code for code in process.exitcodes if code]
    if expected:
        lines.append("SuccessExitStatus=" + " ".join(map(str, expected)))
    if 0 not in process.exitcodes and process.autorestart is AutoRestart.UNEXPECTED:
        lines.append("RestartForceExitStatus=0")
    lines += [f"KillSignal={signal_name(process.stopsignals[0])}",
              f"KillMode={'control-group' if process.stopasgroup else 'mixed'}",
              f"TimeoutStopSec={max(process.stopwaitsecs, 1)}"]
    if len(process.stopsignals) > 1:
        notes.append("of several stop signals a unit has the first")
    if not process.killasgroup and not process.stopasgroup:
        notes.append("what it leaves behind is ended, too, as systemd does it")
    return lines


def _output(process: ProcessConfig, may_append: bool, notes: list[str]) -> list[str]:
    lines = [f"SyslogIdentifier={_text(process.name)}", f"StandardOutput={_stream(process.stdout, may_append, notes)}"]
    stderr = "inherit" if process.redirect_stderr else _stream(process.stderr, may_append, notes)
    return [*lines, f"StandardError={stderr}"]


def _stream(log: LogConfig, may_append: bool, notes: list[str]) -> str:
    kinds = {target.kind for target in log.targets}
    files = [target.path for target in log.targets if target.kind is TargetKind.FILE]
    if files and kinds == {TargetKind.FILE} and len(files) == 1 and may_append:
        notes.append(f"{files[0]} is not rotated: that is logrotate's work now")
        return f"append:{_value(files[0])}"
    if files:
        notes.append(f"{', '.join(files)}: the output goes to the journal instead")
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
                lines += [f"{_IO[key]}={_value(path)} {amount.replace('max', 'infinity')}" for key, amount in pairs]
    if lines and process.limits_optional:
        notes.append("limits that cannot be set are ignored by systemd without a word")
    return lines


def _limit(value: int) -> str:
    return "infinity" if value < 0 else str(value)


def _sandbox(process: ProcessConfig, sandbox: str, notes: list[str]) -> list[str]:
    folder = process.directory or "/"
    text = _STANDARD.format(writable=f"ReadWritePaths=-{_value(folder)}\n" if folder != "/" else "",
                            home="read-only" if f"{folder}/".startswith(_HOMES) else "yes")
    if sandbox in ("strict", "offline"):
        text += _STRICT
    if sandbox == "offline":
        text += _OFFLINE
    if sandbox == "standard" and process.user is None:
        notes.append("the sandbox leaves root no capabilities: it may not change users, or read what others own")
    return text.rstrip("\n").split("\n")


# ---- quoting --------------------------------------------------------------------------------------------------------

def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """In double quotes, with C's escapes for what would end or change the line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{_checked(escaped)}"'


def _argument(text: str) -> str:
    return word(text) if text.isprintable() else _quoted(text.replace("$", "$$").replace("%", "%%"))


def _value(path: str) -> str:
    """A path that is the whole value: no quotes, no variables there."""
    return _checked(_escaped(path))


def _text(text: str) -> str:
    return _checked(_escaped(text))


def _checked(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError(f"cannot write {text!r} into a unit (no control characters expected)")
    return text
