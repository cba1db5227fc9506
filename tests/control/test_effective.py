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
