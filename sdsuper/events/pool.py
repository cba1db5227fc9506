"""A pool's events: which wait, in which order, which are lost. PURE.

Promises: events leave in the order in which they came, a rejected one before all that came after it; nothing is lost
but the oldest when there is no room, and that is counted. Must not: know listeners or pipes. Times are monotonic
seconds, given by the caller.

A rejected event waits before it is given again: 0.1 s, then twice as long each time, at most 10 s. Those behind it
wait, too, for order matters more than speed (Supervisor gives it again at once and without end).
"""

from collections import deque

from sdsuper.events.catalogue import SERIALS, Event

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
#: Bytes of all payloads that wait. A buffer of many events of large output would be more memory than the daemon should
#: ever have.
MOST_BYTES = 64 << 20


class Delivery:
    """An event on its way to a pool's listeners. `after`: not before this time."""

    __slots__ = ("after", "event", "place", "rejections")

    def __init__(self, event: Event, place: int) -> None:
        self.event, self.place = event, place
        self.rejections, self.after = 0, 0.0

    @property
    def serial(self) -> int:
        """The `poolserial`."""
        return self.place % SERIALS


class Pool:
    """The events of one [eventlistener:x]. `dropped` counts those that were lost."""

    def __init__(self, name: str) -> None:
        self.name, self.dropped = name, 0
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._next_place = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def accept(self, event: Event, room: int) -> list[Event]:
        """Queue an event; returns those that had to go, the oldest first."""
        self._waiting.append(Delivery(event, self._next_place))
        self._next_place += 1
        self._bytes += len(event.payload)
        return self._make_room(room)

    def take(self, now: float) -> Delivery | None:
        """The oldest event, unless there is none or it has to wait."""
        if not self._waiting or self._waiting[0].after > now:
            return None
        delivery = self._waiting.popleft()
        self._bytes -= len(delivery.event.payload)
        return delivery

    def give_back(self, delivery: Delivery) -> None:
        """Nobody could be given the event that was just taken."""
        self._insert(delivery)

    def reject(self, delivery: Delivery, now: float, room: int) -> list[Event]:
        """A listener has not done its work: the event is to be given again, later; returns those that had to go."""
        delivery.after = now + min(FIRST_PAUSE * 2 ** min(delivery.rejections, 32), LONGEST_PAUSE)
        delivery.rejections += 1
        self._insert(delivery)
        return self._make_room(room)

    @property
    def next_time(self) -> float | None:
        """When the oldest event may be taken; None: there is none."""
        return self._waiting[0].after if self._waiting else None

    def _insert(self, delivery: Delivery) -> None:
        # before all younger ones: several listeners may reject theirs in any order
        index = 0
        while index < len(self._waiting) and self._waiting[index].place < delivery.place:
            index += 1
        self._waiting.insert(index, delivery)
        self._bytes += len(delivery.event.payload)

    def _make_room(self, room: int) -> list[Event]:
        gone = []
        while len(self._waiting) > room or (self._bytes > MOST_BYTES and len(self._waiting) > 1):
            event = self._waiting.popleft().event
            self._bytes -= len(event.payload)
            gone.append(event)
        self.dropped += len(gone)
        return gone
