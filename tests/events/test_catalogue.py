"""Names, payloads and envelopes, letter by letter those of Supervisor."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sdsuper.config.values import EVENTS
from sdsuper.core.vocabulary import Publish, PublishHealth, State
from sdsuper.events import catalogue
from sdsuper.events.catalogue import SERIALS, Event, covered, envelope

ORIGINAL = Path(__file__).parents[2] / ".venv/original/bin/python"

#: Run with the original's Python: its own classes, for the same happenings.
SCRIPT = """
import json, sys
from supervisor import events
from supervisor.events import EventTypes, getEventNameByType
from supervisor.states import ProcessStates
from supervisor.process import Subprocess

class Thing:
    pass

process, process.group = Thing(), Thing()
process.config, process.group.config = Thing(), Thing()
process.config.name, process.group.config.name, process.pid, process.backoff = "web_0", "site", 4711, 2
states = {number: name for name, number in vars(ProcessStates).items() if name.isupper()}
found = []
for number, name in states.items():
    for expected in (True, False):
        made = Subprocess.event_map[number](process, ProcessStates.RUNNING, expected)
        found.append(["state", [name, expected], getEventNameByType(type(made)), made.payload()])
for data in (b"plain", "h\\u00e4llo\\n".encode(), b"\\xff\\x00'"):
    for made in (events.ProcessLogStdoutEvent(process, 4711, data), events.ProcessLogStderrEvent(process, 4711, data)):
        found.append(["log", [made.channel, data.hex()], getEventNameByType(type(made)), made.payload()])
    for made in (events.ProcessCommunicationStdoutEvent(process, 4711, data),
                 events.ProcessCommunicationStderrEvent(process, 4711, data)):
        found.append(["message", [made.channel, data.hex()], getEventNameByType(type(made)), made.payload()])
for made in (events.ProcessGroupAddedEvent("site"), events.ProcessGroupRemovedEvent("site")):
    found.append(["group", ["site"], getEventNameByType(type(made)), made.payload()])
for made in (events.Tick5Event(1795264610, None), events.Tick60Event(60, None), events.Tick3600Event(0, None)):
    found.append(["tick", [made.period, made.when], getEventNameByType(type(made)), made.payload()])
made = events.RemoteCommunicationEvent("kind", "text\\nmore")
found.append(["remote", ["kind", "text\\nmore"], getEventNameByType(type(made)), made.payload()])
for made in (events.SupervisorRunningEvent(), events.SupervisorStoppingEvent()):
    found.append(["daemon", [], getEventNameByType(type(made)), made.payload()])
types = {name: kind for name, kind in vars(EventTypes).items() if name.isupper()}
covered = {name: sorted(n for n, k in types.items() if issubclass(k, kind)) for name, kind in types.items()}
json.dump([found, covered], sys.stdout)
"""


@pytest.fixture(scope="module")
def original() -> Any:
    done = subprocess.run([ORIGINAL, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ours(kind: str, facts: list[Any]) -> tuple[str, str]:
    """Our name and payload for one of the script's happenings."""
    if kind == "state":
        change = Publish(State.RUNNING, State[facts[0]], 4711, 2, facts[1])
        return catalogue.STATES[change.state], catalogue.of_state("web_0", "site", change)
    if kind == "log":
        data = bytes.fromhex(facts[1])
        return catalogue.LOGS[facts[0]], catalogue.of_log("web_0", "site", 4711, facts[0], data)
    if kind == "message":
        return catalogue.MESSAGES[facts[0]], catalogue.of_message("web_0", "site", 4711, bytes.fromhex(facts[1]))
    if kind == "tick":
        return catalogue.TICKS[facts[0]], catalogue.of_tick(facts[1])
    assert kind == "remote"
    return catalogue.REMOTE, catalogue.of_remote(*facts)


def test_payloads(original: Any) -> None:
    seen = set()
    for kind, facts, name, payload in original[0]:
        seen.add(name)
        if kind == "group":
            assert name in (catalogue.GROUP_ADDED, catalogue.GROUP_REMOVED)
            assert catalogue.of_group(*facts) == payload
        elif kind == "daemon":
            assert (name in (catalogue.RUNNING, catalogue.STOPPING), payload) == (True, "")
        else:
            assert ours(kind, facts) == (name, payload)
    assert seen == covered(("EVENT",)) - {name for name, members in original[1].items() if len(members) > 1}


def test_subscriptions(original: Any) -> None:
    assert set(original[1]) == EVENTS
    for name, members in original[1].items():
        assert covered((name,)) == set(members), name
    assert covered(("TICK_5", "TICK")) == {"TICK", "TICK_5", "TICK_60", "TICK_3600"}


def test_what_is_ours_is_for_those_who_name_it() -> None:
    assert covered(("PROCESS_HEALTH",)) == {"PROCESS_HEALTH"}
    assert "PROCESS_HEALTH" not in covered(("EVENT", "PROCESS_STATE", "PROCESS_GROUP"))
    assert covered(("TICK_5", "PROCESS_HEALTH")) == {"TICK_5", "PROCESS_HEALTH"}
    assert catalogue.of_health("web_0", "site", 7, PublishHealth(3, "healthy", "unhealthy", "HTTP 503")) == (
        "processname:web_0 groupname:site from_health:healthy health:unhealthy pid:7\nHTTP 503")


def test_envelope() -> None:
    event = Event.of("PROCESS_LOG_STDOUT", 21, "groupname:ü\n€")
    head = "ver:3.0 server:supervisor serial:21 pool:listener poolserial:10 eventname:PROCESS_LOG_STDOUT len:"
    assert envelope(event, "supervisor", "listener", 10, False) == f"{head}13\ngroupname:ü\n€".encode()
    assert envelope(event, "supervisor", "listener", 10, True) == f"{head}16\ngroupname:ü\n€".encode()


def test_serials_are_those_of_a_64_bit_python() -> None:
    import sys

    assert sys.maxsize == SERIALS - 1
