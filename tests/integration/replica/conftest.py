"""A leader on a fresh database, and projectors that run until they have caught up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.session import ENGINE, PROJECTOR, Connection, connect
from db.streams import open_bus
from servers.domain.terms import Environment
from servers.engine.measures import ReplicaMeasures
from servers.engine.recovery import Recovered, recover_tables
from servers.engine.replica import BUS_BACKLOG_MAX, Replica
from tests.integration.replica.leader import PARTITION, Leader

Project = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, application_name="test leader", role=ENGINE) as found:
        yield found


@pytest.fixture
async def leader(connection: Connection) -> Leader:
    made = Leader(connection, seed=7)
    await made.begin()
    return made


async def load_tables(url: str, request_memory: int = 200_000) -> Recovered:
    """The machine as the tables have it."""
    async with await connect(url, application_name="test", role=PROJECTOR) as connection:
        return await recover_tables(connection, PARTITION, Environment.DEMO, request_memory)


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Redis]:
    client = open_bus(redis_url)
    yield client
    await client.aclose()


async def until(done: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit_s):
        while not done():  # noqa: ASYNC110  # what is waited for is a position, not an event
            await asyncio.sleep(0.005)


async def kill(task: "asyncio.Task[None]") -> None:
    """End a task as a killed process ends: wherever it is."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def make(database_url: str, bus: Redis, bus_backlog_max: int = BUS_BACKLOG_MAX) -> Replica:
    """A projector that goes on from the tables."""
    base = await load_tables(database_url)
    return Replica(base, database_url, bus, None, ReplicaMeasures(CollectorRegistry()), bus_backlog_max)


@pytest.fixture
def project(database_url: str, bus: Redis) -> Project:
    """Run a projector until tables and bus stand at a sequence."""

    async def caught_up(sequence: int, request_memory: int = 200_000) -> Replica:
        base = await load_tables(database_url, request_memory)
        replica = Replica(base, database_url, bus, None, ReplicaMeasures(CollectorRegistry()))
        task = asyncio.create_task(replica.run())
        try:
            await until(lambda: task.done() or min(replica.tables.sequence, replica.bus.sequence) >= sequence)
        finally:
            await kill(task)
        if not task.cancelled():
            task.result()
        return replica

    return caught_up
