"""Commands that wait: a ticket for each process, resolved by what is published about it.

Promises: a ticket is resolved exactly once; nothing polls. Must not: keep a process from going on.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import RESTING_STATES, Publish, State
from sdsuper.errors import FAULTS

#: a publication -> the fault name it settles the matter with (SUCCESS among them), or None to wait on
Judge = Callable[[State], str | None]


def started(state: State) -> str | None:
    """What a start has come to."""
    if state is State.RUNNING:
        return "SUCCESS"
    if state in (State.BACKOFF, State.FATAL):
        return "SPAWN_ERROR"
    return None if state is State.STARTING else "ABNORMAL_TERMINATION"


def stopped(state: State) -> str | None:
    """What a stop has come to."""
    if state is State.UNKNOWN:
        return "FAILED"
    return "SUCCESS" if state in RESTING_STATES else None


def result(slot: Slot, fault: str, description: str = "") -> dict[str, Any]:
    """A Result of the interface."""
    return {"name": slot.config.name, "group": slot.group, "status": FAULTS[fault], "fault": fault,
            "description": description or ("OK" if fault == "SUCCESS" else "")}


class Waiting:
    """The tickets of all processes; an engine's listener."""

    def __init__(self) -> None:
        self._tickets: dict[Key, list[tuple[Judge, Callable[[str], object]]]] = {}

    def add(self, slot: Slot, judge: Judge, settle: Callable[[str], object]) -> None:
        """Call `settle(fault)` when `judge` has one for a coming change. To be called before what causes the change."""
        self._tickets.setdefault(slot.key, []).append((judge, settle))

    def heard(self, slot: Slot, change: Publish) -> None:
        """A change of state was published."""
        tickets = self._tickets.pop(slot.key, None)
        if tickets is None:
            return
        # EXITED is only passed through where a restart follows at once: such a process is not down
        passing = change.state in (State.EXITED, State.FATAL) and not slot.resting
        judged = [(None if passing and judge is stopped else judge(change.state), judge, settle)
                  for judge, settle in tickets]
        left = [(judge, settle) for fault, judge, settle in judged if fault is None]
        if left:
            self._tickets[slot.key] = left
        for fault, _judge, settle in judged:
            if fault is not None:
                settle(fault)

    def stalled(self, slot: Slot) -> None:
        """Nobody knows how long its start will take: who waits for that is told, and it waits on."""
        tickets = self._tickets.pop(slot.key, [])
        left = [(judge, settle) for judge, settle in tickets if judge is not started]
        if left:
            self._tickets[slot.key] = left
        for judge, settle in tickets:
            if judge is started:
                settle("SPAWN_ERROR")

    def gather(self, slots: list[Slot], judge: Judge, done: Callable[[list[str]], object]) -> None:
        """Call `done` with the faults of all, in the order of `slots`, once the last is settled."""
        faults: list[str | None] = [None] * len(slots)
        open_tickets = len(slots)
        if not slots:
            done([])

        def settle(index: int, fault: str) -> None:
            nonlocal open_tickets
            faults[index] = fault
            open_tickets -= 1
            if not open_tickets:
                done([f for f in faults if f is not None])

        for index, slot in enumerate(slots):
            self.add(slot, judge, partial(settle, index))
