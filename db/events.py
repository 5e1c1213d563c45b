"""The record of what happened to an account, for streams that resume."""

from typing import Final, NamedTuple

from psycopg.rows import args_row

from db.session import Connection


class EventRecord(NamedTuple):
    """What one command changed. The event before it has `previous_sequence`; the time is in microseconds since 1970."""

    sequence: int
    n: int
    previous_sequence: int
    type: int
    payload: bytes
    time: int


EVENTS: Final = """
SELECT sequence, n, previous_sequence, type, payload, time FROM account_events
WHERE partition = %s AND account_id = %s AND sequence > %s AND sequence <= %s ORDER BY sequence, n LIMIT %s
"""


async def list_events(
    connection: Connection, partition: int, account_id: str, *, after_sequence: int, until_sequence: int, limit: int
) -> list[EventRecord]:
    """Events of an account after one sequence up to another, in order."""
    async with connection.cursor(binary=True, row_factory=args_row(EventRecord)) as cursor:
        await cursor.execute(EVENTS, [partition, account_id, after_sequence, until_sequence, limit])
        return await cursor.fetchall()
