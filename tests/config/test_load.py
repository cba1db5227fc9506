import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.load import load
from sdsuper.config.settings import TABLE
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost

from .fake import HEAD, MAIN, FakeHost, read, said

CAT = "command=/bin/cat\n"


def test_all_problems_at_once_sorted_with_places():
    text = (
        HEAD + "loglevel=loud\n[program:web]\ncommand=/bin/cat\nstartsecs=soon\nautorestrat=true\n"
        "[include]\nfiles=/etc/d/*.conf\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(text, {"/etc/d/a.conf": "[program:b]\nuser=nobodi\n"})
    assert str(caught.value).splitlines() == [
        "/etc/sup.conf:2: error: [supervisord] loglevel: cannot read 'loud' as a log level (critical, error, warn, "
        "info, debug, trace, blather expected)",
        "/etc/sup.conf:5: error: [program:web] startsecs: cannot read 'soon' as seconds (number >= 0 expected)",
        "/etc/sup.conf:6: warning: [program:web] autorestrat: no such option, did you mean 'autorestart'?",
        "/etc/d/a.conf:1: error: [program:b] command: is required",
        "/etc/d/a.conf:2: error: [program:b] user: no such user: 'nobodi'",
    ]


def test_unknown_sections():
    assert said(HEAD + "[progam:web]\n[supervisord:x]\n[program]\n[whatever]\n[Program:x]\n") == [
        "2: warning: [progam:web] no such section, did you mean 'program:web'?",
        "3: warning: [supervisord:x] no such section, did you mean 'supervisord'?",
        "4: warning: [program] no such section, did you mean 'program:x'?",
        "5: warning: [whatever] no such section",
        "6: warning: [Program:x] no such section, did you mean 'program:x'?",
    ]


def test_files_that_are_no_configuration():
    for data, message in (
        (b"[supervisord]\nlogfile=\xe9\n", "2: error: cannot read byte 0xe9 as text (UTF-8 expected)"),
        (b"[supervisord]\na=\0\n", "2: error: there is a NUL byte in the text"),
        (b"", "1: error: .ini file does not include supervisord section"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(MAIN, FakeHost({MAIN: data}))
        assert str(caught.value) == f"{MAIN}:{message}"
    with pytest.raises(ConfigError) as caught:
        load("none.conf", FakeHost({}))
    assert str(caught.value) == "error: could not find config file none.conf"


def test_programs_without_supervisord_section():
    assert said("[program:a]\n" + CAT) == [
        "1: warning: .ini file does not include supervisord section, its defaults are used"
    ]
    assert said("[supervisorctl]\n") == ["1: error: .ini file does not include supervisord section"]


@pytest.mark.parametrize(
    ("pattern", "directories", "warned"),
    [
        ("/etc/x.d/*.conf", ["/etc/x.d"], False),       # an empty directory for drop-ins
        ("/etc/x.d/*.conf", [], True),                  # there is none
        ("/etc/x/*.conf", ["/etc/x"], True),
        ("/etc/x.d/web.conf", ["/etc/x.d"], True),      # somebody relies on that file
    ],
)
def test_an_include_without_files(pattern, directories, warned):
    text = f"[supervisord]\n[include]\nfiles={pattern}\n"
    model = load(MAIN, FakeHost({MAIN: text}, directories=["/start", "/tmp", *directories]))
    assert [problem.message for problem in model.warnings if "matches" in problem.message] == [
        f'no file matches "{pattern}"'
    ] * warned


def test_include():
    text = HEAD + "[include]\nfiles = d/*.conf\n /abs/x.ini none*\n[program:b]\ncommand=b\n"
    model = read(
        text,
        {
            "/etc/d/2.conf": "[program:b]\ncommand=%(here)s/b\n[include]\nfiles=zz\n",
            "/etc/d/1.conf": "[supervisord]\nidentifier=one\n",
            "/abs/x.ini": "[program:x]\ncommand=%(here)s",
        },
    )
    assert model.files == (MAIN, "/etc/d/1.conf", "/etc/d/2.conf", "/abs/x.ini")
    assert model.supervisord.identifier == "one"
    assert [group.processes[0].command for group in model.groups] == ["/etc/d/b", "/abs"]
    assert [str(problem) for problem in model.warnings] == [
        f'{MAIN}:3: warning: [include] files: no file matches "/etc/none*"',
        f"/etc/d/1.conf:1: warning: [supervisord] this section is already at {MAIN}:1, the two are merged",
        f"/etc/d/2.conf:1: warning: [program:b] this section is already at {MAIN}:5, the two are merged",
        f"/etc/d/2.conf:2: warning: [program:b] command: is given twice, this one replaces that of {MAIN}:6",
        f"/etc/d/2.conf:3: warning: [include] this section is already at {MAIN}:2, the two are merged",
        "/etc/d/2.conf:4: warning: [include] files: an included file cannot include others, this is ignored",
        f"/etc/d/2.conf:4: warning: [include] files: is given twice, this one replaces that of {MAIN}:3",
    ]


def test_include_without_files_and_of_one_file_twice():
    assert said(HEAD + "[include]\n") == ["2: error: [include] files: is required"]
    assert said(HEAD + "[include]\nfiles=sup.conf x x\n", {"/etc/x": "[program:x]\ncommand=x"}) == [
        "3: warning: [include] files: /etc/sup.conf is named twice and read once",
        "3: warning: [include] files: /etc/x is named twice and read once",
    ]


def test_files_that_cannot_be_read(tmp_path):
    main = tmp_path / "s.conf"
    main.write_text("[supervisord]\n[include]\nfiles=d/*\n")
    (tmp_path / "d" / "directory").mkdir(parents=True)
    os.mkfifo(tmp_path / "d" / "fifo")
    host = RealHost()
    assert [str(problem).removeprefix(f"{main}:") for problem in load(str(main), host).warnings] == [
        f"3: warning: [include] files: {tmp_path}/d/directory: not read, it is no file",
        f"3: warning: [include] files: {tmp_path}/d/fifo: not read, it is not a regular file",
    ]
    (tmp_path / "d" / "loop").symlink_to("loop")
    with pytest.raises(ConfigError) as caught:
        load(str(main), host)
    assert "cannot read" in str(caught.value) and "Too many levels of symbolic links" in str(caught.value)
    for path, why in (("d", "Is a directory"), ("d/fifo", "it is not a regular file")):
        with pytest.raises(ConfigError) as caught:
            load(str(tmp_path / path), host)
        assert str(caught.value) == f"error: could not read config file {tmp_path / path}: {why}"


def test_distrusted_files_are_named(tmp_path):
    main = tmp_path / "s.conf"
    main.write_text("[supervisord]\n")
    main.chmod(0o666)
    warnings = [str(problem) for problem in load(str(main), RealHost()).warnings]
    expected = f"{main}:1: warning: the file can be written by everybody, who can run anything as root"
    assert warnings == ([expected] if os.getuid() == 0 else [])


def test_a_default_that_the_system_does_not_fit():
    assert said(HEAD, directories=["/tmp"]) == [
        "1: error: [supervisord] logfile: no such directory: '/start'",
        "1: error: [supervisord] pidfile: no such directory: '/start'",
    ]


keys = st.sampled_from([row.name for row in TABLE] + ["nope"])
word = st.sampled_from(
    [
        "1",
        "-1",
        "true",
        "x",
        "%(here)s",
        "%(process_num)d",
        "%(nope)s",
        "%",
        "/a/b",
        "a,b",
        "AUTO",
        "TERM",
        "tcp://h:1",
        "",
        "A=1",
        "unix:///x",
        "50MB",
        "program:a",
        "*.conf",
        "a:b",
    ]
)
header = st.sampled_from(
    [
        "supervisord",
        "program:a",
        "program:b",
        "group:g",
        "eventlistener:l",
        "fcgi-program:f",
        "include",
        "unix_http_server",
        "inet_http_server",
        "supervisorctl",
        "DEFAULT",
        "program-default",
        "nope",
        "rpcinterface:x",
        "ctlplugin:x",
        "program:",
        "group:a",
    ]
)
section = st.tuples(header, st.lists(st.tuples(keys, word), max_size=6)).map(
    lambda pair: f"[{pair[0]}]\ncommand=/bin/cat\n" + "".join(f"{key}={value}\n" for key, value in pair[1])
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.lists(section, max_size=5).map(lambda parts: HEAD + "".join(parts))))
def test_problems_or_a_model_for_any_text(text):
    host = FakeHost({MAIN: text.encode(errors="surrogatepass"), "/etc/x.conf": "[program:x]\ncommand=x"})
    try:
        model = load(MAIN, host)
    except ConfigError as error:
        assert error.problems
        assert all(str(problem) for problem in error.problems)
    else:
        assert all(process.command is not None for group in model.groups for process in group.processes)


def test_equal_parts_are_shared():
    first, second = read(HEAD + 'environment=A="1"\n[program:a]\ncommand=a\n[program:b]\ncommand=b\n').groups
    for field in ("environment", "stdout", "stderr", "exitcodes", "stopsignals", "rlimits"):
        assert getattr(first.processes[0], field) is getattr(second.processes[0], field)


def calls_of_loading(programs: int) -> int:
    """How many functions, of Python or C, are called while a configuration of so many programs is loaded."""
    text = HEAD + "".join(
        f"[program:p{n}]\ncommand=/bin/sleep {n}\nautostart=true\nstartsecs=0\nstdout_logfile=NONE\nautorestart=true\n"
        for n in range(programs)
    )
    host = FakeHost({MAIN: text})
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        groups = load(MAIN, host).groups
    finally:
        sys.setprofile(before)
    assert len(groups) == programs
    return calls


def test_loading_takes_work_in_proportion_to_the_programs():
    # calls and not seconds: a machine that does something else at the same time changes nothing
    few, many = calls_of_loading(250), calls_of_loading(1000)
    assert many < 4.2 * few
    assert many < 600 * 1000
