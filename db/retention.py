"""Letting go of what is old, a bounded number of rows at a time."""

from datetime import datetime
from typing import Final

from db.session import Connection

# Those of transfers stay as long as these are pending: a snapshot tells by them which were made in two phases.
PRUNE_REQUESTS: Final = """
DELETE FROM requests WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM requests r
    WHERE partition = %s AND (scope = 'transfer') = %s AND time < %s AND sequence < (
        SELECT sequence FROM requests WHERE partition = %s ORDER BY sequence DESC OFFSET %s LIMIT 1
    ) AND (scope <> 'transfer' OR NOT EXISTS (
        SELECT FROM transfers t WHERE t.partition = r.partition AND t.transfer_id = r.request_id AND t.state = 1
    ))
    ORDER BY sequence LIMIT %s
))
"""


async def prune_requests(
    connection: Connection, partition: int, before: datetime, kept: int, rows_max: int, *, transfers: bool
) -> int:
    """Forget requests of before a time, of transfers or all others, but for the `kept` newest, which the machine remembers.

    How many. A transfer itself stays, so its id is never used again.
    """
    # One more than is remembered: its time is that of the newest that was forgotten.
    cursor = await connection.execute(PRUNE_REQUESTS, [partition, transfers, before, partition, kept, rows_max])
    return cursor.rowcount


async def prune_journal(connection: Connection, partition: int, before: datetime, rows_max: int) -> int:
    """Drop rows of before a time that every reader has passed. Returns how many."""
    return await _called(connection, "SELECT prune_journal(%s, %s, %s)", partition, before, rows_max)


async def drop_account_events(connection: Connection, before: datetime) -> int:
    """Drop the months of account events that ended before a time. Returns how many."""
    return await _called(connection, "SELECT drop_account_events(%s)", before)


async def _called(connection: Connection, statement: str, *values: object) -> int:
    cursor = await connection.execute(statement, values)
    row = await cursor.fetchone()
    assert row is not None
    count: int = row[0]
    return count
