"""Statistics of a market: what traded in 24 hours and on each day (UTC), what a small trade costs, and how deep the book is."""

import time
from typing import Final

from db.candles import CandleRecord
from db.candles import list_candles as list_candle_rows
from db.session import Pool
from servers.domain.money import ATTO_SCALE, format_units
from servers.engine.markets import Markets
from servers.engine.messages import timestamp
from servers.marketdata.depth import bands_of
from servers.marketdata.lasting import OVER_S, RUNNING_S, WRITTEN_S
from servers.marketdata.response_cache import ResponseCache
from servers.marketdata.tail import Tail
from servers.marketdata.view import View
from venue.marketdata.v1 import marketdata_pb2 as pb

DAY_S: Final = 86_400
DAYS_DEFAULT: Final = 7
DAYS_MAX: Final = 90
_SECOND_US: Final = 1_000_000
_DAY_US: Final = DAY_S * _SECOND_US
_WRITTEN_US: Final = WRITTEN_S * _SECOND_US


async def market_statistics(
    tail: Tail, view: View, pool: Pool, markets: Markets, cache: ResponseCache, days: int
) -> pb.MarketStatistics:
    """With so many days (0: seven; at most ninety), the one that is running first. Raises PartUnavailable."""
    now_us = time.time_ns() // 1000
    wanted = min(days or DAYS_DEFAULT, DAYS_MAX)
    today = now_us // _DAY_US * _DAY_US
    # Yesterday is still open for the first minute of today.
    closed = (now_us - _WRITTEN_US) // _DAY_US * _DAY_US
    partition = tail.engine.partition

    async def rows(start: int, end: int) -> list[CandleRecord]:
        async with pool.connection() as connection:
            return await list_candle_rows(
                connection, partition, view.symbol, DAY_S, start=start, before=end, limit=DAYS_MAX + 1
            )

    first = today - (wanted - 1) * _DAY_US
    past: list[CandleRecord] = []
    if first < closed:
        past = await cache.get(
            "days", (partition, view.symbol, first, closed), None, OVER_S, lambda: rows(first, closed)
        )
    running = await cache.get(
        "today",
        (partition, view.symbol, max(first, closed)),
        view.trades_sequence,
        RUNNING_S,
        lambda: rows(max(first, closed), today + _DAY_US),
    )
    scale = await markets.scale(partition, view.market.quote_asset)
    statistics = current(view, now_us)
    statistics.days.extend(day_of(view, row, scale, now_us) for row in (*running, *past))
    return statistics


def current(view: View, now_us: int) -> pb.MarketStatistics:
    """What the view knows by itself: everything but the days."""
    view.window.expire(now_us // _SECOND_US)
    window = view.window
    statistics = pb.MarketStatistics(
        symbol=view.symbol,
        environment=view.market.environment,
        volume=view.quantity(window.lots),
        turnover=view.amount(window.product),
        trade_count=window.count,
        depth=bands_of(view),
        update_time=timestamp(now_us),
    )
    if window.lots:
        # To the tick, half up: what a unit of base cost.
        statistics.average_price = view.price((2 * window.product + window.lots) // (2 * window.lots))
    bid, ask = view.levels.bids.bound(1), view.levels.asks.bound(1)
    if bid is not None and ask is not None:
        # The middle may lie on half a tick: atto are even where ticks are.
        statistics.mid_price = format_units((bid + ask) // 2, ATTO_SCALE)
        statistics.spread = format_units(ask - bid, ATTO_SCALE)
        statistics.spread_bps = format_units((ask - bid) * 2_000_000 // (bid + ask), 2)
    return statistics


def day_of(view: View, row: CandleRecord, quote_scale: int, now_us: int) -> pb.DayStatistics:
    """A day's candle."""
    return pb.DayStatistics(
        start_time=timestamp(row.open_time),
        open=view.price(row.open_ticks),
        high=view.price(row.high_ticks),
        low=view.price(row.low_ticks),
        close=view.price(row.close_ticks),
        volume=view.quantity(row.lots),
        turnover=format_units(row.notional, quote_scale),
        trade_count=row.trade_count,
        is_closed=row.open_time + _DAY_US <= now_us,
    )
