"""A systemd unit that was given where a configuration is expected: say so, and what is wrong with units of this kind.

Promises: pure; text in, problems out. Must not: judge units of other services.
"""

from sdsuper.config.model import Problem, Severity, Where

_SECTIONS = ("[Unit]", "[Service]", "[Install]")

#: Keys that units for a supervisor have; a key that differs from one in its capitals only is ignored by systemd.
_KEYS = {key.lower(): key for key in (
    "After", "Before", "BindsTo", "Conflicts", "Delegate", "Description", "Documentation", "Environment",
    "EnvironmentFile", "ExecReload", "ExecStart", "ExecStartPost", "ExecStartPre", "ExecStop", "ExecStopPost",
    "Group", "KillMode", "KillSignal", "LimitNOFILE", "LimitNPROC", "NotifyAccess", "OOMPolicy", "PIDFile",
    "PartOf", "PrivateTmp", "RemainAfterExit", "Requires", "Restart", "RestartSec", "RuntimeDirectory",
    "StandardError", "StandardOutput", "StartLimitBurst", "StartLimitIntervalSec", "SuccessExitStatus",
    "TasksMax", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "Type", "UMask", "User", "Wants", "WantedBy",
    "WorkingDirectory")}


def looks_like_unit(text: str) -> bool:
    """Whether this is a systemd service and no configuration."""
    headers = {line.strip() for line in text.splitlines() if line.startswith("[")}
    return "[Service]" in headers and "[supervisord]" not in headers


def examine(text: str, path: str) -> list[Problem]:
    """What is wrong with a unit: first that it is one, then line by line."""
    found: list[Problem] = []
    section = ""
    config = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line in _SECTIONS:
            section = line[1:-1]
        key, equals, value = line.partition("=")
        if not equals or line[0] in "#;":
            continue
        key, value = key.strip(), value.strip()
        if key == "ExecStart" and "-c " in value:
            config = value.partition("-c ")[2].split()[0]
        message = _remark(key, value)
        if message:
            found.append(Problem(Where(path, number), Severity.WARNING, section, key, message))
    advice = f"; its configuration is {config}" if config else ""
    first = Problem(Where(path, 1), Severity.ERROR, None, None, "this is a systemd unit, not a configuration" + advice)
    return [first, *found]


def _remark(key: str, value: str) -> str | None:
    right = _KEYS.get(key.lower())
    if right is not None and right != key:
        return f"systemd does not know this key and ignores the line, did you mean {right!r}?"
    if key == "Type" and value == "forking":
        return "systemd has to guess the daemon's pid; Type=notify with -n in ExecStart tells it, and readiness too"
    if key == "ExecReload" and value.endswith(" reload"):
        return "this stops every program and starts it again; `ctl update` touches only what has changed"
    return None
