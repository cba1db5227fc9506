"""Names, orders and deadlines of the roster."""

import pytest

from sdsuper.config.lifecycle import Readiness, ReadyKind
from sdsuper.config.model import GroupConfig, GroupKind
from sdsuper.core.roster import Roster, StopOrder
from sdsuper.core.slot import display_name
from sdsuper.core.vocabulary import Exit, Exited, Spawned, Start, State, Stop
from sdsuper.errors import Refusal
from tests.core.story import policy


def roster(*groups: tuple[str, int, list[tuple[str, int]]]) -> Roster:
    made = Roster()
    for name, priority, processes in groups:
        configs = tuple(policy(name=process, priority=own) for process, own in processes)
        made.set_group(GroupConfig(name, GroupKind.PROGRAM, priority, configs))
    return made


SITE = (("web", 5, [("web", 5)]), ("db", 1, [("db", 1)]), ("pool", 9, [("w_1", 2), ("w_0", 2), ("first", 1)]))


def names(slots: object) -> list[str]:
    return [display_name(*slot.key) for slot in slots]  # type: ignore[attr-defined]


def test_start_order_is_priority_then_name() -> None:
    assert names(roster(*SITE)) == ["db", "web", "pool:first", "pool:w_0", "pool:w_1"]


@pytest.mark.parametrize(("name", "meant", "single"), [
    ("web", ["web"], True), ("web:web", ["web"], True), ("pool:w_0", ["pool:w_0"], True),
    ("pool:*", ["pool:first", "pool:w_0", "pool:w_1"], False), ("pool:", ["pool:first", "pool:w_0", "pool:w_1"], False),
    ("all", ["db", "web", "pool:first", "pool:w_0", "pool:w_1"], False), ("*:w_?", ["pool:w_0", "pool:w_1"], False),
    ("w*", ["web"], False), ("[dw]*", ["db", "web"], False), ("web:*", ["web"], False),
])
def test_what_a_name_means(name: str, meant: list[str], single: bool) -> None:
    selection = roster(*SITE).select(name)
    assert (names(selection.slots), selection.single) == (meant, single)


@pytest.mark.parametrize("name", ["", "pool", "nosuch", "nosuch:*", "pool:w_9", "x*", "w_0", ":", "*:*:*"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        roster(*SITE).select(name)
    assert (refusal.value.fault, refusal.value.detail) == ("BAD_NAME", name)


def test_only_the_newest_deadline_of_a_process_counts() -> None:
    made = roster(("a", 1, [("a", 1)]), ("b", 1, [("b", 1)]))
    a, b = made
    for slot, now in ((a, 0.0), (b, 0.5)):
        made.feed(slot, Start(), now)
        made.feed(slot, Spawned(1, 7), now)
    assert made.next_deadline() == 1.0
    made.feed(a, Exited(1, Exit(1)), 0.9)
    assert made.next_deadline() == 1.5, "the time of a run that is over is forgotten"
    assert [slot.key for slot, _ in made.due(1.95)] == [("b", "b"), ("a", "a")]
    assert made.next_deadline() is None, "each is told once"


def test_a_deadline_for_the_very_moment_of_the_last_one_is_told_as_well() -> None:
    made = Roster()
    config = policy(name="a", stopwaitsecs=0, readiness=Readiness(ReadyKind.NOTIFY, timeout=3))
    made.set_group(GroupConfig("a", GroupKind.PROGRAM, 1, (config,)))
    (a,) = made
    made.feed(a, Start(), 0.0)
    made.feed(a, Spawned(1, 7), 0.0)
    ((_slot, elapsed),) = made.due(3.0)
    made.feed(a, elapsed, 3.0)
    assert (a.process.state, a.process.deadline, made.next_deadline()) == (State.STOPPING, 3.0, 3.0)


def test_news_of_a_deadline_that_holds_no_more_does_not_climb_the_ladder() -> None:
    made = roster(("a", 1, [("a", 1)]))
    (a,) = made
    made.feed(a, Start(), 0.0)
    made.feed(a, Spawned(1, 7), 0.0)
    ((_slot, elapsed),) = made.due(1.0)
    made.feed(a, Stop(), 1.0)                   # was before it in the queue
    assert made.feed(a, elapsed, 1.0) == [] and a.process.rung == 1
    ((_slot, elapsed),) = made.due(11.0)
    assert made.feed(a, elapsed, 11.0) and a.process.rung == 2


def test_a_group_that_is_gone_wants_nothing() -> None:
    made = roster(("a", 1, [("a", 1)]))
    (slot,) = made
    made.feed(slot, Start(), 0.0)
    made.feed(slot, Spawned(1, 7), 0.0)
    made.feed(slot, Stop(), 0.0)
    made.feed(slot, Exited(1, Exit(0)), 0.1)
    made.remove_group("a")
    assert made.next_deadline() is None
    assert len(made) == 0


def test_a_new_configuration_holds_from_the_next_step_on() -> None:
    made = roster(("a", 1, [("a", 1)]))
    (slot,) = made
    made.set_process("a", policy(name="a", startsecs=50))
    made.feed(slot, Start(), 0.0)
    made.feed(slot, Spawned(1, 7), 0.0)
    assert made.next_deadline() == 50.0
    assert made.set_process("a", policy(name="b")).process.state is State.STOPPED
    assert len(made) == 2
    made.remove_process(("a", "b"))
    assert len(made) == 1


def test_equal_priorities_stop_together_and_higher_ones_first() -> None:
    made = roster(("db", 1, [("db", 1)]), ("a", 9, [("a", 1)]), ("b", 9, [("b", 1)]), ("down", 5, [("down", 1)]))
    for slot in made:
        if slot.group != "down":
            made.feed(slot, Start(), 0.0)
            made.feed(slot, Spawned(1, 7), 0.0)
    order = StopOrder(made, made)
    first = order.next()
    assert names(first) == ["b", "a"]
    for slot in first:
        made.feed(slot, Stop(), 1.0)
        made.feed(slot, Exited(1, Exit(0)), 1.0)
    assert order.done(first[0]) == []
    assert names(order.waiting) == ["a"]
    last = order.done(first[1])
    assert names(last) == ["db"]
    assert not order.finished
    made.feed(last[0], Stop(), 1.0)
    made.feed(last[0], Exited(1, Exit(0)), 1.0)
    assert order.done(last[0]) == []
    assert order.finished
