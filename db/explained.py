"""What a balance is made of, in rows for people who have the database: entries with what was there after each, and why."""

from typing import Final, NamedTuple

from db.causes import Causes, find_causes, trade_number
from db.entries import EntryRecord, list_entries
from db.session import Connection


class Explained(NamedTuple):
    """An entry, the balance after it in units of 10**-scale, and what caused it in words."""

    entry: EntryRecord
    total: int
    scale: int
    because: str


# An account of a customer is of one partition; the venue's own are of each, and asked for as those of the first that has them.
_WHERE: Final = """
SELECT b.partition, a.scale FROM balances b JOIN assets a ON a.partition = b.partition AND a.symbol = b.asset
WHERE b.account_id = %s AND b.asset = %s ORDER BY b.partition LIMIT 1
"""
_TOTAL: Final = (
    "SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE partition = %s AND account_id = %s AND asset = %s"
)


async def explained(connection: Connection, account_id: str, asset: str, limit: int) -> list[Explained]:
    """The newest entries of a balance; empty where there is no such balance."""
    where = await (await connection.execute(_WHERE, [account_id, asset])).fetchone()
    if where is None:
        return []
    partition, scale = where
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = await (await connection.execute(_TOTAL, [partition, account_id, asset])).fetchone()
        assert row is not None, "an aggregate has a row"
        entries = await list_entries(connection, partition, account_id, asset=asset, limit=limit)
        causes = await find_causes(connection, partition, account_id, entries)
    total = int(row[0])
    found = []
    for entry in entries:
        found.append(Explained(entry, total, scale, because(entry, causes)))
        total -= entry.amount
    return found


def because(entry: EntryRecord, causes: Causes) -> str:
    """What caused an entry."""
    trade = causes.trades.get(trade_number(entry))
    if trade is not None:
        return f"{entry.reference} of order {trade.order_number} in {trade.symbol}"
    funding = causes.funding.get(entry.reference)
    if funding is not None:
        return f"deposit {funding.deposit_id}" if funding.deposit_id else f"withdrawal {funding.withdrawal_id}"
    return f"{entry.reference} with {entry.counterparty_id}"
