"""A [program:x] section made of a systemd service unit. PURE.

Promises: every directive is carried over, or named in a comment of the section; what a configuration cannot say
(a comment sign behind a blank, systemd's specifiers) is named and not written; a unit that cannot be one program (more
than one command, a forking daemon), or would have more rights as one, is refused. Must not: read files, or know the
machine. Sources: systemd.syntax(7), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.time(7).
"""

import math
import re
from collections.abc import Callable, Sequence

from sdsuper.config.model import LogTarget, TargetKind
from sdsuper.config.settings import ROWS
from sdsuper.config.targets import log_targets
from sdsuper.config.values import Noted
from sdsuper.config.values import name as as_name
from sdsuper.systemd.syntax import NAME, lines, variables, words

#: Directives that mean nothing for a program, or that the daemon does anyway.
_SILENT = frozenset((
    "Description", "Documentation", "After", "Before", "Wants", "WantedBy", "Alias", "RestartSec", "TimeoutStartSec",
    "SyslogIdentifier", "StandardInput", "StartLimitIntervalSec", "StartLimitBurst", "NotifyAccess", "GuessMainPID",
    "SystemCallArchitectures", "SystemCallErrorNumber", "DefaultDependencies",
))
_RESTART = {"no": "false", "always": "true", "on-failure": "unexpected", "on-abnormal": "unexpected",
            "on-abort": "unexpected", "on-watchdog": "unexpected", "on-success": "true"}
#: Deaths that are no failures to systemd, but unexpected here.
CLEAN_SIGNALS = ("SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE")
_SPAN = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "us": 1e-6, "usec": 1e-6, "ms": 0.001,
         "msec": 0.001, "min": 60.0, "m": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0,
         "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0, "w": 604800.0,
         "week": 604800.0, "weeks": 604800.0}
_AMOUNT = re.compile(r"\s*(?<![0-9.])([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-z]*)\s*")
_STOP_SECONDS = 90                  # systemd's DefaultTimeoutStopSec=
_STOP_SECONDS_MOST = 86400          # instead of for ever
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
_STREAMS = {"journal": "journal", "syslog": "syslog", "null": "NONE"}

#: The text of an environment file that `sdsuper service install` has written; None for any other.
Read = Callable[[str], str | None]


class NoProgram(ValueError):
    """The unit cannot be one program; the text says why."""


def section(text: str, name: str, read: Read = lambda path: None) -> str:
    """The section [program:NAME] for the text of a unit. Raises NoProgram."""
    try:
        if "]" in name or not as_name(name) == name != "":
            raise ValueError(f"cannot use {name!r} as a name")
    except ValueError as error:
        raise NoProgram(f"{error} (--name gives another)") from None
    service, left = _read(text)
    made = _Section(service)
    made.command()
    made.account()
    made.environment(read)
    made.life()
    made.stopping()
    made.output()
    made.rest()
    comments = "".join(f"; not carried over: {_shown(line)}\n" for line in [*left, *made.left])
    options = "".join(f"{key} = {value}\n" for key, value in made.lines)
    return f"{comments}[program:{name}]\n{options}"


def _read(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """[Service] as name -> values (an empty one forgets those before it), and what other sections ask for."""
    found: dict[str, list[str]] = {}
    left: list[str] = []
    where = ""
    for line in lines(text):
        if line.startswith("["):
            where = line.strip("[]")
            continue
        key, equals, value = (part.strip(" \t") for part in line.partition("="))
        if not equals or not key:
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
        """A line; `%` has a meaning of its own in a configuration, where it is expanded."""
        self.lines.append((key, value if key == "cpu_max" else value.replace("%", "%%")))

    def keep(self, name: str, value: str) -> None:
        """Name a directive that has no place here."""
        self.left.append(f"{name}={value}")

    def carry(self, name: str, value: str, key: str, text: str) -> None:
        """A line of `text`, made of the directive's `value`, which is named instead when that cannot be."""
        plain = _plain(text)
        read = ROWS["program"][key].read
        if plain is None or not _can_be_written(plain) or not _fits(read, plain):
            self.keep(name, value)
        else:
            self.add(key, plain)

    def command(self) -> None:
        """ExecStart= and Type=."""
        kind = self.take("Type", "simple")
        if kind == "forking":
            raise NoProgram("Type=forking: a program has to stay in the foreground; see its manual for the option")
        commands = self.service.pop("ExecStart", [])
        if len(commands) != 1:
            raise NoProgram(f"{len(commands)} ExecStart= lines: one expected")
        text = commands[0]
        try:
            first, *arguments = words(text, command=True)
        except ValueError as error:
            raise NoProgram(f"ExecStart={_shown(text)}: {error}") from None
        path = first.lstrip("-@:+!|")
        marks = first.removesuffix(path)
        found = [path, *arguments["@" in marks:]]
        if any(_plain(word) is None for word in found):
            raise NoProgram(f"ExecStart= has specifiers of systemd, which mean nothing here: {text}")
        if not path or any(not word.replace("\t", " ").isprintable() for word in found):
            raise NoProgram(f"ExecStart={_shown(text)}: no command can be written like this (a path, and words without "
                            "control characters expected)")
        if ":" not in marks:
            if any("$" in word.replace("$$", "") for word in found):
                self.left.append("the variables in ExecStart=: there is no shell, write a command with /bin/sh -c")
            found = [word.replace("$$", "$") for word in found]
        self.add("command", " ".join(_argument(word.replace("%%", "%")) for word in found))
        if kind == "oneshot":
            self.add("startsecs", "0")
            self.add("autorestart", "false")
        elif kind in ("notify", "notify-reload", "dbus"):
            self.left.append(f"Type={kind}: readiness is the time in startsecs")
        if "-" in marks:
            self.left.append("the - of ExecStart=: a failure counts as one")
        if "+" in marks or "!" in marks:
            self.left.append("the + or ! of ExecStart=: it has no more rights than user= has")

    def account(self) -> None:
        """User=, Group=, WorkingDirectory=."""
        user, group = self.take("User"), self.take("Group")
        if not user and self.take("DynamicUser") in ("yes", "true", "1", "on", "y", "t"):
            raise NoProgram("DynamicUser=yes: such an account is made by systemd alone, and without it the program "
                            "would be root; put User= into a copy of the unit")
        if user:
            self.carry("User", user, "user", f"{user}:{group}" if group else user)
            if not self.lines or self.lines[-1][0] != "user":
                raise NoProgram(f"User={_shown(user)} Group={_shown(group)}: no account (a name expected), and without "
                                "it the program would be root")
        elif group:
            self.keep("Group", group)
        folder = self.take("WorkingDirectory")
        if folder.removeprefix("-") == "~":
            self.keep("WorkingDirectory", folder)
        elif folder:
            self.carry("WorkingDirectory", folder, "directory", folder.removeprefix("-"))

    def environment(self, read: Read) -> None:
        """Environment= and EnvironmentFile=, which wins."""
        pairs: dict[str, str] = {}
        for value in self.service.pop("Environment", []):
            try:
                found = [word.partition("=") for word in words(value)]
            except ValueError:
                self.keep("Environment", value)
                continue
            for name, equals, text in found:
                plain = _plain(text)
                if not equals or plain is None or not NAME.fullmatch(name):
                    self.keep("Environment", f"{name}{equals}{text}")
                else:
                    pairs[name] = plain
        for value in self.service.pop("EnvironmentFile", []):
            ours = read(value.removeprefix("-"))
            if ours is None:
                self.keep("EnvironmentFile", value)
            else:
                pairs |= variables(ours)
        written = []
        for name, text in pairs.items():
            quote = "'" if '"' in text else '"'
            if quote in text or text != text.strip("'\"") or not _can_be_written(f"{quote}{text}{quote}"):
                self.left.append(f"the variable {name}, whose value cannot be written in a configuration")
            else:
                written.append(f"{name}={quote}{text}{quote}")
        if written:
            self.add("environment", ",".join(written))

    def life(self) -> None:
        """Restart= and exit statuses."""
        oneshot = any(key == "autorestart" for key, _value in self.lines)
        restart = self.take("Restart", "no")
        if not oneshot:
            self.add("autorestart", _RESTART.get(restart, "false"))
        if restart not in ("no", "always", "on-failure"):
            self.left.append(f"Restart={restart}: autorestart is always, never, or after an unexpected end")
        forced = " ".join(self.service.pop("RestartForceExitStatus", [])).split()
        codes = self.take("SuccessExitStatus").split()
        if restart == "on-failure" and "0" in forced:
            forced.remove("0")
            first = []
        else:
            first = ["0"]
        if all(_is_status(code) for code in codes):
            if codes or not first:
                self.add("exitcodes", ",".join([*first, *codes]))
        else:
            self.keep("SuccessExitStatus", " ".join(codes))
        if restart == "on-failure":
            forced = [word for word in forced if f"SIG{word.removeprefix('SIG')}" not in CLEAN_SIGNALS]
        if forced:
            self.keep("RestartForceExitStatus", " ".join(forced))

    def stopping(self) -> None:
        """KillSignal=, TimeoutStopSec=, KillMode=."""
        signal = self.take("KillSignal")
        if signal:
            self.carry("KillSignal", signal, "stopsignal", signal.removeprefix("SIG"))
        both = self.take("TimeoutSec")
        span = self.take("TimeoutStopSec", both) or str(_STOP_SECONDS)
        seconds = _seconds(span)
        if span == "infinity" or seconds == 0:          # to systemd both are without an end
            self.left.append(f"TimeoutStopSec={span}: a day after the signal it is killed")
            seconds = _STOP_SECONDS_MOST
        elif seconds is None:
            self.keep("TimeoutStopSec", span)
            seconds = _STOP_SECONDS
        self.add("stopwaitsecs", str(seconds))
        mode = self.take("KillMode", "control-group")
        if mode == "control-group":
            self.add("stopasgroup", "true")
        if mode in ("control-group", "mixed"):
            self.add("killasgroup", "true")

    def output(self) -> None:
        """StandardOutput= and StandardError=."""
        for key, name, default in (("stdout_logfile", "StandardOutput", "journal"),
                                   ("stderr_logfile", "StandardError", "inherit")):
            value = self.take(name, default)
            path = re.fullmatch(r"(?:file|append|truncate):(/.*)", value)
            text = path[1] if path else _STREAMS.get(value)
            if key == "stderr_logfile" and value == "inherit":
                self.add("redirect_stderr", "true")
            elif text is None or (path and log_targets(text) != ((LogTarget(TargetKind.FILE, text),), None)):
                self.left.append(f"{name}={value}: it goes to the journal")
                self.add(key, "journal")
            else:
                self.carry(name, value, key, text)

    def rest(self) -> None:
        """What has an option of the same meaning, and all that has none."""
        for name in list(self.service):
            if name in _SILENT:
                del self.service[name]
                continue
            values = self.service.pop(name)
            if name == "CapabilityBoundingSet" and not values:
                self.keep(name, "")                     # for others an empty value is as none, here it is none at all
            elif name in _PATHS:
                self._paths(name, values)
            elif values and not self._option(name, values[-1]):
                for value in values:
                    self.keep(name, value)

    def _paths(self, name: str, values: Sequence[str]) -> None:
        for value in values:
            try:
                found = words(value)
            except ValueError:
                found = []
            if not found or any("," in path for path in found):
                self.keep(name, value)
                return
        paths = [path for value in values for path in words(value)]
        if paths:
            self.carry(name, " ".join(values), _PATHS[name], ", ".join(paths))

    def _option(self, name: str, value: str) -> bool:
        limit = f"rlimit_{name[5:].lower()}" if name.startswith("Limit") else ""
        option = limit if limit in ROWS["program"] else _RENAMED.get(name, "")
        if option:
            value = _words(option, value)
        elif name == "CPUQuota":
            option = "cpu_max"
        elif name == "OOMPolicy" and value in ("kill", "continue"):
            option, value = "memory_oom_group", "true" if value == "kill" else "false"
        row = ROWS["program"].get(option)
        plain = _plain(value)
        if row is None or plain is None or plain in _UNLIMITED or not _can_be_written(plain) \
                or not _fits(row.read, plain):
            return False
        self.add(option, plain)
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
        return not isinstance(read(value), Noted)
    except ValueError:
        return False


def _is_status(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 256


def _plain(text: str) -> str | None:
    """The text with systemd's `%%` as `%`; None when it has a specifier."""
    if re.search("%[A-Za-z]", text.replace("%%", "")):
        return None
    return text.replace("%%", "%")


def _can_be_written(text: str) -> bool:
    """Whether a line of a configuration can have it: behind a blank `;` and `#` begin a comment, even in quotes."""
    return text.replace("\t", " ").isprintable() and text == text.strip() and not re.search(r"(?:^|\s)[;#]", text)


def _argument(word: str) -> str:
    """One word of a `command`. Two quotes between a blank and a comment sign mean nothing to it."""
    if re.fullmatch(r"[^\s'\"\\;#]+", word):
        return word
    return re.sub(r"(?<=\s)(?=[;#])", "''", "'" + word.replace("'", "'\"'\"'") + "'")


def _shown(text: str) -> str:
    """For a comment, which is one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _seconds(text: str) -> int | None:
    """A time span of systemd.time(7) in whole seconds, none of them less than it says; None for anything else."""
    total, at = 0.0, 0
    while at < len(text):
        amount = _AMOUNT.match(text, at)
        if amount is None or amount[2] not in _SPAN:
            return None
        total, at = total + float(amount[1]) * _SPAN[amount[2]], amount.end()
    return math.ceil(total) if text.strip() and total < 1 << 31 else None
