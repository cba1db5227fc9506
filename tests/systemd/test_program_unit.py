"""Units made of programs: what each option becomes, and what systemd says of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.model import ProcessConfig
from sdsuper.config.values import split_command
from sdsuper.systemd.from_unit import section
from sdsuper.systemd.program_unit import SANDBOXES, Made, program_unit
from tests.config.fake import one, read
from tests.systemd.test_unit import exposure


def made(options: str = "", sandbox: str = "off", may_append: bool = True) -> Made:
    return program_unit(one(options), "/etc/sup.conf", sandbox, "/etc/systemd/system/x.env", may_append)


def values(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        ("command=/bin/x 'a b' $HOME 100%%", "ExecStart", ['/bin/x "a b" $$HOME 100%%']),
        ('command=/bin/x ""', "ExecStart", ['/bin/x ""']),
        ("user=nobody", "User", ["nobody"]),
        ("directory=/srv/a%%b", "WorkingDirectory", ["/srv/a%%b"]),
        ("umask=027", "UMask", ["0027"]),
        ("nice=5", "Nice", ["5"]),
        ('environment=A="1 2",B="x%%y"', "Environment", ['"A=1 2"', '"B=x%%y"']),
        ("autorestart=true", "Restart", ["always"]),
        ("autorestart=unexpected", "Restart", ["on-failure"]),
        ("autorestart=false", "Restart", ["no"]),
        ("exitcodes=0,2,3", "SuccessExitStatus", ["2 3"]),
        ("exitcodes=2", "RestartForceExitStatus", ["0"]),
        ("stopsignal=QUIT", "KillSignal", ["SIGQUIT"]),
        ("stopwaitsecs=42", "TimeoutStopSec", ["42"]),
        ("stopasgroup=true", "KillMode", ["control-group"]),
        ("killasgroup=true", "KillMode", ["mixed"]),
        ("startretries=5\nstartsecs=9", "StartLimitBurst", ["6"]),
        ("startretries=5\nstartsecs=9", "StartLimitIntervalSec", ["60"]),
        ("startretries=1000000", "StartLimitIntervalSec", ["0"]),
        ("rlimit_nofile=10:20\nrlimit_core=unlimited", "LimitCORE", ["infinity:infinity"]),
        ("memory_max=1MB", "MemoryMax", ["1048576"]),
        ("memory_high=unlimited", "MemoryHigh", ["infinity"]),
        ("pids_max=7", "TasksMax", ["7"]),
        ("cpu_max=150%", "CPUQuota", ["150%"]),
        ("cpu_weight=20", "CPUWeight", ["20"]),
        ("io_weight=30", "IOWeight", ["30"]),
        ("io_max=/dev/sda rbps=1MB wiops=max", "IOReadBandwidthMax", ["/dev/sda 1048576"]),
        ("io_max=/dev/sda rbps=1MB wiops=max", "IOWriteIOPSMax", ["/dev/sda infinity"]),
        ("memory_oom_group=true", "OOMPolicy", ["kill"]),
        ("stdout_logfile=/var/log/x.log", "StandardOutput", ["append:/var/log/x.log"]),
        ("stdout_logfile=syslog", "StandardOutput", ["journal"]),
        ("stdout_logfile=NONE", "StandardOutput", ["null"]),
        ("redirect_stderr=true", "StandardError", ["inherit"]),
    ],
)
def test_what_an_option_becomes(options: str, key: str, expected: list[str]) -> None:
    assert values(made(options).text, key) == expected


def test_secrets_are_not_in_the_unit() -> None:
    found = made('environment=DB_PASSWORD="hunter2",API_TOKEN="a b$c",PLAIN="p"')
    assert "hunter2" not in found.text and "DB_PASSWORD" not in found.text and values(found.text, "Environment") == [
        '"PLAIN=p"']
    assert found.secrets == 'API_TOKEN="a b$c"\nDB_PASSWORD="hunter2"\n'
    assert values(found.text, "EnvironmentFile") == ["/etc/systemd/system/x.env"]
    assert made("").secrets == "" and "EnvironmentFile" not in made("").text


def test_what_is_not_as_it_was_is_said() -> None:
    notes = "\n".join(made("stopsignal=TERM INT\nstdout_logfile=/srv/x.log\nautorestart=false\nsandbox=strict\n"
                           "depends_on=db", "standard", may_append=False).notes)
    for word in ("several stop signals", "/srv/x.log: the output goes to the journal", "is not tried again",
                 "runs as root", "own sandbox", "depends_on", "no capabilities"):
        assert word in notes


@pytest.mark.parametrize(("sandbox", "most"), [("standard", 1.7), ("strict", 1.1), ("offline", 0.4)])
def test_exposure(tmp_path: Path, sandbox: str, most: float) -> None:
    assert exposure(made("user=nobody\ndirectory=/srv", sandbox).text.replace("User=nobody", "User=daemon"),
                    tmp_path) <= most


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_systemd_understands_every_line(tmp_path: Path, sandbox: str) -> None:
    options = ("user=nobody\ndirectory=/srv\nmemory_max=1MB\nmemory_high=1MB\nmemory_low=1MB\nmemory_min=1MB\n"
               "memory_swap_max=0\npids_max=5\ncpu_max=50%\ncpu_weight=5\nio_weight=5\nio_max=/dev/null rbps=1MB\n"
               "rlimit_nofile=10:20\nrlimit_rttime=5\numask=022\nnice=3\nstopsignal=USR1\nexitcodes=0,3\n"
               'environment=A="b"')
    exposure(made(options, sandbox).text.replace("User=nobody", "User=daemon"), tmp_path)    # fails for any warning


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0%;#"), min_size=1, max_size=20))
def test_nothing_in_a_value_has_a_meaning(text: str) -> None:
    process = one("directory=/srv")._replace(directory=f"/{text}", environment=(("A", text),), name=text)
    try:
        found = program_unit(process, "/etc/sup.conf", "standard", "/x.env", True).text
    except ValueError as error:
        assert "no control characters expected" in str(error)
        return
    keys = [line.partition("=")[0] for line in found.split("\n") if "=" in line]
    assert all(re.fullmatch("[A-Z][A-Za-z]+", key) for key in keys)
    plain = program_unit(one("directory=/srv")._replace(environment=(("A", "b"),)), "/etc/sup.conf", "standard",
                         "/x.env", True).text
    assert found.count("\n") == plain.count("\n")


@pytest.mark.parametrize(
    "options",
    ["", "user=deploy\ndirectory=/srv", 'environment=A="b c",B="d\\"e"', "autorestart=true\nexitcodes=0,3",
     "stopsignal=INT\nstopwaitsecs=3\nstopasgroup=true\nkillasgroup=true", "memory_max=5MB\ncpu_max=50%\npids_max=9",
     "rlimit_nofile=5:6\numask=027\nnice=4", "command=/bin/x 'a b' $HOME 100%%", "stdout_logfile=/var/log/x"],
)
def test_there_and_back(options: str) -> None:
    wanted = one(options + ("" if "logfile" in options else "\nstdout_logfile=journal") + "\nstderr_logfile=journal"
                 + ("" if "kill" in options else "\nkillasgroup=true"))
    text = section(program_unit(wanted, "/etc/sup.conf", "off", "/x.env", True).text, "x")
    ((back,),) = [group.processes for group in read(f"[supervisord]\n{text.partition('[')[1]}{text.partition('[')[2]}")
                  .groups]

    def essence(process: ProcessConfig) -> ProcessConfig:
        # a unit always has an account by number of its group, and one user's groups are looked up again
        return process._replace(user=process.user and process.user._replace(groups=()),
                                command=" ".join(split_command(process.command)))
    assert essence(back) == essence(wanted)
