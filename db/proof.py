"""Whether the books hold, from the tables alone: every balance is the sum of its entries, and every asset sums to zero.

One moment of the database is looked at (REPEATABLE READ), so it may run beside everything else.
"""

from typing import Final, NamedTuple

from psycopg import IsolationLevel
from psycopg.rows import args_row

from db.session import Connection
from db.totals import BY_ASSET, AssetTotal


class Difference(NamedTuple):
    """A balance that is not the sum of its entries; amounts in units of 10**-scale."""

    account_id: str
    asset: str
    scale: int
    balance: int
    entries: int


class Books(NamedTuple):
    """What was found: the sequence that the tables are as of, each asset's sums, and the first balances that differ."""

    sequence: int
    totals: list[AssetTotal]
    balances: int
    differing: list[Difference]


_POSITION: Final = "SELECT coalesce(max(sequence), 0) FROM projections WHERE partition = %s AND reader = 'tables'"
_COUNT: Final = "SELECT count(*) FROM balances WHERE partition = %s"
# Balances that have nothing and no entry are rows of neither side, or zero on both.
_DIFFERING: Final = """
WITH entries AS (
    SELECT account_id, asset, sum(amount) AS amount FROM ledger_entries WHERE partition = %(partition)s GROUP BY 1, 2
), held AS (
    SELECT account_id, asset, available + held AS amount FROM balances WHERE partition = %(partition)s
)
SELECT account_id, asset, coalesce(scale, 0), coalesce(held.amount, 0), coalesce(entries.amount, 0)
FROM held FULL JOIN entries USING (account_id, asset)
LEFT JOIN assets ON assets.partition = %(partition)s AND assets.symbol = asset
WHERE coalesce(held.amount, 0) <> coalesce(entries.amount, 0) ORDER BY account_id, asset LIMIT %(limit)s
"""


async def look(connection: Connection, partition: int, limit: int) -> Books:
    """Look at the books of a partition; at most `limit` differences are named. Reads every entry."""
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    try:
        async with connection.transaction():
            sequence = await _number(connection, _POSITION, partition)
            balances = await _number(connection, _COUNT, partition)
            async with connection.cursor(row_factory=args_row(AssetTotal)) as cursor:
                await cursor.execute(BY_ASSET, [partition])
                totals = await cursor.fetchall()
            async with connection.cursor(row_factory=args_row(Difference)) as cursor:
                await cursor.execute(_DIFFERING, {"partition": partition, "limit": limit})
                return Books(sequence, totals, balances, await cursor.fetchall())
    finally:
        await connection.set_isolation_level(None)


async def _number(connection: Connection, query: str, partition: int) -> int:
    row = await (await connection.execute(query.encode(), [partition])).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])
