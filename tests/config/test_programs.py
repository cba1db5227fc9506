import pytest

from sdsuper.config.model import (
    AutoRestart,
    Form,
    LogTarget,
    Model,
    ProcessConfig,
    Restart,
    TargetKind,
)

from .fake import HEAD, one, read, said, says


def names(model: Model) -> dict[str, list[str]]:
    return {group.name: [process.name for process in group.processes] for group in model.groups}


def test_program_defaults():
    process = one("")
    log = process.stdout
    assert process == ProcessConfig(
        "x",
        "x",
        "/bin/cat",
        (),
        None,
        None,
        None,
        999,
        True,
        AutoRestart.UNEXPECTED,
        1,
        3,
        (0,),
        (15,),
        10,
        False,
        False,
        False,
        log,
        log,
        None,
        None,
        (),
        False,
        False,
        (),
        False,
        None,
        Restart(),
    )
    assert log == ((LogTarget(TargetKind.AUTO),), 50 << 20, 10, 0, False, 0, "", Form())


def test_program_options():
    process = one(
        "directory=\numask=007\nuser=1000\nautorestart=true\nstartretries=-1\nexitcodes=\nstopsignal=QUIT KILL\n"
        "stopasgroup=true\nredirect_stderr=yes\nstdout_logfile=x.log\nstdout_syslog=true\nserverurl=auto\nnice=5\n"
        "rlimit_nofile=10:20\nrlimit_core=unlimited\nleftovers=kill\nuser_environment=1\npriority=-5"
    )
    assert (process.directory, process.umask, process.user.uid) == ("", 7, 1000)
    assert (process.autorestart, process.startretries, process.exitcodes) == (AutoRestart.ALWAYS, -1, ())
    assert (process.stopsignals, process.stopsignal, process.stopasgroup, process.killasgroup) == (
        (3, 9),
        3,
        True,
        True,
    )
    assert process.stdout.targets == (LogTarget(TargetKind.FILE, "/start/x.log"), LogTarget(TargetKind.SYSLOG))
    assert process.stderr.targets == ()
    assert (process.serverurl, process.nice, process.priority) == (None, 5, -5)
    assert process.rlimits == (("core", -1, -1), ("nofile", 10, 20))
    assert (process.leftovers, process.user_environment) == (True, True)


def test_empty_logfile_means_no_log():
    assert one("stdout_logfile=\nstderr_logfile=NONE").stdout.targets == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            "stopasgroup=true\nkillasgroup=false",
            "5: error: [program:x] killasgroup: cannot be false when stopasgroup is true",
        ),
        ("numprocs=2", "2: error: [program:x] process_name: must have %(process_num) in it when numprocs is above 1"),
        (
            "numprocs=200000\nprocess_name=%(process_num)d",
            "4: error: [program:x] numprocs: cannot make 200000 processes (number <= 100000 expected)",
        ),
        ("process_name=a b", "4: error: [program:x] process_name: cannot use 'a b' as a name, for it has ' '"),
        ("process_name=%(ENV_X)s", "4: error: [program:x] process_name: cannot use 'a:b' as a name, for it has ':'"),
        (
            "startsecs=%(process_num)s",
            "4: error: [program:x] startsecs: %(process_num): no such name here, known are ENV_..., "
            "group_name, here, host_node_name, program_name",
        ),
        ("user=0day", "4: error: [program:x] user: no such user: '0day'"),
        ("user=0x0", "4: error: [program:x] user: no such user: '0x0'"),
        ("user=-1", "4: error: [program:x] user: no such user: '-1'"),
        ("user=4294967295", "4: error: [program:x] user: no such user: '4294967295'"),
        ("user=deploy:wheel", "4: error: [program:x] user: no such group: 'wheel'"),
        ("user=nobody :adm", "4: error: [program:x] user: no such user: 'nobody '"),
        (
            "environment=A",
            '4: error: [program:x] environment: cannot read name=value pairs at the start (NAME="value" with '
            "commas between expected)",
        ),
        ("stopwaitsecs=-3", "4: warning: [program:x] stopwaitsecs: -3 is read as 0 (number >= 0 expected)"),
        (
            "command=sh -c 'a ; b'",
            "4: warning: [program:x] command: cannot be split into words, the program cannot start: No closing "
            "quotation; note that ' ;' and ' #' begin a comment even in quotes",
        ),
        ("command=", "4: warning: [program:x] command: is empty, the program cannot start"),
        (
            "stdout_logfile_maxbytes=0",
            "4: warning: [program:x] stdout_logfile_maxbytes: 0 lets the AUTO log grow without end",
        ),
        (
            "redirect_stderr=1\nstderr_logfile=/e",
            "5: warning: [program:x] stderr_logfile: is ignored, for redirect_stderr is true",
        ),
        (
            "stdout_logfile=/l\nstderr_logfile=/l",
            "5: warning: [program:x] stderr_logfile: /l is also the stdout log of x:x: "
            "redirect_stderr=true is meant for this",
        ),
        ("environment=A=x*", "4: warning: [program:x] environment: A: the value ends before '*'; put it in quotes"),
    ],
)
def test_program_problems(lines, problem):
    assert problem in says(lines, environ={"X": "a:b"})


def test_go_options_are_the_proof_that_a_file_is_of_go():
    assert says("killwaitsecs=2") == [
        "2: warning: [program:x] exitcodes: the default is 0, in Go's supervisord 0,2"
    ]


def test_numprocs():
    model = read(
        HEAD + "[program:w]\ncommand=/bin/w -n %(process_num)d of %(numprocs)d as %(ENV_ME)s\nnumprocs=3\n"
        'numprocs_start=9\nprocess_name=%(program_name)s_%(process_num)02d\nenvironment=ME="%(group_name)s%(process_num)d"\n'
        "stdout_logfile=/l/%(process_num)d.log\n"
    )
    (group,) = model.groups
    assert [process.name for process in group.processes] == ["w_09", "w_10", "w_11"]
    assert group.processes[1].command == "/bin/w -n 10 of 3 as w10"
    assert group.processes[1].environment == (("ME", "w10"),)
    assert group.processes[2].stdout.targets[0].path == "/l/11.log"
    assert names(read(HEAD + "[program:w]\ncommand=x\nnumprocs=0")) == {"w": []}


def test_environment_is_merged_and_not_leaked():
    text = (
        '[supervisord]\nenvironment=A="1",B="%(ENV_HOME)s"\n[program:a]\ncommand=%(ENV_A)s %(ENV_C)s\n'
        'environment=A="%(ENV_A)s2",C="3"\n[program:b]\ncommand=%(ENV_A)s\n'
    )
    first, second = read(text).groups
    assert first.processes[0].command == "12 3"
    assert first.processes[0].environment == (("A", "12"), ("B", "/root"), ("C", "3"))
    assert second.processes[0].command == "1"
    assert second.processes[0].environment == (("A", "1"), ("B", "/root"))
    assert "%(ENV_C): the environment has no 'C'" in said(text + "[program:c]\ncommand=%(ENV_C)s")[0]


def test_inheritance():
    text = (
        "[DEFAULT]\nstartsecs=5\nstopwaitsecs=1\nautostart=maybe\nnonsense=1\n[supervisord]\n[program-default]\n"
        "stopwaitsecs=2\nautostart=false\nexitcodes=0\n[program:a]\ncommand=a\nstartsecs=6\n"
    )
    process = read(text).groups[0].processes[0]
    assert (process.startsecs, process.stopwaitsecs, process.autostart) == (6, 2, False)
    assert said(text) == ["5: warning: [DEFAULT] nonsense: no section has such an option"]
