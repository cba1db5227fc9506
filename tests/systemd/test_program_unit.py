"""Units made of programs: what each option becomes, and what systemd says of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.lifecycle import Condition, Depends, Need
from sdsuper.config.model import ProcessConfig
from sdsuper.config.values import split_command
from sdsuper.systemd.from_unit import section
from sdsuper.systemd.program_unit import SANDBOXES, Made, program_unit
from sdsuper.systemd.syntax import lines, variables
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
        ("autorestart=true", "Restart", ["always"]),
        ("autorestart=unexpected", "Restart", ["on-failure"]),
        ("autorestart=false", "Restart", ["no"]),
        ("exitcodes=0,2,3", "SuccessExitStatus", ["2 3"]),
        ("", "RestartForceExitStatus", ["SIGHUP SIGINT SIGTERM SIGPIPE"]),
        ("exitcodes=2", "RestartForceExitStatus", ["0 SIGHUP SIGINT SIGTERM SIGPIPE"]),
        ("exitcodes=2\nautorestart=true", "RestartForceExitStatus", []),
        ("stopsignal=QUIT", "KillSignal", ["SIGQUIT"]),
        ("stopsignal=40", "KillSignal", ["40"]),
        ("stopsignal=0", "KillSignal", ["SIGCONT"]),
        ("stopwaitsecs=42", "TimeoutStopSec", ["42"]),
        ("stopasgroup=true", "KillMode", ["control-group"]),
        ("killasgroup=true", "KillMode", ["mixed"]),
        ("startretries=5\nstartsecs=9", "StartLimitBurst", ["6"]),
        ("startretries=5\nstartsecs=9", "StartLimitIntervalSec", ["60"]),
        ("startretries=1000000", "StartLimitIntervalSec", ["0"]),
        ("startretries=unlimited", "StartLimitIntervalSec", ["0"]),
        ("startretries=-1", "StartLimitBurst", []),
        ("restart_limit=5/10m", "StartLimitIntervalSec", ["600"]),
        ("restart_limit=5/10m", "StartLimitBurst", ["6"]),
        ("restart_limit=3", "StartLimitIntervalSec", ["infinity"]),
        ("restartpause=7", "RestartSec", ["7"]),
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


def test_what_syslog_is_told() -> None:
    text, _environment, notes = made("syslog_facility=local3\nsyslog_tag=shop\nstdout_logfile_format=json\n"
                                     "stdout_logfile=/a.log, syslog @tls:h\nstderr_logfile_prefix=x\n")
    assert (values(text, "SyslogFacility"), values(text, "SyslogIdentifier")) == (["local3"], ["shop"])
    assert [note for note in notes if note.startswith("not carried over")] == [
        "not carried over: the syslog server tls:h:6514", "not carried over: the form of lines in logs"]
    assert values(made().text, "SyslogFacility") == []


def test_a_schedule_is_said_to_be_left_out() -> None:
    notes = made("cron=30 2 * * *\nessential=true\nexitcodes=0").notes
    assert "not carried over: cron=30 2 * * *, which is a timer unit's business" in notes
    assert "not carried over: essential" in notes


def test_environment_files_come_before_the_variables() -> None:
    unit = made("environment_file=/a,-/b\nenvFiles=/c\nenvironment=A=1")
    assert [line for line in lines(unit.text) if line.startswith("EnvironmentFile=")] == [
        "EnvironmentFile=-/c", "EnvironmentFile=/a", "EnvironmentFile=-/b",
        "EnvironmentFile=/etc/systemd/system/x.env"]
    assert [note for note in unit.notes if note.startswith("environment files")]


def test_no_variable_is_in_the_unit() -> None:
    found = made('environment=DATABASE_URL="postgres://u:hunter2@h",DB_PASS=hunter2,A="a\tb $c"')
    assert "hunter2" not in found.text and "DB_PASS" not in found.text and values(found.text, "Environment") == []
    assert found.variables == 'A="a\tb $c"\nDATABASE_URL="postgres://u:hunter2@h"\nDB_PASS="hunter2"\n'
    assert values(found.text, "EnvironmentFile") == ["/etc/systemd/system/x.env"]
    assert made("").variables == "" and "EnvironmentFile" not in made("").text


def test_what_is_not_as_it_was_is_said() -> None:
    notes = "\n".join(made("stopsignal=TERM INT\nstdout_logfile=/srv/x.log\nautorestart=false\nsandbox=strict\n"
                           "readiness=fd:3", "standard", may_append=False).notes + made("backoff_factor=2").notes)
    for word in ("several stop signals", "/srv/x.log: the output goes to the journal", "is not tried again",
                 "runs as root", "1.7 instead of 2.1", "own sandbox", "readiness=fd", "no capabilities",
                 "the back-off is not carried over"):
        assert word in notes
    needy = one("")._replace(depends=Depends((Need("db", "db", Condition.READY, False),)))
    assert "depends_on" in "\n".join(program_unit(needy, "/etc/sup.conf", "off", "/etc/x.env", True).notes)
    notes = "\n".join(made("", "strict").notes)
    assert "no capabilities" in notes and "1.1 instead of 1.5" in notes
    assert "no capabilities" not in "\n".join(made("user=nobody", "strict").notes + made("", "offline").notes)


def test_what_is_around_a_run_is_systemds_as_well() -> None:
    text = made("pre_start_hook=/bin/a 1\npost_start_hook=/bin/b\npre_stop_hook=/bin/c\npost_stop_hook=/bin/d\n"
                "reload_signal=HUP\nreadiness=notify\nnotify_access=all\nready_timeout=5").text
    assert [line for line in text.splitlines() if line.startswith(("Exec", "Type", "Notify", "TimeoutStart"))] == [
        "Type=notify", "NotifyAccess=all", "TimeoutStartSec=5", "ExecStartPre=/bin/a 1", "ExecStart=/bin/cat",
        "ExecStartPost=/bin/b", "ExecStop=/bin/c", "ExecStopPost=/bin/d", "ExecReload=/bin/kill -1 $MAINPID"]
    text = made("type=forking\npidfile=/run/x.pid\nreload_command=/bin/r").text
    assert "Type=forking\nPIDFile=/run/x.pid\nTimeoutStartSec=90\n" in text and "ExecReload=/bin/r\n" in text


@pytest.mark.parametrize(("options", "sandbox", "home"), [
    ("directory=/srv", "standard", "yes"), ("directory=/home/x", "strict", "read-only"),
    ("command=/home/x/run", "standard", "read-only"), ("command=/bin/x --in /root", "standard", "read-only"),
    ("directory=/homes", "standard", "yes"),
])
def test_homes_are_seen_where_they_are_needed(options: str, sandbox: str, home: str) -> None:
    assert values(made(options, sandbox).text, "ProtectHome") == [home]


@pytest.mark.parametrize(("sandbox", "of_root", "most"), [("standard", 2.1, 1.7), ("strict", 1.5, 1.1),
                                                          ("offline", 0.4, 0.4)])
def test_exposure(tmp_path: Path, sandbox: str, of_root: float, most: float) -> None:
    assert exposure(made("user=nobody\ndirectory=/srv", sandbox).text.replace("User=nobody", "User=daemon"),
                    tmp_path) <= most
    assert exposure(made("directory=/srv", sandbox).text, tmp_path) <= of_root


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_systemd_understands_every_line(tmp_path: Path, sandbox: str) -> None:
    options = ("user=nobody\ndirectory=/srv\nmemory_max=1MB\nmemory_high=1MB\nmemory_low=1MB\nmemory_min=1MB\n"
               "memory_swap_max=0\npids_max=5\ncpu_max=50%\ncpu_weight=5\nio_weight=5\nio_max=/dev/null rbps=1MB\n"
               "rlimit_nofile=10:20\nrlimit_rttime=5\numask=022\nnice=3\nstopsignal=USR1\nexitcodes=0,3\n"
               'environment=A="b"\nrestart_limit=3')
    exposure(made(options, sandbox).text.replace("User=nobody", "User=daemon"), tmp_path)    # fails for any warning


BARE = one("directory=/srv\nuser=nobody\nstdout_logfile=/var/log/x\nio_max=/dev/x rbps=1MB")
BARE_KEYS = [line.partition("=")[0] for line in lines(program_unit(BARE, "/c", "standard", "/x.env", True).text)]


@given(st.text(st.one_of(st.sampled_from("\\ \"'%$;#=\n\ta"), st.characters(exclude_characters="\0")), min_size=1,
               max_size=12))
def test_nothing_in_a_value_becomes_or_hides_a_directive(text: str) -> None:
    log = BARE.stdout._replace(targets=(BARE.stdout.targets[0]._replace(path=f"/{text}"),))
    process = BARE._replace(directory=f"/{text}", environment=(("A", text),), name=text, program=text, stdout=log,
                            user=BARE.user and BARE.user._replace(name=text), command=f"/bin/x {text}")
    for each in (process, BARE._replace(name=text), BARE._replace(stdout=log), BARE._replace(directory=f"/{text}"),
                 BARE._replace(user=process.user), BARE._replace(command=process.command)):
        try:
            found = program_unit(each, f"/{text}" if each is process else "/c", "standard", "/x.env", True)
        except ValueError:
            continue
        keys = [line.partition("=")[0] for line in lines(found.text)]
        assert [key for key in keys if key != "EnvironmentFile"] == BARE_KEYS
        assert variables(found.variables) == list(each.environment)
        raw = dict(line.partition("=")[::2] for line in lines(found.text))
        if each.directory != BARE.directory:
            assert raw["WorkingDirectory"].replace("%%", "%") == each.directory
        if each.name != BARE.name and each is not process:
            assert raw["SyslogIdentifier"].replace("%%", "%") == each.name
        if each.stdout != BARE.stdout:
            assert raw["StandardOutput"].replace("%%", "%") == f"append:/{text}"


@pytest.mark.parametrize("text", ["a\\", "a ", " a", "a\nExecStartPre=/bin/evil", "a\udcff", "a\x7f", "a\r"])
def test_what_no_unit_can_have_is_refused(text: str) -> None:
    log = BARE.stdout._replace(targets=(BARE.stdout.targets[0]._replace(path=text),))
    for each in (BARE._replace(name=text), BARE._replace(directory=text), BARE._replace(stdout=log)):
        with pytest.raises(ValueError, match=r"cannot write .* into a unit"):
            program_unit(each, "/c", "off", "/x.env", True)


@pytest.mark.parametrize("command", ["-x", "@/bin/x y", "+/bin/x", "/opt/$x/run", "'' a"])
def test_a_command_that_systemd_would_read_differently_is_refused(command: str) -> None:
    with pytest.raises(ValueError, match="command: no unit can run"):
        program_unit(BARE._replace(command=command), "/c", "off", "/x.env", True)


@pytest.mark.parametrize(
    "options",
    ["", "user=deploy\ndirectory=/srv", 'environment=A="b c",B="d\\"e"', "autorestart=true\nexitcodes=0,3",
     "exitcodes=2", "command=sh -c 'a '';'' b' ';' '#'",
     "stopsignal=INT\nstopwaitsecs=3\nstopasgroup=true\nkillasgroup=true", "memory_max=5MB\ncpu_max=50%\npids_max=9",
     "rlimit_nofile=5:6\numask=027\nnice=4", "command=/bin/x 'a b' $HOME 100%%", "stdout_logfile=/var/log/x"],
)
def test_there_and_back(options: str) -> None:
    wanted = one(options + ("" if "logfile" in options else "\nstdout_logfile=journal") + "\nstderr_logfile=journal"
                 + ("" if "kill" in options else "\nkillasgroup=true"))
    unit = program_unit(wanted, "/etc/sup.conf", "off", "/x.env", True)
    text = section(unit.text, "x", {"/x.env": unit.variables}.get)
    assert "not carried over" not in text
    ((back,),) = [group.processes for group in read(f"[supervisord]\n{text.partition('[')[1]}{text.partition('[')[2]}")
                  .groups]

    def essence(process: ProcessConfig) -> ProcessConfig:
        # a unit always has an account by number of its group, and one user's groups are looked up again
        return process._replace(user=process.user and process.user._replace(groups=()),
                                command=" ".join(split_command(process.command)))
    assert essence(back) == essence(wanted)
