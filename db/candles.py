"""Candles: those of a second and a minute as they are kept, longer ones made of minutes."""

from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.adaptation import Micros
from db.session import Connection

SECOND_S: Final = 1
MINUTE_S: Final = 60
INTERVALS_S: Final = (SECOND_S, MINUTE_S, 300, 900, 3600, 14_400, 86_400)
FAR_US: Final = 253_370_764_800_000_000  # the year 9999
_SECOND_US: Final = 1_000_000


class CandleRecord(NamedTuple):
    """Prices in ticks, volume in lots and quote units, open_time in microseconds since 1970."""

    open_time: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    lots: int
    notional: int
    trade_count: int


KEPT: Final = sql.SQL("""
SELECT open_time, open_ticks, high_ticks, low_ticks, close_ticks, lots, notional, trade_count FROM candles
WHERE partition = %(partition)s AND symbol = %(symbol)s AND interval_s = %(interval_s)s
  AND open_time >= %(start)s AND open_time < %(end)s
ORDER BY open_time DESC LIMIT %(limit)s
""")
MADE: Final = sql.SQL("""
SELECT date_bin(make_interval(secs => %(length_s)s), open_time, timestamptz 'epoch') AS bin,
       (array_agg(open_ticks ORDER BY open_time))[1], max(high_ticks), min(low_ticks),
       (array_agg(close_ticks ORDER BY open_time DESC))[1], sum(lots), sum(notional), sum(trade_count)::bigint
FROM candles
WHERE partition = %(partition)s AND symbol = %(symbol)s AND interval_s = 60
  AND open_time >= %(start)s AND open_time < %(end)s
GROUP BY bin ORDER BY bin DESC LIMIT %(limit)s
""")
NEWEST: Final = sql.SQL("""
SELECT open_time FROM candles
WHERE partition = %(partition)s AND symbol = %(symbol)s AND interval_s = 60
  AND open_time >= %(start)s AND open_time < %(end)s
ORDER BY open_time DESC LIMIT 1
""")


FIRST: Final = "SELECT min(open_time) FROM candles WHERE partition = %s AND symbol = %s AND interval_s = %s"


async def list_candles(
    connection: Connection,
    partition: int,
    symbol: str,
    interval_s: int,
    *,
    start: int = 0,
    before: int = FAR_US,
    limit: int,
) -> list[CandleRecord]:
    """Candles that begin at or after `start` and `before` a time (microseconds), newest first.

    The next page begins `before` the open_time of the last. An interval in which nothing traded has no candle.
    """
    if interval_s in (SECOND_S, MINUTE_S):
        window: dict[str, object] = {"partition": partition, "symbol": symbol, "interval_s": interval_s, "limit": limit}
        async with connection.cursor(row_factory=args_row(CandleRecord)) as cursor:
            await cursor.execute(KEPT, {**window, "start": Micros(start), "end": Micros(before)})
            return await cursor.fetchall()
    return await _make(connection, partition, symbol, interval_s, start, before, limit)


async def first_candle(connection: Connection, partition: int, symbol: str, interval_s: int) -> int | None:
    """When the first candle that is kept begins (of longer ones: their first minute), None if nothing ever traded."""
    kept_s = SECOND_S if interval_s == SECOND_S else MINUTE_S
    cursor = await connection.execute(FIRST, [partition, symbol, kept_s])
    row = await cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])


async def _make(
    connection: Connection, partition: int, symbol: str, interval_s: int, start: int, before: int, limit: int
) -> list[CandleRecord]:
    """Group minutes from the newest backwards, in windows that grow, so that a page does not read the whole history."""
    length = interval_s * _SECOND_US
    start, end = _up(start, length), _up(before, length)
    window: dict[str, object] = {"partition": partition, "symbol": symbol, "length_s": interval_s}
    span = limit * length
    found: list[CandleRecord] = []
    while len(found) < limit:
        cursor = await connection.execute(NEWEST, {**window, "start": Micros(start), "end": Micros(end)})
        newest = await cursor.fetchone()
        if newest is None:
            break
        low = max(start, newest[0] // length * length + length - span)
        async with connection.cursor(row_factory=args_row(CandleRecord)) as made:
            await made.execute(MADE, {**window, "start": Micros(low), "end": Micros(end), "limit": limit - len(found)})
            found += await made.fetchall()
        end, span = low, span * 4
    return found


def _up(time_us: int, length_us: int) -> int:
    """The first beginning of an interval at or after a time."""
    return -(-time_us // length_us) * length_us
