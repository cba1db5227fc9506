"""The daemon's own log.

Promises: Supervisor's lines (`2026-11-21 04:28:21,946 INFO message`, local time), in order, in every destination; lines
written in one turn of the loop leave together. Must not: raise, or lose a line that was followed by `flush`.
"""

from collections.abc import Sequence
from time import localtime, strftime, time

from sdsuper.logs.sinks import FileSink, Sink

#: name -> (number, what the line says)
LEVELS = {"critical": (50, "CRIT"), "error": (40, "ERRO"), "warn": (30, "WARN"), "info": (20, "INFO"),
          "debug": (10, "DEBG"), "trace": (5, "TRAC"), "blather": (3, "BLAT")}


class MainLog:
    """Lines above `level` go to `sinks`; as long as there are none, they wait."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.sinks: Sequence[Sink] = ()
        self._lines: list[str] = []
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

    def write(self, level: str, text: str) -> None:
        """Add a line."""
        number, word = LEVELS[level]
        if number < self._least:
            return
        now = time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, strftime("%Y-%m-%d %H:%M:%S", localtime(second))
        self._lines.append(f"{self._stamp},{int((now - second) * 1000):03d} {word} {text}\n")

    def flush(self) -> None:
        """Hand the lines to the sinks."""
        if not self._lines or not self.sinks:
            return
        data = memoryview("".join(self._lines).encode(errors="backslashreplace"))
        self._lines.clear()
        for sink in self.sinks:
            sink.write(data)

    def reopen(self) -> None:
        """Close and open the files by name."""
        self.flush()
        for sink in self.sinks:
            sink.reopen()

    @property
    def file(self) -> FileSink | None:
        """The log file, if it is one."""
        return next((s for s in self.sinks if isinstance(s, FileSink)), None)
