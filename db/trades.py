"""Trades of a market, and the fills they were for the orders of an account."""

from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.session import Connection

_END: Final = 2**63 - 1


class TradeRecord(NamedTuple):
    """A trade as everybody may see it. Notional in quote units, time in microseconds since 1970."""

    number: int
    sequence: int
    time: int
    symbol: str
    ticks: int
    lots: int
    notional: int
    taker_side: int


class FillRecord(NamedTuple):
    """One side of a trade. The fee is in quote units, negative for a rebate; liquidity is 1 for the maker, 2 for the taker."""

    number: int
    sequence: int
    time: int
    symbol: str
    ticks: int
    lots: int
    notional: int
    side: int
    liquidity: int
    fee: int
    order_number: int
    account_id: str
    client_order_id: str


TRADES: Final = sql.SQL("""
SELECT number, sequence, time, symbol, ticks, lots, notional, taker_side FROM trades
WHERE partition = %s AND symbol = %s AND number < %s ORDER BY number DESC LIMIT %s
""")
AFTER: Final = sql.SQL("""
SELECT number, sequence, time, symbol, ticks, lots, notional, taker_side FROM trades
WHERE partition = %s AND symbol = %s AND number < %s AND sequence > %s ORDER BY number DESC LIMIT %s
""")
# Each side is read along an index of its own and cut to the page before the two are merged.
FILLS: Final = sql.SQL("""
SELECT fill.*, orders.account_id, orders.client_order_id FROM (
    (SELECT number, sequence, time, symbol, ticks, lots, notional, 3 - taker_side AS side, 1 AS liquidity,
            maker_fee AS fee, maker_order AS order_number
     FROM trades WHERE partition = %(partition)s AND number < %(before)s AND {maker} ORDER BY number DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT number, sequence, time, symbol, ticks, lots, notional, taker_side, 2, taker_fee, taker_order
     FROM trades WHERE partition = %(partition)s AND number < %(before)s AND {taker} ORDER BY number DESC LIMIT %(limit)s)
    ORDER BY number DESC LIMIT %(limit)s
) AS fill
JOIN orders ON orders.partition = %(partition)s AND orders.number = fill.order_number AND orders.account_id = %(account_id)s
ORDER BY fill.number DESC
""")
OF_MARKET: Final = sql.SQL(" AND symbol = %(symbol)s")
FILLS_OF_ACCOUNT: Final = (sql.SQL("maker_account_id = %(account_id)s"), sql.SQL("taker_account_id = %(account_id)s"))
FILLS_OF_ORDER: Final = (sql.SQL("maker_order = %(order)s"), sql.SQL("taker_order = %(order)s"))


async def list_trades(
    connection: Connection, partition: int, symbol: str, *, before: int = _END, limit: int
) -> list[TradeRecord]:
    """Trades of a market, newest first; the next page begins `before` the number of the last."""
    async with connection.cursor(row_factory=args_row(TradeRecord)) as cursor:
        await cursor.execute(TRADES, [partition, symbol, before, limit])
        return await cursor.fetchall()


async def trades_after(
    connection: Connection, partition: int, symbol: str, *, after: int, before: int, limit: int
) -> list[TradeRecord]:
    """Trades of commands after a sequence, of numbers before one, oldest first; of more than `limit` the newest."""
    async with connection.cursor(row_factory=args_row(TradeRecord)) as cursor:
        # Backwards along the market's index: what is asked for lies near its end.
        await cursor.execute(AFTER, [partition, symbol, before, after, limit])
        return (await cursor.fetchall())[::-1]


async def list_fills(
    connection: Connection,
    partition: int,
    account_id: str,
    *,
    order: int | None = None,
    symbol: str = "",
    before: int = _END,
    limit: int,
) -> list[FillRecord]:
    """Fills of an account, or of one order of it, newest first; the next page begins `before` the number of the last."""
    more = OF_MARKET if symbol else sql.SQL("")
    maker, taker = (side + more for side in (FILLS_OF_ACCOUNT if order is None else FILLS_OF_ORDER))
    async with connection.cursor(row_factory=args_row(FillRecord)) as cursor:
        await cursor.execute(
            FILLS.format(maker=maker, taker=taker),
            {
                "partition": partition,
                "account_id": account_id,
                "order": order,
                "symbol": symbol,
                "before": before,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
