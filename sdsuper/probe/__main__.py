"""`python -m sdsuper.probe`: asks what the daemon wants to know over descriptor 0, as long as it lives.

Promises: each question has one answer, after its time at the latest, unless it is taken back; a reason has nothing of a
question in it but its time. What went wrong because of us is told as that: errors that no server can bring about, lack
of what the machine has, and a time that passed while we were not there to listen. Must not: read files of anybody, or
write anything but answers.
"""

import asyncio
import os
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from json import loads
from typing import Any

from sdsuper.errors import LACKS
from sdsuper.probe.web import NoAnswer, ask
from sdsuper.probe.wire import connect_tcp, connect_unix

LINE_BYTES = 16 << 20       # of a question, with certificates and data in it
LOOKUPS = 64                # names that are looked up at the same time: one that hangs shall keep nobody waiting
LATE = 0.5                  # seconds; when a question's time is noticed to be over later than that, we were kept busy


def main() -> int:
    """Work until the daemon closes its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)       # systemd sends it to all of a unit; there may be hooks to come
    try:
        asyncio.run(Answers().serve(socket.socket(fileno=0)))
    finally:
        sys.stdout.flush()
        os._exit(0)         # threads that still look up a name do not matter
    return 0


class Answers:
    """The questions that are under way."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, daemon: socket.socket) -> None:
        """Take questions until there will be no more."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS))
        reader, self._writer = await asyncio.open_connection(sock=daemon, limit=LINE_BYTES)
        while line := await reader.readline():
            question = loads(line)
            number = question["number"]
            if "kind" in question:
                self._tasks[number] = asyncio.create_task(self._answer(number, question))
            elif number in self._tasks:
                self._tasks.pop(number).cancel()
        os._exit(0)

    async def _answer(self, number: int, question: dict[str, Any]) -> None:
        seconds, ours, clock = question["seconds"], False, asyncio.get_running_loop().time
        due = clock() + seconds
        try:
            async with asyncio.timeout_at(due):
                reason = await _ask(question)
        except TimeoutError:
            reason, ours = f"took longer than {seconds:g} seconds", clock() > due + LATE
            if ours:
                reason = "the process that asks was held up"
        except NoAnswer as error:
            reason = str(error)
        except OSError as error:
            reason, ours = in_words(error), error.errno in LACKS and not isinstance(error, ssl.SSLError)
        except Exception as error:
            reason, ours = f"the process that asks failed: {type(error).__name__}", True
        self._tasks.pop(number, None)
        self._writer.write(f"{number}{'!' if ours else ''} {reason}\n".encode())


async def _ask(question: dict[str, Any]) -> str:
    """Why the answer is bad, or nothing. Raises what goes wrong."""
    if question["kind"] == "http":
        return await ask(question)
    connect = connect_unix if question["kind"] == "unix" else connect_tcp
    _reader, writer = await connect(question["target"])
    writer.close()
    return ""


def in_words(error: OSError) -> str:
    """Why somebody could not be asked, without what was asked."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'error'}"
    if isinstance(error, socket.gaierror):
        return f"name: {error.strerror}"
    if error.errno:
        return os.strerror(error.errno)
    if isinstance(error, ConnectionError):      # asyncio's own have no number
        return "the connection was reset"
    return type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
