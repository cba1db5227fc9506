"""One answer for all who ask the same thing at the same time.

Promises: an answer was begun after the question, so it is never older than it; however many ask, one is being made and
at most one more waits. A crowd is made to wait a little, each asker for each other one, so that its questions do not
take the machine from those who work on it. Must not: keep an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

FEW = 4                     # askers at a time that are no crowd
PAUSE = 0.005               # seconds for each more of them: at most 200 answers a second for the whole crowd

_Answer = TypeVar("_Answer")


class Shared(Generic[_Answer]):
    """Answers that `make` makes."""

    def __init__(self, make: Callable[[], Awaitable[_Answer]]) -> None:
        self._make = make
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[_Answer] | None = None
        self._askers = 0

    async def get(self) -> _Answer:
        """An answer; raises what `make` raises. Whoever leaves takes nothing from the others."""
        if self._next is None:
            self._next = asyncio.create_task(self._made())
        self._askers += 1
        return await asyncio.shield(self._next)

    async def _made(self) -> _Answer:
        async with self._turn:
            if self._askers > FEW:
                await asyncio.sleep((self._askers - FEW) * PAUSE)
            self._next, self._askers = None, 0      # who comes from now on waits for another one
            return await self._make()
