"""Clients that are told of events as they happen.

Promises: who reads too slowly loses events and is told how many; nobody waits for a reader. Where nobody subscribes it
costs nothing. Must not: make events (announce.py does).
"""

from collections.abc import Callable
from time import time
from typing import Any

from sdsuper.control.server import SERVICE, Call
from sdsuper.errors import Refusal
from sdsuper.events.catalogue import covered

#: What is meant when nothing is named: all but the ticks, and the output of programs.
USUAL = ("PROCESS_STATE", "PROCESS_HEALTH", "PROCESS_GROUP", "PROCESS_COMMUNICATION", "PROCESS_LOG",
         "SUPERVISOR_STATE_CHANGE", "REMOTE_COMMUNICATION")


class _Subscriber:
    """One client, and what it has missed."""

    __slots__ = ("call", "lost")

    def __init__(self, call: Call) -> None:
        self.call, self.lost = call, 0

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event, if there is room for it."""
        if self.call.send({**event, "lost": self.lost}):
            self.lost = 0
        else:
            self.lost += 1


class Subscriptions:
    """All subscribers of one daemon. `changed` is called when other events are wanted."""

    def __init__(self) -> None:
        self._wanted: dict[str, list[_Subscriber]] = {}
        self.changed: Callable[[], object] = lambda: None

    def wants(self, name: str) -> bool:
        """Whether anybody subscribes to the event."""
        return name in self._wanted

    def publish(self, name: str, payload: str) -> None:
        """Tell everybody who subscribes to the event."""
        subscribers = self._wanted.get(name)
        if subscribers:
            event = {"event": name, "time": int(time()), "payload": payload}
            for subscriber in tuple(subscribers):
                subscriber.tell(event)

    def subscribe(self, call: Call) -> None:
        """The command Subscribe."""
        if not call.more:
            call.error(f"{SERVICE}.ExpectedMore", {})
            return
        types = call.parameters.get("types") or USUAL
        for kind in types:
            if not covered((kind,)):
                raise Refusal("BAD_ARGUMENTS", f"types: no such event: {kind!r}")
        subscriber = _Subscriber(call)
        names = covered(tuple(types))
        for name in names:
            self._wanted.setdefault(name, []).append(subscriber)
        call.when_gone(lambda: self._end(subscriber))
        self.changed()
        call.send({"time": int(time()), "payload": "", "lost": 0})

    def _end(self, subscriber: _Subscriber) -> None:
        for name in [name for name, subscribers in self._wanted.items() if subscriber in subscribers]:
            self._wanted[name].remove(subscriber)
            if not self._wanted[name]:
                del self._wanted[name]
        self.changed()
