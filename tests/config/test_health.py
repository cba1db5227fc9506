"""Options about checks: what they read, which of them are refused or doubted, and that nothing secret is shown."""

import re

import pytest

from sdsuper.config.health import UNCHECKED, Action, ActionKind, Check, Health
from sdsuper.config.health_values import Probe, ProbeKind, first_word, probe, shown
from sdsuper.config.reload import plan
from sdsuper.control.effective import options

from .fake import HEAD, one, read, says

SECRET = ("https://ann:hunter2@db.example:8443/health?token=hunter2 -H 'Authorization: Bearer hunter2' "
          "-d hunter2 --ca-file /etc/ca.pem")
EXPECTED = ("after the URL (-H 'Name: value', -d 'data', --ca-file, --cert-file, --key-file or --insecure "
            "expected)")


def test_without_them_nothing_is_checked():
    assert one("").health is UNCHECKED and not UNCHECKED.shown


def test_the_defaults_of_each_kind():
    assert one("liveness_check_script=/bin/check").health == Health(live=Check("/bin/check", 60, 60, 30, 1, 3))
    assert one("ready_check_script=tcp://[::1]:80").health == Health(ready=Check("tcp://[::1]:80", 0, 10, 5, 1, 3))
    assert one("startup_check_script=unix:///run/x").health == Health(Check("unix:///run/x", 0, 1, 5, 1, 0), 90)


@pytest.mark.parametrize(("lines", "seconds"), [("", 90), ("ready_timeout=5", 5), ("ready_timeout=0", 0)])
def test_a_startup_check_has_the_time_of_readiness(lines, seconds):
    assert one(f"startup_check_script=x\n{lines}").health.startup_seconds == seconds


def test_values_of_all_options():
    assert one("liveness_check_script=x\nliveness_check_initial_delay=0\nliveness_check_period=0.25\n"
               "liveness_check_timeout=1.5\nliveness_check_success_threshold=2\nliveness_check_failure_threshold=1\n"
               "liveness_check_success_action=/Opt/Well\nliveness_check_failure_action=signal usr1\nwatchdog_sec=2.5"
               ).health == Health(None, 0, None, Check("x", 0, 0.25, 1.5, 2, 1), "/Opt/Well",
                                  Action(ActionKind.SIGNAL, "", 10), 2.5)


@pytest.mark.parametrize(("text", "action"), [
    ("restart", Action()), ("Restart", Action()), ("stop", Action(ActionKind.STOP)), ("None", Action(ActionKind.NONE)),
    ("Signal SIGHUP", Action(ActionKind.SIGNAL, "", 1)),
    ("/Opt/MyScript A b", Action(ActionKind.RUN, "/Opt/MyScript A b")),
    ("http://hook.example/", Action(ActionKind.RUN, "http://hook.example/")),
])
def test_actions_keep_their_letters(text, action):
    assert one(f"liveness_check_script=x\nliveness_check_failure_action={text}").health.ill == action


@pytest.mark.parametrize(("text", "asked"), [
    ("http://localhost", Probe(ProbeKind.HTTP, "http://localhost")),
    ("HTTPS://a:1/x?y=1#z", Probe(ProbeKind.HTTP, "HTTPS://a:1/x?y=1#z")),
    ("http://[::1]:80/ -H 'A: b c' -H B:d -d 'x y' --insecure",
     Probe(ProbeKind.HTTP, "http://[::1]:80/", (("A", "b c"), ("B", "d")), "x y", insecure=True)),
    ("https://a --ca-file /ca --cert-file /cert --key-file /key -d @/data",
     Probe(ProbeKind.HTTP, "https://a", (), "@/data", "/ca", "/cert", "/key")),
    ("tcp://db.example:5432", Probe(ProbeKind.TCP, "db.example:5432")),
    ("unix:///run/a b", Probe(ProbeKind.UNIX, "/run/a b")),
    ("script:///bin/check 'a b'", Probe(ProbeKind.COMMAND, "/bin/check 'a b'")),
    ("check http://x", Probe(ProbeKind.COMMAND, "check http://x")),
])
def test_texts(text, asked):
    assert probe(text) == asked


@pytest.mark.parametrize(("text", "problem"), [
    ("", "cannot be empty (http://, https://, tcp://, unix:///, or a command expected)"),
    ("script://", "cannot be empty (http://, https://, tcp://, unix:///, or a command expected)"),
    ("ftp://x/", "cannot check with ftp:// (http://, https://, tcp://, unix:///, or a command expected)"),
    ("check 'x", "cannot be split into words: No closing quotation"),
    ("http://", "cannot read 'http://' as a URL (http://host:port/path in ASCII expected)"),
    ("http://a:b@c:99999/x?y", "cannot read 'http://c:99999/x?…' as a URL (http://host:port/path in ASCII expected)"),
    ("http://a/grün", "cannot read 'http://a/grün' as a URL (http://host:port/path in ASCII expected)"),
    ("http://a -H", "has nothing behind -H"),
    ("http://a -H 'secret'", "has a header that is none (-H 'Name: value' expected)"),
    ("http://a -H 'A: b\x01'", "has a header that is none (-H 'Name: value' expected)"),
    ("http://a -H 'Content-Length: 3'", "cannot set the header Content-Length"),
    ("http://a -X POST", f"does not know word 1 {EXPECTED}"),
    ("http://a -H X-Token: s3cret", f"does not know word 3 {EXPECTED}"),
    ("http://127.0.0.1:99999/@x", "cannot read 'http://x' as a URL (http://host:port/path in ASCII expected)"),
    ("https://a --cert-file /x", "--cert-file and --key-file go together"),
    ("https://a --ca-file ca.pem", "cannot read 'ca.pem' as a file (absolute path expected)"),
    ("tcp://a", "cannot read 'tcp://a' as a check (tcp://host:port expected)"),
    ("tcp://a:0", "cannot read 'tcp://a:0' as a check (tcp://host:port expected)"),
    ("http://[1::2::3]/", "cannot read 'http://[1::2::3]/' as a URL (http://host:port/path in ASCII expected)"),
    ("https://u:s3cr@[1.2.3.4]:1/x?y",
     "cannot read 'https://[1.2.3.4]:1/x?…' as a URL (http://host:port/path in ASCII expected)"),
    ("tcp://[1:2]:80", "cannot read 'tcp://[1:2]:80' as a check (tcp://host:port expected)"),
    ("unix://x", "cannot read 'unix://x' as a check (unix:///path of a socket, 107 bytes at most expected)"),
])
def test_what_is_no_check(text, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        probe(text)


@pytest.mark.parametrize("text", [
    "http://user:s3cr/et@h/", "http://user:s3cr?et@h/", "http://user:s3cr#et@h/", "http://user:s3cr[et@h/",
    "http://user:s3cr et@h/", "http://user:'s3cr et'@h/", "http://user:s3crü@h/", "http://user:s3cr@h:99999/",
    "http://h:0/?s3cr", "http://h/ü -H 'A: s3cr'", "http://h/ -H A: s3cr", "http://h/ -H A: -s3cr",
    "http://h/ -HA:s3cr",
    "http://h/ --header=s3cr", "http://h/ -H 's3cr'", "tcp://u:s3cr@h:5", "tcp://u:s3cr et@h:5", "tcp://h:5?s3cr",
    "tcp://h:5 -H 'A: s3cr'", "unix://u:s3cr@x",
])
def test_no_error_tells_a_secret(text):
    with pytest.raises(ValueError, match="expected") as caught:
        probe(text)
    assert "s3cr" not in str(caught.value)
    (said,) = says(f"exitcodes=0\nliveness_check_script=x\nliveness_check_failure_action={text}".replace("%", "%%"))
    assert "s3cr" not in said


@pytest.mark.parametrize("text", ["http://u:p%2Fa@h:8080/a@b?c", "http://h/@x", "https://u@v:p:q@[::1]/"])
def test_what_is_shown_has_the_place_and_the_path(text):
    assert probe(text).target == text
    assert shown(text) == {"u": "http://h:8080/a@b?…", "h": "http://h/@x"}.get(text[7], "https://[::1]/")


@pytest.mark.parametrize(("line", "problem"), [
    ("liveness_check_period=0", "cannot read '0' as seconds (number from 0.1 to 86400, such as 2.5 expected)"),
    ("liveness_check_timeout=soon", "cannot read 'soon' as seconds (number from 0.1 to 86400, such as 2.5 expected)"),
    ("liveness_check_initial_delay=-1", "cannot read '-1' as seconds (number from 0 to 86400, such as 2.5 expected)"),
    ("liveness_check_failure_threshold=0", "cannot read '0' as a number (number from 1 to 1000000 expected)"),
    ("liveness_check_failure_action=signal", "cannot read 'signal' as an action (signal NAME expected)"),
    ("liveness_check_failure_action=signal TREM",
     "cannot read 'TREM' as a signal (name like TERM, or number expected)"),
    ("watchdog_sec=1e9", "cannot read '1e9' as seconds (number from 0 to 86400, such as 2.5 expected)"),
])
def test_what_is_refused(line, problem):
    script = "" if line.startswith("watchdog") else "liveness_check_script=x\n"
    name = line.partition("=")[0]
    (said,) = says(f"{script}exitcodes=0\n{line}")
    assert said.endswith(f"error: [program:x] {name}: {problem}")


@pytest.mark.parametrize(("lines", "problem"), [
    ("liveness_check_period=5", "warning: [program:x] liveness_check_period: has no effect without "
                                "liveness_check_script"),
    ("startup_check_timeout=5", "warning: [program:x] startup_check_timeout: has no effect without "
                                "startup_check_script"),
    ("liveness_check_failure_action=stop", "warning: [program:x] liveness_check_failure_action: has no effect without "
                                           "liveness_check_script or watchdog_sec"),
    ("liveness_check_success_action=x\nwatchdog_sec=1", "warning: [program:x] liveness_check_success_action: has no "
                                                        "effect without liveness_check_script"),
    ("startup_check_script=x\nreadiness=notify", "error: [program:x] startup_check_script: cannot be used with "
                                                 "readiness=notify: one of them says when the process is ready"),
    ("startup_check_script=x\ntype=forking\npidfile=/run/x", "error: [program:x] startup_check_script: cannot be used "
                                                             "with type=forking, whose start is over when its pidfile "
                                                             "is there"),
])
def test_what_makes_no_sense_together(lines, problem):
    (said,) = says(f"exitcodes=0\n{lines}")
    assert said.partition(": ")[2] == problem


def test_the_watchdog_alone_has_an_action():
    assert says("exitcodes=0\nwatchdog_sec=5\nliveness_check_failure_action=stop") == []
    assert one("watchdog_sec=5\nliveness_check_failure_action=stop").health == Health(
        ill=Action(ActionKind.STOP), watchdog=5)


def test_each_process_has_its_own_address():
    ports = [process.health.live.text for process in read(
        f"{HEAD}[program:x]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)d\n"
        "liveness_check_script=http://localhost:80%(process_num)02d/").groups[0].processes]
    assert ports == ["http://localhost:8000/", "http://localhost:8001/"]


def test_nothing_secret_is_shown():
    config = one(f"liveness_check_script={SECRET}\nliveness_check_success_action={SECRET}\n"
                 f"liveness_check_failure_action={SECRET}")
    assert config.health.live.text == SECRET
    for text in (repr(config.health), repr(probe(SECRET)), shown(SECRET), first_word(SECRET), str(options(config))):
        assert "hunter2" not in text
    assert shown(SECRET) == ("https://db.example:8443/health?… -H 'Authorization: …' -d … --ca-file /etc/ca.pem")
    assert first_word("/bin/check --token hunter2") == "/bin/check"


def test_a_reload_changes_checks_without_a_restart():
    def model(lines):
        return read(f"{HEAD}[program:x]\ncommand=x\n{lines}")

    old = model("")
    for lines in ("liveness_check_script=x", "ready_check_script=y", "startup_check_script=z", "watchdog_sec=5",
                  "startup_check_script=z\nready_timeout=7"):
        (change,) = plan(old, model(lines)).changed
        assert [process.name for process in change.applied] == ["x"] and not change.restarted


@pytest.mark.parametrize("name", ["pre_start_hook", "pre_stop_hook", "post_start_hook", "post_stop_hook"])
def test_hooks_may_ask_as_well(name):
    assert says(f"exitcodes=0\n{name}=http://localhost/ -H 'A: b'") == []
    (said,) = says(f"exitcodes=0\n{name}=tcp://localhost")
    assert said.endswith("cannot read 'tcp://localhost' as a check (tcp://host:port expected)")
    assert says(f"exitcodes=0\n{name}=it's no shell") == [], "a command is looked at when it is run"
