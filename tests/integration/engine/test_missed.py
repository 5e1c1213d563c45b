"""What a stream has missed, from memory, the bus and the tables: each alone, each hand-over, and with each away."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import pytest
from redis.asyncio import Redis

from db import journal
from db.session import SERVICES, Connection, connect, open_pool
from db.streams import AccountEntry, account_key, find_published, open_bus, publish
from servers.engine import missed as room
from servers.engine.feed import Feed
from servers.engine.fence import Fence
from servers.engine.missed import GapError, Past
from servers.engine.ring import AccountFrame
from tests.integration.db.rows import EVENT, insert
from tests.servers import free_port
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2

PARTITION: Final = 2
ACCOUNT: Final = "demo-a"
# Sequences of an account's events, others' between them; each names the one before it.
EVENTS: Final = [3, 5, 6, 10, 11, 20, 21, 22, 30, 31]
CHAIN: Final = dict(zip(EVENTS, [0, *EVENTS], strict=False))


def record(sequence: int) -> engine_pb2.AccountRecord:
    update = order_pb2.OrderUpdate(order=order_pb2.Order(order_id=f"2-{sequence}"))
    return engine_pb2.AccountRecord(orders=[update])


def frame(sequence: int) -> AccountFrame:
    return AccountFrame(ACCOUNT, sequence, CHAIN[sequence], record(sequence).SerializeToString())


@dataclass
class Places:
    """Where events are kept."""

    feed: Feed
    bus: Redis
    connection: Connection
    past: Past

    def remembered(self, sequences: Iterable[int]) -> None:
        self.feed.publish([frame(each) for each in sequences])

    async def told(self, sequences: Iterable[int], published: int) -> None:
        entries = [AccountEntry(ACCOUNT, each, CHAIN[each], record(each).SerializeToString()) for each in sequences]
        # Two share an entry.
        for at in range(0, len(entries), 2):
            before = await find_published(self.bus, PARTITION)
            await publish(self.bus, PARTITION, before, published, [], entries[at : at + 2])

    async def written(self, sequences: Iterable[int], projected: int) -> None:
        """Into the tables, whose reader is at a sequence."""
        for each in sequences:
            row = {**EVENT, "sequence": each, "previous_sequence": CHAIN[each], "account_id": ACCOUNT}
            await insert(
                self.connection, "account_events", [{**row, "n": 0, "payload": record(each).SerializeToString()}]
            )
        await self.connection.execute(
            "INSERT INTO projections (partition, reader, sequence, epoch, digest, chain) "
            "VALUES (%s, 'tables', %s, 1, 0, '') ON CONFLICT (partition, reader) DO UPDATE SET sequence = excluded.sequence",
            [PARTITION, projected],
        )

    async def read(self, after: int, until: int) -> list[int]:
        """Sequences of what was missed, each of them whole and linked to the one before."""
        found = [frame async for frame in self.past.missed(self.feed.ring, PARTITION, ACCOUNT, after, until)]
        last = after
        for each in found:
            assert each.previous_sequence <= last < each.sequence
            assert each == frame(each.sequence)
            last = each.sequence
        return [frame.sequence for frame in found]


@pytest.fixture
async def places(database_url: str, redis_url: str) -> AsyncIterator[Places]:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await connect(database_url, application_name="test"))
        await journal.ensure_partition(connection, PARTITION, PARTITION)
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        stack.push_async_callback(pool.close)
        bus = open_bus(redis_url)
        stack.push_async_callback(bus.aclose)
        yield Places(Feed(), bus, connection, Past(pool, Fence(pool), bus, patience_s=0.2))


@pytest.mark.parametrize("after", [0, 3, 4, 21, 30])
async def test_each_place_alone_has_it_all(places: Places, after: int) -> None:
    right = [each for each in EVENTS if each > after]
    await places.written(EVENTS, 31)
    assert await places.read(after, 31) == right
    await places.written([], 0)
    await places.told(EVENTS, 31)
    assert await places.read(after, 31) == right
    await places.bus.flushall()
    places.remembered(EVENTS)
    assert await places.read(after, 31) == right


@pytest.mark.parametrize("overlap", [0, 1, 3])
async def test_each_place_goes_on_where_the_one_before_ends(places: Places, overlap: int) -> None:
    await places.written(EVENTS[: 4 + overlap], EVENTS[3 + overlap])
    await places.told(EVENTS[4 : 8 + overlap], EVENTS[min(7 + overlap, 9)])
    places.remembered(EVENTS[8:])
    for at, after in enumerate([0, *EVENTS]):
        assert await places.read(after, 31) == EVENTS[at:]
    assert await places.read(31, 31) == []


async def test_memory_and_tables_without_the_bus(places: Places) -> None:
    await places.written(EVENTS[:8], EVENTS[7])
    places.remembered(EVENTS[8:])
    assert await places.read(0, 31) == EVENTS
    away = open_bus(f"redis://127.0.0.1:{free_port()}")
    places.past = replace(places.past, bus=away)
    assert await places.read(5, 31) == EVENTS[2:]
    await away.aclose()


async def test_a_bus_that_hangs_is_gone_round(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BUS_ANSWER_S", 0.2)
    await places.written(EVENTS, 31)
    await places.bus.client_pause(1000)
    assert await places.read(0, 31) == EVENTS


async def test_memory_and_bus_without_the_database(places: Places) -> None:
    await places.told(EVENTS[:8], EVENTS[7])
    places.remembered(EVENTS[8:])
    await places.past.pool.close()
    assert await places.read(0, 31) == EVENTS
    places.remembered(EVENTS)
    assert await places.read(10, 31) == EVENTS[4:]


async def test_a_bus_that_is_behind_is_waited_for_and_then_left(places: Places) -> None:
    await places.told(EVENTS[:6], EVENTS[5])
    await places.written(EVENTS, 31)
    # The bus never gets there; the tables have.
    assert await places.read(0, 31) == EVENTS


async def test_a_hole_in_the_bus_is_filled_from_the_tables(places: Places) -> None:
    await places.written(EVENTS, 31)
    await places.told([each for each in EVENTS if each != 11], 31)
    assert await places.read(3, 31) == EVENTS[1:]
    await places.bus.xtrim(account_key(PARTITION, ACCOUNT), maxlen=2)
    assert await places.read(3, 31) == EVENTS[1:]


@pytest.mark.parametrize("where", ["nowhere", "late tables", "cut tables", "bus without its beginning"])
async def test_what_nobody_has_is_a_gap(places: Places, where: str) -> None:
    if where == "late tables":
        await places.written(EVENTS[:9], EVENTS[8])
    elif where == "cut tables":
        await places.written(EVENTS[3:], 31)
    elif where == "bus without its beginning":
        await places.told(EVENTS[3:], 31)
        await places.written([], 31)
    else:
        await places.written([], 31)
    with pytest.raises(GapError) as gap:
        await places.read(3, 31)
    assert gap.value.after == 3


async def test_a_gap_while_the_database_is_away(places: Places) -> None:
    await places.past.pool.close()
    with pytest.raises(GapError):
        await places.read(3, 31)
