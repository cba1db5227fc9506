"""The options of a process as text: those that are not the default, without secrets."""

import pytest

from sdsuper.config.model import ProcessConfig
from sdsuper.control.effective import masked, options
from tests.config.fake import one


def shown(text: str) -> dict[str, str]:
    config: ProcessConfig = one(text)
    return dict(options(config))


def test_what_is_the_default_is_not_shown() -> None:
    assert shown("") == {"command": "/bin/cat"}
    assert shown("stopsignal=TERM\nexitcodes=0\nstdout_logfile=AUTO\nstdout_logfile_maxbytes=50MB\nleftovers=keep\n"
                 "autorestart=unexpected\nsandbox=off\nstartretries=3\nserverurl=AUTO") == {"command": "/bin/cat"}
    assert "killasgroup" not in shown("stopasgroup=true") and shown("killasgroup=true")["killasgroup"] == "true"


def test_what_is_not_is_shown_as_a_configuration_has_it() -> None:
    assert shown(
        "directory=/srv\numask=077\nuser=deploy\nnice=-3\npriority=5\nautostart=no\nautorestart=true\nexitcodes=0,2\n"
        "stopsignal=QUIT KILL\nredirect_stderr=true\nstdout_logfile=/a.log, syslog\nstdout_logfile_maxbytes=1MB\n"
        "stdout_events_enabled=1\nrlimit_core=0:unlimited\nleftovers=kill\nserverurl=http://localhost:9001\n"
        "memory_max=1MB\n"
    ) == {
        "command": "/bin/cat", "directory": "/srv", "umask": "077", "user": "deploy", "nice": "-3", "priority": "5",
        "autostart": "false", "autorestart": "true", "exitcodes": "0,2", "stopsignal": "QUIT KILL",
        "redirect_stderr": "true", "stdout_logfile": "/a.log, syslog", "stdout_logfile_maxbytes": "1048576",
        "stdout_events_enabled": "true", "rlimit_core": "0:unlimited", "leftovers": "kill",
        "serverurl": "http://localhost:9001", "memory_max": "1048576",
    }


def test_checks_are_shown_without_what_may_be_secret() -> None:
    config = one("liveness_check_script=https://a:hunter2@x/y?z=hunter2 -H 'Authorization: Bearer hunter2' -d hunter2\n"
                 "liveness_check_period=2.5\nliveness_check_failure_action=signal usr1\nready_check_script=tcp://x:1\n"
                 "watchdog_sec=7\nliveness_check_timeout=30")
    assert options(config) == [
        ("command", "/bin/cat"), ("ready_check_script", "tcp://x:1"),
        ("liveness_check_script", "https://x/y?… -H 'Authorization: *** -d …"), ("liveness_check_period", "2.5"),
        ("liveness_check_failure_action", "signal USR1"), ("watchdog_sec", "7")]


def test_schedules_are_shown_as_they_are_written() -> None:
    written = "exitcodes=0\ncron=TZ=UTC 30 2 * * *\nautostart=false\nkillwaitsecs=5\nconf_file=/etc/x.conf"
    assert options(one(written)) == [
        ("command", "/bin/cat"), ("autostart", "false"), ("cron", "TZ=UTC 30 2 * * *"), ("killwaitsecs", "5"),
        ("conf_file", "/etc/x.conf")]
    assert shown("cron=@daily\ncron_timezone=UTC\ncron_overlap=Kill\ncron_missed=once\ncron_jitter=7\nessential=on\n"
                 "exitcodes=0") == {
        "command": "/bin/cat", "cron": "@daily", "cron_timezone": "UTC", "cron_overlap": "kill", "cron_missed": "once",
        "cron_jitter": "7", "essential": "true"}


def test_a_sandbox_is_spelt_out() -> None:
    found = shown("sandbox=strict\ncapabilities=CAP_KILL\nionice=idle\ncpu_affinity=0,2\nsched_policy=rr\n"
                  "pdeathsig=HUP\nsandbox_unsupported=warn\nread_write_paths=/a,-/b\noom_score_adj=7\n"
                  "credential=x:/y, z:/w\n")
    del found["command"]
    assert found == {
        "no_new_privs": "true", "capabilities": "CAP_KILL", "private_tmp": "true", "private_devices": "true",
        "protect_system": "strict", "protect_home": "yes", "protect_kernel_tunables": "true",
        "protect_control_groups": "true", "seccomp": "strict", "ionice": "idle:0", "cpu_affinity": "0,2",
        "sched_policy": "rr", "sched_priority": "1", "pdeathsig": "HUP", "sandbox_unsupported": "warn",
        "read_write_paths": "/a,-/b", "oom_score_adj": "7", "credential": "x:…, z:…",
    }


def test_the_order_is_that_of_the_table() -> None:
    assert list(shown("sandbox=standard\nnice=1\nuser=deploy\nmemory_max=1MB"))[:4] == [
        "command", "user", "nice", "memory_max"]


def test_variables_have_no_values() -> None:
    config = one('environment=A="secret",B="other"')
    assert options(config) == [("command", "/bin/cat"), ("environment", "A=…"), ("environment", "B=…")]


@pytest.mark.parametrize(("text", "safe"), [
    ("run --password=x y", "run --password=*** y"), ("run --db-password 'a b' y", "run --db-password *** y"),
    ('run --token "a b"', "run --token ***"), ("API_KEY=abc run", "API_KEY=*** run"),
    ("psql postgres://web:secret@db/x", "psql postgres://web:***@db/x"), ("curl http://host:80/a@b", "curl http://host:80/a@b"),
    ("run --secret-file=/x", "run --secret-file=***"), ("/bin/cat", "/bin/cat"), ("run --pass x", "run --pass ***"),
])
def test_what_looks_like_a_password(text: str, safe: str) -> None:
    assert masked(text) == safe
