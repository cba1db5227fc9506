"""What the commands of ctl need of a daemon, however it is reached.

Only types: this module is imported by type checkers, never at run time. The implementations are `local.LocalBackend`
(the control socket) and `remote.RemoteBackend` (XML-RPC); no command knows which it has.
"""

from collections.abc import Iterator
from typing import Any, Protocol


class Log(Protocol):
    """One log file of the daemon's side. Offsets are bytes; a negative one counts from the end. Each method may raise
    what `Backend.log` raises.
    """

    def text(self, offset: int) -> Iterator[bytes]:
        """What the file holds now, from `offset` on."""

    def follow(self, last_bytes: int) -> None:
        """Begin to follow: the first news are the last `last_bytes` of the file."""

    def news(self) -> bytes:
        """What was appended since the last call; empty when nothing was. Rotation and truncation are followed."""

    def ended(self) -> bool:
        """Whether nothing can come any more, the daemon being gone. To be asked when there was no news for a while."""

    def close(self) -> None:
        """Let the file go."""


class Backend(Protocol):
    """One daemon. Raises Refusal when it says no, OSError for the connection, ProtocolError for the rest. An error with
    an `errcode` of 401 says that the server wants a user and a password.
    """

    #: How long after an input what it brings may take to be in a followed log.
    settle_seconds: float

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of `io.sdsuper.Control` with its parameters; the reply's parameters."""

    def reload(self) -> None:
        """What supervisorctl's `reload` asks for: all of the configuration, anew."""

    def log(self, name: str | None, channel: str) -> Log:
        """A log of process `name` (`stdout` or `stderr`), or the daemon's own when None."""

    def subscribe(self, types: list[str] | None) -> Iterator[dict[str, Any]]:
        """The replies of Subscribe, one for each event; nothing else is to be asked from then on."""

    def close(self) -> None:
        """End the connection."""
