"""Files written for Go's supervisord."""

from sdsuper.config.model import Restart

from .fake import one, said, says


def test_go_options_are_read():
    process = one("exitcodes=0\nrestartPause=2\nenvFiles=a,b\nkillwaitsecs=2\ncron=* * * * *\nstdout_logfile=memory")
    assert process.cron.text == "* * * * *" and process.killwaitsecs == 2
    assert [file.path for file in process.environment_files.own] == ["/start/a", "/start/b"]
    assert process.restart == Restart(pause=2, longest=60)
    assert says("exitcodes=0\nrestartPause=2\nkillwaitsecs=5\nstdout_logfile=memory") == []


def test_go_meaning():
    found = says(
        "restartpause=1\nnumprocs=2\nprocess_name=%(process_num)d\nautostart=True\nautorestart=on\ndirectory=a\\\\b\n"
        "exitcodes=0"
    )
    assert [line.split(": ", 3)[3] for line in found] == [
        "process_num counts from numprocs_start (0), in Go's supervisord from 1",
        "'True' is a boolean here, Go's supervisord knows only true, false",
        "'on' is a boolean here, Go's supervisord knows only true, false, unexpected",
        "backslashes are kept as written, Go's supervisord takes them for escapes",
    ]
    assert says("numprocs=1\nautostart=True") == []


def test_go_include():
    text = "[supervisord]\n[program-default]\n[include]\nfiles=d/*.ini\n"
    assert said(text, {"/etc/d/a.ini": "", "/etc/d/b.inix": ""}) == [
        "4: warning: [include] files: /etc/d/b.inix: not read here, but by Go's supervisord"
    ]
