"""What market data does when the bus loses entries, is emptied, goes away and comes back, or the engine does."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from redis.asyncio import Redis

from db.streams import market_key, open_bus
from servers.embedded import valkey
from servers.embedded.addresses import valkey_url
from servers.engine.replica import Replica
from tests.integration.marketdata.conftest import Open, projector
from tests.integration.marketdata.stand import Reader, Stand, WitnessedLeader, everything, sides_of, until
from tests.integration.replica.leader import MARKETS, PARTITION
from tests.servers import READY_S, free_port, wait_until
from tests.unit.transport.conftest import refusal_of
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb


class Valkey:
    """A server of one test, which may be killed and started again with what its file holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        password, port = secrets.token_urlsafe(16), free_port()
        self.command = valkey.command(valkey.configure(folder, port, password, folder / "valkey.pid"))
        self.url = valkey_url(password, port)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "valkey.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)
        wait_until(lambda: valkey.answers(self.url), self.process, log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(READY_S)


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Redis]:
    client = open_bus(redis_url)
    yield client
    await client.aclose()


@asynccontextmanager
async def reading(stand: Stand) -> AsyncIterator[Reader]:
    """A reader of everything, whose chain and checksums hold to the end."""
    reader = Reader(stand.leader)
    call = stand.stub.Subscribe(everything())
    task = asyncio.create_task(reader.read(call))
    await until(lambda: len(reader.last) == 10 or task.done())
    yield reader
    assert not task.done(), task
    call.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def whole(reader: Reader, leader: WitnessedLeader, stand: Stand) -> None:
    """Until the reader's books and trades, and the tickers, are the machine's."""
    await until(lambda: reader.agrees(leader))
    count = leader.exchange.clock.trade_number
    views = stand.data.tail(0).views.values()
    await until(lambda: sum(view.window.count for view in views) == count)
    await until(lambda: any(trades[-1:] == [f"{PARTITION}-t{count}"] for trades in reader.trades.values()))


async def test_lost_entries_are_made_up_for(stand: Stand, projecting: Replica, bus: Redis) -> None:
    async with reading(stand) as reader:
        await stand.leader.run(20)
        await whole(reader, stand.leader, stand)
        await until(lambda: projecting.bus.sequence == stand.leader.exchange.clock.sequence)
        # An entry that says nothing, with an id ahead: the bus takes those of the next commands for known, and drops them.
        for symbol in MARKETS:
            record = engine_pb2.MarketRecord(symbol=symbol, sequence=1)
            ahead = f"{stand.leader.exchange.clock.sequence + 60}-0"
            await bus.xadd(market_key(PARTITION, symbol), {"r": record.SerializeToString()}, id=ahead)
        await stand.leader.run(3)
        trades = stand.leader.exchange.clock.trade_number
        await stand.leader.run(30)
        await whole(reader, stand.leader, stand)
        assert stand.leader.exchange.clock.trade_number > trades
        assert reader.gaps == []
        for symbol in MARKETS:
            numbers = [int(trade.removeprefix("2-t")) for trade in reader.trades[symbol]]
            assert numbers == sorted(set(numbers))


async def test_a_reset_on_the_bus_is_followed_by_the_engines_book(
    stand: Stand, projecting: Replica, bus: Redis
) -> None:
    async with reading(stand) as reader:
        await stand.leader.run(20)
        await whole(reader, stand.leader, stand)
        await until(lambda: projecting.bus.sequence == stand.leader.exchange.clock.sequence)
        books = stand.engine.queries.count("book")
        sequence = stand.leader.exchange.clock.sequence
        record = engine_pb2.MarketRecord(
            symbol=MARKETS[0], sequence=sequence + 1, previous_sequence=sequence, reset=True
        )
        await bus.xadd(market_key(PARTITION, MARKETS[0]), {"r": record.SerializeToString()}, id=f"{sequence + 1}-0")
        await stand.leader.run(1)
        await until(lambda: stand.engine.queries.count("book") > books)
        await stand.leader.run(20)
        await whole(reader, stand.leader, stand)


async def test_an_emptied_bus_heals(stand: Stand, projecting: Replica, bus: Redis) -> None:
    async with reading(stand) as reader:
        for _ in range(4):
            await stand.leader.run(15)
            await bus.flushall()
            await stand.leader.run(15)
            await whole(reader, stand.leader, stand)


async def test_without_the_bus_books_are_the_engines_and_with_it_again_nothing_is_lost(
    open_stand: Open, leader: WitnessedLeader, own_valkey: Valkey, database_url: str
) -> None:
    async with projector(database_url, own_valkey.url), open_stand(own_valkey.url) as stand, reading(stand) as reader:
        await leader.run(20)
        await whole(reader, leader, stand)
        own_valkey.kill()
        await leader.run(20)
        await whole(reader, leader, stand)
        await leader.run(5)
        position = f"{PARTITION}.1.{leader.exchange.clock.sequence}"
        asked = pb.GetOrderBookRequest(symbol=MARKETS[0], depth=5000, min_position=position)
        assert sides_of(await stand.stub.GetOrderBook(asked)) == sides_of(leader.book(MARKETS[0]))
        own_valkey.start()
        await leader.run(20)
        await whole(reader, leader, stand)
        await until(lambda: stand.data.tail(0).on_bus)
        await leader.run(20)
        await whole(reader, leader, stand)


async def test_while_the_engine_is_away_the_bus_goes_on(stand: Stand) -> None:
    async with reading(stand) as reader:
        await until(lambda: stand.data.tail(0).on_bus)
        stand.engine.away = True
        await stand.leader.run(40)
        await whole(reader, stand.leader, stand)
        stand.engine.away = False


async def test_while_the_engine_hangs_the_bus_goes_on(stand: Stand) -> None:
    async with reading(stand) as reader:
        await until(lambda: stand.data.tail(0).on_bus)
        stand.engine.answering.clear()
        for _ in range(5):
            await stand.leader.run(10)
            await asyncio.sleep(0.4)
            await whole(reader, stand.leader, stand)
        stand.engine.answering.set()


async def test_a_server_that_never_reached_the_engine_says_that_it_cannot_answer(
    open_stand: Open, leader: WitnessedLeader
) -> None:
    async with open_stand(engine_away=True) as stand:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=MARKETS[0]))
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert refusal_of(raised.value).info.reason == "UNAVAILABLE"
        stand.engine.away = False
        await until(stand.data.tail(0).synced.is_set)
        book = await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=MARKETS[0]))
        assert sides_of(book) == sides_of(leader.book(MARKETS[0], 50))
