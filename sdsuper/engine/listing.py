"""The answer to List: every process as JSON, most of which is the same as last time.

Promises: the fields of the interface's type Process, each call as they are now. A row is made anew when its record, its
logs or what it has left behind or lost changed; only the date and the uptime are put in each time. Must not: choose
processes.
"""

import json
from collections.abc import Callable, Iterable
from time import localtime, monotonic, strftime, time
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sdsuper.control.show import shown, trouble, uptime, waiting
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import Process, State
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.resources import Resources
from sdsuper.engine.trees import Trees

CLOCK_STEP = 0.5       # seconds that the date must have jumped by for the dates of starts and ends to be made again


class Row(NamedTuple):
    """One process as it was: the JSON up to its description, which for a running one has the uptime."""

    process: Process
    paths: tuple[str, str]
    left: int
    lost: int
    frozen: bool
    waits: str
    checked: bool
    next_start: int
    more: str
    text: str
    notes: str


class Listing:
    """The rows of one daemon."""

    def __init__(self, outputs: Outputs, trees: Trees, resources: Resources, next_start: Callable[[Key], int]) -> None:
        self._outputs, self._trees, self._resources, self._next_start = outputs, trees, resources, next_start
        self._rows: WeakKeyDictionary[Slot, Row] = WeakKeyDictionary()
        self._offset = 0.0
        #: what else is to be said of a process
        self.note: Callable[[Slot], str] = lambda _slot: ""

    def text(self, slots: Iterable[Slot]) -> str:
        """The reply of List as JSON."""
        now = monotonic()
        date = time()
        if abs(date - now - self._offset) > CLOCK_STEP:
            self._offset = date - now
            self._rows.clear()
        tail = f'"now":{int(date)}}}'
        uptimes: dict[int, str] = {}
        rows = []
        for slot in slots:
            row = self._row(slot, now)
            process = slot.process
            if process.state is State.RUNNING:
                age = int(now - process.started)
                up = uptimes.get(age)
                if up is None:
                    up = uptimes[age] = uptime(age)
                rows.append(f'{row.text}"description":"pid {process.pid}, uptime {up}{row.notes}",{tail}')
            else:
                rows.append(row.text + tail)
        return f'{{"processes":[{",".join(rows)}]}}'

    def _row(self, slot: Slot, now: float) -> Row:
        outputs, key = self._outputs, slot.key
        left, lost, frozen = self._trees.left_behind(key), outputs.lost(key), self._resources.frozen(key)
        paths = outputs.path(key, "stdout"), outputs.path(key, "stderr")
        waits = waiting(slot.process, slot.config, self._offset)
        known = (slot.process, paths, left, lost, frozen, waits, slot.config.health.shown,
                 self._next_start(key), self.note(slot))
        row = self._rows.get(slot)
        if row is not None and row[:9] == known:
            return row
        row = self._rows[slot] = self._made(slot, *known, now)
        return row

    def _made(self, slot: Slot, process: Process, paths: tuple[str, str], left: int, lost: int, frozen: bool,
              waits: str, checked: bool, next_start: int, more: str, now: float) -> Row:
        fields = shown(slot.config.name, slot.group, process, now, self._offset)
        description = fields.pop("description")
        del fields["now"]
        fields.update(stdout_logfile=paths[0], stderr_logfile=paths[1], leftovers=left, lost_bytes=lost)
        if checked:
            fields.update(health=process.health, ready=process.state is State.RUNNING and process.ready is not False)
        if next_start:
            fields["next_start"] = next_start
        ill = trouble(process)
        notes = [*filter(None, (ill, waits, more))] + ["frozen"] * frozen + [f"{left} left behind"] * bool(left)
        notes += [f"{lost} bytes of output lost"] * bool(lost)
        if next_start:
            notes.append(f"next at {strftime('%Y-%m-%d %H:%M:%S', localtime(next_start)).removesuffix(':00')}")
        if process.state is not State.RUNNING:
            fields["description"] = "; ".join(filter(None, [description, *notes]))
        text = json.dumps(fields, separators=(",", ":"))
        return Row(process, paths, left, lost, frozen, waits, checked, next_start, more, f"{text[:-1]},",
                   "".join(f"; {note}" for note in notes))
