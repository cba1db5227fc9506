"""Whatever is asked about a program: HTTP, TCP and unix sockets by a process of ours without rights; commands are
errands.

Promises: an answer comes once, in a turn of the loop of its own, after the time given and a little more at the latest;
what cannot be asked because of us is `lack`, and no answer of the program's; headers, data and queries are in no log
and on no command line. The process is started by the first question, and again when it has ended, after a pause. Must
not: look up a name, connect to anybody, or decide what follows from an answer.

A question to the process (sdsuper/probe) is a line of JSON, its answer a line: the question's number, `!` if it is
because of the process itself, a blank, and why it is bad, or nothing.
"""

import os
import signal
from collections.abc import Callable, Mapping
from json import dumps
from socket import socket
from time import monotonic

from sdsuper.config.health_values import Probe, ProbeKind, probe
from sdsuper.config.model import User
from sdsuper.core.slot import Slot
from sdsuper.engine.companion import Companion, alone, why_not
from sdsuper.engine.errands import Done, Errand, ErrandResult, Errands
from sdsuper.engine.supervise import Engine
from sdsuper.logs.opening import read_given
from sdsuper.system.loop import EPOLLIN, EPOLLOUT, Timer

#: Of the process, so that no other one of the same account can take it over (`alone`).
PROBE_GID = 61004
GRACE = 5.0                 # seconds that an answer may be late; then the process is at fault
END_SECONDS = 2.0
IDLE_SECONDS = 600.0        # without a question, after which the process ends
MOST_BYTES = 1 << 20        # of a file that a question needs
ANSWER_BYTES = 4096         # of one answer
REASON_CHARACTERS = 200
READ_BYTES = 65536
_GONE = "the process that asks has ended"


class Question:
    """One question to the process, from `Probes.run`."""

    __slots__ = ("_probes", "done", "line", "number", "sent", "timer")

    def __init__(self, probes: "Probes", number: int, done: Done) -> None:
        self._probes, self.number = probes, number
        self.done: Done | None = done
        self.line, self.sent = b"", False
        self.timer: Timer | None = None

    def cancel(self) -> None:
        """Nobody waits for the answer any more; the result says `cancelled`. Later calls do nothing."""
        self._probes.cancel(self)


class Probes:
    """The questions of one daemon. `account` is that of its processes without rights."""

    def __init__(self, engine: Engine, errands: Errands, account: User | None) -> None:
        self._engine, self._errands = engine, errands
        root = os.geteuid() == 0
        user = alone(account, PROBE_GID) if root else None
        self._why_not = why_not(user) if root else ""
        self._companion = Companion(engine, "sdsuper.probe", user, "the process for checks", "probe", "warn", "checks",
                                    self._connected, self._ended)
        self._socket: socket | None = None
        self._unsent, self._read = bytearray(), b""
        self._last = 0.0            # when somebody was asked
        self._open: dict[int, Question] = {}
        self._number = 0
        self._paused = self._blamed = False
        engine.on_close.append(self.close)

    def run(self, slot: Slot, text: str, seconds: float, done: Done,
            extra_environment: Mapping[str, str] | None = None) -> Errand | Question:
        """Ask what a text says for a process; it may take so many seconds. Raises nothing: what is wrong is told to
        `done`, as Errands.run does.
        """
        self._number += 1
        question = Question(self, self._number, done)
        try:
            asked = probe(text)
            if asked.kind is ProbeKind.COMMAND:
                return self._errands.run(slot, asked.target, seconds, done, extra_environment)
            fields = _fields(asked, slot.config.user)
        except ValueError as error:
            self._finish(question, str(error))
            return question
        except OSError as error:
            self._finish(question, f"cannot read {error.filename}: {error.strerror}", True)
            return question
        if self._why_not:
            self._finish(question, f"nobody can be asked: {self._why_not}", True)
            return question
        question.line = dumps({"number": question.number, "seconds": seconds, **fields}).encode() + b"\n"
        self._open[question.number] = question
        question.timer = self._engine.loop.soon(seconds + GRACE, lambda: self._overdue(question))
        if self._socket is None:
            self._start()
        else:
            self._send(question)
        return question

    def cancel(self, question: Question) -> None:
        """Take a question back."""
        if question.number in self._open:
            if question.sent and self._socket is not None:
                self._write(b'{"number": %d}\n' % question.number)
            self._finish(question, "cancelled")

    def close(self) -> None:
        """The daemon ends, and the process with it; nobody is told."""
        for question in tuple(self._open.values()):
            question.done = None
            self._finish(question, "cancelled")
        self._disconnect()
        self._companion.end(END_SECONDS, 0)

    # ---- the process ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._companion.pid and not self._paused:
            self._companion.start()

    def _connected(self, ours: socket) -> None:
        ours.setblocking(False)
        self._socket, self._unsent, self._read, self._blamed = ours, bytearray(), b"", False
        self._engine.loop.watch(ours.fileno(), EPOLLIN, self._ready)
        for question in tuple(self._open.values()):
            self._send(question)
        self._engine.loop.soon(IDLE_SECONDS, lambda: self._look(ours))

    def _look(self, ours: socket) -> None:
        """Whether the process is still needed. Without its connection it ends."""
        if self._socket is not ours:
            return
        left = self._last + IDLE_SECONDS - monotonic()
        if self._open or left > 0:
            self._engine.loop.soon(max(left, IDLE_SECONDS / 2), lambda: self._look(ours))
        else:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._engine.loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _ended(self, pause: float) -> None:
        """It is no more: what it was asked has no answer."""
        self._disconnect()
        for question in tuple(self._open.values()):
            if question.sent:
                self._finish(question, _GONE, True)
        self._paused = True
        self._engine.loop.soon(pause, self._start_again)

    def _start_again(self) -> None:
        self._paused = False
        if self._open:
            self._start()

    def _overdue(self, question: Question) -> None:
        """No answer, not even that it has taken too long."""
        if self._companion.pid and not self._blamed:
            self._blamed = True         # once: there may be many who wait
            self._engine.log.write("error", "the process for checks does not answer: killing it")
            self._engine.log.flush()
            os.kill(self._companion.pid, signal.SIGKILL)
        self._finish(question, "there was no process to ask with" if not question.sent else _GONE, True)

    # ---- lines ----------------------------------------------------------------------------------------------------

    def _send(self, question: Question) -> None:
        question.sent, self._last = True, monotonic()
        line, question.line = question.line, b""
        self._write(line)

    def _write(self, data: bytes) -> None:
        blocked = bool(self._unsent)
        self._unsent += data
        if not blocked:
            self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        try:
            while self._unsent:
                del self._unsent[:self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()            # it has ended, which we shall hear
        self._engine.loop.rearm(self._socket.fileno(), EPOLLIN | EPOLLOUT if self._unsent else EPOLLIN)

    def _ready(self, events: int) -> None:
        if events & EPOLLOUT:
            self._flush()
        if self._socket is None or not events & ~EPOLLOUT:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(self._read) > ANSWER_BYTES:
            self._disconnect()              # its end follows
            return
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            word, _blank, reason = line.partition(b" ")
            number = word.removesuffix(b"!")
            question = self._open.get(int(number)) if number.isdigit() and len(number) < 20 else None
            if question is not None and question.sent:
                self._finish(question, _plain(reason), word != number)

    def _finish(self, question: Question, reason: str, lack: bool = False) -> None:
        """Tell the result in the next turn, once."""
        self._open.pop(question.number, None)
        if question.timer is not None:
            question.timer.cancel()
        done, question.done = question.done, None
        if done is not None:
            tell: Callable[[ErrandResult], object] = done
            self._engine.loop.soon(0, lambda: tell(ErrandResult(None, reason, "", lack)))


def _plain(reason: bytes) -> str:
    """What an answer says, fit for a log and a line of status."""
    text = reason.decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:REASON_CHARACTERS]


def _fields(asked: Probe, user: User | None) -> dict[str, object]:
    """A question; what it needs of files is in it, for the process may read none. Raises OSError, ValueError."""
    fields: dict[str, object] = {"kind": asked.kind.value, "target": asked.target}
    if asked.kind is not ProbeKind.HTTP:
        return fields
    fields |= {"headers": asked.headers, "insecure": asked.insecure}
    for name, path in (("ca", asked.ca), ("cert", asked.cert), ("key", asked.key)):
        if path:
            fields[name] = read_given(path, user, MOST_BYTES).decode("ascii", "replace")
    if asked.data is not None:
        data = asked.data.encode()
        if asked.data.startswith("@"):
            data = read_given(asked.data[1:], user, MOST_BYTES)
        fields["data"] = data.decode("latin-1")
    return fields
