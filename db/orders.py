"""Orders as the tables have them: by number, by account, by label."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.session import Connection

OPEN: Final = frozenset({1, 2, 3})
_END: Final = 2**63 - 1


class OrderRecord(NamedTuple):
    """A row of `orders`: units as servers/domain/model.py says, times in microseconds since 1970 (0: never)."""

    partition: int
    number: int
    account_id: str
    symbol: str
    side: int
    type: int
    time_in_force: int
    price: int
    quantity: int
    quote_amount: int
    post_only: bool
    reduce_only: bool
    self_trade_prevention: int
    client_order_id: str
    request_id: str
    expire_time: int
    create_time: int
    ticks: int
    lots: int
    filled_lots: int
    removed_lots: int
    notional: int
    maker_rate: int
    taker_rate: int
    fee_accrued: int
    fee_charged: int
    held: int
    status: int
    reject_reason: int
    cancel_reason: int
    priority: int
    update_time: int
    update_sequence: int
    parent_number: int
    root_number: int
    tag: str
    display_quantity: int
    hidden_lots: int
    stop_price: int
    trigger_source: int
    trigger_time: int
    trailing_amount: int
    trailing_percent: int
    best_price: int
    list_number: int
    list_role: int
    exits: str


# By when they were placed: servers/domain/identifiers.py has the same for the numbers of one command's orders.
AGE: Final = sql.SQL("(number %% 100000000000000000 * 4 + number / 100000000000000000)")
SELECT: Final = sql.SQL("SELECT {} FROM orders").format(sql.SQL(", ").join(map(sql.Identifier, OrderRecord._fields)))
BY_NUMBER: Final = SELECT + sql.SQL(" WHERE partition = %s AND number = %s")
BY_LABEL: Final = SELECT + sql.SQL(
    " WHERE partition = %s AND account_id = %s AND client_order_id = %s AND client_order_id <> ''"
    " ORDER BY status IN (1, 2, 3) DESC, {} DESC LIMIT 1"
).format(AGE)
BY_ACCOUNT: Final = SELECT + sql.SQL(
    " WHERE partition = %(partition)s AND account_id = %(account_id)s AND {} < %(before)s"
).format(AGE)
# Spelled as the index on open orders has it: an account may have a million final ones before its oldest open one.
ONLY_OPEN: Final = sql.SQL(" AND status IN (1, 2, 3)")
OF_STATUS: Final = sql.SQL(" AND status = ANY(%(statuses)s)")
OF_MARKET: Final = sql.SQL(" AND symbol = %(symbol)s")
NEWEST: Final = sql.SQL(" ORDER BY {} DESC LIMIT %(limit)s").format(AGE)


async def find_order(connection: Connection, partition: int, number: int) -> OrderRecord | None:
    async with connection.cursor(row_factory=args_row(OrderRecord)) as cursor:
        await cursor.execute(BY_NUMBER, [partition, number])
        return await cursor.fetchone()


async def find_by_label(
    connection: Connection, partition: int, account_id: str, client_order_id: str
) -> OrderRecord | None:
    """The newest order with a client_order_id; where one of them is open it is that one."""
    async with connection.cursor(row_factory=args_row(OrderRecord)) as cursor:
        await cursor.execute(BY_LABEL, [partition, account_id, client_order_id])
        return await cursor.fetchone()


async def list_orders(
    connection: Connection,
    partition: int,
    account_id: str,
    *,
    statuses: Sequence[int] = (),
    symbol: str = "",
    before: int = _END,
    limit: int,
) -> list[OrderRecord]:
    """Orders of an account, newest first; the next page begins `before` the age of the last."""
    query = BY_ACCOUNT
    if statuses and OPEN.issuperset(statuses):
        query += ONLY_OPEN
    if statuses and set(statuses) != OPEN:
        query += OF_STATUS
    if symbol:
        query += OF_MARKET
    async with connection.cursor(row_factory=args_row(OrderRecord)) as cursor:
        await cursor.execute(
            query + NEWEST,
            {
                "partition": partition,
                "account_id": account_id,
                "statuses": list(statuses),
                "symbol": symbol,
                "before": before,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
