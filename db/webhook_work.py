"""What the worker that delivers webhooks reads and writes: events to make messages of, messages that are due, what came of them.

Functions that take a connection are part of the caller's transaction. Times are the database's own.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg.rows import args_row

from db.projections import TABLES, find_projection
from db.session import Connection

# Events that are read at a time, and how far on one look goes in a record of which most is nobody's.
EVENTS_MAX: Final = 1_000
WINDOW: Final = 50_000
# Days that what is done is kept, and rows that are let go of at a time.
SUCCEEDED_DAYS: Final = 7
DEAD_DAYS: Final = 30
FORGET: Final = 5_000

ONE_WORKER: Final = "SELECT pg_try_advisory_lock(hashtext('venue.webhooks'))"
CURSOR: Final = """
INSERT INTO webhook_cursors AS w (partition, sequence) VALUES (%s, 0)
ON CONFLICT (partition) DO UPDATE SET sequence = w.sequence RETURNING sequence
"""
# Asked before any transaction begins, as there mostly is nothing to do.
AHEAD: Final = """
SELECT p.partition,
    p.sequence > coalesce(c.sequence, 0) OR EXISTS (SELECT FROM webhook_replays r WHERE r.partition = p.partition),
    EXISTS (SELECT FROM webhook_endpoints WHERE state = 'ENABLED')
FROM projections p LEFT JOIN webhook_cursors c USING (partition)
WHERE p.reader = %s AND p.partition = ANY(%s)
"""
# Of an account that is told to nobody no event is read.
LISTENERS: Final = """
SELECT a.account_id, e.endpoint_id, e.event_types, e.create_time
FROM webhook_endpoints e
JOIN accounts a ON a.user_id = e.user_id AND a.user_id <> '' AND (e.account_id IS NULL OR e.account_id = a.account_id)
WHERE e.state = 'ENABLED' AND a.partition = %s
"""
# A page ends behind a whole command: of one that concerns many accounts all events are read.
EVENTS: Final = """
WITH page AS (
    SELECT sequence FROM account_events
    WHERE partition = %(partition)s AND account_id = ANY(%(accounts)s)
        AND sequence > %(after)s AND sequence <= %(until)s
    ORDER BY sequence, n LIMIT %(limit)s
), edge AS (SELECT CASE WHEN count(*) < %(limit)s THEN %(until)s ELSE max(sequence) END AS sequence FROM page)
SELECT e.account_id, e.sequence, e.n, e.previous_sequence, e.payload, e.time, edge.sequence AS until
FROM edge LEFT JOIN account_events e ON e.partition = %(partition)s AND e.account_id = ANY(%(accounts)s)
    AND e.sequence > %(after)s AND e.sequence <= edge.sequence
ORDER BY e.sequence, e.n
"""
MAKE: Final = """
INSERT INTO webhook_deliveries (endpoint_id, message_id, event_type, account_id, sequence, part, body)
SELECT m.endpoint_id, m.message_id, m.event_type, m.account_id, m.sequence, m.part, m.body
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::integer[], %s::text[])
    AS m (endpoint_id, message_id, event_type, account_id, sequence, part, body)
WHERE EXISTS (SELECT FROM webhook_endpoints e WHERE e.endpoint_id = m.endpoint_id FOR KEY SHARE)
ON CONFLICT (endpoint_id, message_id) DO
"""
KEEP: Final = "NOTHING"
ANEW: Final = "UPDATE SET state = 'PENDING', attempts = 0, next_time = clock_timestamp(), since = clock_timestamp()"
REPLAYS: Final = """
SELECT r.endpoint_id, r.account_id, r.after_sequence, e.event_types
FROM webhook_replays r JOIN webhook_endpoints e USING (endpoint_id)
WHERE r.partition = %s AND e.state = 'ENABLED' FOR UPDATE OF r SKIP LOCKED LIMIT 1
"""
# An account's first message that is not done holds those behind it: looked at is the first one of each account, from one to the
# next by the index. Messages of no account are tests, and hold nothing.
BUSY: Final = """
WITH RECURSIVE heads AS (
    (SELECT endpoint_id, account_id, next_time FROM webhook_deliveries WHERE state = 'PENDING'
     ORDER BY endpoint_id, account_id, sequence, part, message_id LIMIT 1)
    UNION ALL
    SELECT following.* FROM heads h CROSS JOIN LATERAL (
        SELECT endpoint_id, account_id, next_time FROM webhook_deliveries
        WHERE state = 'PENDING' AND (endpoint_id, account_id) > (h.endpoint_id, h.account_id)
        ORDER BY endpoint_id, account_id, sequence, part, message_id LIMIT 1) AS following
)
SELECT DISTINCT h.endpoint_id FROM heads h JOIN webhook_endpoints e USING (endpoint_id)
WHERE e.state = 'ENABLED' AND (h.next_time <= clock_timestamp() OR (h.account_id = '' AND EXISTS (
    SELECT FROM webhook_deliveries d WHERE d.endpoint_id = h.endpoint_id AND d.account_id = '' AND d.state = 'PENDING'
        AND d.next_time <= clock_timestamp())))
"""
DUE: Final = """
WITH RECURSIVE told AS (
    (SELECT account_id FROM webhook_deliveries WHERE endpoint_id = %(endpoint)s AND state = 'PENDING'
     ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT following.* FROM told t CROSS JOIN LATERAL (
        SELECT account_id FROM webhook_deliveries
        WHERE endpoint_id = %(endpoint)s AND state = 'PENDING' AND account_id > t.account_id
        ORDER BY account_id LIMIT 1) AS following
)
SELECT m.message_id, m.account_id, m.body, m.attempts, extract(epoch FROM clock_timestamp() - m.since)::float8
FROM told CROSS JOIN LATERAL (
    SELECT w.*, bool_or(w.next_time > clock_timestamp() AND w.account_id <> '')
        OVER (ORDER BY w.sequence, w.part, w.message_id ROWS UNBOUNDED PRECEDING) AS held
    FROM (
        SELECT * FROM webhook_deliveries d
        WHERE d.endpoint_id = %(endpoint)s AND d.account_id = told.account_id AND d.state = 'PENDING'
        ORDER BY d.sequence, d.part, d.message_id LIMIT %(limit)s) AS w) AS m
WHERE NOT m.held AND m.next_time <= clock_timestamp()
ORDER BY m.sequence, m.part, m.message_id LIMIT %(limit)s
"""
SECRETS: Final = """
SELECT secret_id, secret FROM webhook_secrets
WHERE endpoint_id = %s AND (expire_time IS NULL OR expire_time > clock_timestamp()) ORDER BY create_time DESC
"""
# What was redelivered meanwhile stays pending: nobody knows whether this attempt was its first or its last.
DONE: Final = """
UPDATE webhook_deliveries SET state = %s, attempts = attempts + 1, last_time = clock_timestamp(), last_status = %s,
    last_error = %s, next_time = clock_timestamp() + make_interval(secs => %s)
WHERE endpoint_id = %s AND message_id = %s AND state = 'PENDING' AND attempts = %s
"""
FORGET_DONE: Final = """
DELETE FROM webhook_deliveries WHERE ctid IN (
    SELECT ctid FROM webhook_deliveries
    WHERE state <> 'PENDING'
        AND create_time < now() - CASE state WHEN 'DEAD' THEN %s ELSE %s END * interval '1 day'
    LIMIT %s)
"""


class Listener(NamedTuple):
    """Who is told of an account, and of what; `since` in microseconds since 1970."""

    account_id: str
    endpoint_id: str
    event_types: list[str]
    since: int


class Happened(NamedTuple):
    """What one command changed for one account: the bytes of an AccountRecord. `time` in microseconds since 1970."""

    account_id: str
    sequence: int
    n: int
    previous_sequence: int
    payload: bytes
    time: int


class Message(NamedTuple):
    """A message to an endpoint."""

    endpoint_id: str
    message_id: str
    event_type: str
    account_id: str
    sequence: int
    part: int
    body: str


class Ahead(NamedTuple):
    """Whether a partition has something to tell, and whether anybody listens to any."""

    partition: int
    waits: bool
    is_heard: bool


class Replay(NamedTuple):
    """Events of an account that an endpoint is told again."""

    endpoint_id: str
    account_id: str
    after_sequence: int
    event_types: list[str]


class Due(NamedTuple):
    """A message that is to be attempted; `age_s` since it was made, or was to be delivered anew."""

    message_id: str
    account_id: str
    body: str
    attempts: int
    age_s: float


class Target(NamedTuple):
    """Where an endpoint's messages go; the envelopes of its secrets by their ids, the newest first."""

    url: str
    user_id: str
    secrets: list[tuple[str, bytes]]


async def is_only_worker(connection: Connection) -> bool:
    """Whether this connection, for as long as it lives, is the one that works."""
    row = await (await connection.execute(ONE_WORKER)).fetchone()
    return row is not None and bool(row[0])


async def list_ahead(connection: Connection, partitions: Sequence[int]) -> list[Ahead]:
    """What the partitions that have a record of events have to tell."""
    async with connection.cursor(row_factory=args_row(Ahead)) as cursor:
        await cursor.execute(AHEAD, [TABLES, list(partitions)])
        return await cursor.fetchall()


async def lock_cursor(connection: Connection, partition: int) -> int:
    """How far the messages of a partition are made; nobody else makes any until the transaction ends."""
    row = await (await connection.execute(CURSOR, [partition])).fetchone()
    assert row is not None
    return int(row[0])


async def move_cursor(connection: Connection, partition: int, sequence: int) -> None:
    await connection.execute("UPDATE webhook_cursors SET sequence = %s WHERE partition = %s", [sequence, partition])


async def written_until(connection: Connection, partition: int) -> int:
    """Up to which sequence the record of events is whole."""
    found = await find_projection(connection, partition, TABLES)
    return found.sequence if found is not None else 0


async def list_listeners(connection: Connection, partition: int) -> list[Listener]:
    """Everybody who is told of accounts of a partition."""
    async with connection.cursor(binary=True, row_factory=args_row(Listener)) as cursor:
        await cursor.execute(LISTENERS, [partition])
        return await cursor.fetchall()


async def list_happened(
    connection: Connection, partition: int, accounts: Sequence[str], after: int, until: int
) -> tuple[list[Happened], int]:
    """Events of accounts after one sequence, and up to which one that is all of them: `until`, or sooner."""
    asked = {"partition": partition, "accounts": list(accounts), "after": after, "until": until, "limit": EVENTS_MAX}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(EVENTS, asked)
        rows = await cursor.fetchall()
    return [Happened(*row[:-1]) for row in rows if row[0] is not None], int(rows[0][-1])


async def make_messages(connection: Connection, messages: Sequence[Message], *, anew: bool) -> None:
    """Store messages, those that are there already `anew` as new ones or left as they are. Those of an endpoint that is no more
    are not.
    """
    columns = [list(column) for column in zip(*messages, strict=True)]
    await connection.execute(MAKE + (ANEW if anew else KEEP), columns)


async def lock_replay(connection: Connection, partition: int) -> Replay | None:
    """Something that is to be told again, if there is anything."""
    async with connection.cursor(row_factory=args_row(Replay)) as cursor:
        await cursor.execute(REPLAYS, [partition])
        return await cursor.fetchone()


async def move_replay(connection: Connection, replay: Replay, sequence: int, *, done: bool) -> None:
    """A locked replay has come to a sequence, or to its end."""
    of_it = [replay.endpoint_id, replay.account_id]
    if done:
        await connection.execute("DELETE FROM webhook_replays WHERE endpoint_id = %s AND account_id = %s", of_it)
    else:
        await connection.execute(
            "UPDATE webhook_replays SET after_sequence = %s WHERE endpoint_id = %s AND account_id = %s",
            [sequence, *of_it],
        )


async def list_busy(connection: Connection) -> list[str]:
    """The endpoints that something is due for."""
    return [row[0] for row in await (await connection.execute(BUSY)).fetchall()]


async def list_due(connection: Connection, endpoint_id: str, limit: int) -> list[Due]:
    """What is to be attempted now, in order: nothing behind a message of its account that waits for its next attempt."""
    async with connection.cursor(row_factory=args_row(Due)) as cursor:
        await cursor.execute(DUE, {"endpoint": endpoint_id, "limit": limit})
        return await cursor.fetchall()


async def find_target(connection: Connection, endpoint_id: str) -> Target | None:
    """Where to send to; None where the endpoint is disabled or no more."""
    asked = "SELECT url, user_id FROM webhook_endpoints WHERE endpoint_id = %s AND state = 'ENABLED'"
    row = await (await connection.execute(asked, [endpoint_id])).fetchone()
    if row is None:
        return None
    secrets = await (await connection.execute(SECRETS, [endpoint_id])).fetchall()
    return Target(row[0], row[1], [(name, bytes(envelope)) for name, envelope in secrets])


async def record(
    connection: Connection, endpoint_id: str, due: Due, state: str, *, status: int, error: str, wait_s: float
) -> None:
    """What came of an attempt: the state that the message is in, and how long until the next one."""
    await connection.execute(DONE, [state, status, error, wait_s, endpoint_id, due.message_id, due.attempts])


async def forget_done(connection: Connection) -> int:
    """Let go of what was done long ago, some at a time. Returns how many."""
    return (await connection.execute(FORGET_DONE, [DEAD_DAYS, SUCCEEDED_DAYS, FORGET])).rowcount
