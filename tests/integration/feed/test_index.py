"""From simulated sources to the engine: index prices move, orders wait for them, and no failure of a source stops trading."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg_pool
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db import feeds
from db.feeds import INDEX_KEY, STATES_KEY
from db.price_ticks import list_price_ticks
from db.session import SERVICES, Pool, open_pool
from servers.domain.errors import PartUnavailable
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.feed.aggregation import Rules
from servers.feed.binance import Binance
from servers.feed.coinmarketcap import CoinMarketCap
from servers.feed.collect_prices import Collector
from servers.feed.command import Shown, index_table, sources_table
from servers.feed.conversion import Tether
from servers.feed.lease import Lease
from servers.feed.measures import FeedMeasures
from servers.feed.pairs import BINANCE, COINMARKETCAP, NAMES, YAHOO
from servers.feed.publish_index import LEASE, IndexPublisher, Pacing
from servers.feed.record_ticks import TickRecorder
from servers.feed.simulator.faults import Behaviour
from servers.feed.simulator.run import KEY, Simulated
from servers.feed.source import Observation
from servers.feed.yahoo import Yahoo
from tests.integration.feed.conftest import SEEDS
from tests.integration.marketdata.stand import PATIENCE_S, until
from tests.integration.order.conftest import Floor
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

# An index every turn, and prices that are old after a second.
EAGER = Pacing(pace_s=0.01, step_bps=0, refresh_s=0.01)
STALE_S = 1.0
# After this a source that says nothing has failed; long enough for one on a busy machine.
CALL_S = 2.0
LEASE_S = 60.0


class Feed:
    """One feed process: collectors of all sources and a publisher."""

    def __init__(
        self, sources: Simulated, bus: Redis, pool: Pool, engines: Engines[Engine], tether: Tether = "par"
    ) -> None:
        self.registry = CollectorRegistry()
        made = (
            Binance(sources.binance.address, NAMES[BINANCE], silence_s=CALL_S),
            Yahoo(sources.yahoo.address, NAMES[YAHOO], 0.1, call_s=CALL_S),
            CoinMarketCap(sources.coinmarketcap.address, NAMES[COINMARKETCAP], KEY, 0.1, call_s=CALL_S),
        )
        measures, holder = FeedMeasures(self.registry), f"feed-{id(self)}"
        self.ticks = TickRecorder(pool, measures)
        self.collectors = [Collector(source, bus, holder, measures, self.ticks) for source in made]
        stale = {source.name: STALE_S for source in made}
        demo = [Environment.DEMO]
        rules = Rules(confirm_ms=500)
        self.publisher = IndexPublisher(engines, demo, bus, holder, stale, tether, measures, rules, EAGER)
        # Given back where a test wants somebody else to have them; they do not run out because the machine is busy.
        for each in self.collectors:
            each.lease = Lease(bus, each.source.name, holder, LEASE_S)
        self.publisher.lease = Lease(bus, LEASE, holder, LEASE_S)
        self.tasks = [asyncio.create_task(each.run()) for each in self.collectors]
        self.tasks.append(asyncio.create_task(self.publisher.run()))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def engines_of(floor: Floor) -> Engines[Engine]:
    return Engines({int(Environment.DEMO): floor.room.engines[2], int(Environment.LIVE): floor.room.engines[1]})


@pytest.fixture
async def feed(floor: Floor, sources: Simulated, bus: Redis) -> AsyncIterator[Feed]:
    made = Feed(sources, bus, floor.room.pool, engines_of(floor))
    yield made
    await made.stop()


async def markets(floor: Floor, partition: int = 2) -> dict[str, marketdata_pb2.Market]:
    found = await floor.room.engines[partition].query(pb.QueryRequest(markets=pb.MarketsQuery()))
    return {market.symbol: market for market in found.markets}


async def index_of(floor: Floor, symbol: str = "BTC-USD") -> float:
    return float((await markets(floor))[symbol].index_price or 0)


async def becomes(floor: Floor, low: float, high: float, symbol: str = "BTC-USD") -> None:
    """Wait for an index price in a range. Raises AssertionError."""
    for _ in range(1000):
        if low <= await index_of(floor, symbol) <= high:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{symbol} is at {await index_of(floor, symbol)}")


async def entry(bus: Redis, pair: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await feeds.read_texts(bus, INDEX_KEY))[pair][1])
    return found


async def comes_to(bus: Redis, pair: str, used: set[str], refused: dict[str, str] | None = None) -> None:
    """Wait until a pair's index is made by these sources, and others are refused for these causes."""
    for _ in range(1000):
        with suppress(KeyError):
            found = await entry(bus, pair)
            if set(found["used"]) == used and refused in (None, found["refused"]):
                return
        await asyncio.sleep(0.02)
    raise AssertionError(await entry(bus, pair))


async def test_every_market_that_is_quoted_gets_an_index(floor: Floor, feed: Feed) -> None:
    wanted = {"BTC-USD", "BTC-USDT", "ETH-USD", "SOL-USD", "AAPL-USD", "EUR-USD"}
    for symbol in sorted(wanted):
        seed = float(SEEDS[symbol])
        await becomes(floor, seed * 0.97, seed * 1.03, symbol)
    found = await markets(floor)
    assert found["BTC-USD-PERP"].mark_price == found["BTC-USD-PERP"].index_price != ""
    assert found["BTC-USD"].mark_price == ""
    # Simulated prices stay in the environment they are for.
    assert {market.index_price for market in (await markets(floor, 1)).values()} == {""}
    # A source that was slow for a moment is left out of one index and in the next.
    await until(lambda: feed.sample("venue_feed_index_sources", environment="DEMO", symbol="BTC-USD") == 3)
    await until(lambda: feed.sample("venue_feed_commands_total", environment="DEMO", outcome="OK") >= len(wanted))


async def test_an_index_price_triggers_what_waits_for_it(floor: Floor, feed: Feed, sources: Simulated) -> None:
    await becomes(floor, 63_000, 67_000)
    ana = floor.ana
    placed = await ana.place(
        type=order_pb2.ORDER_TYPE_STOP_LIMIT,
        side=type_pb2.SIDE_BUY,
        stop_price="80000",
        price="50000",
        quantity="0.1",
        trigger_source=order_pb2.TRIGGER_SOURCE_INDEX,
    )
    assert placed.order.status == order_pb2.ORDER_STATUS_PENDING_TRIGGER
    for pair in ("BTC-USD", "BTC-USDT"):
        sources.walks.set(pair, "81000")
    await becomes(floor, 80_000, 82_000)
    now = await ana.call("GetOrder", order_id=placed.order.order_id)
    assert now.order.status == order_pb2.ORDER_STATUS_OPEN


async def test_one_source_that_lies_is_outvoted(floor: Floor, feed: Feed, sources: Simulated, bus: Redis) -> None:
    await comes_to(bus, "ETH-USD", {BINANCE, YAHOO, COINMARKETCAP})
    sources.walks.set("ETH-USDT", "9999")
    await comes_to(bus, "ETH-USD", {YAHOO, COINMARKETCAP}, {BINANCE: "outlier"})
    assert 3000 < await index_of(floor, "ETH-USD") < 3400
    sources.walks.set("ETH-USDT", "3200")
    await comes_to(bus, "ETH-USD", {BINANCE, YAHOO, COINMARKETCAP})


@pytest.mark.parametrize(
    "behaviours",
    [
        (Behaviour.HANGS, Behaviour.GARBAGE, Behaviour.LIMITED),
        (Behaviour.LIMITED, Behaviour.HANGS, Behaviour.HUGE_NUMBER),
        (Behaviour.AHEAD, Behaviour.CLOSES, Behaviour.WRONG_SHAPE),
    ],
)
async def test_trading_goes_on_while_every_source_fails(
    floor: Floor, feed: Feed, sources: Simulated, bus: Redis, behaviours: tuple[Behaviour, ...]
) -> None:
    await becomes(floor, 63_000, 67_000)
    for simulator, behaviour in zip(sources.all, behaviours, strict=True):
        simulator.behaviour = behaviour
    await until(lambda: all(collector.faults for collector in feed.collectors))
    await comes_to(bus, "BTC-USD", set())
    before = await index_of(floor)
    resting = await floor.ana.place(side=type_pb2.SIDE_SELL, price="65000", quantity="0.01")
    taking = await floor.ben.place(price="65000", quantity="0.01", time_in_force=order_pb2.TIME_IN_FORCE_IOC)
    assert resting.order.status == order_pb2.ORDER_STATUS_OPEN
    assert taking.order.status == order_pb2.ORDER_STATUS_FILLED
    # It keeps what it last knew, and nobody made anything up.
    assert await index_of(floor) == before
    assert not any(task.done() for task in feed.tasks)


async def seen(bus: Redis) -> Shown:
    """What `venue feed` shows."""
    return Shown(
        await feeds.read_texts(bus, STATES_KEY),
        await feeds.read_texts(bus, INDEX_KEY),
        await feeds.read_quotes(bus, [BINANCE, COINMARKETCAP, YAHOO]),
    )


async def test_a_source_that_comes_back_is_heard_again(
    floor: Floor, feed: Feed, sources: Simulated, bus: Redis
) -> None:
    await comes_to(bus, "SOL-USD", {BINANCE, YAHOO, COINMARKETCAP})
    sources.yahoo.behaviour = Behaviour.BROKEN
    await comes_to(bus, "SOL-USD", {BINANCE, COINMARKETCAP})
    sources.yahoo.behaviour = Behaviour.WELL
    await comes_to(bus, "SOL-USD", {BINANCE, YAHOO, COINMARKETCAP})
    assert feed.sample("venue_feed_faults_total", source=YAHOO, cause="refused") >= 1
    shown = await seen(bus)
    assert list(sources_table(shown).columns[0].cells) == [BINANCE, COINMARKETCAP, YAHOO]
    # A collector says how it is once a second.
    async with asyncio.timeout(PATIENCE_S):
        while "refused: HTTP 500" not in list(sources_table(await seen(bus)).columns[6].cells):  # noqa: ASYNC110  Redis's state
            await asyncio.sleep(0.05)
    assert "SOL-USD" in list(index_table(shown).columns[0].cells)


async def test_of_two_feed_processes_one_works_and_the_other_takes_over(
    floor: Floor, feed: Feed, sources: Simulated, bus: Redis
) -> None:
    await becomes(floor, 63_000, 67_000)
    second = Feed(sources, bus, floor.room.pool, engines_of(floor))
    told = [collector.told for collector in feed.collectors]
    await until(lambda: all(c.told > before + 10 for c, before in zip(feed.collectors, told, strict=True)))
    assert [collector.told for collector in second.collectors] == [0, 0, 0]
    assert second.sample("venue_feed_commands_total", environment="DEMO", outcome="OK") == 0
    await feed.stop()
    for pair in ("BTC-USD", "BTC-USDT"):
        sources.walks.set(pair, "70000")
    await becomes(floor, 69_000, 71_000)
    await until(lambda: all(collector.told for collector in second.collectors))
    await second.stop()


async def test_a_tether_is_worth_what_the_sources_say_where_that_is_asked_for(
    floor: Floor, sources: Simulated, bus: Redis
) -> None:
    feed = Feed(sources, bus, floor.room.pool, engines_of(floor), "rate")
    sources.walks.set("USDT-USD", "0.9")
    # Its rate makes of Binance's price one that no other source has.
    await comes_to(bus, "BTC-USD", {YAHOO, COINMARKETCAP}, {BINANCE: "outlier"})
    sources.walks.set("BTC-USDT", "72222.22")
    await comes_to(bus, "BTC-USD", {BINANCE, YAHOO, COINMARKETCAP})
    await feed.stop()


class Away:
    """An engine that is gone."""

    partition = 2

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def submit(self, commands: Any, timeout_s: float | None) -> Any:
        raise PartUnavailable("the engine")

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        return await self._engine.query(request)

    def tail(self, after_sequence: int) -> Any:
        raise PartUnavailable("the engine")


async def test_an_engine_that_is_away_gets_no_old_price_later(floor: Floor, sources: Simulated, bus: Redis) -> None:
    away = Away(floor.room.engines[2])
    feed = Feed(sources, bus, floor.room.pool, Engines({int(Environment.DEMO): away}))
    await until(lambda: feed.sample("venue_feed_commands_total", environment="DEMO", outcome="UNAVAILABLE") > 3)
    assert await index_of(floor) == 0
    away.submit = floor.room.engines[2].submit  # type: ignore[method-assign]
    await becomes(floor, 63_000, 67_000)
    assert not any(task.done() for task in feed.tasks)
    await feed.stop()


@pytest.mark.parametrize(
    ("price", "sent", "now", "due"),
    [
        (10_000, None, 0.0, True),
        (10_000, (10_000, 0.0), 9.9, False),
        (10_000, (10_000, 0.0), 10.0, True),
        (10_100, (10_000, 0.0), 0.9, False),
        (10_100, (10_000, 0.0), 1.0, True),
        (10_001, (10_000, 0.0), 9.0, False),
        (10_002, (10_000, 0.0), 9.0, True),
        (10_001, (10_000, 0.0), 10.0, True),
    ],
)
def test_an_index_is_sent_after_a_step_or_a_while(
    price: int, sent: tuple[int, float] | None, now: float, due: bool
) -> None:
    assert Pacing(pace_s=1.0, step_bps=1, refresh_s=10.0).due(price, sent, now) == due


async def test_what_every_source_told_is_kept_as_raw_ticks(floor: Floor, feed: Feed) -> None:
    await until(lambda: all(collector.told for collector in feed.collectors))
    await feed.ticks.write()
    async with floor.room.pool.connection() as connection:
        ticks = await list_price_ticks(connection, "AAPL-USD", 1000)
        tethers = await list_price_ticks(connection, "BTC-USDT", 1000)
    # Shares are Yahoo's alone; Binance and CoinMarketCap quote in tether and in dollars.
    assert {tick.source for tick in ticks} == {YAHOO}
    assert BINANCE in {tick.source for tick in tethers}
    assert all(0.95 < tick.price / 10**18 / float(SEEDS["AAPL-USD"]) < 1.05 for tick in ticks)
    assert [tick.time for tick in ticks] == sorted((tick.time for tick in ticks), reverse=True)


async def test_ticks_wait_for_a_database_that_is_away_as_many_as_may(database_url: str) -> None:
    pool = await open_pool(database_url, application_name="test ticks", role=SERVICES)
    measures = FeedMeasures(CollectorRegistry())
    recorder = TickRecorder(pool, measures, waiting_max=3)
    recorder.note("s", [Observation("A-USD", 1)])
    await pool.close()
    with pytest.raises(psycopg_pool.PoolClosed):
        await recorder.write()
    recorder.note("s", [Observation(f"{name}-USD", 1) for name in "BCD"])
    assert measures.ticks_lost._value.get() == 1
    back = await open_pool(database_url, application_name="test ticks", role=SERVICES)
    recorder._pool = back
    await recorder.write()
    await recorder.write()
    async with back.connection() as connection:
        cursor = await connection.execute("SELECT pair FROM price_ticks ORDER BY 1")
        assert [pair for (pair,) in await cursor.fetchall()] == ["B-USD", "C-USD", "D-USD"]
    await back.close()
