"""Programs made of units: real ones of this machine, and each directive."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.source import Section, parse
from sdsuper.config.values import split_command
from sdsuper.systemd.from_unit import NoProgram, section
from sdsuper.systemd.unit import word
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
        (r"Environment=A=x\x20y B='it''s' C=a'b'c 'D=x\"y' E=5%%", "environment",
         """A="x y",B="its",C="abc",D='x"y',E="5%%\""""),
        ("Environment=A=1\nEnvironment=\nEnvironment=B=2", "environment", 'B="2"'),
        ("Restart=always", "autorestart", "true"),
        ("Restart=on-failure", "autorestart", "unexpected"),
        ("", "autorestart", "false"),
        ("Type=oneshot", "startsecs", "0"),
        ("SuccessExitStatus=3 4", "exitcodes", "0,3,4"),
        ("Restart=on-failure\nRestartForceExitStatus=0 SIGTERM", "exitcodes", ""),
        ("KillSignal=SIGINT", "stopsignal", "INT"),
        ("TimeoutStopSec=1min 30s", "stopwaitsecs", "90"),
        ("TimeoutStopSec=500ms", "stopwaitsecs", "1"),
        ("TimeoutSec=.5min", "stopwaitsecs", "30"),
        ("", "stopwaitsecs", "90"),
        ("TimeoutStopSec=1..2", "stopwaitsecs", "90"),
        ("TimeoutStopSec=infinity", "stopwaitsecs", "86400"),
        ("TimeoutStopSec=0", "stopwaitsecs", "86400"),
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
        ("ReadWritePaths='/a b' -/c", "read_write_paths", "/a b, -/c"),
        ("ReadWritePaths=/a /b\nReadWritePaths=/c", "read_write_paths", "/a, /b, /c"),
        ("Nice=5", "nice", "5"),
        ("ExecStart=\nExecStart=-/bin/sh -c 'a $$B 5%%'", "command", "/bin/sh -c 'a $B 5%%'"),
        ("ExecStart=\nExecStart=/bin/sh -c 'a ; b' \\; '#'", "command", "/bin/sh -c 'a ''; b' ';' '#'"),
        ("ExecStart=\nExecStart=@/bin/x y z", "command", "/bin/x z"),
        ("ExecStart=\nExecStart=:/bin/x $$A", "command", "/bin/x $$A"),
        ("ExecStart=\nExecStart=/bin/long \\\n   # indented\\\n   --second", "command", "/bin/long --second"),
        ("ExecStart=\nExecStart=/bin/long \\\n# a comment\n   --second", "command", "/bin/long --second"),
    ],
)
def test_what_a_directive_becomes(line: str, option: str, value: str) -> None:
    found = options(line)
    assert " ".join(found[option].split()) == value


@pytest.mark.parametrize("line", ["EnvironmentFile=/etc/default/x", "ExecStartPre=/bin/a", "Group=b", "Slice=a.slice",
                                  "TasksMax=10%", "MemoryMax=50%", "PIDFile=/run/x", "ProtectHome=perhaps",
                                  "SuccessExitStatus=SIGKILL", "SuccessExitStatus=256", "TimeoutStopSec=1..2",
                                  "TimeoutStopSec=.", "TimeoutStopSec=5 parsecs", "KillSignal=SIGRTMIN+3",
                                  "KillSignal=99", "KillSignal=0", "ReadWritePaths=+/b", "ReadWritePaths=/a,b",
                                  "ReadWritePaths=/a /%i", "ReadWritePaths='/a", "WorkingDirectory=~",
                                  "WorkingDirectory=%h", "WorkingDirectory=/a ;b", "StandardOutput=append:/a #b",
                                  "StandardOutput=append:/var/log/%n.log", "Environment=A=%h", "Environment='A=1",
                                  "Environment=A.B=1", "RestartForceExitStatus=SIGTERM", "LogRateLimitBurst=%i",
                                  "CapabilityBoundingSet="])
def test_what_has_no_place_is_named(line: str) -> None:
    assert line in comments(line)
    assert not any(line.partition("=")[2] in value.split(" ") for value in list(options(line).values())[1:])


@pytest.mark.parametrize(("line", "comment"), [
    ("TimeoutStopSec=infinity", "TimeoutStopSec=infinity: a day after the signal it is killed"),
    ("TimeoutStopSec=0", "TimeoutStopSec=0: a day after the signal it is killed"),
    ("StandardOutput=tty", "StandardOutput=tty: it goes to the journal"),
    ("StandardError=fd:foo", "StandardError=fd:foo: it goes to the journal"),
    ("StandardOutput=append:/a, /b", "StandardOutput=append:/a, /b: it goes to the journal"),
    ("Environment='A=x ;y'", "the variable A, whose value cannot be written in a configuration"),
    ("Environment='A=x #y'", "the variable A, whose value cannot be written in a configuration"),
    (r"Environment=A=x\ny", "the variable A, whose value cannot be written in a configuration"),
    (r"Environment=A=\"\'", "the variable A, whose value cannot be written in a configuration"),
    ("Restart=on-abort", "Restart=on-abort: autorestart is always, never, or after an unexpected end"),
    ("ExecStart=\nExecStart=+/bin/x", "the + or ! of ExecStart=: it has no more rights than user= has"),
    ("ExecStart=\nExecStart=/bin/x $A", "the variables in ExecStart=: there is no shell, write a command with "
     "/bin/sh -c"),
])
def test_what_is_done_differently_is_named(line: str, comment: str) -> None:
    assert comment in comments(line)


def test_a_file_of_variables_that_is_ours_is_read() -> None:
    text = "[Service]\nExecStart=/bin/x\nEnvironment=A=1 B=2\nEnvironmentFile=-/u/x.env\nEnvironmentFile=/other\n"
    found = section(text, "x", {"/u/x.env": 'B="3 \\\\"\nC="\t"\n'}.get)
    assert 'environment = A="1",B="3 \\",C="\t"\n' in found
    assert found.startswith("; not carried over: EnvironmentFile=/other\n[program:x]\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Service]\nType=forking\nExecStart=/bin/x\n", "Type=forking: a program has to stay in the foreground"),
        ("[Service]\nExecStart=/bin/x\nExecStart=/bin/y\n", "2 ExecStart= lines: one expected"),
        ("[Service]\nType=simple\n", "0 ExecStart= lines: one expected"),
        ("[Service]\nExecStart=/bin/x %i\n", "ExecStart= has specifiers of systemd, which mean nothing here: "),
        ("[Socket]\nListenStream=1\n", "there is no [Service] section: not a service unit"),
        ("[Service]\nExecStart=/bin/x ; /bin/y\n", "ExecStart=/bin/x ; /bin/y: `;` begins a second command"),
        ("[Service]\nExecStart=/bin/x 'a\n", "ExecStart=/bin/x 'a: a quote is not closed"),
        ("[Service]\nExecStart=/bin/x a\\nb\n", "ExecStart=/bin/x a\\nb: no command can be written like this"),
        ("[Service]\nExecStart=/bin/x\nUser=%i\n", "User=%i Group=: no account (a name expected)"),
        ("[Service]\nExecStart=/bin/x\nUser=a\nGroup=%i\n", "User=a Group=%i: no account (a name expected)"),
        ("[Service]\nExecStart=/bin/x\nDynamicUser=yes\n", "DynamicUser=yes: such an account is made by systemd"),
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


@pytest.mark.parametrize("name", ["a]", "a\nb", "a b", "a:b", "a/b", "", " ", "a\t"])
def test_a_name_that_no_section_can_have_is_refused(name: str) -> None:
    with pytest.raises(NoProgram, match=r"--name gives another"):
        section("[Service]\nExecStart=/bin/x\n", name)


@given(st.lists(st.text(st.sampled_from("a ;#%$'\"\\é{("), max_size=10), max_size=4))
def test_a_command_has_the_words_that_it_had(arguments: list[str]) -> None:
    text = section("[Service]\nExecStart=" + " ".join(map(word, ["/bin/x", *arguments])), "x")
    ((process,),) = [group.processes for group in read(f"[supervisord]\n{text}").groups]
    assert split_command(process.command) == ["/bin/x", *arguments]


LINES = st.tuples(st.sampled_from(["ExecStart", "Environment", "WorkingDirectory", "StandardOutput", "ReadWritePaths",
                                   "KillSignal", "TimeoutStopSec", "SuccessExitStatus", "Nice", "MemoryMax", "X"]),
                  st.text(st.sampled_from("aA1=/ ;#%i\\'\"$,.+-:\n\t\r\x0b\x85\u2028"), max_size=20))


@given(st.lists(LINES, max_size=4))
def test_what_is_written_is_a_configuration_with_nothing_cut(lines: list[tuple[str, str]]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in lines)
    try:
        found = section(f"[Service]\nExecStart=\nExecStart=/bin/x\n{text}", "x")
    except NoProgram:
        return
    into: dict[str, Section] = {}
    assert parse(found, "x", into) == [] and list(into) == ["program:x"]
    plain = [line for line in found.split("\n") if line and not line.startswith((";", "["))]
    assert [f"{entry.key} = {entry.value}" for entry in into["program:x"].entries.values()] == plain
    assert read(f"[supervisord]\n{found}").groups


@given(st.text(max_size=200))
def test_no_text_does_harm(text: str) -> None:
    try:
        section(f"[Service]\nExecStart=/bin/x\n{text}", "x")
    except NoProgram:
        pass
