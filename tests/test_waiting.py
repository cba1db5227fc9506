"""Commands that wait: each ticket is settled once, by the first publication that decides the matter."""

import pytest

from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import RESTING_STATES, Process, Publish, State
from sdsuper.engine.waiting import Waiting, result, started, stopped
from tests.core.story import policy


def slot(name: str, state: State = State.STARTING) -> Slot:
    made = Slot("group", policy(name=name))
    made.process = Process(state)
    return made


def publish(waiting: Waiting, where: Slot, state: State) -> None:
    before, where.process = where.process.state, Process(state)
    waiting.heard(where, Publish(before, state, 0, 0, True))


@pytest.mark.parametrize(("state", "fault"), [
    (State.STARTING, None), (State.RUNNING, "SUCCESS"), (State.BACKOFF, "SPAWN_ERROR"), (State.FATAL, "SPAWN_ERROR"),
    (State.EXITED, "ABNORMAL_TERMINATION"), (State.STOPPING, "ABNORMAL_TERMINATION"),
    (State.STOPPED, "ABNORMAL_TERMINATION"), (State.UNKNOWN, "ABNORMAL_TERMINATION"),
])
def test_what_a_start_comes_to(state: State, fault: str | None) -> None:
    assert started(state) == fault


@pytest.mark.parametrize("state", State)
def test_what_a_stop_comes_to(state: State) -> None:
    expected = "FAILED" if state is State.UNKNOWN else "SUCCESS" if state in RESTING_STATES else None
    assert stopped(state) == expected


def test_a_ticket_is_settled_once() -> None:
    waiting, web, said = Waiting(), slot("web"), []
    waiting.add(web, started, said.append)
    publish(waiting, web, State.STARTING)
    assert said == []
    publish(waiting, web, State.RUNNING)
    publish(waiting, web, State.FATAL)
    assert said == ["SUCCESS"]


def test_what_was_before_the_ticket_does_not_count() -> None:
    """A start that is still in the engine's queue must not be judged by the state of the run before."""
    waiting, web, said = Waiting(), slot("web", State.EXITED), []
    waiting.add(web, started, said.append)
    assert said == []
    publish(waiting, web, State.STARTING)
    publish(waiting, web, State.RUNNING)
    assert said == ["SUCCESS"]


def test_tickets_of_one_process_are_judged_each_by_itself() -> None:
    waiting, web = Waiting(), slot("web")
    starts, stops = [], []
    waiting.add(web, started, starts.append)
    waiting.add(web, stopped, stops.append)
    waiting.add(web, started, starts.append)
    publish(waiting, web, State.RUNNING)
    assert (starts, stops) == (["SUCCESS"] * 2, [])
    publish(waiting, web, State.STOPPING)
    publish(waiting, web, State.STOPPED)
    assert (starts, stops) == (["SUCCESS"] * 2, ["SUCCESS"])


def test_only_the_process_it_is_about() -> None:
    waiting, web, other, said = Waiting(), slot("web"), slot("other"), []
    waiting.add(web, started, said.append)
    publish(waiting, other, State.RUNNING)
    assert said == []


def test_a_new_ticket_from_within_an_answer() -> None:
    """Restart: what begins the start waits for it in the same publication."""
    waiting, web, said = Waiting(), slot("web", State.STOPPING), []

    def start(fault: str) -> None:
        said.append(fault)
        web.process = Process(State.STARTING)
        waiting.add(web, started, said.append)

    waiting.add(web, stopped, start)
    publish(waiting, web, State.STOPPED)
    publish(waiting, web, State.RUNNING)
    assert said == ["SUCCESS", "SUCCESS"]


def test_gathered_in_order_when_the_last_is_settled() -> None:
    waiting, done = Waiting(), []
    slots = [slot("a"), slot("b"), slot("c")]
    waiting.gather(slots, started, done.append)
    publish(waiting, slots[2], State.BACKOFF)
    publish(waiting, slots[1], State.RUNNING)
    assert done == []
    publish(waiting, slots[0], State.RUNNING)
    assert done == [["SUCCESS", "SUCCESS", "SPAWN_ERROR"]]


def test_nothing_to_gather_is_done_at_once() -> None:
    waiting, done = Waiting(), []
    waiting.gather([], started, done.append)
    assert done == [[]]


def test_results() -> None:
    web = slot("web")
    assert result(web, "SUCCESS") == {"name": "web", "group": "group", "status": 80, "fault": "SUCCESS",
                                      "description": "OK"}
    assert result(web, "SPAWN_ERROR", "no such file")["description"] == "no such file"
    assert result(web, "NOT_RUNNING") == {"name": "web", "group": "group", "status": 70, "fault": "NOT_RUNNING",
                                          "description": ""}
