"""[supervisord], the servers, [supervisorctl], plugins."""

import pytest

from sdsuper.config.load import load, load_ctl, search
from sdsuper.config.model import (
    LogTarget,
    Server,
    TargetKind,
    User,
    Where,
)
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError

from .fake import HEAD, MAIN, FakeHost, read, said


def test_daemon_defaults():
    config = read(HEAD).supervisord
    assert config._asdict() == {
        "logfile": (LogTarget(TargetKind.FILE, "/start/supervisord.log"),),
        "logfile_maxbytes": 50 << 20,
        "logfile_backups": 10,
        "loglevel": "info",
        "pidfile": "/start/supervisord.pid",
        "umask": 0o22,
        "nodaemon": False,
        "silent": False,
        "minfds": 1024,
        "minprocs": 200,
        "nocleanup": False,
        "childlogdir": "/tmp",
        "user": None,
        "directory": None,
        "environment": (),
        "strip_ansi": False,
        "identifier": "supervisor",
        "state_file": "/var/lib/sdsuper/run-sdsuper-control.sock.state",
        "control_socket": "/run/sdsuper/control.sock",
        "control_group": None,
        "api_user": User("nobody", 65534, 65534, (65534, 100), "/home/nobody", "/bin/sh"),
        "api_idle": 60,
        "api_body_maxbytes": 1 << 20,
        "cgroup": "auto",
        "later": (),
        "environment_file": (),
        "logfile_rotate": 0,
        "logfile_compress": "",
        "syslog_ca": None,
        "syslog_cert": None,
        "syslog_key": None,
        "checks_at_once": 32,
    }


def test_daemon_options():
    config = read(
        HEAD + "logfile=%(here)s/../log/%(ENV_NAME)s.log\nuser=deploy:adm\ncontrol_group=adm\ncgroup=OFF\n"
        'environment=A="%(host_node_name)s"\nlogfileMaxbytes=1KB\ndirectory=~\numask=077',
        environ={"NAME": "x"},
    ).supervisord
    assert config.logfile == (LogTarget(TargetKind.FILE, "/log/x.log"),)
    assert config.user == User("deploy", 1000, 4, (4, 100), "/home/deploy", "/bin/sh")
    assert (config.control_group, config.cgroup, config.environment) == (4, "off", (("A", "node1"),))
    assert (config.logfile_maxbytes, config.directory, config.umask) == (1024, "/root", 0o77)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/dev/stdout", LogTarget(TargetKind.CONSOLE, "/dev/stdout")),
        ("syslog", LogTarget(TargetKind.SYSLOG)),
        ("journal", LogTarget(TargetKind.JOURNAL)),
        ("/dev/null", LogTarget(TargetKind.FILE, "/dev/null")),
        ("NONE", LogTarget(TargetKind.FILE, "/start/NONE")),
    ],
)
def test_main_log(text, target):
    assert read(f"{HEAD}logfile={text}\n").supervisord.logfile == (target,)


def test_main_log_with_several_targets():
    config = read(f"{HEAD}logfile=a.log, /dev/stdout, syslog @tcp:log.example, a.log\n").supervisord
    assert config.logfile == (LogTarget(TargetKind.FILE, "/start/a.log"), LogTarget(TargetKind.CONSOLE, "/dev/stdout"),
                              LogTarget(TargetKind.REMOTE, "tcp:log.example:6514"))


@pytest.mark.parametrize("text", ["", "memory, syslog", "syslog @", "/nope/x.log"])
def test_main_log_refused(text):
    with pytest.raises(ConfigError):
        read(f"{HEAD}logfile={text}\n", directories=["/start", "/tmp"])


def test_overrides_win_and_name_their_flag():
    host = FakeHost({MAIN: HEAD + "loglevel=debug\n"})
    assert load(MAIN, host, {"loglevel": ("warn", "-e"), "nodaemon": ("true", "-n")}).supervisord.loglevel == "warn"
    with pytest.raises(ConfigError) as caught:
        load(MAIN, host, {"loglevel": ("wibble", "-e")})
    assert str(caught.value).startswith("error: -e: cannot read 'wibble' as a log level")


@pytest.mark.parametrize(
    ("text", "uid", "environ", "path"),
    [
        ("[unix_http_server]\nfile=/run/s.sock\n[supervisord]\n", 0, {}, "/run/s.sock.control"),
        ("[supervisord]\ncontrol_socket=/run/c\n[unix_http_server]\nfile=/run/s.sock\n", 0, {}, "/run/c"),
        (HEAD, 0, {}, "/run/sdsuper/control.sock"),
        (HEAD, 7, {}, "/run/user/7/sdsuper/control.sock"),
        (HEAD, 7, {"XDG_RUNTIME_DIR": "/x"}, "/x/sdsuper/control.sock"),
    ],
)
def test_control_socket_is_the_same_for_daemon_and_client(text, uid, environ, path):
    host = FakeHost({MAIN: text + "[supervisorctl]\n"}, uid=uid, environ=environ)
    assert load(MAIN, host).supervisord.control_socket == path
    assert load_ctl(MAIN, host)[1] == path


def test_servers():
    model = read(
        HEAD + "[unix_http_server]\nfile = ~/s.sock\nchmod=0770\nchown=deploy:adm\n"
        "[inet_http_server:two]\nport=*:9001\nusername=u\npassword=p%%\n"
    )
    assert model.servers == (
        Server("inet_http_server:two", Where(MAIN, 6), None, "", 9001, 0, (-1, -1), "u", "p%"),
        Server("unix_http_server", Where(MAIN, 2), "/root/s.sock", None, None, 0o770, (1000, 4), None, None),
    )


def test_server_mistakes():
    assert [
        line for line in said(HEAD + "[unix_http_server]\nusername=x\n[inet_http_server]\nport=0\n") if "error" in line
    ] == [
        "2: error: [unix_http_server] file: is required",
        "5: error: [inet_http_server] port: cannot read '0' as an address (host:port with a port from 1 to 65535 "
        "expected)",
    ]
    assert "username and password go together" in said(HEAD + "[unix_http_server]\nfile=/x\nusername=x\n")[0]


def test_ctl():
    host = FakeHost(
        {MAIN: "[supervisorctl]\nserverurl=unix://%(here)s/a/../s\nhistory_file=~/h\nprompt=p\n[junk]\nx=y\n"}
    )
    config, socket = load_ctl(MAIN, host)
    assert config == ("unix:///etc/s", None, None, "p", "/root/h")
    assert socket == "/etc/s.control"
    with pytest.raises(ConfigError) as caught:
        load_ctl(MAIN, FakeHost({MAIN: HEAD}))
    assert str(caught.value).endswith(".ini file does not include supervisorctl section")


def test_plugins_get_their_own_keys_only():
    model = read(
        "[DEFAULT]\nstartsecs=2\n[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory="
        "supervisor.rpcinterface:make_main_rpcinterface\n[ctlplugin:c]\nsupervisor.ctl_factory=a:b\nk=%(ENV_HOME)s\n"
    )
    assert [(plugin.section, plugin.factory, plugin.options) for plugin in model.plugins] == [
        ("rpcinterface:supervisor", "supervisor.rpcinterface:make_main_rpcinterface", ()),
        ("ctlplugin:c", "a:b", (("k", "/root"),)),
    ]
    assert [str(problem) for problem in model.warnings] == [
        f"{MAIN}:6: warning: [ctlplugin:c] a:b is not supported and left out: supervisorctl has its own commands alone"
    ]
    assert "is required" in said(HEAD + "[rpcinterface:x]\n")[0]


def test_search_order():
    assert search_paths("/opt/x/bin/supervisord")[:3] == (
        "/opt/x/etc/supervisord.conf",
        "/opt/x/supervisord.conf",
        "supervisord.conf",
    )
    assert search_paths("supervisord")[0] == "etc/supervisord.conf"
    assert search_paths("bin/supervisord")[0] == "etc/supervisord.conf"
    assert search_paths("/bin/supervisord")[0] == "/etc/supervisord.conf"
    assert (
        search(FakeHost({"/etc/supervisord.conf": "", "/start/etc/supervisord.conf": ""}), "/a/b/c")
        == "etc/supervisord.conf"
    )
    assert search(FakeHost({}), "/a/b/c") is None


@pytest.mark.parametrize(
    ("port", "closed"),
    [("9001", True), ("*:9001", True), ("0.0.0.0:9001", True), ("10.0.0.1:9001", True), ("[::]:9001", True),
     ("127.0.0.1:9001", False), ("127.1.2.3:9001", False), ("localhost:9001", False), ("[::1]:9001", False),
     ("127.0.0.1.example.com:9001", True)],
)  # fmt: skip
def test_a_port_beyond_this_machine_without_password_stays_closed(port: str, closed: bool):
    model = read(f"{HEAD}[inet_http_server]\nport={port}\n")
    assert [bool(server.closed) for server in model.servers] == [closed]
    found = [(str(problem.where), problem.severity.value, problem.option) for problem in model.warnings]
    assert found == [(f"{MAIN}:3", "error", "port")] * closed
    for more in ("username=u\npassword=p\n", "allow_insecure=true\n"):
        opened = read(f"{HEAD}[inet_http_server]\nport={port}\n{more}")
        assert [server.closed for server in opened.servers] == [""] and opened.warnings == ()


def test_a_closed_port_does_not_hide_other_errors():
    assert len(said(HEAD + "[inet_http_server]\nport=9001\n[program:x]\ncommand=/bin/cat\nstartsecs=soon\n")) == 2


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("600", 600), ("always", 0), ("ALWAYS", 0)])
def test_idle(text: str, seconds: int):
    assert read(f"{HEAD}api_idle={text}\n").supervisord.api_idle == seconds


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1.5", ""])
def test_no_idle(text: str):
    assert said(f"{HEAD}api_idle={text}\n") == [
        f"2: error: [supervisord] api_idle: cannot read {text!r} as an idle time (seconds >= 1, or always expected)"
    ]


def test_another_packages_rpcinterface():
    assert [str(problem) for problem in read(
        HEAD + "[rpcinterface:twiddler]\nsupervisor.rpcinterface_factory=supervisor_twiddler.rpcinterface:make_it\n"
    ).warnings] == [
        f"{MAIN}:2: warning: [rpcinterface:twiddler] supervisor_twiddler.rpcinterface:make_it is not supported and "
        "left out: XML-RPC has the namespaces supervisor, system and sdsuper, and other methods do not exist"
    ]
