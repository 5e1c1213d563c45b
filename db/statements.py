"""The ledger of an account in the order it was written: balances as of a place, and the entries from there on."""

from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.adaptation import Micros
from db.entries import EntryRecord
from db.session import Connection


class BalanceRecord(NamedTuple):
    """What entries add up to, in the asset's units."""

    asset: str
    amount: int


class Stretch(NamedTuple):
    """Entries of an account: from one time to before another (microseconds), up to a sequence; no asset: of all."""

    partition: int
    account_id: str
    asset: str
    start: int
    end: int
    until_sequence: int


_BEFORE: Final = sql.SQL("""
SELECT asset, sum(amount) FROM ledger_entries
WHERE partition = %s AND account_id = %s AND sequence <= %s AND time < %s AND (%s = '' OR asset = %s)
GROUP BY asset ORDER BY asset
""")
_ENTRIES: Final = sql.SQL("""
SELECT sequence, n, time, account_id, counterparty_id, asset, amount, kind, reference FROM ledger_entries
WHERE partition = %s AND account_id = %s AND (sequence, n) > (%s, %s) AND sequence <= %s AND time >= %s AND time < %s
    AND (%s = '' OR asset = %s)
ORDER BY sequence, n LIMIT %s
""")


async def sum_before(connection: Connection, stretch: Stretch) -> list[BalanceRecord]:
    """What an account had of each asset when the stretch began. Reads every entry before it."""
    async with connection.cursor(row_factory=args_row(BalanceRecord)) as cursor:
        asset = stretch.asset
        of = [stretch.partition, stretch.account_id, stretch.until_sequence, Micros(stretch.start), asset, asset]
        await cursor.execute(_BEFORE, of)
        return await cursor.fetchall()


async def next_entries(
    connection: Connection, stretch: Stretch, after: tuple[int, int], limit: int
) -> list[EntryRecord]:
    """Entries of the stretch, oldest first, `after` the (sequence, n) of the last one."""
    async with connection.cursor(row_factory=args_row(EntryRecord)) as cursor:
        of = [stretch.partition, stretch.account_id, *after, stretch.until_sequence]
        times = [Micros(stretch.start), Micros(stretch.end)]
        await cursor.execute(_ENTRIES, [*of, *times, stretch.asset, stretch.asset, limit])
        return await cursor.fetchall()
