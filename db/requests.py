"""What a request_id was used for, beyond what the engine remembers."""

from typing import NamedTuple

from psycopg.rows import args_row

from db.session import Connection


class RequestRecord(NamedTuple):
    """The use of a request_id: the hash of the body, the command's sequence, the time in microseconds since 1970."""

    fingerprint: bytes
    sequence: int
    time: int


async def find_request(connection: Connection, partition: int, scope: str, request_id: str) -> RequestRecord | None:
    """The first use of a request_id in a scope (an account or a user), as far as the tables are projected."""
    async with connection.cursor(binary=True, row_factory=args_row(RequestRecord)) as cursor:
        await cursor.execute(
            "SELECT fingerprint, sequence, time FROM requests WHERE partition = %s AND scope = %s AND request_id = %s",
            [partition, scope, request_id],
        )
        return await cursor.fetchone()
