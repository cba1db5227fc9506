"""What logs need other processes for: sending to syslog servers, and compressing.

Promises: the process that sends is started by the first message and again when it has ended, after a pause; nobody ever
waits for it but the end of the daemon, for a moment. Must not: know what a message says.
"""

import os
from collections.abc import Iterable
from json import dumps
from signal import SIGKILL
from socket import socket
from time import monotonic

from sdsuper.config.model import SupervisordConfig
from sdsuper.engine.companion import Companion, alone, why_not
from sdsuper.engine.compressing import Compressing
from sdsuper.engine.supervise import Engine
from sdsuper.logs import opening
from sdsuper.logs.journal import Journal
from sdsuper.logs.remote import Relay
from sdsuper.logs.sinks import ConsoleSink

#: Of the process that sends, so that the HTTP face, of the same account, cannot take it over (`alone`). Free, as there.
RELAY_GID = 61002
#: Of the child that compresses the daemon's own logs.
COMPRESSING_GID = 61003
END_SECONDS = 2.5           # a little more than the process takes itself (relay/__main__.py)
CONSOLE_SECONDS = 2.0       # for journald, and for who reads our stdout and stderr
_MOST_BYTES = 1 << 20       # of a file with certificates


class Carriers:
    """Both, for one daemon. `relay` takes messages from the start; they wait until there is an engine."""

    def __init__(self, settings: SupervisordConfig) -> None:
        self.relay = Relay()
        self._settings = settings
        self._companion: Companion | None = None
        self._compressing: Compressing | None = None
        self._paused = self._hopeless = False

    def attend(self, engine: Engine) -> None:
        """From now on there can be processes."""
        root = os.geteuid() == 0
        account = self._settings.api_user if root else None
        user = alone(account, RELAY_GID)
        self._companion = Companion(engine, "sdsuper.relay", user, "the process for syslog servers", "syslog", "warn",
                                    "messages", self._connected, self._ended)
        self._engine, self._why_not = engine, why_not(user) if root else ""
        self.relay.wanted = self._start
        self.relay.stuck = self._stuck
        self.relay.said = lambda text: engine.log.write("warn", f"syslog: {text}")
        self._compressing = Compressing(engine, alone(account, COMPRESSING_GID))
        engine.outputs.on_rotated = self._compressing.rotated
        for file in engine.log.files:
            file.on_rotated = self._compressing.rotated
        if self.relay.waits:
            self._start()

    def close(self, journal: Journal, consoles: Iterable[ConsoleSink]) -> None:
        """The daemon ends: what waits for others is sent, if that is soon done."""
        if self._compressing is not None:
            self._compressing.close()
        if self._companion is not None and self._companion.pid:
            self.relay.finish(monotonic() + END_SECONDS)
            self._companion.end(END_SECONDS, 0)
        self.relay.wanted = lambda: None
        self.relay.disconnect()
        if self._companion is not None:
            self._engine.log.flush()        # what was lost; journald and the consoles have it after that
        deadline = monotonic() + CONSOLE_SECONDS
        journal.flush_last(deadline)
        for console in consoles:
            console.flush_last(deadline)

    def _start(self) -> None:
        """There is something to send."""
        if self._companion is None or self._companion.pid or self._paused or self._hopeless:
            return
        if self._why_not:
            self._hopeless = True
            self._engine.log.write("error", f"nothing is sent to syslog servers: {self._why_not}")
            return
        # not from here: this may be in the middle of writing a line of the log, or of a program
        self._paused = True
        self._engine.loop.soon(0, self._start_now)

    def _start_now(self) -> None:
        self._paused = False
        if self._companion is not None and self.relay.waits:
            self._companion.start()

    def _connected(self, ours: socket) -> None:
        self.relay.connect(self._engine.loop, ours, dumps(self._told()).encode())

    def _stuck(self) -> None:
        if self._companion is not None and self._companion.pid:
            self._engine.log.write("error", "the process for syslog servers takes nothing: killing it")
            self._engine.log.flush()
            os.kill(self._companion.pid, SIGKILL)

    def _ended(self, pause: float) -> None:
        self.relay.disconnect()
        self._paused = True
        self._engine.loop.soon(pause, self._start_now)

    def _told(self) -> dict[str, str]:
        """What the process needs to know, secrets among it."""
        told = {"identifier": self._settings.identifier, "pid": str(os.getpid())}
        try:
            for name, path in (("ca", self._settings.syslog_ca), ("cert", self._settings.syslog_cert),
                               ("key", self._settings.syslog_key)):
                if path is not None:
                    told[name] = opening.read_given(path, None, _MOST_BYTES).decode("ascii", "replace")
        except OSError as error:
            told = {"identifier": told["identifier"], "pid": told["pid"],
                    "trouble": f"cannot read {error.filename}: {error.strerror}"}
            self._engine.log.write("error", f"syslog servers with TLS cannot be used: {told['trouble']}")
        return told
