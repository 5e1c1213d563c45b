"""Whether the books hold, from the tables alone: every balance is the sum of its entries, every asset sums to zero, and what is
held is what open orders and pending transfers hold.

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


class HoldDifference(NamedTuple):
    """A balance that holds something else than the account's open orders and pending transfers do; in units of 10**-scale."""

    account_id: str
    asset: str
    scale: int
    held: int
    orders: int
    transfers: int


class Books(NamedTuple):
    """What was found: the sequence that the tables are as of, each asset's sums, and the first balances and holds that differ."""

    sequence: int
    totals: list[AssetTotal]
    balances: int
    differing: list[Difference]
    holding: list[HoldDifference]


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


# An order to buy (side 1) holds of the quote asset; states 1 to 3 are open, a transfer in state 1 is pending.
_HOLDING: Final = """
WITH orders_hold AS (
    SELECT account_id, CASE WHEN side = 1 THEN quote_asset ELSE base_asset END AS asset, sum(held) AS amount
    FROM orders JOIN markets USING (partition, symbol)
    WHERE partition = %(partition)s AND status IN (1, 2, 3) GROUP BY 1, 2
), transfers_hold AS (
    SELECT debit_account_id AS account_id, asset, sum(amount) AS amount FROM transfers
    WHERE partition = %(partition)s AND state = 1 GROUP BY 1, 2
), holds AS (
    SELECT account_id, asset, held FROM balances WHERE partition = %(partition)s AND held <> 0
)
SELECT account_id, asset, coalesce(scale, 0), coalesce(held, 0), coalesce(o.amount, 0), coalesce(t.amount, 0)
FROM holds FULL JOIN orders_hold o USING (account_id, asset) FULL JOIN transfers_hold t USING (account_id, asset)
LEFT JOIN assets ON assets.partition = %(partition)s AND assets.symbol = asset
WHERE coalesce(held, 0) <> coalesce(o.amount, 0) + coalesce(t.amount, 0) ORDER BY account_id, asset LIMIT %(limit)s
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
                differing = await cursor.fetchall()
            async with connection.cursor(row_factory=args_row(HoldDifference)) as cursor:
                await cursor.execute(_HOLDING, {"partition": partition, "limit": limit})
                return Books(sequence, totals, balances, differing, await cursor.fetchall())
    finally:
        await connection.set_isolation_level(None)


async def _number(connection: Connection, query: str, partition: int) -> int:
    row = await (await connection.execute(query.encode(), [partition])).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])
