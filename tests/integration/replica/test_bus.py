"""The bus after a publication: equal to the machine's books, chained, and honest about what was lost."""

import asyncio
from typing import Any

import redis
from redis.asyncio import Redis

from db.journal import read_after
from db.session import Connection
from db.streams import (
    AccountEntry,
    MarketEntry,
    account_key,
    find_published,
    market_key,
    parted,
    publish,
    read_account,
    read_accounts,
    sequence_key,
)
from servers.engine.messages import book_message
from tests.integration.replica.conftest import Project, kill, make, until
from tests.integration.replica.leader import ACCOUNTS, MARKETS, PARTITION, Leader
from tests.integration.replica.test_projection import rows
from venue.engine.v1 import engine_pb2 as pb

Levels = dict[tuple[str, str], tuple[str, int]]


async def market_records(bus: Redis, symbol: str, after: str = "-") -> list[tuple[str, pb.MarketRecord]]:
    entries: Any = await bus.xrange(market_key(PARTITION, symbol), min=after)
    return [(entry_id.decode(), pb.MarketRecord.FromString(fields[b"r"])) for entry_id, fields in entries]


def fold(levels: Levels, record: pb.MarketRecord) -> None:
    """A reader's book after an entry."""
    for side, changed in (("bid", record.bids), ("ask", record.asks)):
        for level in changed:
            if level.order_count:
                levels[side, level.price] = (level.quantity, level.order_count)
            else:
                levels.pop((side, level.price), None)


def book(leader: Leader, symbol: str) -> Levels:
    message = book_message(leader.exchange, symbol, 0)
    found = {("bid", level.price): (level.quantity, level.order_count) for level in message.bids}
    return found | {("ask", level.price): (level.quantity, level.order_count) for level in message.asks}


async def test_a_reader_of_the_streams_has_the_machines_books(bus: Redis, leader: Leader, project: Project) -> None:
    for _ in range(5):
        await leader.run(10)
        await project(leader.exchange.clock.sequence)
    for symbol in MARKETS:
        levels: Levels = {}
        previous = 0
        for entry_id, record in await market_records(bus, symbol):
            assert record.previous_sequence == previous
            assert entry_id == f"{record.sequence}-0"
            previous = record.sequence
            fold(levels, record)
        assert levels == book(leader, symbol)
    assert await find_published(bus, PARTITION) == leader.exchange.clock.sequence


async def test_trades_are_published_once_and_in_order(
    bus: Redis, connection: Connection, leader: Leader, project: Project
) -> None:
    for _ in range(5):
        await leader.run(10)
        await project(leader.exchange.clock.sequence)
    published = [
        trade.trade_id
        for symbol in MARKETS
        for _, record in await market_records(bus, symbol)
        for trade in record.trades
    ]
    query = "SELECT partition || '-t' || number FROM trades WHERE partition = %s ORDER BY symbol, number"
    assert published == [trade_id for (trade_id,) in await rows(connection, query)]


async def test_an_accounts_stream_is_the_record_of_the_account(
    bus: Redis, connection: Connection, leader: Leader, project: Project
) -> None:
    await leader.run(30)
    await project(leader.exchange.clock.sequence)
    query = (
        "SELECT account_id, sequence, previous_sequence, payload FROM account_events WHERE partition = %s ORDER BY 1, 2"
    )
    recorded = await rows(connection, query)
    published = []
    for account_id in ACCOUNTS:
        key = account_key(PARTITION, account_id)
        entries: Any = await bus.xrange(key)
        for entry_id, fields in entries:
            records = list(parted(account_id, fields[b"r"]))
            assert int(entry_id.partition(b"-")[0]) == records[-1].sequence
            published += records
        assert 3_500 < await bus.ttl(key) <= 3_600
    assert published == recorded


async def test_records_that_share_entries_are_read_from_and_up_to_any_of_them(bus: Redis) -> None:
    records = [("ann", 3 * n + 1, 3 * (n - 1) + 1 if n else 0, b"%d" % n * n) for n in range(120)]
    others = [("bob", 3 * n + 2, 0, b"") for n in range(120)]
    published, begin = None, 0
    for end in (1, 3, 43, 44, 120):
        together = sorted(records[begin:end] + others[begin:end], key=lambda each: each[1])
        await publish(bus, PARTITION, published, records[end - 1][1], [], together)
        published, begin = records[end - 1][1], end
    # Fewer than one entry a record, and none that is larger than it may be.
    assert await bus.xlen(account_key(PARTITION, "ann")) == 1 + 1 + 2 + 1 + 3
    for after in (0, 1, 2, 100, 127, 128, 300, 358, 400):
        for last in (0, 1, 5, 129, 130, 131, 357, 358, 400):
            expected = [each for each in records if after < each[1] <= last]
            assert await read_account(bus, PARTITION, "ann", after, last) == (expected, published)
        found: list[AccountEntry] = []
        while more := await read_accounts(bus, PARTITION, {"ann": found[-1].sequence if found else after}, 0.001):
            found += more
        assert found == [each for each in records if each[1] > after]
    both = await read_accounts(bus, PARTITION, {"ann": 355, "bob": 356}, 0.001)
    assert both == [records[-1], others[-1]]


async def test_a_bus_that_lost_its_end_tells_an_account_s_records_twice_and_readers_once(bus: Redis) -> None:
    """Entries of an account may be further than the bus's position: then the next ones overlap them."""
    records = [("ann", n, n - 1, b"") for n in range(1, 10)]
    await publish(bus, PARTITION, None, 6, [], records[:6])
    await bus.delete(sequence_key(PARTITION))
    await publish(bus, PARTITION, None, 9, [], records[3:])
    assert await read_account(bus, PARTITION, "ann", 1, 8) == (records[1:8], 9)
    assert sorted(set(await read_accounts(bus, PARTITION, {"ann": 1}, 0.001))) == records[1:]


async def test_a_bus_that_lost_everything_is_reset_and_goes_on(
    database_url: str, bus: Redis, redis_url: str, leader: Leader
) -> None:
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    with redis.Redis.from_url(redis_url) as operator:
        for _ in range(4):
            await leader.run(5)
            await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
            operator.flushall()
            await leader.run(1)
            await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    for symbol in MARKETS:
        await _until_reset(bus, symbol)
    await kill(task)


async def test_nothing_is_added_to_a_bus_that_is_not_where_it_was_left(bus: Redis, redis_url: str) -> None:
    """Who finds a loss may be killed before he can tell: what he added would then look as if nothing had been lost."""

    async def add(sequence: int, before: int | None) -> int | None:
        return await publish(bus, PARTITION, before, sequence, [MarketEntry("AAA-USD", sequence, 0, b"")], [])

    assert await add(5, before=None) is None
    for before in (None, 4, 6):
        assert await add(7, before=before) == 5
    assert await find_published(bus, PARTITION) == 5
    assert await bus.xlen(market_key(PARTITION, "AAA-USD")) == 1
    assert await add(7, before=5) == 5
    with redis.Redis.from_url(redis_url) as operator:
        operator.flushall()
    assert await add(8, before=7) is None
    assert await bus.keys() == []


async def test_rows_that_are_on_the_bus_already_are_not_published_again(
    database_url: str, bus: Redis, connection: Connection, leader: Leader, project: Project
) -> None:
    """A projector starts from the tables, which may be behind the bus: neither entries nor the bus's position go back."""
    late = await make(database_url, bus)
    behind = late.replay.sequence
    await leader.run(20)
    await project(leader.exchange.clock.sequence)
    stands = await find_published(bus, PARTITION)
    assert stands == leader.exchange.clock.sequence > behind
    task = asyncio.create_task(late.bus.run())
    await until(lambda: late.bus.sequence == stands)
    for row in await read_after(connection, PARTITION, behind, 1_000):
        late.apply(row)
        # Some turns of the writer, at the first of which it would publish.
        for _ in range(4):
            assert await find_published(bus, PARTITION) == stands
    await leader.run(20)
    for row in await read_after(connection, PARTITION, stands, 1_000):
        late.apply(row)
    await until(lambda: task.done() or late.bus.sequence == leader.exchange.clock.sequence)
    await kill(task)
    for symbol in MARKETS:
        levels: Levels = {}
        numbers: list[int] = []
        previous = 0
        for _, record in await market_records(bus, symbol):
            assert record.previous_sequence == previous
            previous = record.sequence
            fold(levels, record)
            numbers += [int(trade.trade_id.partition("-t")[2]) for trade in record.trades]
        assert previous > stands
        assert levels == book(leader, symbol)
        assert len(set(numbers)) == len(numbers) > 0


async def test_a_loss_while_nothing_happens_is_noticed(
    database_url: str, bus: Redis, redis_url: str, leader: Leader
) -> None:
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    with redis.Redis.from_url(redis_url) as operator:
        operator.flushall()
    for symbol in MARKETS:
        await _until_reset(bus, symbol)
    await kill(task)


async def _until_reset(bus: Redis, symbol: str) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(5):
        records: list[tuple[str, pb.MarketRecord]] = []
        while not any(record.reset for _, record in records):
            await asyncio.sleep(0.05)
            records = await market_records(bus, symbol)


async def test_a_cut_connection_loses_and_doubles_nothing(
    database_url: str, bus: Redis, redis_url: str, leader: Leader
) -> None:
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    with redis.Redis.from_url(redis_url) as operator:
        for _ in range(20):
            await leader.run(2)
            operator.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: task.done() or replica.bus.sequence == leader.exchange.clock.sequence)
    for symbol in MARKETS:
        levels: Levels = {}
        numbers: list[int] = []
        records = await market_records(bus, symbol)
        # The first entry of a bus that never had one says that nothing stands before it.
        assert [record.reset for _, record in records][1:] == [False] * (len(records) - 1)
        for _, record in records:
            fold(levels, record)
            numbers += [int(trade.trade_id.partition("-t")[2]) for trade in record.trades]
        assert levels == book(leader, symbol)
        assert len(set(numbers)) == len(numbers)
    await kill(task)


async def test_the_tables_go_on_without_a_bus_and_the_bus_catches_up(
    database_url: str, bus: Redis, redis_url: str, leader: Leader
) -> None:
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    with redis.Redis.from_url(redis_url) as operator:
        operator.config_set("maxmemory", "1")
        operator.config_set("maxmemory-policy", "noeviction")
        try:
            stuck = replica.bus.sequence
            await leader.run(20)
            await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence)
            assert replica.bus.sequence == stuck
        finally:
            operator.config_set("maxmemory", "0")
    await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    for symbol in MARKETS:
        levels: Levels = {}
        for _, record in await market_records(bus, symbol):
            fold(levels, record)
        assert levels == book(leader, symbol)
    await kill(task)


async def test_what_does_not_fit_is_announced(database_url: str, bus: Redis, leader: Leader, project: Project) -> None:
    await project(leader.exchange.clock.sequence)
    await bus.xtrim(market_key(PARTITION, MARKETS[0]), maxlen=0)
    await bus.xtrim(market_key(PARTITION, MARKETS[1]), maxlen=0)
    replica = await make(database_url, bus, bus_backlog_max=10)
    await leader.commit([leader.command() for _ in range(60)])
    task = asyncio.create_task(replica.run())
    await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    await kill(task)
    for symbol in MARKETS:
        assert [record.reset for _, record in await market_records(bus, symbol)] == [True]
