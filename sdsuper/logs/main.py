"""The daemon's own log.

Promises: Supervisor's lines (`2026-11-21 04:28:21,946 INFO message`, local time), in order, in every destination; lines
written in one turn of the loop leave together. In the journal and on syslog servers, which have dates and levels of
their own, they are entries with fields. Must not: raise, or lose a line that was followed by `flush`.
"""

from collections.abc import Sequence
from time import localtime, strftime, time
from typing import Protocol

from sdsuper.logs.journal import Fields
from sdsuper.logs.sinks import FileSink, Sink

#: name -> (number, what the line says)
LEVELS = {"critical": (50, "CRIT"), "error": (40, "ERRO"), "warn": (30, "WARN"), "info": (20, "INFO"),
          "debug": (10, "DEBG"), "trace": (5, "TRAC"), "blather": (3, "BLAT")}
_NONE: Fields = {}
#: Level, text, fields; what an entry about a change of state says until a line about the same process follows.
Entry = tuple[str, str, Fields]


class Entries(Protocol):
    """What takes lines with fields: the journal, or a syslog server."""

    def add(self, level: str, text: str, fields: Fields) -> None:
        """One of them."""


class MainLog:
    """Lines above `level` go to `sinks` and to `entries`; as long as there is neither, they wait."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.sinks: Sequence[Sink] = ()
        self.entries: Sequence[Entries] = ()
        self._lines: list[str] = []
        self._waiting: list[Entry] = []
        self._change = False            # the last of the entries tells of a change, and nothing has been said of it
        self._second, self._stamp = 0, ""

    @property
    def level(self) -> str:
        """The least important level that is written."""
        return self._level

    @level.setter
    def level(self, name: str) -> None:
        self._level = name
        self._least = LEVELS[name][0]

    def takes(self, level: str) -> bool:
        """Whether lines of this level are written at all."""
        return LEVELS[level][0] >= self._least

    def write(self, level: str, text: str, fields: Fields = _NONE) -> None:
        """Add a line; `fields` are for the journal and servers."""
        number, word = LEVELS[level]
        if number < self._least:
            return
        if self.entries or not self.sinks:
            self._add_entry(level, text, fields)
            if self.entries and not self.sinks:
                return
        now = time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, strftime("%Y-%m-%d %H:%M:%S", localtime(second))
        self._lines.append(f"{self._stamp},{int((now - second) * 1000):03d} {word} {text}\n")

    def write_change(self, level: str, text: str, fields: Fields) -> None:
        """An entry for the journal and servers alone: a change of state of a process. The next line, if it is about the
        same process, is said by it instead of `text`.
        """
        if self.takes(level):
            self._waiting.append((level, text, fields))
            self._change = True

    def _add_entry(self, level: str, text: str, fields: Fields) -> None:
        if self._change and fields:
            before, _text, change = self._waiting[-1]
            if all(fields.get(key) == change[key] for key in ("SDSUPER_GROUP", "SDSUPER_PROCESS")):
                worse = before if LEVELS[before] > LEVELS[level] else level
                level, fields = worse, change
                del self._waiting[-1]
        self._waiting.append((level, text, fields))
        self._change = False

    def flush(self) -> None:
        """Hand the lines to the sinks, and entries to who takes them."""
        if not self.sinks and not self.entries:
            return
        if self._lines and self.sinks:
            data = memoryview("".join(self._lines).encode(errors="backslashreplace"))
            for sink in self.sinks:
                sink.write(data)
        self._lines.clear()
        if self._waiting:
            for taker in self.entries:
                for entry in self._waiting:
                    taker.add(*entry)
            self._waiting.clear()
            self._change = False

    def reopen(self) -> None:
        """Close and open the files by name."""
        self.flush()
        for sink in self.sinks:
            sink.reopen()

    @property
    def files(self) -> list[FileSink]:
        """The sinks that are files; clients read the first."""
        return [sink for sink in self.sinks if isinstance(sink, FileSink)]
