"""Candles without holes: an interval in which nothing traded stands at the close before it."""

from typing import NamedTuple

from db.candles import CandleRecord, first_candle, list_candles
from db.session import Connection

_SECOND_US = 1_000_000


class Stretch(NamedTuple):
    """Of which market, how long its candles are in seconds, and from when to when they begin (microseconds since 1970)."""

    partition: int
    symbol: str
    interval_s: int
    start: int
    before: int


async def filled_candles(
    connection: Connection, stretch: Stretch, size: int, now_us: int
) -> tuple[list[CandleRecord], bool]:
    """A page of candles, newest first, up to the one that is open now, and whether there are older ones.

    The first is that of the first trade of all.
    """
    partition, symbol, interval_s, start, before = stretch
    length = interval_s * _SECOND_US
    first = await first_candle(connection, partition, symbol, interval_s)
    if first is None:
        return [], False
    # The first and the last beginning of an interval that are asked for.
    oldest = max(-(-start // length) * length, first // length * length)
    newest = (min(before, now_us + 1) - 1) // length * length
    low = max(oldest, newest - (size - 1) * length)
    if newest < low:
        return [], False
    rows = await list_candles(connection, partition, symbol, interval_s, start=low, before=newest + length, limit=size)
    known = {row.open_time: row for row in rows}
    earlier = await list_candles(connection, partition, symbol, interval_s, before=low, limit=1)
    close = earlier[0].close_ticks if earlier else 0
    found = []
    for open_time in range(low, newest + 1, length):
        row = known.get(open_time) or CandleRecord(open_time, close, close, close, close, 0, 0, 0)
        close = row.close_ticks
        found.append(row)
    return found[::-1], low > oldest
