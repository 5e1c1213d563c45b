"""Shares of a limit (AUT-8): however many come at once, whoever finds a share used up asks for another."""

import asyncio
from typing import cast

from db.shared_limits import Taken
from servers.transport.sharing import Shares, Store


class Slow:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.asked = 0

    async def take(self, key: str, each_s: float, whole_s: float, count: int, more: int) -> Taken:
        self.asked += 1
        await self.answer.wait()
        return Taken(count + more, 0.0, 0.0)


class Watched(Shares):
    """Ends the test where a caller looks for good, and never lets another task run: no time-out would end that."""

    looks = 0

    def _take_of_share(self, caller: str, count: int) -> bool:
        self.looks += 1
        assert self.looks < 10_000, "a caller waits for an answer that was there"
        return super()._take_of_share(caller, count)


async def test_aut8_those_who_come_just_as_a_share_arrives_ask_for_the_next() -> None:
    store = Slow()
    # Five at once beside the one who asks.
    shares = Watched(cast("Store", store), "STREAM", 0.01, 10.0, 100)
    first = asyncio.create_task(shares.take("ada", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.asked == 1
    store.answer.set()
    later = [asyncio.create_task(shares.take("ada", 1)) for _ in range(40)]
    assert await asyncio.gather(first, *later) == [0.0] * 41
    assert store.asked >= 7
