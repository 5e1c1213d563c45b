"""Sums over the whole ledger: what must agree whatever has happened."""

from typing import Final, NamedTuple

from psycopg import IsolationLevel
from psycopg.rows import args_row

from db.session import Connection


class AssetTotal(NamedTuple):
    """An asset's ledger entries and balances, summed over all accounts, the venue's own included. In units."""

    asset: str
    scale: int
    entries: int
    balances: int


class AccountTotal(NamedTuple):
    """What the entries of an account add up to, in the asset's units."""

    account_id: str
    asset: str
    entries: int


BY_ASSET: Final = """
SELECT symbol, scale,
       (SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE partition = assets.partition AND asset = symbol),
       (SELECT coalesce(sum(available + held), 0) FROM balances WHERE partition = assets.partition AND asset = symbol)
FROM assets WHERE partition = %s ORDER BY symbol
"""
_BY_ACCOUNT: Final = """
SELECT account_id, asset, sum(amount) FROM ledger_entries WHERE partition = %s AND account_id = ANY(%s)
GROUP BY account_id, asset
"""


async def sum_ledger(
    connection: Connection, partition: int, accounts: list[str]
) -> tuple[list[AssetTotal], list[AccountTotal]]:
    """Totals by asset, and by account for those named, as of one moment. Reads every entry of the partition."""
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    try:
        async with connection.transaction():
            async with connection.cursor(row_factory=args_row(AssetTotal)) as cursor:
                await cursor.execute(BY_ASSET, [partition])
                by_asset = await cursor.fetchall()
            async with connection.cursor(row_factory=args_row(AccountTotal)) as cursor:
                await cursor.execute(_BY_ACCOUNT, [partition, accounts])
                return by_asset, await cursor.fetchall()
    finally:
        await connection.set_isolation_level(None)
