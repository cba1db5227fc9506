"""One answer for all who ask at the same time, and never an older one than the question."""

import asyncio

import pytest

from sdsuper.api.shared import Shared


class Maker:
    """Counts what it makes; each takes until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go.wait()
        if number == 13:
            raise ValueError("bad luck")
        return number


def test_many_share_one_and_late_ones_get_the_next() -> None:
    async def story() -> None:
        maker = Maker()
        shared = Shared(maker.make)
        early = [asyncio.create_task(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        while not maker.begun:
            await asyncio.sleep(0)
        late = [asyncio.create_task(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        late[0].cancel()                    # who leaves takes nothing from the others
        maker.go.set()
        assert set(await asyncio.gather(*early)) == {1}
        assert set(await asyncio.gather(*late[1:])) == {2}
        assert maker.begun == 2
        assert await shared.get() == 3      # nothing is kept

    asyncio.run(story())


def test_an_error_is_everybodys_and_not_the_end() -> None:
    async def story() -> None:
        maker = Maker()
        maker.begun = 12
        maker.go.set()
        shared = Shared(maker.make)
        found = await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in found] == ["bad luck"] * 3
        assert await shared.get() == 14

    asyncio.run(story())


@pytest.mark.parametrize("number", [1, 3])
def test_if_all_leave_the_answer_is_made_all_the_same(number: int) -> None:
    async def story() -> None:
        maker = Maker()
        shared = Shared(maker.make)
        tasks = [asyncio.create_task(shared.get()) for _ in range(number)]
        while not maker.begun:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        maker.go.set()
        assert await shared.get() == 2

    asyncio.run(story())
