"""The candles of a market, from the tables, newest first, in signed pages. Longer ones are made of minutes."""

import time
from typing import Final

from db.candles import FAR_US, CandleRecord
from db.candles import list_candles as list_candle_rows
from db.session import Pool
from servers.domain.money import format_units
from servers.engine.markets import Markets
from servers.engine.messages import micros, timestamp
from servers.marketdata.filled_candles import Stretch, filled_candles
from servers.marketdata.open_candles import INTERVALS_S
from servers.marketdata.tail import Tail
from servers.marketdata.view import View
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb

_SECOND_US: Final = 1_000_000


async def list_candles(
    tail: Tail, pool: Pool, markets: Markets, tokens: PageTokens, request: pb.ListCandlesRequest
) -> pb.ListCandlesResponse:
    """Raises MarketNotFound, PageTokenInvalid, PartUnavailable."""
    view, partition, interval_s = tail.view(request.symbol), tail.engine.partition, INTERVALS_S[request.interval]
    start = micros(request.start_time) if request.HasField("start_time") else 0
    end = micros(request.end_time) if request.HasField("end_time") else FAR_US
    scope = ("candles", partition, request.symbol, interval_s, start, end, int(request.fill_gaps))
    cursor = tokens.read(scope, request.page_token)
    before = int(cursor[0]) if cursor else end
    size = page_size(request.page_size)
    now = time.time_ns() // 1000
    async with pool.connection() as connection:
        if request.fill_gaps:
            stretch = Stretch(partition, request.symbol, interval_s, start, before)
            page, more = await filled_candles(connection, stretch, size, now)
        else:
            rows = await list_candle_rows(
                connection, partition, request.symbol, interval_s, start=start, before=before, limit=size + 1
            )
            page, more = rows[:size], len(rows) > size
    scale = await markets.scale(partition, view.market.quote_asset) if page else 0
    candles = [
        _candle(view, request.interval, row, scale, row.open_time + interval_s * _SECOND_US <= now) for row in page
    ]
    token = tokens.issue(scope, [page[-1].open_time]) if more else ""
    return pb.ListCandlesResponse(candles=candles, next_page_token=token)


def _candle(view: View, interval: int, row: CandleRecord, quote_scale: int, closed: bool) -> pb.Candle:  # noqa: FBT001
    return pb.Candle(
        symbol=view.symbol,
        interval=interval,  # type: ignore[arg-type]  # as it was asked for
        open_time=timestamp(row.open_time),
        open=view.price(row.open_ticks),
        high=view.price(row.high_ticks),
        low=view.price(row.low_ticks),
        close=view.price(row.close_ticks),
        volume=view.quantity(row.lots),
        quote_volume=format_units(row.notional, quote_scale),
        trade_count=row.trade_count,
        is_closed=closed,
    )
