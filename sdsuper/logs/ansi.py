"""Taking terminal control sequences out of output (`strip_ansi`). PURE.

Promises: what stays is byte for byte what the program wrote; a sequence that arrives in two pieces is recognised.
Sequences: ECMA-48 CSI (`ESC [ parameters final`), OSC (`ESC ] … BEL` or `ESC \\`), and two-byte escapes.
"""

_LONGEST = 4096      # bytes of an unfinished sequence that are held back; more is no sequence and is let through


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
            if done < 0:
                if len(data) - at > _LONGEST:
                    out.append(data[at:])
                else:
                    self._rest = data[at:]
                return b"".join(out)
            at = data.find(b"\x1b", done)
        out.append(data[done:])
        return b"".join(out)


def _end_of_sequence(data: bytes, at: int) -> int:
    """The offset after the sequence that begins at `at`; -1 where it is not complete."""
    if at + 1 >= len(data):
        return -1
    kind = data[at + 1]
    if kind == 0x5B:                                   # CSI: until a final byte
        for i in range(at + 2, len(data)):
            if 0x40 <= data[i] <= 0x7E:
                return i + 1
            if not 0x20 <= data[i] <= 0x3F:
                return i                               # not a sequence after all: only the introducer goes
        return -1
    if kind == 0x5D:                                   # OSC: until BEL or ST
        bell, terminator = data.find(b"\x07", at), data.find(b"\x1b\\", at + 2)
        ends = [end for end in (bell + 1 if bell >= 0 else 0, terminator + 2 if terminator >= 0 else 0) if end]
        return min(ends) if ends else -1
    return at + 2 if 0x40 <= kind <= 0x5F else at + 1
