"""Raw price ticks: what each source told of a pair, before anything is made of it. A day of them is kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from psycopg.rows import args_row

from db.adaptation import Micros
from db.session import Connection

APPENDED: Final = """
INSERT INTO price_ticks (pair, time, source, price, age_ms) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
LISTED: Final = "SELECT pair, time, source, price, age_ms FROM price_ticks WHERE pair = %s ORDER BY time DESC LIMIT %s"


class PriceTick(NamedTuple):
    """When it was heard, in microseconds since 1970; the price in atto; how old it was by then, in milliseconds."""

    pair: str
    time: int
    source: str
    price: int
    age_ms: int


async def append_price_ticks(connection: Connection, ticks: Sequence[PriceTick]) -> None:
    """Keep ticks; one that is there already stays as it is."""
    rows = [(tick.pair, Micros(tick.time), tick.source, tick.price, tick.age_ms) for tick in ticks]
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.executemany(APPENDED, rows)


async def list_price_ticks(connection: Connection, pair: str, limit: int) -> list[PriceTick]:
    """Those of a pair, newest first."""
    async with connection.cursor(row_factory=args_row(PriceTick)) as cursor:
        await cursor.execute(LISTED, [pair, limit])
        return await cursor.fetchall()


async def turn_price_ticks(connection: Connection, now: datetime, before: datetime) -> int:
    """Make the hours to come, and drop those that ended before a time. Returns how many were dropped."""
    cursor = await connection.execute("SELECT turn_price_ticks(%s, %s)", [now, before])
    row = await cursor.fetchone()
    assert row is not None
    dropped: int = row[0]
    return dropped
