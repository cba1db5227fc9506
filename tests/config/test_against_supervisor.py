"""The same file read by Supervisor 4.3.0 and by us: the same processes, the same refusals."""

import os

import pytest

from sdsuper.config.load import load
from sdsuper.config.model import AutoRestart, LogConfig, ProcessConfig, TargetKind
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost

from .original import groups, original

CAT = "command=/bin/cat\n"
PROGRAM = "[supervisord]\n[program:x]\n" + CAT

SAME = [
    "[supervisord]\n",
    PROGRAM,
    PROGRAM + "numprocs=0\n",
    PROGRAM + "numprocs=3\nprocess_name=%(program_name)s_%(process_num)02d\n",
    PROGRAM + "numprocs_start=5\nnumprocs=2\nprocess_name=p%(process_num)d\npriority=7\n",
    PROGRAM
    + "startsecs=0\nstartretries=-1\nautorestart=TRUE\nautostart=No\nexitcodes=0,3\nstopsignal=sigusr1\n",
    PROGRAM + "autorestart=false\nexitcodes=\nstopsignal=9\nstopasgroup=true\numask=007\n",
    PROGRAM + "killasgroup=true\nuser=root\nserverurl=http://x:1\ndirectory=~/x\n",
    PROGRAM + "user=0\nserverurl=AUTO\n",
    PROGRAM
    + "environment=A=\"1, 2\",B='x*',C='%(process_num)d'\ncommand=/bin/echo %(ENV_A)s %(here)s %% %(group_name)s\n",
    PROGRAM + "stdout_logfile=a.log\nstdout_logfile_maxbytes=1kb\nstdout_logfile_backups=0\nredirect_stderr=1\n",
    PROGRAM + "stdout_logfile=NONE\nstderr_logfile=off\nstdout_capture_maxbytes=5MB\nstderr_events_enabled=true\n",
    PROGRAM + "stdout_logfile=\nstderr_logfile=auto\nstdout_syslog=true\n",
    PROGRAM + "stdout_logfile=syslog\n",
    PROGRAM + 'command=sh -c "a ; b"\n',
    PROGRAM + "command = a\n  b ; c\n\n  d\n",
    PROGRAM + "[program:x]\ncommand=other\n",
    PROGRAM + "[DEFAULT]\nstartsecs=9\npriority=3\n",
    '[supervisord]\nenvironment=A="1"\n[program:x]\ncommand=%(ENV_A)s\nenvironment=B=2\n',
    PROGRAM + "[program:y]\ncommand=y\npriority=1\n[program:z]\ncommand=z\n[group:g]\nprograms=z, y\npriority=5\n",
    PROGRAM + "[group:x]\nprograms=\n",
    PROGRAM + "[group:x]\npriority=1\n",
    PROGRAM + "[group:g]\nprograms=x\n[group:h]\nprograms=x\n",
    PROGRAM + "priority=1\n[program:y]\ncommand=y\n[group:x]\nprograms=y\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\nevents=TICK_5,process_state\nbuffer_size=3\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\nevents=EVENT\npriority=8\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=tcp://localhost:9000\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=unix:///tmp/%(program_name)s\nuser=nobody\nsocket_backlog=5\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=unix:///tmp/f\n[group:g]\nprograms=f,x\n",
    PROGRAM + "[nonsense]\nx=y\n",
    PROGRAM + "nonsense=1\n",
    PROGRAM + "[program: spaced ]\ncommand=x\n",
    PROGRAM + "[include]\nfiles=more/*.conf nothing*\n",
    PROGRAM + "[program:y]\ncommand=%(ENV_HOME)s\n",
]

REFUSED = [
    "",
    "x=1\n" + PROGRAM,
    PROGRAM + "broken\n",
    "[supervisord]\n[program:x]\n",
    PROGRAM + "startsecs=soon\n",
    PROGRAM + "startsecs=\n",
    PROGRAM + "autostart=maybe\n",
    PROGRAM + "autorestart=sometimes\n",
    PROGRAM + "exitcodes=0,x\n",
    PROGRAM + "exitcodes=300\n",
    PROGRAM + "stopsignal=FOO\n",
    PROGRAM + "stopsignal=99\n",
    PROGRAM + "umask=9\n",
    PROGRAM + "user=no-such-user\n",
    PROGRAM + "user=99999\n",
    PROGRAM + "numprocs=2\n",
    PROGRAM + "stopasgroup=true\nkillasgroup=false\n",
    PROGRAM + "stdout_logfile=/nope/x.log\n",
    PROGRAM + "stdout_logfile_maxbytes=1tb\n",
    PROGRAM + "environment=A=\n",
    PROGRAM + "environment=A=1 B=2\n",
    PROGRAM + "command=%(nope)s\n",
    PROGRAM + "command=%(ENV_NOPE_NOPE)s\n",
    PROGRAM + "command=%d\n",
    PROGRAM + "priority=%(process_num)s\n",
    PROGRAM + "process_name=a b\n",
    "[supervisord]\n[program:a/b]\n" + CAT,
    PROGRAM + "[group:g]\nprograms=nope\n",
    PROGRAM + "[group:g]\nprograms=x,\n",
    PROGRAM + "[group:a b]\nprograms=x\n",
    PROGRAM + "[group:g]\nprograms=x\n[fcgi-program:x]\ncommand=x\nsocket=tcp://h:1\n",
    PROGRAM + "[include]\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\nevents=NOPE\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\nevents=EVENT\nbuffer_size=0\n",
    PROGRAM + "[eventlistener:l]\ncommand=l\nevents=EVENT\nredirect_stderr=true\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=wibble\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=tcp://h:1\nsocket_mode=0700\n",
    PROGRAM + "[fcgi-program:f]\ncommand=f\nsocket=unix:///x\nsocket_backlog=0\n",
    PROGRAM + "[inet_http_server]\n",
    PROGRAM + "[inet_http_server]\nport=99999\n",
    PROGRAM + "[unix_http_server]\nchmod=0700\n",
    PROGRAM + "[unix_http_server]\nfile=/tmp/x\nchmod=9\n",
    PROGRAM + "[unix_http_server]\nfile=/tmp/x\nchown=no-such-user\n",
    PROGRAM + "[unix_http_server]\nfile=/tmp/x\nusername=u\n",
    PROGRAM + "[rpcinterface:x]\n",
    "[supervisord]\nloglevel=loud\n",
    "[supervisord]\nchildlogdir=/nope\n",
    "[supervisord]\nlogfile=/nope/x\n",
    "[supervisord]\nminfds=many\n",
    "[supervisord]\nenvironment=A\n",
    "[supervisord]\nnodaemon=\n",
    "[supervisord]\ndirectory=/nope\n",
]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.conf").write_text("[program:x]\npriority=2\n[program:m]\ncommand=%(here)s/m\n")
    (tmp_path / "more" / "a.conf").write_text("[program:x]\npriority=1\n[supervisord]\nidentifier=a\n")
    return tmp_path / "sup.conf"


def theirs(path):
    """What Supervisor makes of it, in our words."""
    automatic = original("supervisor.datatypes").Automatic
    unexpected = original("supervisor.datatypes").RestartWhenExitUnexpected
    found = {}
    for group in groups(path):
        if group.name in found:  # add_process_group refuses the second one
            continue
        members = {process.name: process for process in group.process_configs}
        found[group.name] = (
            group.priority,
            {
                name: {
                    "command": process.command,
                    "directory": process.directory,
                    "umask": process.umask,
                    "uid": process.uid,
                    "priority": process.priority,
                    "autostart": process.autostart,
                    "startsecs": process.startsecs,
                    "autorestart": "unexpected"
                    if process.autorestart is unexpected
                    else "true"
                    if process.autorestart
                    else "false",
                    "startretries": process.startretries,
                    "exitcodes": tuple(process.exitcodes),
                    "stopsignal": int(process.stopsignal),
                    "stopwaitsecs": process.stopwaitsecs,
                    "stopasgroup": process.stopasgroup,
                    "killasgroup": process.killasgroup,
                    "redirect_stderr": process.redirect_stderr,
                    "environment": dict(process.environment),
                    "serverurl": process.serverurl,
                    "stdout": stream(process, "stdout", automatic),
                    "stderr": stream(process, "stderr", automatic),
                }
                for name, process in members.items()
            },
        )
    return found


def stream(process, name, automatic):
    path, syslog = getattr(process, f"{name}_logfile"), getattr(process, f"{name}_syslog")
    if name == "stderr" and process.redirect_stderr:
        return None
    where = "auto" if path is automatic else os.path.abspath(path) if path else None
    return (
        where,
        syslog,
        *(
            getattr(process, f"{name}_{key}")
            for key in ("logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled")
        ),
    )


def ours(path):
    """What we make of it, in the same words."""
    return {
        group.name: (group.priority, {process.name: fields(process) for process in group.processes})
        for group in load(str(path), RealHost()).groups
    }


def fields(process: ProcessConfig):
    found = {
        name: getattr(process, name)
        for name in (
            "command",
            "directory",
            "umask",
            "priority",
            "autostart",
            "startsecs",
            "startretries",
            "exitcodes",
            "stopsignal",
            "stopwaitsecs",
            "stopasgroup",
            "killasgroup",
            "redirect_stderr",
            "serverurl",
        )
    }
    restart = {AutoRestart.ALWAYS: "true", AutoRestart.NEVER: "false", AutoRestart.UNEXPECTED: "unexpected"}
    return found | {
        "autorestart": restart[process.autorestart],
        "environment": dict(process.environment),
        "uid": process.user.uid if process.user else None,
        "stdout": log(process.stdout),
        "stderr": None if process.redirect_stderr else log(process.stderr),
    }


def log(config: LogConfig):
    files = [target.path or "auto" for target in config.targets if target.kind is not TargetKind.SYSLOG]
    syslog = any(target.kind is TargetKind.SYSLOG for target in config.targets)
    return (
        files[0] if files else None,
        syslog,
        config.maxbytes,
        config.backups,
        config.capture_maxbytes,
        config.events_enabled,
    )


@pytest.mark.parametrize("text", SAME)
def test_same_processes(file, text):
    file.write_text(text)
    assert ours(file) == theirs(file)


@pytest.mark.parametrize("text", REFUSED)
def test_same_refusals(file, text):
    file.write_text(text)
    with pytest.raises(ValueError):
        theirs(file)
    with pytest.raises(ConfigError):
        load(str(file), RealHost())


#: What Supervisor takes and we refuse, each for a reason.
STRICTER = [
    PROGRAM + "[program:y\n",  # would silently become an option of x
    PROGRAM + "command=date +%s\n",  # would put the whole environment into the command line
    PROGRAM + "process_name=%(here)s\n",  # a name with slashes cannot be addressed
    PROGRAM + "umask=-1\n",
]

#: What Supervisor refuses and we take.
LOOSER = [
    "[program:x]\n" + CAT,  # no [supervisord]: a drop-in can be checked alone
    PROGRAM + "stopsignal=QUIT TERM\n",
    PROGRAM + "user=root:root\n",  # Go's supervisord
    '[supervisord]\nenvironment=A="%%",B="%(host_node_name)s"\n',  # expanded twice there
]


@pytest.mark.parametrize("text", STRICTER)
def test_stricter(file, text):
    file.write_text(text)
    theirs(file)
    with pytest.raises(ConfigError):
        load(str(file), RealHost())


@pytest.mark.parametrize("text", LOOSER)
def test_looser(file, text):
    file.write_text(text)
    with pytest.raises(ValueError):
        theirs(file)
    load(str(file), RealHost())


def test_their_sample(file):
    packages = os.path.dirname(original("supervisor").__path__[0])
    with open(f"{packages}/supervisor/skel/sample.conf", encoding="utf-8") as sample:
        file.write_text(sample.read())
    model = load(str(file), RealHost())
    assert model.warnings == ()
    # With every option in force, too.
    lines = [
        line[1:] if (line[:1] == ";" and "=" in line and line[1] != " ") or line[:2] == ";[" else line
        for line in file.read_text().splitlines()
    ]
    text = (
        "\n".join(lines)
        .replace("chrism", "root")
        .replace("user=supervisord", "user=root")
        .replace("/a/path", "/tmp/path")
    )
    text = text.replace("progname1,progname2", "theprogramname").replace("serverurl=http://127.0.0.1:9001", "")
    file.write_text(text)
    model = load(str(file), RealHost())
    assert not [
        str(problem)
        for problem in model.warnings
        if "no such" in problem.message and "file matches" not in problem.message
    ]
    assert {group.name for group in model.groups} == {"thegroupname", "theeventlistenername"}
