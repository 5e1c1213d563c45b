"""The ledger of an account: each posting seen from its side."""

from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.session import Connection

_END: Final = 2**63 - 1


class EntryRecord(NamedTuple):
    """One half of a posting; the amount is in the asset's units, negative where it was taken, the time in microseconds."""

    sequence: int
    n: int
    time: int
    account_id: str
    counterparty_id: str
    asset: str
    amount: int
    kind: int
    reference: str


# Both sides of the view are read along their own index, newest first, and merged without a sort.
ENTRIES: Final = sql.SQL("""
SELECT sequence, n, time, account_id, counterparty_id, asset, amount, kind, reference FROM ledger_entries
WHERE partition = %s AND account_id = %s AND (sequence, n) < (%s, %s) {}
ORDER BY sequence DESC, n DESC LIMIT %s
""")
OF_ANY: Final = ENTRIES.format(sql.SQL(""))
OF_ASSET: Final = ENTRIES.format(sql.SQL("AND asset = %s"))


async def list_entries(
    connection: Connection,
    partition: int,
    account_id: str,
    *,
    asset: str = "",
    before: tuple[int, int] = (_END, 0),
    limit: int,
) -> list[EntryRecord]:
    """Entries of an account, newest first; the next page begins `before` (sequence, n) of the last."""
    query, chosen = (OF_ASSET, [asset]) if asset else (OF_ANY, [])
    async with connection.cursor(row_factory=args_row(EntryRecord)) as cursor:
        await cursor.execute(query, [partition, account_id, *before, *chosen, limit])
        return await cursor.fetchall()
