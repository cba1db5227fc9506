"""What two configurations differ in, as text: nothing is left out, nothing secret is in it."""

import re

import pytest

from sdsuper.cli.echo_conf import sample
from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.control.differences import CHANGED, Difference, differences, of_group
from sdsuper.errors import ConfigError
from tests.config.fake import HEAD, one, read

#: What one option needs beside it.
NEEDS = {"pidfile": "type=forking", "type": "pidfile=/run/x.pid", "cron_timezone": "cron=@daily",
         "cron_overlap": "cron=@daily", "cron_missed": "cron=@daily", "cron_jitter": "cron=@daily",
         "sched_priority": "sched_policy=rr"}
#: Other than the default, where the sample has that.
OTHERS = {"startsecs": "9", "autostart": "false", "priority": "1", "startretries": "9", "stopsignal": "INT",
          "stopwaitsecs": "77", "exitcodes": "3", "autorestart": "true", "redirect_stderr": "true"}


def texts(found: list[Difference]) -> dict[str, tuple[str | None, str | None]]:
    return {each.option: (each.old, each.new) for each in found}


def options_of_the_sample() -> list[tuple[str, str]]:
    section = sample().partition("[program:theprogramname]")[2].partition("\n[")[0].partition("\n;[")[0]
    found = re.findall(r"^;?([a-zA-Z_]+)=(.*)$", section, re.MULTILINE)
    return [option for option in found if option[0] != "extends"]       # it is none of a process


def test_two_that_are_alike() -> None:
    assert differences(one("startsecs=3"), one("startsecs=3")) == []


@pytest.mark.parametrize(("name", "value"), options_of_the_sample(), ids=lambda text: text[:30])
def test_an_option_that_is_new_is_named(name: str, value: str) -> None:
    before: ProcessConfig = one(NEEDS.get(name, "")) if name not in ("pidfile", "type") else one("")
    try:
        after = one(f"{NEEDS.get(name, '')}\n{name}={OTHERS.get(name, value)}")
    except (ConfigError, ValueError):
        pytest.fail(f"{name}={value} is not accepted alone")
    found = differences(before, after)
    assert bool(found) == (before != after), name
    assert all(each.old != each.new or each.old == CHANGED for each in found)


def test_records_are_named_by_their_options() -> None:
    old, new = one("startsecs=1\nstartretries=3"), one(
        "startsecs=5\nstartretries=unlimited\nready_timeout=7\npre_start_hook=/bin/true\ncron=@daily\nexitcodes=0\n"
        "watchdog_sec=3\nkillwaitsecs=9\nessential=true\nhook_timeout=5")
    found = texts(differences(old, new))
    assert {name: found[name] for name in ("startsecs", "startretries", "ready_timeout", "pre_start_hook", "cron")} == {
        "startsecs": (None, "5"), "startretries": (None, "unlimited"), "ready_timeout": ("0", "7"),
        "pre_start_hook": (None, "/bin/true"), "cron": (None, "@daily")}
    assert {"watchdog_sec", "killwaitsecs", "essential", "hook_timeout"} <= set(found)


def test_nothing_secret_is_shown() -> None:
    old = one('environment=A="1",GONE="hunter2",TOKEN="hunter2"\ncommand=/bin/run --password=hunter2\n'
              "pre_start_hook=https://u:hunter2@x/?z=hunter2\nliveness_check_script=https://x/?token=hunter2")
    new = one('environment=A="1",NEW="hunter3",TOKEN="hunter3"\ncommand=/bin/run --password=hunter3\n'
              "pre_start_hook=https://u:hunter3@x/?z=hunter3\nliveness_check_script=https://x/?token=hunter3")
    found = texts(differences(old, new))
    assert "hunter" not in str(found)
    assert {name: value for name, value in found.items() if name.startswith("environment")} == {
        "environment GONE": (CHANGED, None), "environment NEW": (None, CHANGED),
        "environment TOKEN": (CHANGED, CHANGED)}
    assert found["liveness_check_script"] == found["pre_start_hook"] == found["command"] == (CHANGED, CHANGED)


def test_the_groups_own_options() -> None:
    def group(priority: int) -> GroupConfig:
        (found,) = read(f"{HEAD}[program:x]\ncommand=/bin/cat\n[group:g]\nprograms=x\npriority={priority}\n").groups
        return found

    assert of_group(group(1), group(2)) == [Difference("priority", "priority", "1", "2")]
    assert of_group(group(1), group(1)) == []
