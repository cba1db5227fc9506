"""Programs made of units: real ones of this machine, and each directive."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.systemd.from_unit import NoProgram, section
from tests.config.fake import read

UNITS = sorted(path for path in Path("/usr/lib/systemd/system").glob("*.service") if path.is_file())


def options(text: str) -> dict[str, str]:
    found = section(f"[Service]\nExecStart=/bin/x\n{text}\n", "x")
    lines = [line for line in found.splitlines() if line[0] not in ";["]
    return dict(line.split(" = ", 1) for line in lines)


def comments(text: str) -> list[str]:
    found = section(f"[Service]\nExecStart=/bin/x\n{text}\n", "x")
    return [line.removeprefix("; not carried over: ") for line in found.splitlines() if line.startswith(";")]


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("User=www-data", "user", "www-data"),
        ("User=a\nGroup=b", "user", "a:b"),
        ("WorkingDirectory=-/srv/a", "directory", "/srv/a"),
        ("Environment=A=1 \"B=two words\"\nEnvironment='C=3'", "environment", 'A="1",B="two words",C="3"'),
        ("Environment=A=1\nEnvironment=\nEnvironment=B=2", "environment", 'B="2"'),
        ("Restart=always", "autorestart", "true"),
        ("Restart=on-failure", "autorestart", "unexpected"),
        ("", "autorestart", "false"),
        ("Type=oneshot", "startsecs", "0"),
        ("SuccessExitStatus=3 4", "exitcodes", "0,3,4"),
        ("KillSignal=SIGINT", "stopsignal", "INT"),
        ("TimeoutStopSec=1min 30s", "stopwaitsecs", "90"),
        ("TimeoutStopSec=500ms", "stopwaitsecs", "0"),
        ("KillMode=mixed", "killasgroup", "true"),
        ("", "stopasgroup", "true"),
        ("StandardOutput=append:/var/log/x", "stdout_logfile", "/var/log/x"),
        ("StandardOutput=null", "stdout_logfile", "NONE"),
        ("", "stdout_logfile", "journal"),
        ("", "redirect_stderr", "true"),
        ("StandardError=file:/x", "stderr_logfile", "/x"),
        ("LimitNOFILE=1024:2048", "rlimit_nofile", "1024:2048"),
        ("LimitCORE=infinity", "rlimit_core", "unlimited"),
        ("MemoryMax=2G", "memory_max", "2GB"),
        ("TasksMax=10", "pids_max", "10"),
        ("CPUQuota=20%", "cpu_max", "20%"),
        ("NoNewPrivileges=yes", "no_new_privs", "yes"),
        ("ReadWritePaths=/a /b\nReadWritePaths=/c", "read_write_paths", "/a, /b, /c"),
        ("Nice=5", "nice", "5"),
        ("ExecStart=\nExecStart=-/bin/sh -c 'a $$B 5%%'", "command", "/bin/sh -c 'a $B 5%%'"),
        ("ExecStart=\nExecStart=/bin/long \\\n# a comment\n   --second", "command", "/bin/long --second"),
    ],
)
def test_what_a_directive_becomes(line: str, option: str, value: str) -> None:
    found = options(line)
    assert " ".join(found[option].split()) == value


@pytest.mark.parametrize("line", ["EnvironmentFile=/etc/default/x", "ExecStartPre=/bin/a", "Group=b", "Slice=a.slice",
                                  "TasksMax=10%", "MemoryMax=50%", "TimeoutStopSec=infinity", "PIDFile=/run/x",
                                  "ProtectHome=perhaps", "SuccessExitStatus=SIGKILL"])
def test_what_has_no_place_is_named(line: str) -> None:
    assert line in comments(line)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Service]\nType=forking\nExecStart=/bin/x\n", "Type=forking: a program has to stay in the foreground"),
        ("[Service]\nExecStart=/bin/x\nExecStart=/bin/y\n", "2 ExecStart= lines: one expected"),
        ("[Service]\nType=simple\n", "0 ExecStart= lines: one expected"),
        ("[Service]\nExecStart=/bin/x %i\n", "ExecStart= has specifiers of systemd, which mean nothing here: "),
        ("[Socket]\nListenStream=1\n", "there is no [Service] section: not a service unit"),
        ("nonsense\n", "cannot read 'nonsense' as a line of a unit (Name=value expected)"),
    ],
)
def test_what_cannot_be_a_program(text: str, why: str) -> None:
    with pytest.raises(NoProgram) as caught:
        section(text, "x")
    assert str(caught.value).startswith(why)


def test_every_unit_of_this_machine_becomes_a_configuration_or_is_refused_with_a_reason() -> None:
    taken = 0
    for path in UNITS:
        try:
            text = section(path.read_text(), "x")
        except NoProgram:
            continue
        lines = "\n".join(line for line in text.splitlines() if not line.startswith(("user", ";")))
        assert read(f"[supervisord]\n{lines}\n").groups, path
        taken += 1
    assert taken


@given(st.text(max_size=200))
def test_no_text_does_harm(text: str) -> None:
    try:
        section(f"[Service]\nExecStart=/bin/x\n{text}", "x")
    except NoProgram:
        pass
