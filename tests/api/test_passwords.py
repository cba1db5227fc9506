"""Stored passwords and throttling, without a network."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sdsuper.api import passwords
from sdsuper.api.passwords import Busy, Passwords
from sdsuper.api.throttle import ALL_FREE, FREE, NEW_FREE, NEW_SECONDS_EACH, PEERS, SECONDS_EACH, Throttle
from sdsuper.config.passwords import scrypt_form


def run(check: Callable[[Passwords], Awaitable[Any]], *pairs: tuple[str, str] | None) -> Any:
    async def inside() -> Any:
        found = Passwords(list(pairs))
        try:
            return await check(found)
        finally:
            found.close()

    return asyncio.run(inside())


SHA = "{SHA}" + hashlib.sha1(b"s\xc3\xa9cret").hexdigest()


@pytest.mark.parametrize("stored", ["sécret", SHA, scrypt_form("sécret", b"salt" * 4)], ids=["plain", "SHA", "SCRYPT"])
def test_forms(stored: str) -> None:
    async def check(found: Passwords) -> None:
        assert await found.right(0, b"user", "sécret".encode())
        assert not await found.right(0, b"user", b"secret")
        assert not await found.right(0, b"", "sécret".encode())
        assert not await found.right(0, b"user", stored.encode()) or stored == "sécret"
        assert not await found.right(0, b"User", "sécret".encode())

    run(check, ("user", stored))


def test_pairs_that_were_right_are_known_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(found: Passwords) -> None:
        assert not found.known(0, b"user", b"secret")
        assert await found.right(0, b"user", b"secret") and not await found.right(0, b"user", b"wrong")
        assert found.known(0, b"user", b"secret")
        assert not found.known(0, b"user", b"wrong")
        assert not found.known(1, b"user", b"secret")           # of another listener
        assert not found.known(0, b"users", b"ecret")
        assert b"secret" not in repr(vars(found)["_known"]).encode()
        now = passwords.monotonic()
        monkeypatch.setattr(passwords, "monotonic", lambda: now + passwords.REMEMBERED + 1)
        assert not found.known(0, b"user", b"secret")

    run(check, ("user", "secret"), ("user", "other"))


def test_scrypt_does_not_pile_up() -> None:
    async def check(found: Passwords) -> None:
        tries = [asyncio.ensure_future(found.right(0, b"user", b"%d" % number)) for number in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Busy) for result in results) == 20 - passwords.QUEUE
        assert sum(result is False for result in results) == passwords.QUEUE

    run(check, ("user", scrypt_form("secret", b"salt" * 4)))


def test_one_guesser_is_slowed_down_and_others_are_not() -> None:
    throttle = Throttle()
    tried = 0
    for step in range(60_000):                  # a thousand a second for a minute
        tried += throttle.ask("192.0.2.1", step / 1000) == 0
    assert tried == FREE + 60 / SECONDS_EACH - 1
    assert throttle.ask("192.0.2.2", 60.0) == 0
    assert throttle.ask("192.0.2.1", 60.0) == 0 and 0 < throttle.ask("192.0.2.1", 60.0) <= SECONDS_EACH


def test_many_guessers_share() -> None:
    throttle = Throttle()
    again = 0
    for step in range(6000):
        free = throttle.ask(f"192.0.2.{step % 50}", step / 100) == 0
        again += free and step >= 50
    assert again <= ALL_FREE + 60 / SECONDS_EACH
    assert throttle.ask("198.51.100.1", 60.0) == 0      # who was not wrong is heard


def test_what_is_right_costs_nothing() -> None:
    throttle = Throttle()
    for _ in range(100):
        assert throttle.ask("192.0.2.1", 0.0) == 0
        throttle.right("192.0.2.1")


def test_memory_is_bounded() -> None:
    throttle = Throttle()
    heard = sum(throttle.ask(f"peer {number}", number / 10) == 0.0 for number in range(PEERS * 6))
    assert len(vars(throttle)["_peers"]) == PEERS
    assert heard < NEW_FREE + PEERS * 6 / 10 / NEW_SECONDS_EACH + 2       # many addresses do not help without end


def test_what_was_not_tried_does_not_count() -> None:
    throttle = Throttle()
    for _ in range(50):
        assert throttle.ask("peer", 0.0) == 0.0
        throttle.untried("peer")
    assert [throttle.ask("peer", 0.0) == 0.0 for _ in range(FREE + 1)] == [True] * FREE + [False]
