"""How far the journal's readers are."""

from typing import Final, NamedTuple

from psycopg.rows import args_row

from db.session import Connection

TABLES: Final = "tables"
BUS: Final = "bus"


class ProjectionRecord(NamedTuple):
    """A reader's position, with digest and chain of the last row it has read."""

    sequence: int
    epoch: int
    digest: int
    chain: bytes


async def behind(connection: Connection, partition: int, reader: str) -> int:
    """How many commands of the journal a reader has not done yet."""
    cursor = await connection.execute(
        "SELECT p.last_sequence - coalesce(r.sequence, 0) FROM partitions p LEFT JOIN projections r"
        " ON r.partition = p.partition AND r.reader = %s WHERE p.partition = %s",
        [reader, partition],
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def find_projection(connection: Connection, partition: int, reader: str) -> ProjectionRecord | None:
    """The position of a reader (TABLES, BUS), None if it never began."""
    async with connection.cursor(binary=True, row_factory=args_row(ProjectionRecord)) as cursor:
        await cursor.execute(
            "SELECT sequence, epoch, digest, chain FROM projections WHERE partition = %s AND reader = %s",
            [partition, reader],
        )
        return await cursor.fetchone()
