"""Supervisor's events: their names, who is whose parent, what they say, and the envelope they travel in. PURE.

Promises: names, payloads and envelopes are those of Supervisor 4.3.0 to the letter (its events.py and process.py are
the source; the documentation differs in places). Must not: know who listens.
"""

from typing import NamedTuple

from sdsuper.config.values import EVENTS, OWN_EVENTS
from sdsuper.core.vocabulary import Publish, PublishHealth, State

RUNNING = "SUPERVISOR_STATE_CHANGE_RUNNING"
STOPPING = "SUPERVISOR_STATE_CHANGE_STOPPING"
GROUP_ADDED = "PROCESS_GROUP_ADDED"
GROUP_REMOVED = "PROCESS_GROUP_REMOVED"
REMOTE = "REMOTE_COMMUNICATION"
HEALTH = "PROCESS_HEALTH"                      # the only one that is ours
STATES = {state: f"PROCESS_STATE_{state.name}" for state in State}
LOGS = {channel: f"PROCESS_LOG_{channel.upper()}" for channel in ("stdout", "stderr")}
MESSAGES = {channel: f"PROCESS_COMMUNICATION_{channel.upper()}" for channel in ("stdout", "stderr")}
TICKS = {period: f"TICK_{period}" for period in (5, 60, 3600)}      # by seconds

SERIALS = 1 << 63      # serials are below this: sys.maxsize of a 64-bit Python is the largest, 0 comes after it


class Event(NamedTuple):
    """Something that happened, as it is told. `serial` counts the events that anybody was told of."""

    name: str
    serial: int
    payload: bytes
    characters: int      # of the payload

    @classmethod
    def of(cls, name: str, serial: int, payload: str) -> "Event":
        """An event from its text, which is kept as bytes: that is never more memory, and often a quarter."""
        return cls(name, serial, payload.encode(), len(payload))


def covered(types: tuple[str, ...]) -> frozenset[str]:
    """The events that a subscription means: a parent stands for all its children, EVENT for everything of Supervisor's.
    What is ours is for those who name it.
    """
    return OWN_EVENTS.intersection(types) | frozenset(
        name for name in EVENTS for wanted in types if wanted in ("EVENT", name) or name.startswith(f"{wanted}_"))


def envelope(event: Event, server: str, pool: str, pool_serial: int, in_bytes: bool) -> bytes:
    """What is written to a listener: the header line, then the payload.

    `len` counts characters as Supervisor does, which suits listeners that read text (Python's, superlance), or bytes.
    """
    length = len(event.payload) if in_bytes else event.characters
    return (f"ver:3.0 server:{server} serial:{event.serial} pool:{pool} poolserial:{pool_serial} "
            f"eventname:{event.name} len:{length}\n").encode() + event.payload


# ---- payloads -----------------------------------------------------------------------------------------------------

def of_state(name: str, group: str, change: Publish) -> str:
    """PROCESS_STATE_*."""
    head = f"processname:{name} groupname:{group} from_state:{change.from_state.name}"
    if change.state in (State.STARTING, State.BACKOFF):
        return f"{head} tries:{change.tries}"
    if change.state is State.EXITED:
        return f"{head} expected:{int(change.expected)} pid:{change.pid}"
    if change.state in (State.FATAL, State.UNKNOWN):
        return head
    return f"{head} pid:{change.pid}"


def of_health(name: str, group: str, pid: int, change: PublishHealth) -> str:
    """PROCESS_HEALTH: words of `Process.health`, and the reason as its text."""
    return (f"processname:{name} groupname:{group} from_health:{change.before} health:{change.health} pid:{pid}\n"
            f"{change.reason}")


def of_log(name: str, group: str, pid: int, channel: str, data: bytes) -> str:
    """PROCESS_LOG_*."""
    return f"processname:{name} groupname:{group} pid:{pid} channel:{channel}\n{_text(data)}"


def of_message(name: str, group: str, pid: int, data: bytes) -> str:
    """PROCESS_COMMUNICATION_*."""
    return f"processname:{name} groupname:{group} pid:{pid}\n{_text(data)}"


def of_group(name: str) -> str:
    """PROCESS_GROUP_*; the only line of key and value that is ended."""
    return f"groupname:{name}\n"


def of_remote(kind: str, data: str) -> str:
    """REMOTE_COMMUNICATION."""
    return f"type:{kind}\n{data}"


def of_tick(when: int) -> str:
    """TICK_*: the beginning of the slice, in seconds since 1970."""
    return f"when:{when}"


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"Undecodable: {data!r}"
