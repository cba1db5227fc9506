"""A pool's events: their order, what is lost, and how long a rejected one waits."""

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sdsuper.events import pool as module
from sdsuper.events.catalogue import Event
from sdsuper.events.pool import Delivery, Pool


def event(serial: int, payload: str = "") -> Event:
    return Event.of("TICK_5", serial, payload)


def filled(count: int, room: int = 100) -> Pool:
    pool = Pool("p")
    for serial in range(count):
        pool.accept(event(serial), room)
    return pool


def test_the_oldest_comes_first() -> None:
    pool = filled(3)
    taken = [delivery and (delivery.event.serial, delivery.serial) for delivery in (pool.take(0) for _ in range(4))]
    assert taken == [(0, 0), (1, 1), (2, 2), None]
    assert pool.next_time is None


def test_the_oldest_goes_when_there_is_no_room() -> None:
    pool = filled(2, 2)
    assert pool.accept(event(2), 2) == [event(0)]
    assert pool.accept(event(3), 1) == [event(1), event(2)], "room may shrink while the daemon runs"
    assert (len(pool), pool.dropped) == (1, 3)


def test_a_rejected_event_waits_longer_each_time() -> None:
    pool, now, pauses = filled(2), 1000.0, []
    for _ in range(9):
        delivery = pool.take(now)
        assert delivery is not None and delivery.event.serial == 0
        pool.reject(delivery, now, 100)
        assert pool.take(now) is None, "what came later waits behind it"
        assert pool.next_time is not None
        pauses.append(round(pool.next_time - now, 6))
        now = pool.next_time
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_rejected_events_keep_their_order() -> None:
    pool = filled(4)
    first, second, third = (pool.take(0) for _ in range(3))
    assert first and second and third
    for delivery in (second, first, third):
        pool.reject(delivery, 0, 100)
    order = []
    while (delivery := pool.take(1)) is not None:
        order.append(delivery.event.serial)
    assert order == [0, 1, 2, 3]


def test_one_that_nobody_took_is_the_next_again() -> None:
    pool = filled(2)
    delivery = pool.take(0)
    assert delivery is not None
    pool.give_back(delivery)
    again = pool.take(0)
    assert again is delivery and again.rejections == 0


def test_a_rejected_event_is_the_oldest() -> None:
    pool = filled(2, 1)
    delivery = pool.take(0)
    assert delivery is not None and delivery.event.serial == 1
    pool.accept(event(2), 1)
    assert pool.reject(delivery, 0, 1) == [event(1)]


def test_large_payloads_are_bounded() -> None:
    pool, large = Pool("p"), "x" * (1 << 20)
    for serial in range(70):
        pool.accept(event(serial, large), 1 << 31)
    assert len(pool) == module.MOST_BYTES >> 20 and pool.dropped == 6
    for _ in range(len(pool)):
        pool.take(0)
    assert pool.accept(event(99, large * 100), 1 << 31) == [], "one is always taken"


class Life(RuleBasedStateMachine):
    """Listeners of one pool that take, reject and die as they like."""

    @initialize(room=st.integers(1, 6))
    def begin(self, room: int) -> None:
        self.pool, self.room, self.now = Pool("p"), room, 0.0
        self.published = 0
        self.busy: list[Delivery] = []
        self.model: deque[int] = deque()       # the serials that should wait, in order
        self.done: set[int] = set()
        self.lost: set[int] = set()

    def lose(self, gone: list[Event]) -> None:
        for one in gone:
            assert one.serial == self.model.popleft(), "the oldest goes"
            self.lost.add(one.serial)
        assert not gone or len(self.model) == self.room, "only when there is no room"

    @rule()
    def publish(self) -> None:
        self.model.append(self.published)
        gone = self.pool.accept(event(self.published), self.room)
        self.published += 1
        self.lose(gone)

    @rule()
    def take(self) -> None:
        delivery = self.pool.take(self.now)
        if delivery is not None:
            assert delivery.event.serial == self.model.popleft() == delivery.serial
            assert all(other.event.serial != delivery.event.serial for other in self.busy)
            self.busy.append(delivery)
        else:
            assert not self.model or (self.pool.next_time or 0) > self.now

    @rule(data=st.data(), reject=st.booleans())
    def answer(self, data: st.DataObject, reject: bool) -> None:
        if not self.busy:
            return
        delivery = self.busy.pop(data.draw(st.integers(0, len(self.busy) - 1)))
        if reject:
            self.model = deque(sorted([*self.model, delivery.event.serial]))
            self.lose(self.pool.reject(delivery, self.now, self.room))
        else:
            self.done.add(delivery.event.serial)

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(room=st.integers(1, 6))
    def change_room(self, room: int) -> None:
        if room >= len(self.model):
            self.room = room

    @invariant()
    def nothing_is_lost_silently(self) -> None:
        if not hasattr(self, "pool"):
            return
        everywhere = [*self.model, *self.done, *self.lost, *(d.event.serial for d in self.busy)]
        assert sorted(everywhere) == list(range(self.published))
        assert len(self.pool) == len(self.model) <= self.room
        assert self.pool.dropped == len(self.lost)


TestLife = Life.TestCase
