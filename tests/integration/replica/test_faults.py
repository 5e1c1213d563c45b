"""A projector that is killed, loses its servers, or finds itself wrong."""

import asyncio
import random

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.journal import find_partition
from db.projecting import ProjectionMovedError
from db.session import SERVICES, Connection, connect, open_pool
from servers.domain.state import state_hash
from servers.domain.terms import Environment
from servers.engine.measures import ReplicaMeasures
from servers.engine.replay import JournalCorrupt
from servers.engine.replica import finish, run
from tests.integration.replica.conftest import Project, kill, load_tables, make, until
from tests.integration.replica.leader import PARTITION, Leader
from tests.integration.replica.test_projection import BALANCES, BROKEN_CHAINS, CANDLES, FOLDED, RECOUNTED, rows
from tests.integration.replica.test_recovery import falsify


async def assert_whole(database_url: str, connection: Connection, leader: Leader) -> None:
    assert state_hash((await load_tables(database_url)).exchange) == leader.hash
    assert await rows(connection, FOLDED) == await rows(connection, BALANCES)
    assert await rows(connection, CANDLES) == await rows(connection, RECOUNTED)
    assert await rows(connection, BROKEN_CHAINS) == []


async def test_a_projector_killed_at_any_moment_leaves_whole_tables(
    database_url: str, bus: Redis, connection: Connection, leader: Leader, project: Project
) -> None:
    await leader.run(80)
    moments = random.Random(5)
    for _ in range(25):
        replica = await make(database_url, bus)
        task = asyncio.create_task(replica.run())
        await asyncio.sleep(moments.uniform(0.0, 0.06))
        await kill(task)
        await leader.run(2)
    await project(leader.exchange.clock.sequence)
    await assert_whole(database_url, connection, leader)


async def test_a_lost_database_connection_is_made_again(
    database_url: str, bus: Redis, connection: Connection, leader: Leader
) -> None:
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    async with await connect(database_url, application_name="operator") as operator:
        for _ in range(15):
            await leader.run(3)
            await operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'venue %%'"
            )
    await until(lambda: task.done() or replica.tables.sequence == leader.exchange.clock.sequence)
    assert not task.done()
    await kill(task)
    await assert_whole(database_url, connection, leader)


async def test_of_two_projectors_one_writes_each_row(
    database_url: str, bus: Redis, connection: Connection, leader: Leader
) -> None:
    tasks = [asyncio.create_task((await make(database_url, bus)).run()) for _ in range(2)]
    await leader.run(20)
    await until(lambda: any(task.done() for task in tasks))
    (beaten,) = [task for task in tasks if task.done()]
    assert isinstance(beaten.exception(), ProjectionMovedError)
    (other,) = [task for task in tasks if task is not beaten]
    for _ in range(200):
        if (await load_tables(database_url)).sequence == leader.exchange.clock.sequence:
            break
        await asyncio.sleep(0.02)
    await kill(other)
    await assert_whole(database_url, connection, leader)


async def serve(database_url: str, redis_url: str) -> None:
    partitions = {PARTITION: Environment.DEMO}
    await run(partitions, database_url, redis_url, 200_000, None, ReplicaMeasures(CollectorRegistry()))


async def test_a_row_that_fails_halts_the_partition(database_url: str, redis_url: str, leader: Leader) -> None:
    serving = asyncio.create_task(serve(database_url, redis_url))
    await leader.run(5)
    row = await leader.commit([leader.command() for _ in range(50)])
    await kill(serving)
    await falsify(database_url, "digest", "digest + 1", row.first_sequence)
    with pytest.raises(JournalCorrupt, match=f"journal row {row.first_sequence}"):
        await asyncio.wait_for(serve(database_url, redis_url), 20)
    state = await find_partition(leader.connection, PARTITION)
    assert state is not None
    assert state.halted_reason is not None
    assert f"journal row {row.first_sequence}" in state.halted_reason
    with pytest.raises(AssertionError):
        await leader.run(1)


async def test_the_projector_waits_for_a_partition_to_be_made(
    database_url: str, redis_url: str, connection: Connection
) -> None:
    serving = asyncio.create_task(serve(database_url, redis_url))
    await asyncio.sleep(0.2)
    leader = Leader(connection, 1)
    await leader.begin()
    for _ in range(300):
        if (await load_tables(database_url)).sequence == leader.exchange.clock.sequence:
            break
        await asyncio.sleep(0.02)
    await kill(serving)
    assert state_hash((await load_tables(database_url)).exchange) == leader.hash


async def test_a_process_that_stops_finishes_the_journal_first(
    database_url: str, redis_url: str, leader: Leader
) -> None:
    async with await open_pool(database_url, application_name="test", role=SERVICES) as pool:
        await leader.run(200)
        # Nobody reads it: told, and not waited for beyond the limit.
        with structlog.testing.capture_logs() as told:
            await finish(pool, [PARTITION], 0.3)
        assert [line["behind"][PARTITION] for line in told if "behind" in line] == [leader.exchange.clock.sequence]
        serving = asyncio.create_task(serve(database_url, redis_url))
        await finish(pool, [PARTITION], 20)
        await kill(serving)
        assert (await load_tables(database_url)).sequence == leader.exchange.clock.sequence
