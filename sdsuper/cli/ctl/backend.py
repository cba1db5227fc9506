"""What the commands of ctl need of a daemon, however it is reached.

Only types: this module is imported by type checkers, never at run time. The one implementation is `local.LocalBackend`
(the control socket); another way to the daemon is another class of this shape, and no command changes.
"""

from collections.abc import Iterator
from typing import Any, Protocol


class Log(Protocol):
    """One log file of the daemon's side. Offsets are bytes; a negative one counts from the end."""

    def text(self, offset: int) -> Iterator[bytes]:
        """What the file holds now, from `offset` on."""

    def follow(self, last_bytes: int) -> None:
        """Begin to follow: the first news are the last `last_bytes` of the file."""

    def news(self) -> bytes:
        """What was appended since the last call; empty when nothing was. Rotation and truncation are followed."""

    def close(self) -> None:
        """Let the file go."""


class Backend(Protocol):
    """One daemon. Raises Refusal when it says no, OSError for the connection, ProtocolError for the rest."""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of `io.sdsuper.Control` with its parameters; the reply's parameters."""

    def log(self, name: str | None, channel: str) -> Log:
        """A log of process `name` (`stdout` or `stderr`), or the daemon's own when None."""

    def close(self) -> None:
        """End the connection."""
