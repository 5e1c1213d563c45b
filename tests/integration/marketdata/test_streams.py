"""Streams of market data over gRPC, while thousands of random commands go through the machine."""

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress

import grpc
import pytest

from servers.marketdata.open_candles import INTERVALS_S
from servers.marketdata.series import Bounds
from servers.transport.errors import from_status
from servers.transport.returning import SLOW_MAX_S, SLOW_MIN_S
from tests.integration.marketdata.conftest import Open
from tests.integration.marketdata.stand import ALL, Reader, Stand, everything, next_frame, next_of_session, until
from tests.integration.replica.leader import ACCOUNTS, MARKETS
from tests.unit.transport.conftest import Refusal, refusal_of
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceStub
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

BOOK, TRADES = pb.CHANNEL_BOOK, pb.CHANNEL_TRADES
# A client that takes little before it is read.
NARROW = [
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16_384),
    ("grpc.use_local_subchannel_pool", 1),
]


async def refused(call: AsyncIterable[pb.SubscribeResponse]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    return refusal_of(raised.value)


async def test_snapshot_and_deltas_are_the_engines_books_whenever_one_begins(stand: Stand) -> None:
    readers = [Reader(stand.leader) for _ in range(4)]
    calls, reading = [], []
    for reader in readers:
        await stand.leader.run(60)
        calls.append(stand.stub.Subscribe(everything()))
        reading.append(asyncio.create_task(reader.read(calls[-1])))
    await stand.leader.run(60)
    await until(lambda: all(set(reader.books) == set(MARKETS) and reader.agrees(stand.leader) for reader in readers))
    for call, task in zip(calls, reading, strict=True):
        call.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for reader in readers:
        assert reader.frames[0] == "ready"
        assert reader.gaps == []
        assert reader.checked >= 2
    assert readers[0].checked > 20
    assert stand.leader.exchange.clock.sequence > 3_000


async def test_trades_come_once_each_and_in_order(stand: Stand) -> None:
    reader = Reader()
    call = stand.stub.Subscribe(everything())
    reading = asyncio.create_task(reader.read(call))
    await until(lambda: len(reader.last) == 10)
    await stand.leader.run(100)
    count = stand.leader.exchange.clock.trade_number
    await until(lambda: sum(len(trades) for trades in reader.trades.values()) == count)
    for trades in reader.trades.values():
        numbers = [int(trade.removeprefix("2-t")) for trade in trades]
        assert numbers == sorted(set(numbers))
    ticker = (await stand.stub.GetTicker(pb.GetTickerRequest(symbol=MARKETS[0]))).ticker
    assert ticker.trade_count == len(reader.trades[MARKETS[0]])
    call.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def test_a_change_of_state_reaches_the_status_channel(stand: Stand) -> None:
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[pb.CHANNEL_STATUS]))
    frames = [await next_frame(call), await next_frame(call)]
    assert frames[1].snapshot.market.state == pb.MARKET_STATE_OPEN
    state = engine_pb2.SetMarketState(symbol=MARKETS[0], state=pb.MARKET_STATE_HALTED)
    await stand.leader.commit([engine_pb2.Command(set_market_state=state)])
    event = await next_frame(call)
    assert event.event.market.state == pb.MARKET_STATE_HALTED
    assert event.previous_sequence == frames[1].sequence
    call.cancel()


def crossing(symbol: str) -> list[engine_pb2.Command]:
    """A bid above an offer."""
    orders = [
        order_service_pb2.PlaceOrderRequest(
            account_id=account_id,
            symbol=symbol,
            side=side,
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            quantity="1",
            price=price,
        )
        for account_id, side, price in zip(
            ACCOUNTS, (type_pb2.SIDE_BUY, type_pb2.SIDE_SELL), ("101", "100"), strict=False
        )
    ]
    return [engine_pb2.Command(place_order=order) for order in orders]


async def test_what_an_auction_would_come_to_reaches_the_status_channel(stand: Stand) -> None:
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[pb.CHANNEL_STATUS]))
    await next_frame(call)
    await next_frame(call)
    symbol, told = MARKETS[0], []
    for state in (pb.MARKET_STATE_PRE_OPEN, pb.MARKET_STATE_OPEN):
        change = engine_pb2.SetMarketState(symbol=symbol, state=state)
        await stand.leader.commit([engine_pb2.Command(set_market_state=change)])
        told.append((await next_frame(call)).event.market)
        if state == pb.MARKET_STATE_PRE_OPEN:
            await stand.leader.commit(crossing(symbol))
            told.append((await next_frame(call)).event.market)
    assert [(market.state, market.auction_quantity) for market in told] == [
        (pb.MARKET_STATE_PRE_OPEN, ""),
        (pb.MARKET_STATE_PRE_OPEN, "1"),
        (pb.MARKET_STATE_OPEN, ""),
    ]
    call.cancel()


async def test_a_quiet_stream_gets_ready_at_once_and_then_heartbeats(open_stand: Open, projecting: object) -> None:
    async with open_stand(silence_s=0.1) as stand:
        call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK]))
        frames = [await next_frame(call) for _ in range(4)]
        assert [frame.WhichOneof("frame") for frame in frames] == ["ready", "snapshot", "heartbeat", "heartbeat"]
        assert frames[0].ready.heartbeat_interval.ToMilliseconds() == 100
        call.cancel()


async def test_the_51st_subscription_is_refused_and_changes_nothing(stand: Stand) -> None:
    listed = (await stand.stub.GetMarket(pb.GetMarketRequest(symbol=MARKETS[0]))).market
    symbols = [f"BTC-USD-{number}" for number in range(11)]
    definitions = []
    for symbol in symbols:
        listed.symbol = symbol
        definitions.append(engine_pb2.Command(define_market=engine_pb2.DefineMarket(market=listed)))
    await stand.leader.commit(definitions)
    await until(lambda: set(symbols) <= set(stand.data.tail(0).views))
    refusal = await refused(stand.stub.Subscribe(pb.SubscribeRequest(symbols=symbols, channels=ALL)))
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_SUBSCRIPTIONS")
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=symbols[:10], channels=ALL))
    stream_id = (await next_frame(call)).stream_id
    one_more = [pb.Subscription(symbol=symbols[10], channel=BOOK)]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id, add=one_more))
    assert refusal_of(raised.value).info.reason == "TOO_MANY_SUBSCRIPTIONS"
    kept = await stand.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id))
    assert len(kept.subscriptions) == 50
    assert one_more[0] not in kept.subscriptions
    call.cancel()


async def test_an_unknown_symbol_or_stream_is_not_found(stand: Stand) -> None:
    refusal = await refused(stand.stub.Subscribe(pb.SubscribeRequest(symbols=["NO-PE"], channels=[BOOK])))
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.NOT_FOUND, "MARKET_NOT_FOUND")
    update = pb.UpdateSubscriptionsRequest(stream_id="00", add=[pb.Subscription(symbol=MARKETS[0], channel=BOOK)])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.UpdateSubscriptions(update)
    assert refusal_of(raised.value).info.reason == "STREAM_NOT_FOUND"


async def test_another_call_changes_what_a_stream_is_subscribed_to(stand: Stand) -> None:
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK]))
    stream_id = (await next_frame(call)).stream_id
    assert (await next_frame(call)).snapshot.symbol == MARKETS[0]
    bad = pb.UpdateSubscriptionsRequest(
        stream_id=stream_id,
        add=[pb.Subscription(symbol=MARKETS[1], channel=BOOK), pb.Subscription(symbol="NO-PE", channel=BOOK)],
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.UpdateSubscriptions(bad)
    assert refusal_of(raised.value).info.reason == "MARKET_NOT_FOUND"
    good = pb.UpdateSubscriptionsRequest(
        stream_id=stream_id,
        add=[pb.Subscription(symbol=MARKETS[1], channel=TRADES)],
        remove=[pb.Subscription(symbol=MARKETS[0], channel=BOOK)],
    )
    answer = await stand.stub.UpdateSubscriptions(good)
    assert list(answer.subscriptions) == [pb.Subscription(symbol=MARKETS[1], channel=TRADES)]
    await stand.leader.run(20)
    frames = [await next_frame(call) for _ in range(2)]
    said = [frame.snapshot if frame.HasField("snapshot") else frame.event for frame in frames]
    assert [(one.symbol, one.WhichOneof("data")) for one in said] == [(MARKETS[1], "trades")] * 2
    call.cancel()


async def test_a_stream_is_changed_through_whichever_server_is_asked(open_stand: Open, projecting: object) -> None:
    async with open_stand() as one, open_stand(peers=["127.0.0.1:1", one.address]) as other:
        call = one.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK]))
        stream_id = (await next_frame(call)).stream_id
        await next_frame(call)
        add = [pb.Subscription(symbol=MARKETS[1], channel=TRADES)]
        answer = await other.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id, add=add))
        assert len(answer.subscriptions) == 2
        assert (await next_frame(call)).snapshot.symbol == MARKETS[1]
        add[0].symbol = "NO-PE"
        for name, reason in ((stream_id, "MARKET_NOT_FOUND"), ("00", "STREAM_NOT_FOUND")):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await other.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=name, add=add))
            assert refusal_of(raised.value).info.reason == reason
        call.cancel()


async def test_a_session_subscribes_and_unsubscribes_on_one_stream(stand: Stand) -> None:
    call = stand.stub.Session()
    await call.write(pb.SessionRequest(add=[pb.Subscription(symbol=MARKETS[0], channel=BOOK)], depth=1))
    frames = [await next_of_session(call) for _ in range(2)]
    assert [frame.WhichOneof("frame") for frame in frames] == ["ready", "snapshot"]
    await call.write(
        pb.SessionRequest(
            add=[pb.Subscription(symbol=MARKETS[1], channel=pb.CHANNEL_STATUS)],
            remove=[pb.Subscription(symbol=MARKETS[0], channel=BOOK)],
        )
    )
    assert (await next_of_session(call)).snapshot.market.symbol == MARKETS[1]
    await call.write(pb.SessionRequest(add=[pb.Subscription(symbol="NO-PE", channel=BOOK)]))
    refusal = await call.read()
    assert isinstance(refusal, pb.SessionResponse)
    error = from_status(refusal.error)
    assert (error.reason, error.metadata) == ("MARKET_NOT_FOUND", {"symbol": "NO-PE"})
    await call.write(pb.SessionRequest(add=[pb.Subscription(symbol=MARKETS[1], channel=BOOK)]))
    assert (await next_of_session(call)).snapshot.book.symbol == MARKETS[1]
    call.cancel()


async def test_f30_a_reader_that_stops_is_cut_and_the_others_go_on(open_stand: Open, projecting: object) -> None:
    """F30 of the faults: the publisher never waits for a slow subscriber."""
    bounds = Bounds(conflate_frames=8, conflate_bytes=32_768, frames_max=20, bytes_max=65_536)
    async with (
        open_stand(bounds=bounds, book_window_s=0.0) as stand,
        grpc.aio.insecure_channel(stand.address, NARROW) as channel,
    ):
        slow = MarketDataServiceStub(channel).Subscribe(everything())
        slow_id = (await next_frame(slow)).stream_id
        quick = Reader(stand.leader)
        call = stand.stub.Subscribe(everything())
        reading = asyncio.create_task(quick.read(call))
        stream = stand.data.fan_out.streams[slow_id]
        for _ in range(60):
            await stand.leader.run(40)
            if stream.ended:
                break
        assert stream.ended
        await until(lambda: quick.agrees(stand.leader))
        assert "goodbye" not in quick.frames
        last = await next_frame(slow)
        while not last.HasField("goodbye"):
            last = await next_frame(slow)
        assert last.goodbye.reason == "SLOW_CONSUMER"
        assert SLOW_MIN_S <= last.goodbye.retry_after.ToNanoseconds() / 1e9 <= SLOW_MAX_S
        assert await slow.read() is grpc.aio.EOF
        call.cancel()
        with suppress(asyncio.CancelledError):
            await reading


async def test_candles_of_every_length_are_those_of_the_tables(stand: Stand) -> None:
    """Over thousands of random commands: what the stream says of each candle last is what ListCandles has."""
    symbol, intervals = MARKETS[0], list(INTERVALS_S)
    request = pb.SubscribeRequest(symbols=[symbol], channels=[pb.CHANNEL_CANDLES])
    request.intervals.extend(intervals)  # type: ignore[arg-type]  # the wire's own numbers
    call = stand.stub.Subscribe(request)
    seen: dict[int, dict[int, pb.Candle]] = {interval: {} for interval in intervals}
    last: dict[int, int] = {}

    async def read() -> None:
        async for frame in call:
            kind = frame.WhichOneof("frame")
            if kind not in ("snapshot", "event"):
                continue
            candle = frame.snapshot.candle if kind == "snapshot" else frame.event.candle
            assert kind == "snapshot" or frame.previous_sequence == last[candle.interval]
            last[candle.interval] = frame.sequence
            if candle.HasField("open_time"):
                seen[candle.interval][candle.open_time.seconds] = candle

    async def listed(interval: int) -> dict[int, pb.Candle]:
        asked = pb.ListCandlesRequest(symbol=symbol, interval=interval, page_size=500)  # type: ignore[arg-type]
        return {candle.open_time.seconds: candle for candle in (await stand.stub.ListCandles(asked)).candles}

    reading = asyncio.create_task(read())
    await until(lambda: len(last) == len(intervals))
    await stand.leader.run(100)
    view = stand.data.tail(0).view(symbol)
    await until(lambda: view.position == stand.leader.exchange.clock.sequence)
    assert view.window.count > 100
    counts = dict.fromkeys(intervals, view.window.count)
    await until(lambda: {each: sum(one.trade_count for one in told.values()) for each, told in seen.items()} == counts)
    for interval in intervals:
        # The tables may come after the bus, and an answer may be a second old.
        expected = await listed(interval)
        for _ in range(400):
            if sum(one.trade_count for one in expected.values()) == view.window.count:
                break
            await asyncio.sleep(0.05)
            expected = await listed(interval)
        # By the tables' clock one that ends is over at once; the stream says so a second later.
        for candles in (expected, seen[interval]):
            for candle in candles.values():
                candle.is_closed = False
        assert {start: seen[interval][start] for start in sorted(seen[interval])} == dict(sorted(expected.items()))
    call.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def test_intervals_that_are_none_or_are_not_of_candles_are_refused_by_field(stand: Stand) -> None:
    symbol, candles = MARKETS[0], pb.CHANNEL_CANDLES

    def request(*channels: pb.Channel.ValueType, intervals: list[int]) -> pb.SubscribeRequest:
        return pb.SubscribeRequest(symbols=[symbol], channels=channels, intervals=intervals)  # type: ignore[arg-type]

    for bad, field in (
        (request(candles, intervals=[2, 99]), "intervals[1]"),
        (request(candles, intervals=[0]), "intervals[0]"),
        (request(candles, intervals=[1, 1]), "intervals"),
        (request(BOOK, intervals=[1]), "intervals"),
    ):
        refusal = await refused(stand.stub.Subscribe(bad))
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert refusal.fields == [field]
    call = stand.stub.Subscribe(request(candles, intervals=[pb.CANDLE_INTERVAL_1S]))
    stream_id = (await next_frame(call)).stream_id
    bad_add = pb.UpdateSubscriptionsRequest(
        stream_id=stream_id, add=[pb.Subscription(symbol=symbol, channel=BOOK, interval=pb.CANDLE_INTERVAL_1M)]
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.UpdateSubscriptions(bad_add)
    assert refusal_of(raised.value).fields == ["add[0].interval"]
    # One of a minute, said or not, is the same.
    second = pb.Subscription(symbol=symbol, channel=candles, interval=pb.CANDLE_INTERVAL_1S)
    minute = pb.Subscription(symbol=symbol, channel=candles, interval=pb.CANDLE_INTERVAL_1M)
    add = [minute, pb.Subscription(symbol=symbol, channel=candles)]
    answer = await stand.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id, add=add))
    assert list(answer.subscriptions) == [second, minute]
    answer = await stand.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id, remove=[second]))
    assert list(answer.subscriptions) == [minute]
    call.cancel()
