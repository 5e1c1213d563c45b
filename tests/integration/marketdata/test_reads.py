"""Market data for those who ask once: definitions, books, trades, candles and tickers."""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

import grpc
import pytest

from db.session import PROJECTOR, connect
from servers.domain.money import format_units, parse
from servers.engine.book_snapshots import BookKeeper, Keeping
from servers.engine.replica import Replica
from servers.marketdata.open_candles import INTERVALS_S
from tests.integration.marketdata.conftest import Open
from tests.integration.marketdata.stand import Stand, sides_of, until
from tests.integration.replica.leader import MARKETS, PARTITION
from tests.unit.transport.conftest import refusal_of
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import type_pb2

SYMBOL = MARKETS[0]
LENGTHS_S = {
    pb.CANDLE_INTERVAL_1S: 1,
    pb.CANDLE_INTERVAL_1M: 60,
    pb.CANDLE_INTERVAL_5M: 300,
    pb.CANDLE_INTERVAL_15M: 900,
    pb.CANDLE_INTERVAL_1H: 3600,
    pb.CANDLE_INTERVAL_4H: 14_400,
    pb.CANDLE_INTERVAL_1D: 86_400,
}


async def projected(stand: Stand, projecting: Replica) -> None:
    await until(lambda: projecting.tables.sequence == stand.leader.exchange.clock.sequence)


async def all_trades(stand: Stand, page_size: int = 100) -> list[pb.Trade]:
    found: list[pb.Trade] = []
    request = pb.ListTradesRequest(symbol=SYMBOL, page_size=page_size)
    while True:
        answer = await stand.stub.ListTrades(request)
        found += answer.trades
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def all_candles(
    stand: Stand, interval: pb.CandleInterval.ValueType, page_size: int = 7, **options: object
) -> list[pb.Candle]:
    found: list[pb.Candle] = []
    request = pb.ListCandlesRequest(symbol=SYMBOL, interval=interval, page_size=page_size, **options)  # type: ignore[arg-type]
    while True:
        answer = await stand.stub.ListCandles(request)
        found += answer.candles
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def expected_candles(trades: list[pb.Trade], interval: pb.CandleInterval.ValueType, now: float) -> list[pb.Candle]:
    """Newest first, from trades that are newest first."""
    length = LENGTHS_S[interval]
    groups: dict[int, list[pb.Trade]] = defaultdict(list)
    for trade in reversed(trades):
        groups[trade.trade_time.seconds // length * length].append(trade)
    found = []
    for start in sorted(groups, reverse=True):
        prices = [parse(trade.price) for trade in groups[start]]
        quantities = [parse(trade.quantity) for trade in groups[start]]
        quote = sum(price * quantity for price, quantity in zip(prices, quantities, strict=True))
        candle = pb.Candle(
            symbol=SYMBOL,
            interval=interval,
            open=format_units(prices[0], 18),
            high=format_units(max(prices), 18),
            low=format_units(min(prices), 18),
            close=format_units(prices[-1], 18),
            volume=format_units(sum(quantities), 18),
            quote_volume=format_units(quote, 36),
            trade_count=len(prices),
            is_closed=start + length <= now,
        )
        candle.open_time.seconds = start
        found.append(candle)
    return found


async def test_markets_are_listed_by_symbol_in_pages(stand: Stand) -> None:
    first = await stand.stub.ListMarkets(pb.ListMarketsRequest(page_size=1))
    second = await stand.stub.ListMarkets(pb.ListMarketsRequest(page_size=1, page_token=first.next_page_token))
    assert [market.symbol for market in (*first.markets, *second.markets)] == sorted(MARKETS)
    assert second.next_page_token == ""
    one = (await stand.stub.GetMarket(pb.GetMarketRequest(symbol=SYMBOL))).market
    assert one == first.markets[0]
    assert one.environment == type_pb2.ENVIRONMENT_DEMO


async def test_the_book_is_the_engines_and_as_new_as_it_has_to_be(stand: Stand) -> None:
    for _ in range(20):
        await stand.leader.run(3)
        position = f"{PARTITION}.1.{stand.leader.exchange.clock.sequence}"
        request = pb.GetOrderBookRequest(symbol=SYMBOL, depth=5000, min_position=position)
        book = await stand.stub.GetOrderBook(request)
        expected = stand.leader.book(SYMBOL)
        assert (sides_of(book), book.checksum) == (sides_of(expected), expected.checksum)
    expected = stand.leader.book(SYMBOL)
    # As deep as there is one, however much is asked for.
    deepest = await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=SYMBOL, depth=2**31 - 1))
    assert sides_of(deepest) == sides_of(expected)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=SYMBOL, depth=-1))
    assert refusal_of(raised.value).fields == ["depth"]
    few = await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=SYMBOL, depth=3))
    assert (sides_of(few), few.checksum) == (sides_of(stand.leader.book(SYMBOL, 3)), expected.checksum)


async def test_what_is_no_position_is_refused(stand: Stand) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.GetOrderBook(pb.GetOrderBookRequest(symbol=SYMBOL, min_position="yesterday"))
    assert refusal_of(raised.value).info.reason == "POSITION_INVALID"


async def test_unknown_symbols_and_environments_are_not_found(stand: Stand) -> None:
    live = pb.GetTickerRequest(symbol=SYMBOL, environment=type_pb2.ENVIRONMENT_LIVE)
    for request in (live, pb.GetTickerRequest(symbol="NO-PE")):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stand.stub.GetTicker(request)
        assert refusal_of(raised.value).info.reason == "MARKET_NOT_FOUND"


async def test_trades_are_listed_newest_first_without_a_gap(stand: Stand, projecting: Replica) -> None:
    await stand.leader.run(60)
    await projected(stand, projecting)
    numbers = [int(trade.trade_id.removeprefix("2-t")) for trade in await all_trades(stand, 17)]
    assert numbers == sorted(set(numbers), reverse=True)
    ticker = (await stand.stub.GetTicker(pb.GetTickerRequest(symbol=SYMBOL))).ticker
    assert ticker.trade_count == len(numbers) > 50


async def test_candles_are_those_of_the_trades(stand: Stand, projecting: Replica) -> None:
    for _ in range(60):
        await stand.leader.run(1)
        stand.leader.time_us += stand.leader.random.choice((1, 20, 500)) * 1_000_000
    await projected(stand, projecting)
    trades = await all_trades(stand)
    for interval, length_s in LENGTHS_S.items():
        candles = expected_candles(trades, interval, time.time())
        assert await all_candles(stand, interval) == candles
        # The last of those that were asked for may have ended meanwhile.
        start, end = candles[-1].open_time, candles[0].open_time
        filled = await all_candles(stand, interval, page_size=500, fill_gaps=True, start_time=start, end_time=end)
        assert filled == without_gaps(candles[1:], length_s, end.seconds)


def without_gaps(candles: list[pb.Candle], length: int, end: int) -> list[pb.Candle]:
    """Newest first, up to the last one that begins before an end."""
    known = {candle.open_time.seconds: candle for candle in candles}
    found: list[pb.Candle] = []
    for second in range(candles[-1].open_time.seconds, end, length) if candles else ():
        candle = pb.Candle()
        candle.CopyFrom(known.get(second) or found[-1])
        if second not in known:
            candle.open_time.seconds = second
            candle.open = candle.high = candle.low = candle.close
            candle.volume = candle.quote_volume = "0"
            candle.trade_count = 0
            candle.is_closed = True
        found.append(candle)
    return found[::-1]


async def test_a_filled_list_ends_with_the_candle_that_is_open(stand: Stand, projecting: Replica) -> None:
    assert await all_candles(stand, pb.CANDLE_INTERVAL_1D, fill_gaps=True) == []
    await stand.leader.run(10)
    await projected(stand, projecting)
    hour = await all_candles(stand, pb.CANDLE_INTERVAL_1H, fill_gaps=True)
    begins = [candle.open_time.seconds for candle in hour]
    assert begins == list(range(begins[0], begins[-1] - 1, -3600))
    assert time.time() - begins[0] < 7200
    assert [candle.is_closed for candle in hour] == [False] + [True] * (len(hour) - 1)
    assert hour[0].trade_count == 0
    assert hour[0].close == (await all_trades(stand))[0].price


async def test_candles_of_a_stretch_of_time(stand: Stand, projecting: Replica) -> None:
    await stand.leader.run(40)
    await projected(stand, projecting)
    seconds = await all_candles(stand, pb.CANDLE_INTERVAL_1S)
    request = pb.ListCandlesRequest(symbol=SYMBOL, interval=pb.CANDLE_INTERVAL_1S, page_size=500)
    request.start_time.CopyFrom(seconds[9].open_time)
    request.end_time.CopyFrom(seconds[4].open_time)
    assert list((await stand.stub.ListCandles(request)).candles) == seconds[5:10]
    request.end_time.seconds = 2**40
    request.start_time.seconds = -(2**40)
    answer = await stand.stub.ListCandles(request)
    assert list(answer.candles) == seconds[:500]


async def test_tickers_and_candles_are_those_of_the_trades_also_after_a_start(
    stand: Stand, open_stand: Open, projecting: Replica
) -> None:
    await stand.leader.run(60)
    await projected(stand, projecting)
    trades = await all_trades(stand)
    prices = [parse(trade.price) for trade in trades]
    book = stand.leader.book(SYMBOL)
    await until(lambda: sides_of(stand.data.tail(0).views[SYMBOL].book(5000)) == sides_of(book))
    expected = pb.Ticker(
        symbol=SYMBOL,
        last_price=trades[0].price,
        open_price=trades[-1].price,
        high_price=format_units(max(prices), 18),
        low_price=format_units(min(prices), 18),
        volume=format_units(sum(parse(trade.quantity) for trade in trades), 18),
        quote_volume=format_units(sum(parse(trade.price) * parse(trade.quantity) for trade in trades), 36),
        price_change=format_units(prices[0] - prices[-1], 18),
        trade_count=len(trades),
        mark_price=format_units(stand.leader.exchange.floor.markets[SYMBOL].mark_price, 18),
    )
    await until(lambda: stand.data.tail(0).views[SYMBOL].market.mark_price == expected.mark_price)
    for bid in book.bids[:1]:
        expected.bid_price, expected.bid_quantity = bid.price, bid.quantity
    for ask in book.asks[:1]:
        expected.ask_price, expected.ask_quantity = ask.price, ask.quantity
    async with open_stand() as begun:
        for answered in (
            (await stand.stub.GetTicker(pb.GetTickerRequest(symbol=SYMBOL))).ticker,
            (await stand.stub.ListTickers(pb.ListTickersRequest())).tickers[0],
            (await begun.stub.GetTicker(pb.GetTickerRequest(symbol=SYMBOL))).ticker,
        ):
            assert answered.HasField("update_time")
            answered.ClearField("update_time")
            assert answered == expected
        # The candles that a server begins with are those that another has counted, and both go on with them.
        for _ in range(2):
            views = [each.data.tail(0).views[SYMBOL] for each in (stand, begun)]
            for interval in INTERVALS_S:
                known, new = (view.newest_candle(interval) for view in views)
                assert known is not None
                known.is_closed = new.is_closed  # type: ignore[union-attr]  # each closes them by its own clock
                assert new == known
            await stand.leader.run(20)
            last = stand.leader.exchange.clock.sequence
            await until(lambda: all(each.data.tail(0).source.taken >= last for each in (stand, begun)))  # noqa: B023


async def test_page_tokens_that_are_forged_or_of_another_question_are_refused(
    stand: Stand, projecting: Replica
) -> None:
    await stand.leader.run(20)
    await projected(stand, projecting)
    second, minute = pb.CANDLE_INTERVAL_1S, pb.CANDLE_INTERVAL_1M
    trades = (await stand.stub.ListTrades(pb.ListTradesRequest(symbol=SYMBOL, page_size=1))).next_page_token
    asked = pb.ListCandlesRequest(symbol=SYMBOL, interval=second, page_size=1)
    candles = (await stand.stub.ListCandles(asked)).next_page_token
    assert trades
    assert candles
    for method, request in (
        (stand.stub.ListTrades, pb.ListTradesRequest(symbol=SYMBOL, page_token="AAAA")),
        (stand.stub.ListTrades, pb.ListTradesRequest(symbol=MARKETS[1], page_token=trades)),
        (stand.stub.ListTrades, pb.ListTradesRequest(symbol=SYMBOL, page_token=candles)),
        (stand.stub.ListTrades, pb.ListTradesRequest(symbol=SYMBOL, page_token=trades[:-1])),
        (stand.stub.ListCandles, pb.ListCandlesRequest(symbol=SYMBOL, interval=minute, page_token=candles)),
        (stand.stub.ListCandles, pb.ListCandlesRequest(symbol=MARKETS[1], interval=second, page_token=candles)),
        (stand.stub.ListCandles, pb.ListCandlesRequest(symbol=SYMBOL, interval=second, page_token=trades)),
        (stand.stub.ListMarkets, pb.ListMarketsRequest(page_token=trades)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await method(request)  # type: ignore[arg-type]
        refusal = refusal_of(raised.value)
        told = (refusal.code, refusal.info.reason)
        assert told == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"), request
    kept = pb.ListTradesRequest(symbol=SYMBOL, page_size=1, page_token=trades)
    assert len((await stand.stub.ListTrades(kept)).trades) == 1


async def kept(stand: Stand, projecting: Replica, database_url: str, moments: list[float]) -> list[pb.BookSnapshot]:
    """Books put down at moments, with trading between; as they were, whole, oldest first."""
    clock = iter(moments)
    found: list[pb.BookSnapshot] = []
    keeper = BookKeeper(projecting.replay.exchange, database_url, Keeping(60.0, 7), lambda: next(clock))
    async with await connect(database_url, application_name="test books", role=PROJECTOR) as connection:
        for moment in moments:
            await stand.leader.run(3)
            await until(lambda: projecting.replay.sequence == stand.leader.exchange.clock.sequence)
            assert await keeper.keep(connection)
            whole = pb.BookSnapshot(book=stand.leader.book(SYMBOL, 1000))
            whole.snapshot_time.FromMicroseconds(int(moment * 1e6))
            if not found or found[-1].book != whole.book:
                found.append(whole)
    return found


async def listed(stand: Stand, **options: object) -> list[pb.BookSnapshot]:
    found: list[pb.BookSnapshot] = []
    request = pb.ListBookSnapshotsRequest(symbol=SYMBOL, **options)  # type: ignore[arg-type]
    while True:
        answer = await stand.stub.ListBookSnapshots(request)
        found += answer.snapshots
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_what_a_book_was_is_listed_at_several_depths_for_as_long_as_it_is_kept(
    stand: Stand, projecting: Replica, database_url: str
) -> None:
    now = time.time()
    moments = [now - 9 * 86_400, now - 8 * 86_400, *(now - 60 * (7 - n) for n in range(7))]
    # The first two are older than what is kept, and go when the first of today comes.
    books = await kept(stand, projecting, database_url, moments)
    young = [one for one in books if one.snapshot_time.seconds > now - 7 * 86_400][::-1]
    assert len(young) > 3
    assert await listed(stand, depth=1000, page_size=2) == young
    for depth in (0, 1, 10, 30):
        cut = [pb.BookSnapshot() for _ in young]
        for one, whole in zip(cut, young, strict=True):
            one.CopyFrom(whole)
            del one.book.bids[depth or 10 :], one.book.asks[depth or 10 :]
        assert await listed(stand, depth=depth) == cut
    assert (
        await listed(stand, depth=2**31 - 1, start_time=young[2].snapshot_time, end_time=young[0].snapshot_time)
        == (young[1:3])
    )
    first = await stand.stub.ListBookSnapshots(pb.ListBookSnapshotsRequest(symbol=SYMBOL, page_size=2))
    for change in (
        {"symbol": MARKETS[1], "page_token": first.next_page_token},
        {"symbol": SYMBOL, "depth": 5, "page_token": first.next_page_token},
        {"symbol": SYMBOL, "page_token": "AAAA"},
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stand.stub.ListBookSnapshots(pb.ListBookSnapshotsRequest(**change))
        assert refusal_of(raised.value).info.reason == "PAGE_TOKEN_INVALID"
    # By itself, as often as it was told to, as long as the book changes.
    async with asyncio.timeout(60):
        for more in (1, 2):
            keeper = BookKeeper(projecting.replay.exchange, database_url, Keeping(0.05, 7))
            putting_down = asyncio.create_task(keeper.run())
            while len(await listed(stand, page_size=500)) < len(young) + more:
                await stand.leader.run(1)
            putting_down.cancel()
            with suppress(asyncio.CancelledError):
                await putting_down
