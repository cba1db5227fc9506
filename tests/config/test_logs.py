"""Options about logs: what they read, which of them are refused or doubted, what a change of them needs."""

import pytest

from sdsuper.config.model import WEEK, Form, Syslog
from sdsuper.config.reload import plan
from sdsuper.control.effective import options
from sdsuper.errors import ConfigError

from .fake import HEAD, one, read, says

LINES = ("stdout_logfile=/a.log\nstdout_logfile_rotate=weekly\nstdout_logfile_compress=zstd\n"
         "stdout_logfile_format=json\nstdout_logfile_timestamp=%H:%M %%\nsyslog_facility=LOG_LOCAL7\n"
         "syslog_tag=%(program_name)s-x\nsyslog_stdout_priority=notice\nsyslog_stderr_priority=emerg\n")


def test_without_them_everything_is_as_with_supervisor():
    process = one("")
    assert process.syslog == Syslog()
    assert (process.stdout.every, process.stdout.compress, process.stdout.form) == (0, "", Form())


def test_what_they_read():
    process = one(LINES)
    assert process.syslog == Syslog(23, "x-x", 5, 0)
    assert (process.stdout.every, process.stdout.compress) == (WEEK, "zstd")
    assert process.stdout.form == Form(True, "%H:%M %%", "")
    assert process.stderr == one("").stderr
    assert one("stdout_logfile=/a\nstdout_logfile_prefix=%(program_name)s:").stdout.form == Form(prefix="x:")


def test_they_are_shown_as_they_are_written():
    shown = dict(options(one(LINES)))
    assert {f"{key}={value}" for key, value in shown.items() if key != "command"} == {
        line.replace("%(program_name)s", "x").replace("LOG_LOCAL7", "local7") for line in LINES.splitlines()}
    assert dict(options(one("stdout_logfile=syslog @tls:h")))["stdout_logfile"] == "syslog @tls:h:6514"


@pytest.mark.parametrize(("line", "said"), [
    ("stdout_logfile_rotate=monthly", "cannot read 'monthly' as a time of rotation"),
    ("stdout_logfile_rotate=86401", "cannot read '86401' as a time of rotation"),
    ("stdout_logfile_compress=rar", "cannot read 'rar' as a compression (none, gzip, zstd, xz or bzip2 expected)"),
    ("stdout_logfile_timestamp=soon", "cannot read 'soon' as a time"),
    ("stdout_logfile_format=xml", "cannot read 'xml' as a format (plain or json expected)"),
    ("syslog_facility=local8", "cannot read 'local8' as a syslog facility"),
    ("stdout_logfile=syslog @h:0", "cannot read 'syslog @h:0' as a syslog server"),
    ("stdout_logfile=syslog @h:65536", "cannot read 'syslog @h:65536' as a syslog server"),
    ("stdout_logfile=syslog @[1:2]", "cannot read 'syslog @[1:2]' as a syslog server"),
    ("stdout_logfile=syslog @::1", "cannot read 'syslog @::1' as a syslog server"),
])
def test_refused(line, said):
    (found,) = says(line)
    assert "error" in found and said in found


@pytest.mark.parametrize(("lines", "said"), [
    ("stdout_logfile=journal\nstdout_logfile_format=json", "stdout_logfile_format: has no effect: it is for files"),
    ("stdout_logfile=NONE\nstdout_logfile_prefix=x", "stdout_logfile_prefix: has no effect: it is for files"),
    ("stdout_logfile=/a\nstdout_logfile_prefix=x\nstdout_logfile_format=json", "prefix: has no effect, for a line of"),
    ("stdout_logfile=syslog\nstdout_logfile_rotate=daily", "stdout_logfile_rotate: has no effect without a file"),
    ("stdout_logfile=/a\nstdout_logfile_compress=xz\nstdout_logfile_backups=0", "compress: has no effect, for stdout"),
    ("stdout_logfile_maxbytes=0", "stdout_logfile_maxbytes: 0 lets the AUTO log grow without end"),
])
def test_doubted(lines, said):
    (found,) = [line for line in says(lines) if "warning" in line]
    assert said in found


def test_a_clean_configuration_says_nothing():
    assert says("stdout_logfile_rotate=daily\nstdout_logfile_maxbytes=0\nstdout_logfile_compress=gzip\n"
                "stdout_logfile_timestamp=true\nstdout_logfile_prefix=web:") == []
    assert says("stdout_logfile=syslog @tls:logs.example.com") == []


def test_a_change():
    before = f"{HEAD}[program:x]\ncommand=/bin/cat\nstdout_logfile=/a.log\n"
    for line, restarts in (("stdout_logfile_rotate=daily", False), ("stdout_logfile_compress=gzip", False),
                           ("stdout_logfile_format=json", True), ("syslog_tag=t", True)):
        (change,) = plan(read(before), read(f"{before}{line}\n")).changed
        assert bool(change.restarted) is restarts and bool(change.applied) is not restarts


def test_a_certificate_needs_its_key():
    with pytest.raises(ConfigError, match="syslog_cert and syslog_key go together"):
        read(f"{HEAD}syslog_cert=/a.pem\n")
