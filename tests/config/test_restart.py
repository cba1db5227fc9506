"""Options about starting again: what they read, which of them are refused or doubted."""

import pytest

from sdsuper.config.model import UNLIMITED, LimitAction, Restart
from sdsuper.config.reload import plan
from sdsuper.config.settings import option_hint
from sdsuper.control.effective import options

from .fake import HEAD, one, read, says


def test_without_them_everything_is_as_with_supervisor():
    assert one("").restart == one("startretries=2147483647\nstartsecs=0").restart == Restart()
    assert one("restartpause=0\nbackoff_factor=1\nbackoff_jitter=0%\nbackoff_reset=0\nrestart_limit=unlimited\n"
               "restart_limit_action=fatal").restart == Restart()


@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("7", 7), ("-1", UNLIMITED), (" -1 ", UNLIMITED), ("unlimited", UNLIMITED), ("Unlimited", UNLIMITED),
    ("-2", 0), ("-100", 0),
])
def test_retries(text, value):
    assert one(f"startretries={text}").startretries == value


@pytest.mark.parametrize(("lines", "record"), [
    ("startretries=unlimited", Restart(longest=60)),
    ("restartpause=5", Restart(pause=5, longest=60)),
    ("restartpause=90", Restart(pause=90, longest=90)),
    ("restartpause=90\nbackoff_max=300", Restart(pause=90, longest=300)),
    ("backoff_max=5", Restart(longest=5)),
    ("backoff_factor=2", Restart(factor=2.0, longest=60)),
    ("backoff_factor=1.25\nbackoff_jitter=15%", Restart(factor=1.25, jitter=15, longest=60)),
    ("backoff_jitter=15", Restart(jitter=15, longest=60)),
    ("backoff_reset=300", Restart(reset=300, longest=60)),
    ("backoff_reset=unlimited", Restart(reset=-1, longest=60)),
    ("restart_limit=3", Restart(limit=3, longest=60)),
    ("restart_limit=5/60s", Restart(limit=5, window=60, longest=60)),
    ("restart_limit=5 / 10m\nrestart_limit_action=wait",
     Restart(limit=5, window=600, action=LimitAction.WAIT, longest=60)),
    ("restart_limit=1/2h\nrestart_limit_action=Stop",
     Restart(limit=1, window=7200, action=LimitAction.STOP, longest=60)),
    ("restart_limit=1000/1d", Restart(limit=1000, window=86400, longest=60)),
    ("restart_limit=2/30", Restart(limit=2, window=30, longest=60)),
])
def test_records(lines, record):
    assert one(lines).restart == record


@pytest.mark.parametrize(("line", "problem"), [
    ("startretries=often", "cannot read 'often' as a number (number >= 0, or unlimited expected)"),
    ("backoff_factor=0.5", "cannot read '0.5' as a factor (number from 1 to 10, such as 1.5 expected)"),
    ("backoff_factor=nan", "cannot read 'nan' as a factor (number from 1 to 10, such as 1.5 expected)"),
    ("backoff_factor=11", "cannot read '11' as a factor (number from 1 to 10, such as 1.5 expected)"),
    ("backoff_max=0", "cannot read '0' as seconds (number from 1 to 2147483648 expected)"),
    ("backoff_jitter=101%", "cannot read '101%' as a percentage (number from 0% to 100% expected)"),
    ("backoff_jitter=-1", "cannot read '-1' as a percentage (number from 0% to 100% expected)"),
    ("backoff_reset=never", "cannot read 'never' as seconds (number >= 0 expected)"),
    *((f"restart_limit={text}", f"cannot read '{text}' as a restart limit (1 to 1000 restarts, such as 3 or 5/60s, or "
       "unlimited expected)") for text in ("0", "1001", "-1", "5/0", "5/60x", "5/", "/60", "5/999999999d", "five", "")),
    ("restart_limit_action=reboot", "cannot read 'reboot' as an action (fatal, stop or wait expected)"),
])
def test_what_is_refused(line, problem):
    (said,) = says(line)
    assert said == f"4: error: [program:x] {line.partition('=')[0]}: {problem}"


@pytest.mark.parametrize(("lines", "expected"), [
    ("restart_limit=3\nrestart_limit_action=wait", "5: error: [program:x] restart_limit_action: cannot be wait, for "
     "restart_limit=3 has no time to wait for (a limit like 3/60s expected)"),
    ("autorestart=false\nrestart_limit=3", "5: warning: [program:x] restart_limit: counts the retries of failed starts "
     "alone, for autorestart=false makes no other restart"),
    ("restart_limit_action=stop", "4: warning: [program:x] restart_limit_action: has no effect without restart_limit"),
    ("autorestart=false\nbackoff_reset=9", "5: warning: [program:x] backoff_reset: has no effect, for "
     "autorestart=false starts nothing again that has been RUNNING"),
    ("startsecs=10\nbackoff_reset=9", "5: warning: [program:x] backoff_reset: has no effect, for a process is RUNNING "
     "after startsecs=10 only"),
    ("backoff_factor=2\nstartretries=0", "4: warning: [program:x] backoff_factor: has no effect, for startretries=0 "
     "tries no failed start again"),
    ("backoff_factor=2\nstartsecs=0", "4: warning: [program:x] backoff_factor: holds only for a command that cannot be "
     "executed, for startsecs=0 calls every other start a success; backoff_reset says how long a good run lasts"),
    ("startretries=-3", "4: warning: [program:x] startretries: -3 is read as 0 (number >= 0, or unlimited expected)"),
])
def test_what_makes_no_sense(lines, expected):
    assert says(lines) == [expected]


def test_a_pause_that_is_cut():
    assert "5: warning: [program:x] backoff_max: is less than restartpause=9, and is what holds" in says(
        "restartpause=9\nbackoff_max=5\nexitcodes=0")


@pytest.mark.parametrize("lines", [
    "startretries=unlimited", "restart_limit=5/60s\nrestart_limit_action=wait", "backoff_reset=60\nbackoff_factor=2",
    "startsecs=0\nbackoff_reset=unlimited\nbackoff_factor=2", "autorestart=false\nbackoff_factor=2",
    "startretries=0\nbackoff_reset=60\nbackoff_jitter=5%",
])
def test_what_makes_sense(lines):
    assert says(lines) == []


def test_hints():
    assert option_hint("program", "restart_limits") == ", did you mean 'restart_limit'?"
    assert option_hint("program", "backof_factor") == ", did you mean 'backoff_factor'?"
    assert option_hint("program", "restart_pause") == ", did you mean 'restartpause'?"


def test_a_change_needs_no_restart():
    old, new = (read(f"{HEAD}[program:x]\ncommand=/bin/cat\n{lines}\n")
                for lines in ("", "restart_limit=3\nstartretries=-1"))
    (change,) = plan(old, new).changed
    assert (len(change.applied), change.restarted) == (1, ())


def test_equal_records_are_one():
    model = read(f"{HEAD}[program:x]\ncommand=a\nbackoff_max=9\n[program:y]\ncommand=b\nbackoff_max=9\n")
    x, y = (group.processes[0] for group in model.groups)
    assert x.restart is y.restart


def test_what_is_in_force_can_be_shown():
    lines = ("startretries=unlimited\nrestartpause=2\nbackoff_factor=1.5\nbackoff_max=30\nbackoff_jitter=20%\n"
             "backoff_reset=unlimited\nrestart_limit=5/60s\nrestart_limit_action=wait\nexitcodes=0")
    shown = dict(options(one(lines)))
    assert "\n".join(f"{name}={value}" for name, value in shown.items() if name != "command") + "\nexitcodes=0" == lines
    assert dict(options(one(""))) == {"command": "/bin/cat"}
    assert one("\n".join(f"{name}={value}" for name, value in shown.items() if name != "command")) == one(lines)
