"""`ctl cat`: what a process was asked to be, and what it is."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from .fake_daemon import FakeDaemon

Ctl = Callable[..., CompletedProcess[str]]


@pytest.fixture
def shown(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """The fake daemon, with what the real one says for `Cat`."""

    def on_cat(self: FakeDaemon, name: str) -> dict[str, Any]:
        return {"processes": [
            {"name": one["name"], "group": one["group"], "pid": one["pid"],
             "options": [{"name": "command", "value": "/bin/cat"}] if one["pid"] else [],
             "in_force": [{"name": "uid", "value": "33"}] if one["pid"] else []} for one in self.find(name)]}

    monkeypatch.setattr(FakeDaemon, "on_Cat", on_cat, raising=False)
    return daemon


def test_cat(shown: FakeDaemon, ctl: Ctl) -> None:
    done = ctl("cat", "cat", "web:web_01", "nope")
    assert (done.stdout, done.returncode) == (
        "nope: ERROR (no such process)\n"
        "cat\n"
        "  options that are not the default\n"
        "    command                  /bin/cat\n"
        "  in force, pid 41\n"
        "    uid                      33\n"
        "web:web_01\n"
        "  options that are not the default\n"
        "    none\n"
        "  does not run\n", 1)


def test_cat_as_json(shown: FakeDaemon, ctl: Ctl) -> None:
    found = json.loads(ctl("cat", "-o", "json", "all").stdout)
    assert found["schema"] == "sdsuper.cat/1"
    assert [one["name"] for one in found["processes"]] == ["cat", "off", "web_00", "web_01"]


def test_cat_of_nothing(shown: FakeDaemon, ctl: Ctl) -> None:
    done = ctl("cat")
    assert done.stdout == "Error: cat requires a process name\n" + ctl("help", "cat").stdout
    assert done.returncode == 1
