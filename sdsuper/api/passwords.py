"""Passwords as the configuration has them: plain, `{SHA}` and `{SCRYPT}`, and whether one fits.

    {SHA}HEX                        SHA-1 of the password, unsalted, as Supervisor has it
    {SCRYPT}N,R,P,SALT,HASH         scrypt (RFC 7914); SALT and HASH in base64

Promises: comparing takes as long for a wrong user name as for a wrong password; a pair that was found right is known
for REMEMBERED seconds without working it out again, and then as a keyed hash only. Must not: count failures
(throttle.py).
"""

import asyncio
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple

REMEMBERED = 600.0              # seconds
QUEUE = 4                       # passwords that may wait for the one thread that works scrypt out
COST = (1 << 14, 8, 1)          # about 40 ms and 16 MiB
MEMORY_BYTES = 256 << 20        # the most that a stored form may ask for
SALT_BYTES, HASH_BYTES = 16, 32


class Busy(Exception):
    """Too many passwords are being worked out."""


class Scrypt(NamedTuple):
    """A stored password, worked out with its parameters."""

    n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    def fits(self, password: bytes) -> bool:
        """Work `password` out, which takes its time, and compare."""
        found = hashlib.scrypt(password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=MEMORY_BYTES + (1 << 20),
                               dklen=len(self.hash))
        return hmac.compare_digest(found, self.hash)


def scrypt_form(password: str) -> str:
    """The `{SCRYPT}` form of a password, with a new salt."""
    n, r, p = COST
    salt = os.urandom(SALT_BYTES)
    found = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MEMORY_BYTES, dklen=HASH_BYTES)
    return f"{{SCRYPT}}{n},{r},{p},{b64encode(salt).decode()},{b64encode(found).decode()}"


def parse_scrypt(stored: str) -> Scrypt:
    """A `{SCRYPT}` form. Raises ValueError, without the password's hash in its text."""
    try:
        n, r, p, salt, found = stored.removeprefix("{SCRYPT}").split(",")
        form = Scrypt(int(n), int(r), int(p), b64decode(salt, validate=True), b64decode(found, validate=True))
    except ValueError:
        form = Scrypt(0, 0, 0, b"", b"")
    if form.n < 2 or form.n & (form.n - 1) or form.r < 1 or not 1 <= form.p <= 16 or len(form.salt) < 8 \
            or not 16 <= len(form.hash) <= 64 or 128 * form.n * form.r * form.p > MEMORY_BYTES:
        raise ValueError("expected {SCRYPT}N,R,P,SALT,HASH (N a power of two; SALT and HASH in base64)")
    return form


class Passwords:
    """The user and password of each listener, by its number."""

    def __init__(self, pairs: list[tuple[str, str] | None]) -> None:
        self.unusable: list[int] = []       # listeners whose password nothing fits
        self._users = [None if pair is None else pair[0].encode() for pair in pairs]
        self._checks = [None if pair is None else self._check(number, pair[1]) for number, pair in enumerate(pairs)]
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
            future = asyncio.get_running_loop().run_in_executor(self._thread, check.fits, password)
            self._working[mark] = future
            future.add_done_callback(lambda _future: self._working.pop(mark))
        return await asyncio.shield(future)

    def _mark(self, listener: int, user: bytes, password: bytes) -> bytes:
        # the user's length keeps apart what a colon would not
        return hmac.digest(self._key, b"%d:%d:%b%b" % (listener, len(user), user, password), "sha256")

    def _check(self, listener: int, stored: str) -> Scrypt | Callable[[bytes], bool]:
        if stored.startswith("{SCRYPT}"):
            try:
                return parse_scrypt(stored)
            except ValueError:
                self.unusable.append(listener)
                return lambda _password: False
        if stored.startswith("{SHA}"):
            wanted = stored.removeprefix("{SHA}").encode()
            return lambda password: hmac.compare_digest(hashlib.sha1(password).hexdigest().encode(), wanted)
        plain = stored.encode()
        return lambda password: hmac.compare_digest(password, plain)
