"""Market data while what stands behind it fails: orders never notice the bus, and streams go on or say what they miss.

Of the faults: F20, Redis down and up, emptied, read-only, and standing still for five seconds; F31 to F34, streams by the
thousand: idle in bounded memory, dropped at once without harm to others, back at once without a loss, opened at once without a
refusal.
"""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from db.streams import find_published, open_bus
from servers.embedded.state import State
from servers.transport.call import INTERNAL_KEY
from servers.transport.caller import channel_to
from servers.transport.returning import SOON_MIN_S, spread_s
from tests.chaos.clients import SYMBOL, Metadata, Trader, load, sign_up
from tests.chaos.driver import Venue
from tests.chaos.streaming import Listener, Streaming, crowd, listening, market_of, streaming
from venue.engine.v1 import engine_pb2, engine_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1.type_pb2 import SIDE_BUY as BUY
from venue.type.v1.type_pb2 import SIDE_SELL as SELL

DEMO = 2
STALL_S = 5.0
FAULT_S = 1.5
SETTLED_S = 90.0
# More on each of the two servers than the resets that Envoy by itself would let wait on a connection (1,000).
CROWD = 2_200
# Of Envoy and the servers: ten thousand within a gigabyte, of which 250 MB are theirs before there is a stream.
BYTES_EACH_MAX = 75_000
BACK_S = 30.0


@pytest.fixture(scope="module")
def running_streams(running: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    running.mend()
    with streaming(running, tmp_path_factory.mktemp("streams")) as made:
        yield made


@pytest.fixture
def streams(running_streams: Streaming, venue: Venue) -> Streaming:
    running_streams.mend()
    return running_streams


async def engines_book(venue: Venue, folder: Path) -> pb.GetOrderBookResponse:
    """What the leader has in memory, committed."""
    key = State(folder).secret("internal")
    async with channel_to(f"127.0.0.1:{venue.ports['order']}") as channel:
        stub = engine_pb2_grpc.EngineServiceStub(channel)
        query = engine_pb2.QueryRequest(partition=DEMO, book=engine_pb2.BookQuery(symbol=SYMBOL, depth=50))
        answer = await stub.Query(query, metadata=((INTERNAL_KEY, key),), timeout=20)
        return answer.book


async def agree(streams: Streaming, listeners: list[Listener]) -> None:
    """Until every listener has the engine's book and the trades of the tables: every one of them, once, in order.

    Trades are the end of what was traded, from the first snapshot on; where some are missing the stream has said so.
    """
    end = time.monotonic() + SETTLED_S
    while True:
        engine = await engines_book(streams.venue, streams.venue.state)
        _, trades = await market_of(streams.addresses[0], SYMBOL)
        found = []
        for one in listeners:
            book = one.state.books[SYMBOL]
            same = (book.best_bids(), book.best_asks()) == (list(engine.bids), list(engine.asks))
            expected = trades[trades.index(one.trades[0]) :] if one.trades and one.trades[0] in trades else []
            told = one.trades == expected or (bool(one.state.gaps) and set(one.trades) <= set(trades))
            found.append(same and told and one.trades[-1:] == trades[-1:])
        if all(found):
            break
        assert time.monotonic() < end, (found, [one.trades[-3:] for one in listeners], trades[-3:])
        await asyncio.sleep(0.2)
    for one in listeners:
        assert len(one.trades) == len(set(one.trades)), "a trade was told twice"
        assert one.trades == sorted(one.trades)


async def down_and_up(venue: Venue, _bus: Redis) -> None:
    await asyncio.to_thread(venue.valkey.end, signal.SIGKILL)
    await asyncio.sleep(FAULT_S)
    await asyncio.to_thread(venue.start_valkey)


async def emptied(_venue: Venue, bus: Redis) -> None:
    for _ in range(3):
        await bus.flushall()
        await asyncio.sleep(FAULT_S / 3)


async def read_only(_venue: Venue, bus: Redis) -> None:
    # A replica of nobody: it takes no writes.
    await bus.replicaof("127.0.0.1", "1")
    await asyncio.sleep(FAULT_S)
    await bus.replicaof("NO", "ONE")


async def standing_still(venue: Venue, _bus: Redis) -> None:
    with venue.valkey.paused():
        await asyncio.sleep(STALL_S)


@pytest.mark.timeout(300)
async def test_f20_orders_do_not_notice_the_bus_and_streams_heal(streams: Streaming, seed: int) -> None:
    venue = streams.venue
    api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    listeners = [Listener(streams.gateway, SYMBOL) for _ in range(2)]
    bus = open_bus(venue.redis_url)
    async with listening(listeners):
        for fault in (down_and_up, emptied, read_only, standing_still):
            async with load(api, order, venue.record, traders=2, seed=seed) as at_work:
                await fault(venue, bus)
                await at_work.tally.until_served(time.monotonic())
            healing = time.monotonic()
            assert (at_work.tally.faults, at_work.tally.repeats) == ([], 0), f"{fault.__name__}: an order was refused"
            await agree(streams, listeners)
            healed_s = time.monotonic() - healing
            print(
                f"{fault.__name__}: {at_work.tally.acknowledged} orders, none repeated; healed {healed_s:.1f} s after it"
            )
    assert [one.streams for one in listeners] == [1, 1], "no stream ends because of the bus"
    assert await find_published(bus, DEMO)
    await bus.aclose()


@pytest.mark.timeout(300)
async def test_a_server_of_market_data_killed_under_load_is_taken_over_by_another_without_a_gap(
    streams: Streaming, seed: int
) -> None:
    venue = streams.venue
    api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    listeners = [Listener(streams.gateway, SYMBOL) for _ in range(6)]
    async with listening(listeners):
        async with load(api, order, venue.record, traders=3, seed=seed) as at_work:
            for at, number in ((0, signal.SIGKILL), (1, signal.SIGTERM)):
                await asyncio.sleep(0.7)
                streams_before = sum(one.streams for one in listeners)
                await asyncio.to_thread(streams.servers[at].end, number)
                async with asyncio.timeout(60):
                    while any(not one.connected for one in listeners):  # noqa: ASYNC110  # a client's state
                        await asyncio.sleep(0.02)
                moved = sum(one.streams for one in listeners) - streams_before
                print(f"server {at} ended by {number.name}: {moved} streams went on elsewhere")
                await asyncio.to_thread(streams.mend)
        assert at_work.tally.faults == []
        await agree(streams, listeners)
        _, trades = await market_of(streams.addresses[0], SYMBOL)
        for one in listeners:
            assert one.trades == trades[trades.index(one.trades[0]) :], "trades are missing"
    ended = [reason for one in listeners for reason in one.ended]
    assert len(ended) >= len(listeners) // 2
    assert set(ended) <= {"UNAVAILABLE", "INTERNAL", "SHUTDOWN"}
    asked = [wait_s for one in listeners for wait_s in one.asked_s]
    assert len(asked) == ended.count("SHUTDOWN")
    # Each another, and of few streams hardly any.
    assert len(set(asked)) == len(asked)
    assert all(SOON_MIN_S <= wait_s <= spread_s(len(listeners)) for wait_s in asked)


async def control_floods(streams: Streaming) -> int:
    """Connections that Envoy has closed because too many resets waited on them."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{streams.admin_port}/stats?filter=outbound_control_flood")).text
    return sum(int(line.rpartition(":")[2]) for line in text.splitlines() if ":" in line)


async def traded(trader: Trader, other: tuple[Metadata, str], symbol: str) -> str:
    """One trade between two users, on a market on which there is nothing else. Returns its id."""
    answer = None
    for (metadata, account_id), side in (((trader.metadata, trader.account_id), SELL), (other, BUY)):
        order = order_service_pb2.PlaceOrderRequest(
            account_id=account_id,
            symbol=symbol,
            side=side,
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            quantity="0.001",
            price="65000",
        )
        answer = await trader.send("PlaceOrder", order, metadata)
    assert answer is not None
    return str(answer.fills[0].trade_id)


@pytest.mark.timeout(300)
async def test_f31_to_f34_streams_by_the_thousand_open_rest_drop_and_return(streams: Streaming, seed: int) -> None:
    venue = streams.venue
    api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    quiet = pb.SubscribeRequest(symbols=["BTC-USD"], channels=[pb.CHANNEL_TRADES])
    innocents = [Listener(streams.gateway, SYMBOL) for _ in range(2)]
    async with listening(innocents), load(api, order, venue.record, traders=1, seed=seed) as at_work:
        # The first ones also load what all of them share.
        async with crowd(streams.gateway, quiet, 50):
            before = streams.resident_bytes()
        began = time.monotonic()
        async with crowd(streams.gateway, quiet, CROWD) as calls:
            opened_s = time.monotonic() - began
            each = (streams.resident_bytes() - before) / CROWD
            beats = await asyncio.gather(*(call.read() for call in calls[:: CROWD // 20]))
            assert {one.WhichOneof("frame") for one in beats if isinstance(one, pb.SubscribeResponse)} == {"heartbeat"}
            position = beats[0].position if isinstance(beats[0], pb.SubscribeResponse) else ""
        # All of them are gone at once, miss a trade, and come back at once.
        trade_id = await traded(at_work.traders[0], await sign_up(api), quiet.symbols[0])
        began = time.monotonic()
        quiet.resume_after = position
        async with crowd(streams.gateway, quiet, CROWD, trade_id):
            back_s = time.monotonic() - began
        print(f"{CROWD} streams: open in {opened_s:.1f} s, {each / 1000:.0f} kB each, back in {back_s:.1f} s")
    assert position
    assert each <= BYTES_EACH_MAX
    assert back_s <= BACK_S
    assert at_work.tally.faults == []
    assert [(one.streams, one.state.gaps, one.ended) for one in innocents] == [(1, [], [])] * 2
    assert await control_floods(streams) == 0


async def first_line(client: httpx.AsyncClient, query: str) -> tuple[int, dict[str, Any]]:
    """The status of a stream over REST, and its first message or error."""
    async with client.stream("GET", f"/v1/marketdata:subscribe?symbols={SYMBOL}&channels=CHANNEL_BOOK&{query}") as got:
        async for line in got.aiter_lines():
            return got.status_code, json.loads(line)
    raise AssertionError("nothing was said")


async def test_a_stream_over_rest_takes_every_option(streams: Streaming) -> None:
    async with httpx.AsyncClient(base_url=f"http://{streams.gateway}", trust_env=False, timeout=20) as client:
        for query in ("", "window=0.05s", "window=0s&joined=true&depth=3", f"resumeAfter={DEMO}.1.1"):
            status, message = await first_line(client, query)
            assert (status, "ready" in message) == (200, True), message
        for query, reason in (
            ("window=90s", "INVALID_FIELD"),
            ("resumeAfter=1.1.1", "POSITION_INVALID"),
            (f"resumeAfter={DEMO}.1.{2**60}", "POSITION_INVALID"),
            ("symbols=NO-PE", "MARKET_NOT_FOUND"),
        ):
            status, error = await first_line(client, query)
            assert (status in {400, 404}, error["details"][0]["reason"]) == (True, reason), error
        history = await client.get(f"/v1/markets/{SYMBOL}/book/snapshots?depth=5")
        candles = await client.get(f"/v1/markets/{SYMBOL}/candles?interval=CANDLE_INTERVAL_1M&fillGaps=true")
        assert [one.status_code for one in (history, candles)] == [200, 200]
