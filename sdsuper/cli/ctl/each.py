"""Commands that are carried out for each of the names that were typed.

Promises: no name at all is told with the command's help; one that is unknown is told, and the others go on. Must not:
print what is found.
"""

import sys

from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import unknown
from sdsuper.cli.ctl.session import GENERIC
from sdsuper.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from sdsuper.cli.ctl.session import Session


def named(session: "Session", command: str, words: "Sequence[str]", status: int = GENERIC) -> "Sequence[str]":
    """The names to go through: `all` alone where it is among them; none, once that was told and `status` says it."""
    if not words:
        session.wrong(f"Error: {command} requires a process name", status)
        explain(session, command)
    return ["all"] if "all" in words else words


def collect(session: "Session", method: str, names: "Iterable[str | None]", field: str,
            as_json: bool = False) -> "Iterator[dict[str, Any]]":
    """What a method answers in `field` for each name. Raises Refusal for anything but a name that is unknown."""
    for name in names:
        try:
            found = session.call(method, name=name)[field]
        except Refusal as refusal:
            if refusal.fault != "BAD_NAME":
                raise
            miss(session, name or "", as_json)
        else:
            yield from found


def miss(session: "Session", name: str, as_json: bool, status: int = GENERIC) -> None:
    """Say that nothing has that name: on standard error where standard output is to be JSON alone."""
    if as_json:
        sys.stderr.write(unknown(name) + "\n")
    else:
        session.say(unknown(name))
    session.status = status
