"""Taking messages to event listeners out of output: what stands between Supervisor's two tokens. PURE.

Promises: what is not between the tokens is passed on, in order and byte for byte; a token that arrives in pieces is
recognised; of a message the newest `most` bytes count, and no more than twice as many are kept. Must not: know events.
"""

BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"

#: (whether it is a message, the bytes)
Piece = tuple[bool, bytes]


class Capture:
    """One for each stream: it remembers an unfinished message or token."""

    __slots__ = ("_inside", "_message", "_rest")

    def __init__(self) -> None:
        self._inside = False
        self._message = bytearray()
        self._rest = b""               # may be the beginning of a token

    @property
    def holds(self) -> bool:
        """Whether anything is remembered."""
        return self._inside or bool(self._rest)

    def feed(self, data: bytes, most: int) -> list[Piece]:
        """The complete pieces, in order; none is empty but a message."""
        data, most = self._rest + data, max(most, 1)
        pieces: list[Piece] = []
        while True:
            before, token, after = data.partition(END if self._inside else BEGIN)
            if not token:
                break
            self._add(before, most, pieces)
            if self._inside:
                pieces.append((True, bytes(self._message[-most:])))
                self._message.clear()
            self._inside = not self._inside
            data = after
        held = _begun(data, END if self._inside else BEGIN)
        self._rest = data[len(data) - held:]
        self._add(data[:len(data) - held], most, pieces)
        return pieces

    def end(self) -> bytes:
        """What was held back: no more will come. A message without its end was none, and is returned as it came."""
        rest = (BEGIN + bytes(self._message) if self._inside else b"") + self._rest
        self._inside, self._message, self._rest = False, bytearray(), b""
        return rest

    def _add(self, data: bytes, most: int, pieces: list[Piece]) -> None:
        if self._inside:
            self._message += data
            if len(self._message) > 2 * most:           # not each time: it may be a long one that comes in small reads
                del self._message[:-most]
        elif data:
            pieces.append((False, data))


def _begun(data: bytes, token: bytes) -> int:
    """How many bytes at the end of the data may be the beginning of the token."""
    for length in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:length]):
            return length
    return 0
