"""Transfers as the tables have them."""

from typing import NamedTuple

from psycopg.rows import args_row

from db.session import Connection


class TransferRecord(NamedTuple):
    """A row of `transfers` with the user who pays, empty where that is the venue; amounts in the asset's units."""

    debit_account_id: str
    credit_account_id: str
    receiver_account_id: str
    asset: str
    amount: int
    state: int
    user_id: str


async def find_transfer(connection: Connection, partition: int, transfer_id: str) -> TransferRecord | None:
    """A transfer, as far as the tables are projected."""
    async with connection.cursor(row_factory=args_row(TransferRecord)) as cursor:
        await cursor.execute(
            "SELECT debit_account_id, credit_account_id, receiver_account_id, asset, amount, state,"
            " coalesce(a.user_id, '') FROM transfers t LEFT JOIN accounts a"
            " ON a.partition = t.partition AND a.account_id = t.debit_account_id"
            " WHERE t.partition = %s AND t.transfer_id = %s",
            [partition, transfer_id],
        )
        return await cursor.fetchone()
