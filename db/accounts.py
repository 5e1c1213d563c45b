"""Accounts as the tables have them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.session import Connection


class AccountRecord(NamedTuple):
    """A row of `accounts`; create_time in microseconds since 1970."""

    partition: int
    account_id: str
    user_id: str
    type: int
    name: str
    tier: str
    self_trade_group: str
    status: int
    create_time: int
    last_event_sequence: int


SELECT: Final = sql.SQL("SELECT {} FROM accounts").format(
    sql.SQL(", ").join(map(sql.Identifier, AccountRecord._fields))
)
BY_ID: Final = SELECT + sql.SQL(" WHERE partition = %s AND account_id = %s")
BY_USER: Final = SELECT + sql.SQL(
    " WHERE user_id = %s AND user_id <> '' AND account_id > %s ORDER BY account_id LIMIT %s"
)


async def find_account(connection: Connection, partition: int, account_id: str) -> AccountRecord | None:
    async with connection.cursor(row_factory=args_row(AccountRecord)) as cursor:
        await cursor.execute(BY_ID, [partition, account_id])
        return await cursor.fetchone()


async def list_accounts(connection: Connection, user_id: str, *, after: str = "", limit: int) -> list[AccountRecord]:
    """Accounts of a user in every partition, by id; the next page begins `after` the id of the last."""
    async with connection.cursor(row_factory=args_row(AccountRecord)) as cursor:
        await cursor.execute(BY_USER, [user_id, after, limit])
        return await cursor.fetchall()


async def last_events(connection: Connection, partition: int, account_ids: Sequence[str]) -> dict[str, int]:
    """The sequence of the last event of each account; unknown ones are absent."""
    cursor = await connection.execute(
        "SELECT account_id, last_event_sequence FROM accounts WHERE partition = %s AND account_id = ANY(%s)",
        [partition, list(account_ids)],
    )
    return dict(await cursor.fetchall())
