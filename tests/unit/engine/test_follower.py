"""Who reads a journal for ever ends when it is told to."""

import asyncio
from contextlib import suppress
from typing import Any

from servers.engine.follower import Follower
from servers.engine.replay import Row


class Deaf(Follower):
    """What it reads by loses the cancellation that comes with an answer, as Python 3.11's wait_for does."""

    async def _read(self) -> list[Row]:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return []


async def test_a_cancellation_that_was_lost_ends_it_all_the_same() -> None:
    replay: Any = None
    follower = Deaf("", replay, None)

    async def read() -> None:
        async for _ in follower.rows():
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    # Nobody told this one to end.
    other = asyncio.create_task(read())
    await asyncio.wait([other], timeout=0.2)
    assert not other.done()
    other.cancel()
    await asyncio.wait([other], timeout=10)
    assert other.cancelled()
