"""Monthly table partitions of trades, postings, account events and candles, made ahead of time."""

from datetime import datetime

from db.session import Connection


async def ensure_partitions(connection: Connection, now: datetime) -> int:
    """Make the ranges of the month of `now` and of the two after it where they are missing. Returns how many it made.

    Rows that lie in a default partition meanwhile are moved. Migrating does this too; the projector repeats it daily.
    """
    cursor = await connection.execute("SELECT ensure_partitions(%s)", [now])
    row = await cursor.fetchone()
    assert row is not None
    made: int = row[0]
    return made
