"""`ctl cat`: what a process was asked to be, and what it is."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from .fake_daemon import FakeDaemon

Ctl = Callable[..., CompletedProcess[str]]


#: Written in the program's own section, in another one, and following from others.
WRITTEN = [{"name": "command", "value": "/bin/cat", "file": "/etc/s.conf", "line": 7},
           {"name": "environment", "value": "A=…", "file": "/etc/t.conf", "line": 12, "section": "template:t"},
           {"name": "backoff_max", "value": "60"}]


@pytest.fixture
def shown(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """The fake daemon, with what the real one says for `Cat`."""

    def on_cat(self: FakeDaemon, name: str) -> dict[str, Any]:
        return {"processes": [
            {"name": one["name"], "group": one["group"], "pid": one["pid"], "current": one["name"] != "web_00",
             "options": WRITTEN if one["pid"] else [],
             "in_force": [{"name": "uid", "value": "33"}] if one["pid"] else []} for one in self.find(name)]}

    monkeypatch.setattr(FakeDaemon, "on_Cat", on_cat, raising=False)
    return daemon


def test_cat(shown: FakeDaemon, ctl: Ctl) -> None:
    done = ctl("cat", "cat", "web:web_01", "nope")
    assert (done.stdout, done.returncode) == (
        "nope: ERROR (no such process)\n"
        "cat\n"
        "  options that are not the default\n"
        "    command                  /bin/cat  # /etc/s.conf:7\n"
        "    environment              A=…  # /etc/t.conf:12 [template:t]\n"
        "    backoff_max              60\n"
        "  in force, pid 41\n"
        "    uid                      33\n"
        "web:web_01\n"
        "  options that are not the default\n"
        "    none\n"
        "  does not run\n", 1)


def test_cat_of_files_that_have_changed(shown: FakeDaemon, ctl: Ctl) -> None:
    assert ctl("cat", "web:web_00").stdout.startswith(
        "web:web_00\n  options that are not the default, from files that have changed since (update takes them over)\n")


def test_cat_as_json(shown: FakeDaemon, ctl: Ctl) -> None:
    found = json.loads(ctl("cat", "-o", "json", "all").stdout)
    assert found["schema"] == "sdsuper.cat/1"
    assert [one["name"] for one in found["processes"]] == ["cat", "off", "web_00", "web_01"]
    assert found["processes"][0]["options"] == WRITTEN


def test_cat_of_nothing(shown: FakeDaemon, ctl: Ctl) -> None:
    done = ctl("cat")
    assert done.stdout == "Error: cat requires a process name\n" + ctl("help", "cat").stdout
    assert done.returncode == 1
