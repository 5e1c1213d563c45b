"""Statistics against a recount of every trade and every level; prices from outside; and what the cache may keep."""

import asyncio
import time
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal

import grpc
import pytest
from prometheus_client import CollectorRegistry

from servers.domain.money import parse
from servers.engine.replica import Replica
from servers.marketdata.peers import Peers
from servers.marketdata.response_cache import MOMENT_S, CacheMeasures
from servers.marketdata.servicer import MarketDataServicer
from servers.transport.paging import PageTokens
from tests.integration.marketdata.stand import Reader, Stand, next_frame, until
from tests.integration.marketdata.test_reads import SYMBOL, all_trades, projected
from tests.integration.replica.leader import MARKETS
from tests.unit.transport.conftest import refusal_of
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb

DAY_S = 86_400


def amount(trade: pb.Trade) -> Decimal:
    return Decimal(trade.price) * Decimal(trade.quantity)


async def traded(stand: Stand, projecting: Replica, batches: int = 25) -> list[pb.Trade]:
    """Flow of the leader, in the tables and in the views."""
    await stand.leader.run(batches)
    await projected(stand, projecting)
    tail = stand.data.tail(0, SYMBOL)
    await until(lambda: tail.source.taken >= stand.leader.exchange.clock.sequence)
    # What was asked before the views were so far is answered again for a moment.
    await asyncio.sleep(MOMENT_S)
    trades = await all_trades(stand)
    assert trades[0].sequence == tail.view(SYMBOL).trades_sequence
    return trades


async def statistics(stand: Stand, days: int = 0) -> pb.MarketStatistics:
    answer = await stand.stub.GetMarketStatistics(pb.GetMarketStatisticsRequest(symbol=SYMBOL, days=days))
    return answer.statistics


async def test_what_traded_is_what_the_trades_add_up_to(stand: Stand, projecting: Replica) -> None:
    trades = await traded(stand, projecting)
    found = await statistics(stand)
    lately = [trade for trade in trades if trade.trade_time.seconds > found.update_time.seconds - DAY_S]
    volume, turnover = sum(Decimal(trade.quantity) for trade in lately), sum(map(amount, lately))
    assert lately
    assert (Decimal(found.volume), Decimal(found.turnover), found.trade_count) == (volume, turnover, len(lately))
    tick = Decimal((await stand.stub.GetMarket(pb.GetMarketRequest(symbol=SYMBOL))).market.tick_size)
    ticks = (Decimal(turnover) / Decimal(volume) / tick).quantize(Decimal(1), ROUND_HALF_UP)
    assert Decimal(found.average_price) == ticks * tick


async def test_each_day_is_what_its_trades_add_up_to(stand: Stand, projecting: Replica) -> None:
    trades = await traded(stand, projecting)
    by_day: dict[int, list[pb.Trade]] = defaultdict(list)
    for trade in reversed(trades):
        by_day[trade.trade_time.seconds // DAY_S * DAY_S].append(trade)
    found = await statistics(stand, days=90)
    today = int(time.time()) // DAY_S * DAY_S
    told = [
        (
            day.start_time.seconds, day.open, day.close, Decimal(day.high), Decimal(day.low),
            Decimal(day.volume), Decimal(day.turnover), day.trade_count, day.is_closed,
        )
        for day in found.days
    ]  # fmt: skip
    assert told == [
        (
            start,
            of[0].price,
            of[-1].price,
            max(Decimal(trade.price) for trade in of),
            min(Decimal(trade.price) for trade in of),
            sum(Decimal(trade.quantity) for trade in of),
            sum(map(amount, of)),
            len(of),
            start < today,
        )
        for start, of in sorted(by_day.items(), reverse=True)
    ]
    only_today = await statistics(stand, days=1)
    assert [day.start_time.seconds for day in only_today.days] == [start for start in by_day if start == today]


async def test_spread_and_depth_are_those_of_the_book(stand: Stand, projecting: Replica) -> None:
    await traded(stand, projecting)
    book = stand.leader.book(SYMBOL)
    await until(lambda: stand.data.tail(0, SYMBOL).view(SYMBOL).book(5000) == book)
    found = await statistics(stand)
    bid, ask = Decimal(book.bids[0].price), Decimal(book.asks[0].price)
    middle = (bid + ask) / 2
    assert (Decimal(found.mid_price), Decimal(found.spread)) == (middle, ask - bid)
    assert 0 <= (ask - bid) / middle * 10_000 - Decimal(found.spread_bps) < Decimal("0.01")
    assert [band.bps for band in found.depth] == [10, 25, 50, 100, 200]
    for band in found.depth:
        reach = middle * band.bps / 10_000
        bids = [level for level in book.bids if Decimal(level.price) >= middle - reach]
        asks = [level for level in book.asks if Decimal(level.price) <= middle + reach]
        assert Decimal(band.bid_quantity) == sum(Decimal(level.quantity) for level in bids)
        assert Decimal(band.ask_quantity) == sum(Decimal(level.quantity) for level in asks)
        assert Decimal(band.bid_amount) == sum(Decimal(level.price) * Decimal(level.quantity) for level in bids)
        assert Decimal(band.ask_amount) == sum(Decimal(level.price) * Decimal(level.quantity) for level in asks)
    assert any(Decimal(band.bid_quantity) for band in found.depth)


async def test_statistics_of_all_markets_are_listed_without_days(stand: Stand, projecting: Replica) -> None:
    await traded(stand, projecting, 8)
    listed = (await stand.stub.ListMarketStatistics(pb.ListMarketStatisticsRequest())).statistics
    assert [each.symbol for each in listed] == sorted(MARKETS)
    first = await stand.stub.ListMarketStatistics(pb.ListMarketStatisticsRequest(page_size=1))
    rest = pb.ListMarketStatisticsRequest(page_token=first.next_page_token)
    paged = [*first.statistics, *(await stand.stub.ListMarketStatistics(rest)).statistics]
    assert [each.symbol for each in paged] == sorted(MARKETS)
    one = await statistics(stand)
    of_list = next(each for each in listed if each.symbol == SYMBOL)
    assert list(of_list.days) == []
    del one.days[:]
    one.ClearField("update_time")
    of_list.ClearField("update_time")
    assert of_list == one


async def test_statistics_of_no_market_are_not_found(stand: Stand) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.GetMarketStatistics(pb.GetMarketStatisticsRequest(symbol="NO-SUCH"))
    assert refusal_of(raised.value).info.reason == "MARKET_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stand.stub.GetMarketStatistics(pb.GetMarketStatisticsRequest(symbol=SYMBOL, days=-1))
    assert refusal_of(raised.value).info.reason == "INVALID_FIELD"


async def test_prices_from_outside_come_with_the_ticker_and_not_as_a_status(stand: Stand, projecting: Replica) -> None:
    channels = (pb.CHANNEL_TICKER, pb.CHANNEL_STATUS)
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=[SYMBOL], channels=channels))
    reader = Reader()
    while len(reader.last) < 2:
        reader.take(await next_frame(call))
    for index in ("61000.5", "61000.75"):
        prices = engine_pb2.SetReferencePrices(symbol=SYMBOL, index_price=index, mark_price="60999")
        await stand.leader.commit([engine_pb2.Command(set_reference_prices=prices)])
        seen = len(reader.frames)
        while reader.tickers[SYMBOL].index_price != index:
            reader.take(await next_frame(call))
        assert set(reader.frames[seen:]) == {"event"}
        assert reader.tickers[SYMBOL].mark_price == "60999"
    assert reader.markets[SYMBOL].index_price == ""
    call.cancel()
    ticker = (await stand.stub.GetTicker(pb.GetTickerRequest(symbol=SYMBOL))).ticker
    market = (await stand.stub.GetMarket(pb.GetMarketRequest(symbol=SYMBOL))).market
    assert (ticker.index_price, ticker.mark_price) == (market.index_price, market.mark_price) == ("61000.75", "60999")


async def test_a_page_that_is_over_is_kept_and_a_running_one_ends_with_the_next_trade(
    stand: Stand, projecting: Replica
) -> None:
    await traded(stand, projecting, 8)
    first = await stand.stub.ListTrades(pb.ListTradesRequest(symbol=SYMBOL, page_size=2))
    later = await traded(stand, projecting, 8)
    await asyncio.sleep(MOMENT_S)
    again = await stand.stub.ListTrades(pb.ListTradesRequest(symbol=SYMBOL, page_size=2))
    assert again.trades != first.trades
    assert list(again.trades) == later[:2]
    request = pb.ListTradesRequest(symbol=SYMBOL, page_size=2, page_token=first.next_page_token)
    assert await stand.stub.ListTrades(request) == await stand.stub.ListTrades(request)
    assert parse(again.trades[0].quantity) > 0


async def test_what_everybody_asks_first_is_known_before_anybody_asks(stand: Stand, projecting: Replica) -> None:
    await traded(stand, projecting, 8)
    registry = CollectorRegistry()
    servicer = MarketDataServicer(stand.data, PageTokens(b"key"), Peers((), "nobody"), CacheMeasures(registry))
    # However slow this machine is, what is still going on is not a second old.
    servicer._cache._clock = lambda: 0.0
    await servicer.warm_up()

    def reads(cache: str) -> dict[str, float | None]:
        named = "venue_cache_reads_total"
        return {
            outcome: registry.get_sample_value(named, {"cache": cache, "outcome": outcome})
            for outcome in ("hit", "miss")
        }

    warm = reads("candles")
    assert warm["miss"] == len(stand.data.tails(0).listed())
    # However one says the usual: no environment, no size of a page, or those that are meant by it.
    for said in ({}, {"environment": 2}, {"page_size": 50}):
        request = pb.ListCandlesRequest(symbol=SYMBOL, interval=pb.CANDLE_INTERVAL_1M, **said)  # type: ignore[arg-type]
        await servicer.ListCandles(request, None)
    assert reads("candles") == {"hit": 3, "miss": warm["miss"]}
