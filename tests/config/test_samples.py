"""Configs that people published: each loads with the meaning it was written with, and with the right warnings."""

from pathlib import Path

import pytest

from sdsuper.config.lifecycle import Condition, Need
from sdsuper.config.load import load
from sdsuper.config.model import AutoRestart, Form, GroupKind, LogTarget, Model, TargetKind, Watch

from .fake import FakeHost

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def sample(name: str) -> tuple[Model, list[str]]:
    text = (SAMPLES / name).read_text()
    model = load("/etc/s.conf", FakeHost({"/etc/s.conf": text}, environ={"PATH": "/bin"}))
    return model, [str(problem).removeprefix("/etc/s.conf:") for problem in model.warnings]


NO_DAEMON = "1: warning: .ini file does not include supervisord section, its defaults are used"


def test_java_and_dotnet():
    model, said = sample("java-and-dotnet.ini")
    by_name = {group.name: group.processes[0] for group in model.groups}
    assert list(by_name) == ["MigrationFileService", "configsystem", "whitelist-sync"]
    assert by_name["configsystem"].environment == (("PATH", "/data/java/jdk1.7.0_79/bin:/bin"),)
    assert by_name["configsystem"].command.endswith("/data/configsystem/app-1.0.0.jar NoLoadCache")
    assert by_name["configsystem"].autorestart is AutoRestart.ALWAYS
    assert by_name["MigrationFileService"].environment == (("DOTNET_PRINT_TELEMETRY_MESSAGE", "false"),)
    assert said == [
        NO_DAEMON,
        "30: warning: [program:MigrationFileService] environment: is given twice, this one replaces "
        "that of /etc/s.conf:29",
    ]


def test_worker():
    model, said = sample("worker.ini")
    (process,) = model.groups[0].processes
    assert (process.user.name, process.startsecs, process.startretries, process.killasgroup) == ("deploy", 60, 1, True)
    assert process.stdout == ((LogTarget(TargetKind.FILE, "/tmp/supervisord/counter/run.log"),), 1 << 20, 10, 0, False,
                              0, "", Form())
    assert process.stderr.targets == ()
    assert said == [
        NO_DAEMON,
        "9: warning: [program:counter] ikillasgroup: no such option, did you mean 'killasgroup'?",
    ]


def test_main():
    model, said = sample("main.conf")
    assert [(server.section, server.url) for server in model.servers] == [
        ("inet_http_server", "http://localhost:8013"),
        ("unix_http_server", "unix:///tmp/supervisord/supervisor.sock"),
    ]
    (group,) = model.groups
    assert (group.kind, group.events, group.processes[0].stopsignal) == (
        GroupKind.EVENTLISTENER,
        ("PROCESS_STATE_EXITED",),
        15,
    )
    assert model.supervisord.childlogdir == "/tmp/supervisord/log/childlogdir"
    assert said == [
        "5: error: [inet_http_server] port: stays closed: it can be reached from other machines, and everybody could "
        "run programs; set username and password, or listen on 127.0.0.1, or set allow_insecure=true",
    ]


def test_fleet_node():
    model, said = sample("fleet-node.conf")
    (server,) = model.servers
    assert (server.host, server.port, server.username, server.password) == ("", 30000, "admin", "Example*123")
    assert (server.closed, said) == ("", [])


def test_go_dropins():
    model, said = sample("go-dropins.conf")
    db, web = (group.processes[0] for group in model.groups)
    assert db.environment == web.environment == (("TZ", "UTC"),)
    assert db.stdout.targets == (
        LogTarget(TargetKind.FILE, "/start/db.log"),
        LogTarget(TargetKind.CONSOLE, "/dev/stdout"),
    )
    assert db.autorestart is web.autorestart is AutoRestart.ALWAYS
    assert web.depends.needs == (Need("db", "db", Condition.READY, False),)
    assert web.watch._replace(excludes=()) == Watch(
        binary=True, directories=("/srv/web/conf",), patterns=("*.yaml",), file_signals=(1,))
    assert web.stdout.targets == (LogTarget(TargetKind.REMOTE, "udp:127.0.0.1:5514"),)
    assert [target.path for target in model.supervisord.logfile] == ["/etc/supervisord.log"]
    assert said[0] == "11: warning: [supervisord] loglevel: 'warning' is read as 'warn', Supervisor does not know it"
    assert said[1:] == []


def test_retries():
    model, said = sample("retries.conf")
    by_name = {group.name: group.processes[0] for group in model.groups}
    assert (by_name["once"].startsecs, by_name["once"].startretries) == (0, 3)
    assert by_name["forever"].startretries == 2147483647
    assert by_name["thrice"].startsecs == 2147483647
    assert all(process.stdout.maxbytes == 0 for process in by_name.values())
    assert said == [NO_DAEMON]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_every_sample_has_a_test(path):
    assert path.stem.replace("-", "_") in {name.removeprefix("test_") for name in globals()} | {"supervisord"}
