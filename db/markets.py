"""Assets and markets as the tables have them: what turns ticks, lots and units back into decimals."""

from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.session import Connection


class AssetRecord(NamedTuple):
    """A row of `assets`: amounts count units of 10**-scale."""

    symbol: str
    scale: int
    display_scale: int


class MarketRecord(NamedTuple):
    """A row of `markets`: tick and lot size in units of 1e-18."""

    symbol: str
    kind: int
    state: int
    base_asset: str
    quote_asset: str
    tick_size: int
    lot_size: int
    min_lots: int
    max_lots: int
    max_ticks: int
    last_ticks: int
    book_sequence: int
    hours: str
    next_state_time: int
    auction_ticks: int
    auction_lots: int
    day: int
    day_ticks: int


ASSETS: Final = sql.SQL("SELECT symbol, scale, display_scale FROM assets WHERE partition = %s ORDER BY symbol")
MARKETS: Final = sql.SQL("SELECT {} FROM markets WHERE partition = %s ORDER BY symbol").format(
    sql.SQL(", ").join(map(sql.Identifier, MarketRecord._fields))
)


async def list_assets(connection: Connection, partition: int) -> list[AssetRecord]:
    """The assets of a partition, by symbol."""
    async with connection.cursor(row_factory=args_row(AssetRecord)) as cursor:
        await cursor.execute(ASSETS, [partition])
        return await cursor.fetchall()


async def list_markets(connection: Connection, partition: int) -> list[MarketRecord]:
    """The markets of a partition, by symbol."""
    async with connection.cursor(row_factory=args_row(MarketRecord)) as cursor:
        await cursor.execute(MARKETS, [partition])
        return await cursor.fetchall()
