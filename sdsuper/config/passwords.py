"""Passwords as the configuration has them. PURE.

    plain text
    {SHA}HEX                        SHA-1 of the password, unsalted, as Supervisor has it
    {SCRYPT}N,R,P,SALT,HASH         scrypt (RFC 7914); SALT and HASH in base64

Promises: no text of an error has the password or its hash. Must not: compare for clients (api.passwords does, and in a
time that tells nothing). hashlib is imported where it is used: the daemon only reads.
"""

from binascii import Error, a2b_base64, b2a_base64
from typing import NamedTuple

from sdsuper.config.values import Noted

COST = (1 << 14, 8, 1)          # about 40 ms and 16 MiB
MEMORY_BYTES = 256 << 20        # the most that a stored form may ask for
SALT_BYTES, HASH_BYTES = 16, 32
SCRYPT, SHA = "{SCRYPT}", "{SHA}"


class Scrypt(NamedTuple):
    """A stored password, worked out with its parameters."""

    n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    def work_out(self, password: bytes) -> bytes:
        """What `hash` is for the right password. Takes its time, and 128 * n * r bytes."""
        from hashlib import scrypt

        return scrypt(password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=MEMORY_BYTES + (1 << 20),
                      dklen=len(self.hash))


def scrypt_form(password: str, salt: bytes) -> str:
    """The `{SCRYPT}` form of a password; `salt` has to be new and random, SALT_BYTES of it."""
    n, r, p = COST
    found = Scrypt(n, r, p, salt, bytes(HASH_BYTES)).work_out(password.encode())
    return f"{SCRYPT}{n},{r},{p},{_base64(salt)},{_base64(found)}"


def parse_scrypt(stored: str) -> Scrypt:
    """A `{SCRYPT}` form. Raises ValueError."""
    try:
        n, r, p, salt, found = stored.removeprefix(SCRYPT).split(",")
        form = Scrypt(int(n), int(r), int(p), a2b_base64(salt, strict_mode=True), a2b_base64(found, strict_mode=True))
    except (ValueError, Error):
        form = Scrypt(0, 0, 0, b"", b"")
    if form.n < 2 or form.n & (form.n - 1) or form.r < 1 or not 1 <= form.p <= 16 or len(form.salt) < 8 \
            or not 16 <= len(form.hash) <= 64 or 128 * form.n * form.r * form.p > MEMORY_BYTES:
        raise ValueError("cannot read it as a scrypt password ({SCRYPT}N,R,P,SALT,HASH expected, as `sdsuper passwd` "
                         "prints it)")
    return form


def stored(text: str) -> object:
    """`password=` of a server, unchanged. Raises ValueError."""
    if text.startswith(SCRYPT):
        parse_scrypt(text)
    elif text.startswith(SHA):
        digest = text.removeprefix(SHA)
        if len(digest) != 40 or any(letter not in "0123456789abcdefABCDEF" for letter in digest):
            return Noted(text, "fits no password ({SHA} and 40 hexadecimal digits expected)")
    return text


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
