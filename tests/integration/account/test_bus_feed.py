"""BusFeed: every event once and in order, whatever the bus forgets and however long it is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from db import journal
from db.adaptation import Micros
from db.session import SERVICES, Connection, connect, open_pool
from db.streams import AccountEntry, find_published, open_bus, publish
from servers.account.bus_feed import SWEEP_S, BusFeed
from servers.engine.feed import Follower
from tests.integration.account.conftest import ended
from tests.integration.db.rows import EVENT, NOON, insert
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2

DEMO = 2
PARTITION = 2
ACCOUNT = "demo-a"


def record(sequence: int) -> bytes:
    balance = account_pb2.Balance(asset="USD", available=str(sequence), held="0", total=str(sequence))
    return engine_pb2.AccountRecord(balances=[balance]).SerializeToString()


@dataclass
class Desk:
    """A running feed, and the two places it reads from."""

    feed: BusFeed
    bus: Redis
    connection: Connection

    async def on_bus(self, sequence: int, previous: int, account_id: str = ACCOUNT) -> None:
        entry = AccountEntry(account_id, sequence, previous, record(sequence))
        await publish(self.bus, PARTITION, await find_published(self.bus, PARTITION), sequence, [], [entry])

    async def in_tables(self, sequence: int, previous: int) -> None:
        row = {**EVENT, "sequence": sequence, "previous_sequence": previous, "account_id": ACCOUNT}
        await insert(self.connection, "account_events", [{**row, "n": 0, "payload": record(sequence)}])
        await self.connection.execute(
            "UPDATE accounts SET last_event_sequence = %s WHERE account_id = %s", [sequence, ACCOUNT]
        )


@pytest.fixture
async def desk(database_url: str, redis_url: str) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await connect(database_url, application_name="test"))
        await journal.ensure_partition(connection, PARTITION, DEMO)
        account = {
            "partition": PARTITION,
            "account_id": ACCOUNT,
            "user_id": "ada",
            "type": 2,
            "name": "",
            "tier": "default",
            "self_trade_group": ACCOUNT,
            "status": 1,
            "create_time": Micros(NOON),
            "last_event_sequence": 0,
        }
        await insert(connection, "accounts", [account])
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        stack.push_async_callback(pool.close)
        bus, reader = open_bus(redis_url), open_bus(redis_url)
        stack.push_async_callback(bus.aclose)
        stack.push_async_callback(reader.aclose)
        feed = BusFeed(reader, pool, PARTITION)
        stack.push_async_callback(ended, asyncio.ensure_future(feed.run()))
        yield Desk(feed, bus, connection)


async def taken(follower: Follower, count: int, limit_s: float = 5.0) -> list[tuple[int, int, str]]:
    """So many events: sequence, the one before, and the balance told."""
    found: list[tuple[int, int, str]] = []
    async with asyncio.timeout(limit_s):
        while len(found) < count:
            frames = await follower.take()
            found += [(f.sequence, f.previous_sequence, f.record.balances[0].total) for f in frames]
    return found


async def test_the_bus_tells_at_once(desk: Desk) -> None:
    follower = desk.feed.follow(ACCOUNT, 3).follower
    await desk.on_bus(3, 0)
    await desk.on_bus(5, 3)
    await desk.on_bus(6, 0, "demo-b")
    await desk.on_bus(8, 5)
    assert await taken(follower, 2, limit_s=SWEEP_S / 2) == [(5, 3, "5"), (8, 5, "8")]


async def test_what_the_bus_forgot_is_told_by_the_tables_once(desk: Desk) -> None:
    follower = desk.feed.follow(ACCOUNT, 0).follower
    await desk.on_bus(3, 0)
    assert await taken(follower, 1) == [(3, 0, "3")]
    for sequence, previous in ((3, 0), (5, 3), (8, 5)):
        await desk.in_tables(sequence, previous)
    assert await taken(follower, 2, limit_s=SWEEP_S + 2) == [(5, 3, "5"), (8, 5, "8")]
    # Late entries of what the tables told already are passed over.
    await desk.on_bus(5, 3)
    await desk.on_bus(8, 5)
    await desk.on_bus(9, 8)
    assert await taken(follower, 1) == [(9, 8, "9")]


async def test_a_bus_that_hangs_is_gone_round_and_found_again(desk: Desk) -> None:
    follower = desk.feed.follow(ACCOUNT, 0).follower
    await desk.on_bus(3, 0)
    assert await taken(follower, 1) == [(3, 0, "3")]
    await desk.bus.client_pause(4000)
    await desk.in_tables(5, 3)
    assert await taken(follower, 1, limit_s=3.5) == [(5, 3, "5")]
    await desk.on_bus(7, 5)
    assert await taken(follower, 1) == [(7, 5, "7")]


async def test_who_joins_learns_from_where_and_who_leaves_hears_no_more(desk: Desk) -> None:
    first = desk.feed.follow(ACCOUNT, 0)
    await desk.on_bus(3, 0)
    await taken(first.follower, 1)
    second = desk.feed.follow(ACCOUNT, 1)
    assert (first.sequence, second.sequence) == (0, 3)
    desk.feed.leave(first.follower)
    await desk.on_bus(5, 3)
    assert await taken(second.follower, 1) == [(5, 3, "5")]
    desk.feed.leave(second.follower)
    await desk.on_bus(8, 5)
    # Alone again: reading begins where the new one stands.
    third = desk.feed.follow(ACCOUNT, 3)
    assert third.sequence == 3
    assert await taken(third.follower, 2) == [(5, 3, "5"), (8, 5, "8")]
