"""What changed accounts besides trading: the ledger without trades and fees, newest first, of several accounts at once.

An account is read along an index of its own that has no trade in it, so what somebody traded costs nothing here.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.adaptation import Micros
from db.session import Connection


class MovementRecord(NamedTuple):
    """An entry: time in microseconds since 1970, amounts in units of their assets; of a conversion also what was received."""

    time: int
    partition: int
    sequence: int
    n: int
    account_id: str
    counterparty_id: str
    asset: str
    amount: int
    kind: int
    reference: str
    received_asset: str
    received_amount: int


class Place(NamedTuple):
    """Where an entry stands among those of all accounts; what was entered later has a larger one."""

    time: int
    partition: int
    sequence: int
    n: int
    account_id: str


# The two sides are branches of their own: each goes backwards along its index (0025) and ends at the limit. Of a conversion (9),
# two postings of one command, the paying one is told and the other one beside it.
_SIDE: Final = sql.SQL("""
(SELECT time, partition, sequence, n, {mine} AS account_id, {other} AS counterparty_id, asset, {amount} AS amount, kind, reference
 FROM postings
 WHERE {mine} = wanted.account_id AND partition = wanted.partition AND kind NOT IN (4, 5) AND kind <> {untold}
   AND kind = ANY(%(kinds)s) AND time >= %(start)s AND time < %(end)s
   AND (time, partition, sequence, n, {mine}) < (%(time)s, %(partition)s, %(sequence)s, %(n)s, %(account)s)
 ORDER BY time DESC, sequence DESC, n DESC LIMIT %(limit)s)
""")
_PAYS, _RECEIVES = sql.Identifier("debit_account_id"), sql.Identifier("credit_account_id")
LIST: Final = sql.SQL("""
WITH page AS MATERIALIZED (
    SELECT found.* FROM unnest(%(partitions)s::integer[], %(accounts)s::text[]) AS wanted(partition, account_id)
    CROSS JOIN LATERAL (
        SELECT * FROM ({debit} UNION ALL {credit}) AS sides ORDER BY time DESC, sequence DESC, n DESC LIMIT %(limit)s
    ) AS found
    ORDER BY time DESC, partition DESC, sequence DESC, n DESC, account_id DESC LIMIT %(limit)s
)
SELECT page.*, coalesce(received.asset, ''), coalesce(received.amount, 0)
FROM page LEFT JOIN LATERAL (
    SELECT asset, amount FROM postings
    WHERE page.kind = 9 AND partition = page.partition AND time = page.time AND sequence = page.sequence AND n = page.n + 1
    LIMIT 1
) AS received ON true
ORDER BY page.time DESC, page.partition DESC, page.sequence DESC, page.n DESC, page.account_id DESC
""").format(
    debit=_SIDE.format(mine=_PAYS, other=_RECEIVES, amount=sql.SQL("-amount"), untold=sql.Literal(0)),
    credit=_SIDE.format(mine=_RECEIVES, other=_PAYS, amount=sql.SQL("amount"), untold=sql.Literal(9)),
)


async def list_movements(
    connection: Connection,
    accounts: Sequence[tuple[int, str]],
    *,
    kinds: Sequence[int],
    start: int,
    end: int,
    before: Place | None,
    limit: int,
) -> list[MovementRecord]:
    """Entries of accounts (partition, id) of these kinds and times, newest first; the next page begins `before` the last."""
    place = before or Place(end, 0, 0, 0, "")
    values = {
        "partitions": [partition for partition, _ in accounts],
        "accounts": [account_id for _, account_id in accounts],
        "kinds": list(kinds),
        "start": Micros(start),
        # Said apart, so that months are left out that have nothing.
        "end": Micros(min(end, place.time + 1)),
        "time": Micros(place.time),
        "partition": place.partition,
        "sequence": place.sequence,
        "n": place.n,
        "account": place.account_id,
        "limit": limit,
    }
    async with connection.cursor(row_factory=args_row(MovementRecord)) as cursor:
        await cursor.execute(LIST, values)
        return await cursor.fetchall()
