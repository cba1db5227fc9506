"""The options of a process that are not the default, as text.

Promises: what a configuration could say (paths absolute, sizes in bytes, presets spelt out). No value of a variable and
no place of a secret is shown, and what looks like a password is `***`. Must not: know the engine.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from sdsuper.config.health import Action, ActionKind, Check, Health
from sdsuper.config.health_values import shown
from sdsuper.config.logs import FACILITIES, SEVERITIES, every_text, word_for
from sdsuper.config.model import (
    ISO,
    UNLIMITED,
    EnvironmentFiles,
    LogConfig,
    LogTarget,
    MissingFile,
    ProcessConfig,
    Restart,
    Syslog,
    TargetKind,
    User,
    Watch,
)
from sdsuper.config.places import COMMON_FILES
from sdsuper.config.row import Row
from sdsuper.config.sandbox import Sandbox, capability_names
from sdsuper.config.schedule import Cron
from sdsuper.config.settings import ROWS
from sdsuper.config.values import Noted
from sdsuper.core.vocabulary import signal_name

#: Options whose field is not their name, and how the value is written.
_FIELDS = {"stopsignal": "stopsignals"}
_PLAIN = (
    "command", "directory", "umask", "user", "nice", "priority", "autostart", "autorestart", "startsecs",
    "startretries", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "redirect_stderr",
    "serverurl", "leftovers", "user_environment", "essential", "killwaitsecs", "conf_file",
)
#: Fields whose options are compared as they are written.
_AS_WRITTEN = ("sandbox", "restart", "watch", "syslog", "every", "compress", "form", "health", "cron")
_IO_CLASSES = ("none", "realtime", "best-effort", "idle")
_POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle"}
_SECRET = re.compile(
    r"(?i)((?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token|credentials?|api[_-]?key|auth)[\w-]*[=:\s]\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|\S+)|(?<=://)([^/@\s:]*:)[^/@\s]+(?=@)")


def options(config: ProcessConfig) -> list[tuple[str, str]]:
    """(option, value) in the order of the settings table; `environment` comes once for each variable."""
    found = [(name, masked(text)) for name, text in _written(config) if text != _default(name, config)]
    order = {row.name: number for number, row in enumerate(ROWS["program"].values())}
    return sorted(found, key=lambda option: order.get(option[0], len(order)))


def masked(text: str) -> str:
    """The text without what looks like a password: `--token=***`, `postgres://web:***@db/`."""
    return _SECRET.sub(lambda match: (match[1] or match[2]) + "***", text)


def _written(config: ProcessConfig) -> Iterator[tuple[str, str]]:
    for name in _PLAIN:
        value = getattr(config, _FIELDS.get(name, name))
        if value is not None:
            yield name, _text(name, value)
    for stream, log in (("stdout", config.stdout), ("stderr", config.stderr)):
        if stream == "stdout" or not config.redirect_stderr:
            yield from _log(stream, log)
    for name, _value in config.environment:
        yield "environment", f"{name}=…"
    yield from _environment_files(config.environment_files)
    for name, soft, hard in config.rlimits:
        yield f"rlimit_{name}", ":".join("unlimited" if limit == -1 else str(limit) for limit in (soft, hard))
    for file, limit in config.limits:
        yield file.replace(".", "_"), limit.replace("\n", ", ")
    yield "limits_unsupported", "warn" if config.limits_optional else "error"
    if config.sandbox is not None:
        yield from _sandbox(config.sandbox)
    yield from _restart(config.restart)
    yield from _watch(config.watch)
    yield from _cron(config.cron)
    yield from _syslog(config.syslog)
    yield from _health(config.health)


def _environment_files(files: EnvironmentFiles) -> Iterator[tuple[str, str]]:
    """The names of files."""
    told = [file for file in files.own if file.missing is MissingFile.TOLD]
    own = [file for file in files.own if file not in told]
    for option, those in ((COMMON_FILES, files.common), ("envFiles", told), ("environment_file", own)):
        if those:
            yield option, ", ".join("-" * (file.missing is MissingFile.FINE) + file.path for file in those)


def _restart(how: Restart) -> Iterator[tuple[str, str]]:
    yield "restartpause", str(how.pause)
    yield "backoff_factor", f"{how.factor:g}"
    if how.longest:
        yield "backoff_max", str(how.longest)
    yield "backoff_jitter", f"{how.jitter}%"
    yield "backoff_reset", "unlimited" if how.reset < 0 else str(how.reset)
    yield "restart_limit", "unlimited" if how.limit < 0 else f"{how.limit}" + f"/{how.window}s" * bool(how.window)
    yield "restart_limit_action", how.action.value


def _watch(wanted: Watch) -> Iterator[tuple[str, str]]:
    yield "restart_when_binary_changed", _text("restart_when_binary_changed", wanted.binary)
    for kind, command, numbers in (("binary", wanted.binary_command, wanted.binary_signals),
                                   ("file", wanted.file_command, wanted.file_signals)):
        if command:
            yield f"restart_cmd_when_{kind}_changed", command
        if numbers:
            yield f"restart_signal_when_{kind}_changed", " ".join(map(signal_name, numbers))
    if wanted.directories:
        yield "restart_directory_monitor", ",".join(wanted.directories)
        yield "restart_file_pattern", ",".join(wanted.patterns)
        yield "restart_file_exclude", ",".join(wanted.excludes)
    yield "restart_delay", str(wanted.delay)


def _health(health: Health) -> Iterator[tuple[str, str]]:
    for family, check in (("startup", health.startup), ("ready", health.ready), ("liveness", health.live)):
        if check is not None:
            yield from _check(f"{family}_check", check)
    if health.well:
        yield "liveness_check_success_action", shown(health.well)
    yield "liveness_check_failure_action", _action(health.ill)
    yield "watchdog_sec", f"{health.watchdog:g}"


def _check(name: str, check: Check) -> Iterator[tuple[str, str]]:
    yield f"{name}_script", shown(check.text)
    for suffix, value in (("initial_delay", check.initial_delay), ("period", check.period), ("timeout", check.timeout),
                          ("success_threshold", check.successes), ("failure_threshold", check.failures)):
        yield f"{name}_{suffix}", f"{value:g}"


def _action(action: Action) -> str:
    if action.kind is ActionKind.SIGNAL:
        return f"signal {signal_name(action.signal).removeprefix('SIG')}"
    return shown(action.text) if action.kind is ActionKind.RUN else action.kind.value


def _cron(cron: Cron) -> Iterator[tuple[str, str]]:
    if cron.schedule is not None:
        yield "cron", cron.text
        if cron.schedule.zone and "TZ=" not in cron.text:
            yield "cron_timezone", cron.schedule.zone
        yield from (("cron_overlap", cron.overlap.value), ("cron_missed", cron.missed.value))
        yield "cron_jitter", str(cron.jitter)


def _log(stream: str, log: LogConfig) -> Iterator[tuple[str, str]]:
    yield f"{stream}_logfile", ", ".join(_target(target) for target in log.targets) or "NONE"
    for name in ("logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled"):
        yield f"{stream}_{name}", _text(name, getattr(log, name.removeprefix("logfile_")))
    yield f"{stream}_logfile_rotate", every_text(log.every)
    yield f"{stream}_logfile_compress", log.compress or "none"
    yield f"{stream}_logfile_format", "json" if log.form.json else "plain"
    yield f"{stream}_logfile_timestamp", {"": "false", ISO: "true"}.get(log.form.timestamp, log.form.timestamp)
    if log.form.prefix:
        yield f"{stream}_logfile_prefix", log.form.prefix


def _target(target: LogTarget) -> str:
    if target.kind is TargetKind.REMOTE:
        return f"syslog @{target.path}"
    return target.path or target.kind.value.replace("auto", "AUTO")


def _syslog(told: Syslog) -> Iterator[tuple[str, str]]:
    yield "syslog_facility", word_for(FACILITIES, told.facility)
    if told.tag:
        yield "syslog_tag", told.tag
    yield "syslog_stdout_priority", word_for(SEVERITIES, told.stdout)
    yield "syslog_stderr_priority", word_for(SEVERITIES, told.stderr)


#: Fields of Sandbox that are not written as they are kept.
_WRITERS: dict[str, Callable[[Any], list[tuple[str, str]]]] = {
    "ionice": lambda value: [("ionice", f"{_IO_CLASSES[value >> 13]}:{value & 7}")],
    "scheduler": lambda value: [("sched_policy", _POLICIES[value[0]])] + (
        [("sched_priority", str(value[1]))] if value[1] else []),
    "capabilities": lambda value: [("capabilities", capability_names(value[0]))],
    "pdeathsig": lambda value: [("pdeathsig", signal_name(value).removeprefix("SIG"))],
    "credentials": lambda value: [("credential", ", ".join(f"{name}:…" for name, _path in value))],
    "optional": lambda _value: [("sandbox_unsupported", "warn")],
}


def _sandbox(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    for name, default in Sandbox._field_defaults.items():
        value = getattr(sandbox, name)
        if value != default:
            yield from _WRITERS.get(name, lambda plain, option=name: [(option, _text(option, plain))])(value)


def _text(name: str, value: Any) -> str:
    """A value as a configuration has it."""
    if isinstance(value, Noted):
        return _text(name, value.value)
    if name == "startretries" and value == UNLIMITED:
        return "unlimited"
    if isinstance(value, User):
        return value.name
    if name == "leftovers":
        return "kill" if value else "keep"
    if name == "umask":
        return f"{value:03o}"
    if name == "stopsignal":
        return " ".join(signal_name(number).removeprefix("SIG") for number in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(getattr(value, "value", value))      # an enumeration's word


def _default(name: str, config: ProcessConfig) -> str | None:
    if name == "killasgroup":
        return _text(name, config.stopasgroup)
    row: Row | None = ROWS["program"].get(name.lower())
    if row is None or row.default is None:
        return None
    if row.find is not None or row.field.rpartition(".")[2] in _AS_WRITTEN:
        return row.default
    return row.default if name == "limits_unsupported" else _text(name, row.read(row.default))
