import shlex
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdsuper.config import logs, targets, values
from sdsuper.config.model import AutoRestart, LogTarget, TargetKind
from sdsuper.config.values import Noted, split_command

FILE, CONSOLE, REMOTE = TargetKind.FILE, TargetKind.CONSOLE, TargetKind.REMOTE


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (values.boolean, "Yes", True),
        (values.boolean, "oFF", False),
        (values.boolean, "1", True),
        (values.autorestart, "Unexpected", AutoRestart.UNEXPECTED),
        (values.autorestart, "on", AutoRestart.ALWAYS),
        (values.autorestart, "false", AutoRestart.NEVER),
        (values.number, " 1_000 ", 1000),
        (values.number, "-3", -3),
        (values.seconds, "0", 0),
        (values.seconds, "-1", Noted(0, "-1 is read as 0 (number >= 0 expected)")),
        (values.size, "50MB", 50 << 20),
        (values.size, "1 kb", 1024),
        (values.size, "2gB", 2 << 30),
        (values.size, "7", 7),
        (values.octal, "022", 0o22),
        (values.octal, "0o777", 0o777),
        (values.exitcodes, "0,2", (0, 2)),
        (values.exitcodes, "", ()),
        (values.exitcodes, "0, 2", (0, 2)),
        (values.signal_number, "sigterm", 15),
        (values.signal_number, "HUP", 1),
        (values.signal_number, "9", 9),
        (values.signals, "QUIT TERM", (3, 15)),
        (values.nice, "-20", -20),
        (values.loglevel, "WARN", "warn"),
        (values.loglevel, "blather", "blather"),
        (values.names, "a, b", ("a", "b")),
        (values.names, "", ()),
        (values.inet_address, "9001", ("", 9001)),
        (values.inet_address, "*:9001", ("", 9001)),
        (values.inet_address, ":9001", ("", 9001)),
        (values.inet_address, "LocalHost:1", ("localhost", 1)),
        (values.inet_address, "[::1]:9001", ("[::1]", 9001)),
        (values.events, "tick_5, Event,TICK_5", ("TICK_5", "EVENT")),
        (values.fcgi_socket, "unix:///run/x", "unix:///run/x"),
        (values.fcgi_socket, "tcp://h:9", "tcp://h:9"),
        (values.either("keep", "kill", "leftovers"), "Kill", True),
        (values.cgroup, "/sys/fs/cgroup/x", "/sys/fs/cgroup/x"),
        (values.rlimit("nofile"), "1024", (1024, 1024)),
        (values.rlimit("nofile"), "1024:unlimited", (1024, -1)),
        (values.rlimit("core"), "0:1GB", (0, 1 << 30)),
        (values.rlimit("nice"), "unlimited", (-1, -1)),
        (values.url, "unix:///x", "unix:///x"),
        (logs.facility, "LOG_Local3", 19),
        (logs.severity, "warn", 4),
        (logs.every, "Daily", 86400),
        (logs.every, "600", 600),
        (logs.every, "never", 0),
        (logs.compression, "zstd", "zstd"),
        (logs.timestamp, "yes", "iso"),
        (logs.timestamp, "%H:%M:%S.%L", "%H:%M:%S.%L"),
    ],
)
def test_accepted(convert, text, value):
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "message"),
    [
        (values.seconds, "soon", "cannot read 'soon' as seconds (number >= 0 expected)"),
        (values.boolean, "maybe", "cannot read 'maybe' as a boolean (true or false expected)"),
        (values.boolean, "", "cannot read '' as a boolean (true or false expected)"),
        (values.number, "1.5", "cannot read '1.5' as a number (whole number expected)"),
        (values.size, "1tb", "cannot read '1tb' as a size (number with KB, MB, GB or no unit expected)"),
        (values.size, "kb", "cannot read 'kb' as a size (number with KB, MB, GB or no unit expected)"),
        (values.octal, "9", "cannot read '9' as a mode (octal number like 022 expected)"),
        (values.octal, "-1", "cannot read '-1' as a mode (octal number like 022 expected)"),
        (values.exitcodes, "0,x", "cannot read '0,x' as exit codes (numbers from 0 to 255 with commas expected)"),
        (values.exitcodes, "256", "cannot read '256' as exit codes (numbers from 0 to 255 with commas expected)"),
        (values.signals, "FOO", "cannot read 'FOO' as a signal (name like TERM, or number expected)"),
        (values.signals, "", "cannot read '' as a signal (name like TERM, or number expected)"),
        (values.signals, "65", "cannot read '65' as a signal (name like TERM, or number expected)"),
        (values.signal_number, "SIG_IGN", "cannot read 'SIG_IGN' as a signal (name like TERM, or number expected)"),
        (values.nice, "20", "cannot read '20' as a nice value (number from -20 to 19 expected)"),
        (values.name, "a b", "cannot use 'a b' as a name, for it has ' '"),
        (values.names, "a,", "cannot read 'a,' as a list of names (names with single commas between expected)"),
        (
            values.loglevel,
            "loud",
            "cannot read 'loud' as a log level (critical, error, warn, info, debug, trace, blather expected)",
        ),
        (
            values.inet_address,
            "h:99999",
            "cannot read 'h:99999' as an address (host:port with a port from 1 to 65535 expected)",
        ),
        (values.events, "TICK_7", "no such event type: 'TICK_7'"),
        (values.events, "", "cannot be empty (event types expected)"),
        (
            values.fcgi_socket,
            "unix://x",
            "cannot read 'unix://x' as a socket (tcp://host:port or unix:///path expected)",
        ),
        (values.spec, "x", "cannot read 'x' as a callable (module:name expected)"),
        (values.rlimit("nofile"), "10:5", "cannot read '10:5' as a limit (soft <= hard expected)"),
        (values.rlimit("nofile"), "unlimited:5", "cannot read 'unlimited:5' as a limit (soft <= hard expected)"),
        (
            values.rlimit("cpu"),
            "1KB",
            "cannot read '1KB' as a limit (soft[:hard], each a number >= 0 or unlimited expected)",
        ),
        (values.url, "https://x", "cannot read 'https://x' as a URL (http://host:port or unix:///path expected)"),
        (values.either("keep", "kill", "leftovers"), "x", "cannot read 'x' as leftovers (keep or kill expected)"),
        (values.cgroup, "x", "cannot read 'x' as a cgroup (auto, off or an absolute path expected)"),
        (logs.severity, "x", "cannot read 'x' as a syslog severity (name like info expected)"),
        (
            targets.log_target,
            "syslog @",
            "cannot read 'syslog @' as a syslog server (syslog @[udp:|tcp:|tls:]host[:port], with an IPv6 address in "
            "brackets expected)",
        ),
    ],
)
def test_refused(convert, text, message):
    with pytest.raises(ValueError) as caught:
        convert(text)
    assert str(caught.value) == message


def test_all_limits_of_getrlimit():
    assert len(values.RLIMITS) == 16


def test_signal_zero_is_accepted_with_a_word():
    assert values.signals("0") == Noted((0,), "0 sends no signal: a stop waits stopwaitsecs and then kills")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("NONE", ()),
        ("off", ()),
        ("/dev/null", ()),
        ("auto", (LogTarget(TargetKind.AUTO),)),
        ("Syslog", (LogTarget(TargetKind.SYSLOG),)),
        ("Journal", (LogTarget(TargetKind.JOURNAL),)),
        ("./journal", (LogTarget(FILE, "./journal"),)),
        ("/dev/stdout,journal", (LogTarget(TargetKind.CONSOLE, "/dev/stdout"), LogTarget(TargetKind.JOURNAL))),
        ("memory", (LogTarget(TargetKind.MEMORY),)),
        ("/dev/stdout", (LogTarget(CONSOLE, "/dev/stdout"),)),
        ("/dev/fd/2", (LogTarget(CONSOLE, "/dev/stderr"),)),
        ("/proc/1/fd/1", (LogTarget(CONSOLE, "/dev/stdout"),)),
        ("a.log", (LogTarget(FILE, "a.log"),)),
        ("db.log, /dev/stdout", (LogTarget(FILE, "db.log"), LogTarget(CONSOLE, "/dev/stdout"))),
        ("/a.log,/b.log", (LogTarget(FILE, "/a.log"), LogTarget(FILE, "/b.log"))),
        ("a.log,syslog", (LogTarget(FILE, "a.log"), LogTarget(TargetKind.SYSLOG))),
        ("syslog @udp:127.0.0.1:5514", (LogTarget(REMOTE, "udp:127.0.0.1:5514"),)),
        ("syslog@h", (LogTarget(REMOTE, "udp:h:514"),)),
        ("syslog @TCP:h", (LogTarget(REMOTE, "tcp:h:6514"),)),
        ("/a.log, syslog @tls:[::1]:99", (LogTarget(FILE, "/a.log"), LogTarget(REMOTE, "tls:[::1]:99"))),
        ("syslog @[fe80::1%eth0]", (LogTarget(REMOTE, "udp:[fe80::1%eth0]:514"),)),
        ("syslog-a@b.log", (LogTarget(FILE, "syslog-a@b.log"),)),
        ("syslog.log", (LogTarget(FILE, "syslog.log"),)),
        ("/dev/null, a.log", (LogTarget(FILE, "a.log"),)),
    ],
)
def test_log_targets(text, found):
    assert targets.log_targets(text) == (found, None)


def test_a_file_name_with_a_comma_stays_one():
    found, note = targets.log_targets("/var/log/a,b.log")
    assert found == (LogTarget(FILE, "/var/log/a,b.log"),)
    assert note is not None


command = st.text(alphabet="ab '\"\\\t\n\r#=é\x0b", max_size=20)


@given(st.one_of(command, st.text()))
@example("a''b \"\" ' ' \\ c")
@example('"a\\"b\\c"')
def test_split_is_shlex(text):
    def outcome(split):
        try:
            return split(text)
        except ValueError as error:
            return str(error)

    assert outcome(split_command) == outcome(shlex.split)


@given(
    st.sampled_from(
        [
            values.boolean,
            values.seconds,
            values.size,
            values.octal,
            values.exitcodes,
            values.signals,
            values.names,
            values.name,
            values.inet_address,
            values.events,
            values.fcgi_socket,
            values.nice,
            values.rlimit("as"),
            values.rlimit("cpu"),
            values.spec,
            values.url,
            values.loglevel,
            logs.facility,
            targets.log_targets,
            split_command,
        ]
    ),
    st.text(),
)
def test_nothing_but_value_errors(convert, text):
    try:
        convert(text)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    "convert",
    [
        values.number,
        values.size,
        values.octal,
        targets.log_targets,
        split_command,
        values.inet_address,
    ],
)
@pytest.mark.parametrize("text", ["9" * 1_000_000, "* " * 500_000, "syslog @" + "a" * 1_000_000, "'a' " * 250_000])
def test_large_values_are_quick(convert, text):
    start = time.perf_counter()
    try:
        convert(text)
    except ValueError:
        pass
    assert time.perf_counter() - start < 5
