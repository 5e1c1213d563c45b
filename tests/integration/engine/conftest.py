"""Leaders in this process, over a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from db.session import ENGINE, SERVICES, Connection, connect, open_pool
from tests.integration.engine.leading import Led

Lead = Callable[..., Awaitable[Led]]


@pytest.fixture
async def lead(database_url: str) -> AsyncIterator[Lead]:
    """Starts a leader of partition 2 (DEMO) that leads when it is returned; takes changes of its terms.

    `through`: the database's address as the leader's own connections take it, where it is not the plain one.
    `waits`: it may be somebody else who leads.
    """
    async with AsyncExitStack() as held:
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        held.push_async_callback(pool.close)

        async def start(*, through: str = "", waits: bool = False, **changes: object) -> Led:
            led = Led(through or database_url, pool, changes)
            held.push_async_callback(led.end)
            if not waits:
                await led.leads()
            return led

        yield start


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Connection]:
    """A connection beside the leader's, for looking and for standing in its way."""
    async with await connect(database_url, application_name="test", role=ENGINE) as connection:
        yield connection
