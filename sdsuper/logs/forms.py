"""Output with dates, prefixes, or as JSON, a line at a time, on its way to a file, a console or memory.

Promises: a line is written whole, so that lines of several programs in one file are not mixed; the last one may come
without a newline and gets one. Every line is valid UTF-8 and valid JSON where JSON is asked for: bytes that are none
are written `\\xNN`. Must not: hold back a complete line, or be in the way of output that is wanted as it came.
"""

from collections.abc import Callable
from json import dumps
from time import localtime, strftime, time

from sdsuper.config.model import ISO, Form
from sdsuper.logs.journal import LONGEST
from sdsuper.logs.messages import whole
from sdsuper.logs.sinks import ConsoleSink, Sink


def rfc3339(now: float, digits: int) -> str:
    """The local date of a time in seconds since the epoch, `2026-11-21T18:49:30.123+01:00`, with 3 or 6 digits."""
    micros = int(now * 1_000_000)
    local = localtime(micros // 1_000_000)
    offset = local.tm_gmtoff // 60
    sign, offset = ("-", -offset) if offset < 0 else ("+", offset)
    return (f"{strftime('%Y-%m-%dT%H:%M:%S', local)}.{micros % 1_000_000:06d}"[:20 + digits]
            + f"{sign}{offset // 60:02d}:{offset % 60:02d}")


def stamp(form: str, now: float) -> str:
    """A date as `Form.timestamp` has it."""
    if form == ISO:
        return rfc3339(now, 3)
    micros = int(now * 1_000_000)
    if "%f" in form or "%L" in form:
        parts = [part.replace("%f", f"{micros % 1_000_000:06d}").replace("%L", f"{micros // 1000 % 1000:03d}")
                 for part in form.split("%%")]
        form = "%%".join(parts)
    return strftime(form, localtime(micros // 1_000_000))


class FormedSink(Sink):
    """What one run writes on one stream, on its way to `sink`. `fields` are those of each object of JSON."""

    __slots__ = ("_cut", "_fields", "_form", "_head", "_part", "_sink")

    def __init__(self, sink: Sink, form: Form, fields: dict[str, object]) -> None:
        super().__init__(lambda _text: None)
        self._sink, self._form, self._fields = sink, form, fields
        self._part, self._cut = b"", False
        self._head = f",{dumps(fields, ensure_ascii=False, separators=(',', ':'))[1:-1]}"

    def begin(self, pid: int) -> None:
        """The objects name it."""
        self._fields["pid"] = pid
        self._head = f",{dumps(self._fields, ensure_ascii=False, separators=(',', ':'))[1:-1]}"

    def write(self, data: memoryview) -> None:
        """Write the complete lines and keep the rest until it is complete, or longer than a line may be."""
        *lines, rest = (self._part + data).split(b"\n")
        date = self._date()
        done: list[bytes] = []
        for line in lines:
            done.append(self._made(self._pieces(line, date, done), date, ""))
            self._cut = False
        self._part = self._pieces(rest, date, done)
        if done:
            self._sink.write(memoryview(b"".join(done)))

    def end(self) -> None:
        """The stream has ended: the last line has no newline."""
        if self._part:
            self._sink.write(memoryview(self._made(self._part, self._date(), "eof")))
            self._part, self._cut = b"", False

    @property
    def full(self) -> bool:
        """See `Sink.full`."""
        return self._sink.full

    @property
    def console(self) -> ConsoleSink | None:
        """See `Sink.console`."""
        return self._sink.console

    def park(self, resume: Callable[[], object]) -> None:
        """See `Sink.park`."""
        self._sink.park(resume)

    def _date(self) -> str:
        if not self._form.json:
            return f"{stamp(self._form.timestamp, time())} " if self._form.timestamp else ""
        return stamp(self._form.timestamp, time()) if self._form.timestamp else rfc3339(time(), 6)

    def _pieces(self, line: bytes, date: str, done: list[bytes]) -> bytes:
        while len(line) > LONGEST:
            end = whole(line, LONGEST)
            done.append(self._made(line[:end], date, "line-max"))
            self._cut = True
            line = line[end:]
        return line

    def _made(self, line: bytes, date: str, why: str) -> bytes:
        """A line as it is written. `why` it ends here, if not by its newline."""
        if self._form.json:
            text = dumps(line.decode(errors="backslashreplace"), ensure_ascii=False)
            broken = f',"break":"{why}"' if why else ""
            return f'{{"time":{dumps(date)}{self._head}{broken},"message":{text}}}\n'.encode()
        head = "" if self._cut else date + (f"{self._form.prefix} " if self._form.prefix else "")
        return head.encode() + line + (b"" if why == "line-max" else b"\n")     # a long line stays one in plain text
