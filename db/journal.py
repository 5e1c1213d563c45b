"""The journal and its fence: who may append, and the one statement that does.

A row is appended only by the holder of the epoch, only right after the last sequence, and only while nothing is halted; fence
and row change in one statement, so a leader that was replaced cannot commit behind its successor. Leases are measured by the
database's clock. Every function here is one durable transaction of its own on a connection in autocommit (db.session.connect).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from psycopg.rows import args_row
from psycopg.types.numeric import Int4, Int8

from db.prepared import Prepared
from db.session import Connection


@dataclass(slots=True)
class JournalRow:
    """A batch of commands as it stands in the journal, with what clients were told."""

    partition: int
    first_sequence: int
    last_sequence: int
    epoch: int
    rules_version: int
    commands: bytes
    answers: bytes
    digest: int
    chain: bytes


class PartitionState(NamedTuple):
    """A partition's fence. `lease_left_s` is at or below 0 when nobody leads; `holder` is then empty or the late leader.

    `lease_until` is by the database's clock, in seconds since 1970, and 0 for no lease.
    """

    partition: int
    environment: int
    epoch: int
    last_sequence: int
    holder: str
    address: str
    lease_left_s: float
    lease_until: float
    rules_version: int
    halted_reason: str | None


class EnvironmentFixedError(RuntimeError):
    """The partition exists with another environment; its accounts and orders cannot change worlds."""


COLUMNS: Final = "partition, first_sequence, last_sequence, epoch, rules_version, commands, answers, digest, chain"
APPEND: Final = Prepared(
    "journal_append",
    """
WITH fence AS (
    UPDATE partitions SET last_sequence = $3, rules_version = $5, lease_until = clock_timestamp() + make_interval(secs => $10)
    WHERE partition = $1 AND epoch = $4 AND last_sequence = $2 - 1 AND halted_reason IS NULL
    RETURNING 1
)
INSERT INTO journal (partition, first_sequence, last_sequence, epoch, rules_version, commands, answers, digest, chain)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM fence
""",
    ("int4", "int8", "int8", "int8", "int4", "bytea", "bytea", "numeric", "bytea", "float8"),
)
READ: Final = f"SELECT {COLUMNS} FROM journal WHERE partition = %b AND first_sequence = %b"  # noqa: S608  # nosec B608  constants
READ_AFTER: Final = (
    f"SELECT {COLUMNS} FROM journal WHERE partition = %b AND last_sequence > %b "  # noqa: S608  # nosec B608  constants
    "ORDER BY last_sequence LIMIT %b"
)
STATE: Final = """
SELECT partition, environment, epoch, last_sequence, holder, address,
       coalesce(extract(epoch FROM lease_until - clock_timestamp()), 0)::float8,
       coalesce(extract(epoch FROM lease_until), 0)::float8, rules_version, halted_reason
FROM partitions WHERE partition = %b
"""
TAKE_OVER: Final = """
UPDATE partitions SET epoch = epoch + 1, holder = %b, address = %b, lease_until = clock_timestamp() + make_interval(secs => %b)
WHERE partition = %b AND (lease_until IS NULL OR lease_until < clock_timestamp() OR holder = %b)
RETURNING epoch
"""
RENEW: Final = """
UPDATE partitions SET lease_until = clock_timestamp() + make_interval(secs => %b) WHERE partition = %b AND epoch = %b
AND halted_reason IS NULL
"""
RELEASE: Final = (
    "UPDATE partitions SET lease_until = NULL, holder = '', address = '' WHERE partition = %b AND epoch = %b"
)


async def append(connection: Connection, row: JournalRow, lease_s: float) -> bool:
    """Append a row and renew the lease. False: fenced off, out of order, or halted; nothing was written.

    Raises psycopg.OperationalError with the outcome unknown: read the row back.
    """
    values = (row.partition, row.first_sequence, row.last_sequence, row.epoch, row.rules_version)
    payload = (row.commands, row.answers, row.digest, row.chain)
    return await APPEND.execute(connection, (*values, *payload, lease_s)) == 1


async def read_row(connection: Connection, partition: int, first_sequence: int) -> JournalRow | None:
    """The row that begins at a sequence."""
    async with connection.cursor(binary=True, row_factory=args_row(JournalRow)) as cursor:
        await cursor.execute(READ, [Int4(partition), Int8(first_sequence)])
        return await cursor.fetchone()


async def read_after(connection: Connection, partition: int, after_sequence: int, limit_rows: int) -> list[JournalRow]:
    """The rows that end after a sequence, in order; the first may begin at or before it."""
    async with connection.cursor(binary=True, row_factory=args_row(JournalRow)) as cursor:
        await cursor.execute(READ_AFTER, [Int4(partition), Int8(after_sequence), Int4(limit_rows)], prepare=True)
        return await cursor.fetchall()


async def ensure_partition(connection: Connection, partition: int, environment: int) -> None:
    """Make the partition's row where it is missing. Raises EnvironmentFixedError."""
    await connection.execute(
        "INSERT INTO partitions (partition, environment) VALUES (%b, %b) ON CONFLICT (partition) DO NOTHING",
        [Int4(partition), Int4(environment)],
    )
    state = await partition_row(connection, partition)
    if state.environment != environment:
        raise EnvironmentFixedError(f"partition {partition} is of environment {state.environment}, not {environment}")


async def find_partition(connection: Connection, partition: int) -> PartitionState | None:
    """The partition's fence, None if there is no such partition."""
    async with connection.cursor(binary=True, row_factory=args_row(PartitionState)) as cursor:
        await cursor.execute(STATE, [Int4(partition)])
        return await cursor.fetchone()


async def partition_row(connection: Connection, partition: int) -> PartitionState:
    """The partition's fence. Raises LookupError if there is no such partition."""
    state = await find_partition(connection, partition)
    if state is None:
        raise LookupError(f"no partition {partition}")
    return state


async def take_over(connection: Connection, partition: int, holder: str, address: str, lease_s: float) -> int | None:
    """Begin a new epoch under a lease. Returns it, or None while another holder's lease runs.

    `holder` names one process: the same name takes over from itself at once.
    """
    cursor = await connection.execute(TAKE_OVER, [holder, address, float(lease_s), Int4(partition), holder])
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def renew(connection: Connection, partition: int, epoch: int, lease_s: float) -> bool:
    """Prolong the lease of an epoch. False: another epoch has begun, or the partition is halted."""
    cursor = await connection.execute(RENEW, [float(lease_s), Int4(partition), Int8(epoch)], prepare=True)
    return cursor.rowcount == 1


async def release(connection: Connection, partition: int, epoch: int) -> bool:
    """End the lease of an epoch now, so that a successor need not wait. False: another epoch has begun."""
    cursor = await connection.execute(RELEASE, [Int4(partition), Int8(epoch)])
    return cursor.rowcount == 1


async def halt(connection: Connection, partition: int, reason: str) -> bool:
    """Stop the partition: no append succeeds from now on. False: it was halted before; the first reason stays."""
    cursor = await connection.execute(
        "UPDATE partitions SET halted_reason = %b WHERE partition = %b AND halted_reason IS NULL",
        [reason, Int4(partition)],
    )
    return cursor.rowcount == 1
