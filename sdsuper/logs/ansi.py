"""Taking terminal control sequences out of output (`strip_ansi`). PURE.

Promises: what stays is byte for byte what the program wrote; a sequence that arrives in two pieces is recognised.
Sequences: ECMA-48 CSI (`ESC [ parameters final`), OSC (`ESC ] … BEL` or `ESC \\`), and the short escapes of ECMA-35
(`ESC c`, `ESC ( B`, which is half of what `tput sgr0` prints).
"""

_LONGEST = 4096      # bytes of a sequence; what is longer is none and is let through, so no more is ever held back


class AnsiStripper:
    """One for each stream: it remembers an unfinished sequence."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The data without its sequences."""
        data = self._rest + data
        self._rest = b""
        at = data.find(b"\x1b")
        if at < 0:
            return data
        out, done = [], 0
        while at >= 0:
            out.append(data[done:at])
            done = _end_of_sequence(data, at)
            if done < 0 and len(data) - at < _LONGEST:
                self._rest = data[at:]
                return b"".join(out)
            if done < 0:
                out.append(b"\x1b")
                done = at + 1
            at = data.find(b"\x1b", done)
        out.append(data[done:])
        return b"".join(out)

    def end(self) -> bytes:
        """What was held back: nothing can follow that would have made it a sequence."""
        rest, self._rest = self._rest, b""
        return rest


def _end_of_sequence(data: bytes, at: int) -> int:
    """The offset after the sequence that begins at `at`; -1 where it is not complete, or too long to be one."""
    limit = min(len(data), at + _LONGEST)
    if at + 1 >= limit:
        return -1
    kind = data[at + 1]
    if kind == 0x5D:                                   # OSC: until BEL or ST
        escape = data.find(b"\x1b", at + 2, limit)
        bell = data.find(b"\x07", at + 2, escape if escape >= 0 else limit)
        if bell >= 0:
            return bell + 1
        if escape < 0 or escape + 1 >= limit:
            return -1
        return escape + 2 if data[escape + 1] == 0x5C else at + 2
    if kind == 0x5B:
        begin, least, middle = at + 2, 0x40, 0x3F      # CSI: parameters, then a final byte
    else:
        begin, least, middle = at + 1, 0x30, 0x2F      # ESC, intermediate bytes, a final byte
    for i in range(begin, limit):
        if least <= data[i] <= 0x7E:
            return i + 1
        if not 0x20 <= data[i] <= middle:
            return i                                   # not a sequence after all: only what looked like one goes
    return -1
