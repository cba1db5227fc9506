"""Whether a password fits what the configuration has (config.passwords: plain, `{SHA}` and `{SCRYPT}`).

Promises: comparing takes as long for a wrong user name as for a wrong password; a pair that was found right is known
for REMEMBERED seconds without working it out again, and then as a keyed hash only. Must not: count failures
(throttle.py).
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from sdsuper.config.passwords import SCRYPT, SHA, Scrypt, parse_scrypt

REMEMBERED = 600.0              # seconds
QUEUE = 4                       # passwords that may wait for the one thread that works scrypt out


class Busy(Exception):
    """Too many passwords are being worked out."""


class Passwords:
    """The user and password of each listener, by its number."""

    def __init__(self, pairs: list[tuple[str, str] | None]) -> None:
        self._users = [None if pair is None else pair[0].encode() for pair in pairs]
        self._checks = [None if pair is None else _check(pair[1]) for pair in pairs]
        self._key = os.urandom(32)
        self._known: dict[bytes, float] = {}
        self._thread = ThreadPoolExecutor(1)
        self._working: dict[bytes, asyncio.Future[bool]] = {}

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def open(self, listener: int) -> bool:
        """Whether that listener asks for no password."""
        return self._users[listener] is None

    def known(self, listener: int, user: bytes, password: bytes) -> bool:
        """Whether the pair was found right a short time ago."""
        mark = self._mark(listener, user, password)
        until = self._known.get(mark)
        if until is not None and until < monotonic():
            del self._known[mark]
            return False
        if until is not None:
            self._known[mark] = monotonic() + REMEMBERED        # from its last use: who works need not prove it again
        return until is not None

    def in_work(self, listener: int, user: bytes, password: bytes) -> bool:
        """Whether this very pair is being worked out: to ask for it once more costs nothing and tells nothing new."""
        return self._mark(listener, user, password) in self._working

    async def right(self, listener: int, user: bytes, password: bytes) -> bool:
        """Whether the pair is right. Raises Busy."""
        wanted, check = self._users[listener], self._checks[listener]
        if wanted is None or check is None:
            return False
        if isinstance(check, Scrypt):
            fits = await self._work_out(check, self._mark(listener, user, password), password)
        else:
            fits = check(password)
        if not hmac.compare_digest(user, wanted) or not fits:
            return False
        self._known[self._mark(listener, user, password)] = monotonic() + REMEMBERED
        return True

    async def _work_out(self, check: Scrypt, mark: bytes, password: bytes) -> bool:
        future = self._working.get(mark)
        if future is None:
            if len(self._working) >= QUEUE:
                raise Busy
            future = asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: hmac.compare_digest(check.work_out(password), check.hash))
            self._working[mark] = future
            future.add_done_callback(lambda _future: self._working.pop(mark))
        return await asyncio.shield(future)

    def _mark(self, listener: int, user: bytes, password: bytes) -> bytes:
        # the user's length keeps apart what a colon would not
        return hmac.digest(self._key, b"%d:%d:%b%b" % (listener, len(user), user, password), "sha256")


def _check(stored: str) -> Scrypt | Callable[[bytes], bool]:
    if stored.startswith(SCRYPT):
        return parse_scrypt(stored)         # the configuration was read: it is one
    if stored.startswith(SHA):
        wanted = stored.removeprefix(SHA).lower().encode()
        return lambda password: hmac.compare_digest(hashlib.sha1(password).hexdigest().encode(), wanted)
    plain = stored.encode()
    return lambda password: hmac.compare_digest(password, plain)
