"""What books were: at each of some depths, as often as the replica takes them, in partitions of a day."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from db.adaptation import Micros
from db.session import Connection

LISTED: Final = sql.SQL("""
SELECT time, sequence, book FROM book_snapshots
WHERE partition = %s AND symbol = %s AND depth = %s AND time >= %s AND time < %s
ORDER BY time DESC LIMIT %s
""")
APPENDED: Final = """
INSERT INTO book_snapshots (partition, symbol, depth, time, sequence, book) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""


class BookSnapshotRecord(NamedTuple):
    """A book as serialized for the wire; time in microseconds since 1970."""

    time: int
    sequence: int
    book: bytes


async def append_book_snapshots(
    connection: Connection, partition: int, time_us: int, books: Sequence[tuple[str, int, int, bytes]]
) -> None:
    """Keep books of one moment: symbol, depth, sequence, serialized. One that is kept already stays as it is."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.executemany(
            APPENDED,
            [(partition, symbol, depth, Micros(time_us), sequence, book) for symbol, depth, sequence, book in books],
        )


async def list_book_snapshots(
    connection: Connection, partition: int, symbol: str, depth: int, *, start: int, before: int, limit: int
) -> list[BookSnapshotRecord]:
    """Those taken at or after `start` and `before` a time (microseconds), newest first."""
    async with connection.cursor(row_factory=args_row(BookSnapshotRecord)) as cursor:
        await cursor.execute(LISTED, [partition, symbol, depth, Micros(start), Micros(before), limit])
        return await cursor.fetchall()


async def turn_book_snapshots(connection: Connection, now: datetime, before: datetime) -> int:
    """Make the days to come, and drop those that ended before a time. Returns how many were dropped."""
    cursor = await connection.execute("SELECT turn_book_snapshots(%s, %s)", [now, before])
    row = await cursor.fetchone()
    assert row is not None
    dropped: int = row[0]
    return dropped
