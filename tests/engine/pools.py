"""Sections of listeners (listener.py), and what they have written."""

import json
from pathlib import Path
from typing import Any

from tests.engine.conftest import PYTHON, Daemon

LISTENER = f"{PYTHON} {Path(__file__).with_name('listener.py')}"

NUMBERED = "process_name=%(program_name)s_%(process_num)s"


def pool(name: str, events: str, *options: str, args: str = "", startsecs: int = 0) -> str:
    """A section; its listeners write to {dir}/NAME."""
    return (f"[eventlistener:{name}]\ncommand={LISTENER} {{dir}}/{name} {args}\nevents={events}\n"
            f"startsecs={startsecs}\n" + "".join(f"{option}\n" for option in options))


def got(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """What a pool's listeners have written, the last line only if it is complete."""
    return [json.loads(line) for line in daemon.text(name).split("\n")[:-1]]


def names(daemon: Daemon, name: str) -> list[str]:
    """The same as `EVENT first line of the payload`."""
    return [f"{one['head']['eventname']} {one['payload'].partition(chr(10))[0]}".strip() for one in got(daemon, name)]


def send(daemon: Daemon, *words: str) -> None:
    for word in words:
        daemon.call("SendEvent", type="test", data=word)


def sent(daemon: Daemon, name: str) -> list[str]:
    """The data of the REMOTE_COMMUNICATION events that a pool got, in order."""
    return [one["payload"].partition("\n")[2] for one in got(daemon, name)
            if one["head"]["eventname"] == "REMOTE_COMMUNICATION"]
