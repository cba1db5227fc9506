"""FastCGI: the sockets that the processes of a [fcgi-program:x] share as their standard input.

Promises: a socket is open from the first start of its pool until all of the pool are at rest, so that no client is
refused while one of them is restarted; it is as its section says, and a unix socket's file goes with it. Must not:
accept on it. The processes do, each on its descriptor 0 (FastCGI specification, 2.2: FCGI_LISTENSOCK_FILENO).
"""

import os
import socket

from sdsuper.config.model import FcgiSocket
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Publish
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run
from sdsuper.system import sockets

#: (group, program)
Pool = tuple[str, str]


class FastCgi:
    """All FastCGI sockets of one daemon."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[Pool, tuple[FcgiSocket, socket.socket, tuple[int, int] | None]] = {}
        engine.making.givers.append(self._give)
        engine.listeners.append(self._heard)

    def _give(self, run: Run, _environment: dict[str, str], given: dict[str, int]) -> None:
        """A run of a program with a socket gets it as its stdin. Raises OSError, with the socket as file name."""
        pool = run.slot.group, run.slot.config.program
        config = self._config(pool)
        if config is None:
            return
        opened = self._open.get(pool)
        if opened is not None and opened[0] != config:
            self._close(pool)
            opened = None
        if opened is None:
            opened = self._open[pool] = config, *_listen(config)
            self._engine.log.write("info", f"Creating socket {config.url}")
        given["stdin"] = os.dup(opened[1].fileno())

    def _config(self, pool: Pool) -> FcgiSocket | None:
        group = self._engine.roster.groups.get(pool[0])
        return dict(group.sockets).get(pool[1]) if group is not None and group.sockets else None

    def _heard(self, slot: Slot, _change: Publish) -> None:
        pool = slot.group, slot.config.program
        if pool not in self._open or not slot.resting:
            return
        members = self._engine.roster.members(slot.group)
        if all(member.resting for member in members if member.config.program == pool[1]):
            self._close(pool)

    def _close(self, pool: Pool) -> None:
        config, listener, identity = self._open.pop(pool)
        listener.close()
        if config.url.startswith("unix://"):
            sockets.remove(config.url[7:], identity)
        self._engine.log.write("info", f"Closing socket {config.url}")


def _listen(config: FcgiSocket) -> tuple[socket.socket, tuple[int, int] | None]:
    """The socket, and what tells the file of a unix socket from any other. Raises OSError."""
    backlog = config.backlog or socket.SOMAXCONN
    kind, _, address = config.url.partition("://")
    try:
        if kind == "unix":
            made = sockets.listen_unix(address, config.mode or 0, *(config.owner or (-1, -1)), backlog=backlog,
                                       replace=True)       # children of a daemon that has died may still hold it
            identity = sockets.identity(address)
        else:
            host, _, port = address.rpartition(":")
            made, identity = sockets.listen_tcp(host, int(port), backlog), None
    except OSError as error:
        raise OSError(error.errno, error.strerror, config.url) from None
    made.setblocking(True)          # a flag of the socket itself, and the processes expect accept(2) to wait
    return made, identity
