"""A [program:x] section made of a systemd service unit. PURE.

Promises: every directive is carried over, or named in a comment of the section; a unit that cannot be one program (more
than one command, a forking daemon) is refused. Must not: read files, or know the machine. Sources: systemd.syntax(7),
systemd.service(5), systemd.exec(5), systemd.kill(5).
"""

import re
from collections.abc import Callable

from sdsuper.config.settings import ROWS

#: Directives that mean nothing for a program, or that the daemon does anyway.
_SILENT = frozenset((
    "Description", "Documentation", "After", "Before", "Wants", "WantedBy", "Alias", "RestartSec", "TimeoutStartSec",
    "SyslogIdentifier", "StandardInput", "StartLimitIntervalSec", "StartLimitBurst", "NotifyAccess", "GuessMainPID",
    "SystemCallArchitectures", "SystemCallErrorNumber", "DefaultDependencies",
))
_RESTART = {"no": "false", "always": "true", "on-failure": "unexpected", "on-abnormal": "unexpected",
            "on-abort": "unexpected", "on-watchdog": "unexpected", "on-success": "true"}
_SPAN = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 0.001, "min": 60.0, "m": 60.0,
         "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0}
_UNLIMITED = ("infinity", "")
_RENAMED = {
    "MemoryMax": "memory_max", "MemoryHigh": "memory_high", "MemoryLow": "memory_low", "MemoryMin": "memory_min",
    "MemorySwapMax": "memory_swap_max", "TasksMax": "pids_max", "CPUWeight": "cpu_weight", "IOWeight": "io_weight",
    "NoNewPrivileges": "no_new_privs", "OOMScoreAdjust": "oom_score_adj", "CPUAffinity": "cpu_affinity",
    "CPUSchedulingPolicy": "sched_policy", "CPUSchedulingPriority": "sched_priority", "PrivateTmp": "private_tmp",
    "PrivateDevices": "private_devices", "PrivateNetwork": "private_network", "ProtectHome": "protect_home",
    "ProtectSystem": "protect_system", "Nice": "nice", "UMask": "umask",
}
_PATHS = {"ReadOnlyPaths": "read_only_paths", "ReadWritePaths": "read_write_paths",
          "InaccessiblePaths": "inaccessible_paths"}


class NoProgram(ValueError):
    """The unit cannot be one program; the text says why."""


def section(text: str, name: str) -> str:
    """The section [program:NAME] for the text of a unit. Raises NoProgram."""
    service, left = _read(text)
    made = _Section(service)
    made.command()
    made.account()
    made.environment()
    made.life()
    made.output()
    made.rest()
    comments = "".join(f"; not carried over: {line}\n" for line in [*left, *made.left])
    lines = "".join(f"{key} = {value}\n" for key, value in made.lines)
    return f"{comments}[program:{name}]\n{lines}"


def _read(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """[Service] as name -> values (an empty one forgets those before it), and what other sections ask for."""
    found: dict[str, list[str]] = {}
    left: list[str] = []
    where = ""
    joined = re.sub(r"\\\n(?:[#;].*\n)*", " ", text)
    for line in joined.splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            where = line.strip("[]")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise NoProgram(f"cannot read {line!r} as a line of a unit (Name=value expected)")
        if where == "Service":
            found[key] = [*found.get(key, []), value] if value else []
        elif key not in _SILENT:
            left.append(f"[{where}] {key}={value}")
    if not found:
        raise NoProgram("there is no [Service] section: not a service unit")
    return found, left


class _Section:
    """The lines of the section, taken from the directives that are left in `service`."""

    def __init__(self, service: dict[str, list[str]]) -> None:
        self.service = service
        self.lines: list[tuple[str, str]] = []
        self.left: list[str] = []

    def take(self, name: str, default: str = "") -> str:
        """The last value of a directive, which is done with then."""
        values = self.service.pop(name, [])
        return values[-1] if values else default

    def add(self, key: str, value: str) -> None:
        """A line; `%` has a meaning of its own in a configuration, and `;` after a blank begins a comment."""
        self.lines.append((key, value.replace("%", "%%")))

    def keep(self, name: str, value: str) -> None:
        """Name a directive that has no place here."""
        self.left.append(f"{name}={value}")

    def command(self) -> None:
        """ExecStart= and Type=."""
        kind = self.take("Type", "simple")
        if kind == "forking":
            raise NoProgram("Type=forking: a program has to stay in the foreground; see its manual for the option")
        commands = self.service.pop("ExecStart", [])
        if len(commands) != 1:
            raise NoProgram(f"{len(commands)} ExecStart= lines: one expected")
        text = commands[0]
        prefix = re.match(r"[-@:+!|]*", text)
        marks = prefix[0] if prefix else ""
        text = text[len(marks):]
        if "@" in marks:
            path, _, arguments = text.partition(" ")
            text = " ".join([path, *arguments.split(" ")[1:]])
        if "%" in text.replace("%%", ""):
            raise NoProgram(f"ExecStart= has specifiers of systemd, which mean nothing here: {text}")
        if "$" in text.replace("$$", ""):
            self.left.append("the variables in ExecStart=: there is no shell, write a command with /bin/sh -c")
        self.add("command", text.replace("$$", "$").replace("%%", "%"))
        if kind == "oneshot":
            self.add("startsecs", "0")
            self.add("autorestart", "false")
        elif kind in ("notify", "notify-reload", "dbus"):
            self.left.append(f"Type={kind}: readiness is the time in startsecs")
        if "-" in marks:
            self.left.append("the - of ExecStart=: a failure counts as one")

    def account(self) -> None:
        """User=, Group=, WorkingDirectory=."""
        user, group = self.take("User"), self.take("Group")
        if user:
            self.add("user", f"{user}:{group}" if group else user)
        elif group:
            self.keep("Group", group)
        folder = self.take("WorkingDirectory").removeprefix("-")
        if folder == "~":
            self.keep("WorkingDirectory", folder)
        elif folder:
            self.add("directory", folder)

    def environment(self) -> None:
        """Environment= and EnvironmentFile=."""
        pairs: list[str] = []
        for value in self.service.pop("Environment", []):
            for word in re.findall(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|\S+', value):
                plain = word[1:-1] if word[0] in "\"'" else word
                name, equals, text = plain.partition("=")
                if equals:
                    escaped = text.replace('\\"', '"').replace("\\\\", "\\").replace('"', '\\"')
                    pairs.append(f'{name}="{escaped}"')
        if pairs:
            self.add("environment", ",".join(pairs).replace("%%", "%"))
        for value in self.service.pop("EnvironmentFile", []):
            self.keep("EnvironmentFile", value)

    def life(self) -> None:
        """Restart=, exit statuses, signals, times."""
        oneshot = any(key == "autorestart" for key, _value in self.lines)
        restart = self.take("Restart", "no")
        if not oneshot:
            self.add("autorestart", _RESTART.get(restart, "false"))
        codes = self.take("SuccessExitStatus").split()
        if codes and all(code.isdigit() for code in codes):
            self.add("exitcodes", ",".join(["0", *codes]))
        elif codes:
            self.keep("SuccessExitStatus", " ".join(codes))
        signal = self.take("KillSignal").removeprefix("SIG")
        if signal:
            self.add("stopsignal", signal)
        seconds = _seconds(span := self.take("TimeoutStopSec", self.take("TimeoutSec")))
        if seconds is not None:
            self.add("stopwaitsecs", str(seconds))
        elif span:
            self.keep("TimeoutStopSec", span)
        mode = self.take("KillMode", "control-group")
        if mode == "control-group":
            self.add("stopasgroup", "true")
        if mode in ("control-group", "mixed"):
            self.add("killasgroup", "true")

    def output(self) -> None:
        """StandardOutput= and StandardError=."""
        out, error = self.take("StandardOutput", "journal"), self.take("StandardError", "inherit")
        for key, value in (("stdout_logfile", out), ("stderr_logfile", error)):
            path = re.match(r"(?:file|append|truncate):(.*)", value)
            if key == "stderr_logfile" and value == "inherit":
                self.add("redirect_stderr", "true")
            elif path:
                self.add(key, path[1])
            else:
                self.add(key, "NONE" if value == "null" else "journal")

    def rest(self) -> None:
        """What has an option of the same meaning, and all that has none."""
        for name in list(self.service):
            if name in _SILENT:
                del self.service[name]
                continue
            values = self.service.pop(name)
            if not values:
                continue
            if name in _PATHS:
                self.add(_PATHS[name], ", ".join(path for value in values for path in value.split()))
            elif not self._option(name, values[-1]):
                for value in values:
                    self.keep(name, value)

    def _option(self, name: str, value: str) -> bool:
        limit = f"rlimit_{name[5:].lower()}" if name.startswith("Limit") else ""
        option = limit if limit in ROWS["program"] else _RENAMED.get(name, "")
        if option:
            value = _words(option, value)
        elif name == "CPUQuota":
            option = "cpu_max"
        elif name == "OOMPolicy" and value in ("kill", "continue"):
            option, value = "memory_oom_group", "true" if value == "kill" else "false"
        if not option:
            return False
        row = ROWS["program"].get(option)
        if row is None or value in _UNLIMITED or not _fits(row.read, value):
            return False
        self.lines.append((option, value if option == "cpu_max" else value.replace("%", "%%")))
        return True


def _words(option: str, value: str) -> str:
    """systemd's word for a value as ours."""
    if option.startswith("rlimit_"):
        return ":".join("unlimited" if part == "infinity" else _bytes(part) for part in value.split(":"))
    if option.startswith("memory_") or option == "pids_max":
        return "unlimited" if value == "infinity" else _bytes(value)
    if option == "cpu_affinity":
        return ",".join(value.split())
    return value


def _bytes(text: str) -> str:
    """`2G` as `2GB`."""
    return f"{text}B" if text[-1:] in "KMG" and text[:-1].isdigit() else text


def _fits(read: Callable[[str], object], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _seconds(text: str) -> int | None:
    """A time span of systemd.time(7) in whole seconds; None for none, and for what has no end."""
    words = re.findall(r"([0-9.]+)\s*([a-z]*)", text)
    if not words or any(unit not in _SPAN for _number, unit in words):
        return None
    return round(sum(float(number) * _SPAN[unit] for number, unit in words))
