"""What a listener says on its standard output, as a state machine over bytes. PURE.

Promises: Supervisor 4.3.0's states and transitions (dispatchers.py, PEventListenerDispatcher), however the bytes are
cut; no more than a line is ever kept. Must not: know events or pipes.

      ACKNOWLEDGED ── "READY\\n" ──► READY ── an event was sent (`serve`) ──► BUSY ── "RESULT n\\n" and n bytes ──►
      ACKNOWLEDGED; anything else leads to UNKNOWN, and out of that only the end of the run does.
"""

from enum import Enum
from typing import NamedTuple

_READY = b"READY\n"
_RESULT_HEAD = 7              # bytes of "RESULT "; Supervisor skips as many without looking at them
_LONGEST_LINE = 4096          # bytes of a result line; Supervisor has no limit
_OK = b"OK"


class Phase(Enum):
    """Supervisor's listener states."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    READY = "READY"
    BUSY = "BUSY"
    UNKNOWN = "UNKNOWN"


class News(Enum):
    """What has come of the listener's words."""

    READY = "ready"           # it waits for an event
    ACCEPTED = "accepted"     # it has done its work
    REJECTED = "rejected"     # it wants the event to be given again
    BROKEN = "broken"         # it does not speak the protocol; an event it was busy with is rejected


class Said(NamedTuple):
    """One piece of news; `words` are what it sent where that is wrong."""

    news: News
    words: bytes = b""


class Conversation:
    """One run of a listener. `feed` takes its output, `serve` says that it was sent an event."""

    __slots__ = ("_answer", "_missing", "_rest", "phase")

    def __init__(self) -> None:
        self.phase = Phase.ACKNOWLEDGED
        self._rest = b""
        self._missing: int | None = None      # bytes of the result that are to come; None: its line is not complete
        self._answer = b""

    def serve(self) -> None:
        """READY to BUSY."""
        assert self.phase is Phase.READY
        self.phase = Phase.BUSY

    def feed(self, data: bytes) -> list[Said]:
        """Take output; returns what it means, in order."""
        if self.phase is Phase.UNKNOWN:
            return []
        self._rest += data
        found: list[Said] = []
        while self._rest:
            said = self._step()
            if said is None:
                break
            found.append(said)
        return found

    def _step(self) -> Said | None:
        """The next piece of news, or None: the rest is not enough for one."""
        if self.phase is Phase.BUSY:
            return self._result()
        if self.phase is Phase.READY:
            return self._break(self._rest)           # nobody has asked it anything
        if len(self._rest) < len(_READY):
            return None
        if not self._rest.startswith(_READY):
            return self._break(self._rest)
        self._rest = self._rest[len(_READY):]
        self.phase = Phase.READY
        return Said(News.READY)

    def _result(self) -> Said | None:
        if self._missing is None:
            line, newline, rest = self._rest.partition(b"\n")
            if not newline and len(line) <= _LONGEST_LINE:
                return None
            try:
                self._missing = int(line[_RESULT_HEAD:])
            except ValueError:
                return self._break(line)
            if self._missing < 0 or not newline:
                return self._break(line)
            self._rest, self._answer = rest, b""
        part = self._rest[:self._missing]
        most = len(_OK) + 1                          # more of it is not needed to judge it
        self._answer = (self._answer + part[:most])[:most]
        self._rest = self._rest[len(part):]
        self._missing -= len(part)
        if self._missing:
            return None
        self._missing = None
        self.phase = Phase.ACKNOWLEDGED
        return Said(News.ACCEPTED if self._answer == _OK else News.REJECTED)

    def _break(self, words: bytes) -> Said:
        self.phase, self._rest, self._missing = Phase.UNKNOWN, b"", None
        return Said(News.BROKEN, words)
