"""Writing the tables from the journal: everything that a stretch of it caused, and its position, in one transaction.

Whoever writes moves the position from where the stretch begins to where it ends, under the row's lock; a stretch that was
written already, or that somebody else wrote, moves nothing. So trying again after any failure is safe.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from psycopg import AsyncCursor, sql
from psycopg.types.numeric import IntNumeric

from db.crash_points import passing
from db.projections import TABLES, find_projection
from db.rendering import ACCOUNT_EVENTS, POSTINGS, TRADES, Columns
from db.session import PROJECTOR, Connection, connect
from db.snapshot import CHAIN_START
from servers.domain.model import (
    Account,
    Asset,
    Balance,
    Clockwork,
    Fees,
    Limits,
    Market,
    Order,
    Position,
    Request,
    TradingSession,
    Transfer,
)

Values = tuple[Any, ...]
ORDERS: Final = Columns(Order)
# Set-based upserts: the class, and the key beside the partition.
STATE: Final[Mapping[str, tuple[Columns, tuple[str, ...]]]] = {
    "machine": (Columns(Clockwork), ()),
    "assets": (Columns(Asset), ("symbol",)),
    "markets": (Columns(Market), ("symbol",)),
    "fees": (Columns(Fees), ("symbol", "tier")),
    "accounts": (Columns(Account), ("account_id",)),
    "balances": (Columns(Balance), ("account_id", "asset")),
    "positions": (Columns(Position), ("account_id", "symbol")),
    "limits": (Columns(Limits), ("account_id", "tier", "symbol")),
    "trading_sessions": (Columns(TradingSession), ("account_id", "session_id")),
    "transfers": (Columns(Transfer), ("transfer_id",)),
    "requests": (Columns(Request), ("scope", "request_id")),
}
# What can change on an order that was written before.
CHANGING: Final = (
    "price",
    "quantity",
    "ticks",
    "lots",
    "priority",
    "filled_lots",
    "removed_lots",
    "notional",
    "fee_accrued",
    "fee_charged",
    "held",
    "status",
    "reject_reason",
    "cancel_reason",
    "stop_price",
    "best_price",
    "update_sequence",
    "hidden_lots",
)
CHANGING_TIMES: Final = ("expire_time", "trigger_time", "update_time")
APPENDED: Final = (("trades", TRADES), ("postings", POSTINGS))
# Around the rows of COPY's binary form: a signature, no flags, nothing more in the header; and the end.
BINARY_BEGINS: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
BINARY_ENDS: Final = b"\xff\xff"
ADVANCE: Final = """
UPDATE projections SET sequence = %s, epoch = %s, digest = %s, chain = %s
WHERE partition = %s AND reader = %s AND sequence = %s
"""
BEGIN: Final = """
INSERT INTO projections (partition, reader, sequence, epoch, digest, chain) VALUES (%s, %s, 0, 0, 0, %s)
ON CONFLICT DO NOTHING
"""
END_SESSIONS: Final = """
DELETE FROM trading_sessions
WHERE partition = %s AND (account_id, session_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
CANDLES: Final = """
INSERT INTO candles AS c (partition, symbol, interval_s, open_time, open_ticks, high_ticks, low_ticks, close_ticks, lots,
                          notional, trade_count)
SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[],
                         %s::numeric[], %s::numeric[], %s::numeric[], %s::bigint[])
ON CONFLICT (partition, symbol, interval_s, open_time) DO UPDATE SET
    high_ticks = greatest(c.high_ticks, excluded.high_ticks), low_ticks = least(c.low_ticks, excluded.low_ticks),
    close_ticks = excluded.close_ticks, lots = c.lots + excluded.lots, notional = c.notional + excluded.notional,
    trade_count = c.trade_count + excluded.trade_count
"""
CANDLE_TYPES: Final = ("text", "integer", "timestamptz") + ("numeric",) * 6 + ("bigint",)


@dataclass(slots=True)
class Cut:
    """What the commands after `before` up to `sequence` left behind; digest and chain are those at its end."""

    partition: int
    before: int
    sequence: int
    epoch: int
    digest: int
    chain: bytes
    # By table: rows as STATE's columns give them, each key once.
    state: dict[str, list[Values]] = field(default_factory=dict)
    # (account, session) of trading sessions that ended; one that was opened anew is in `state` too.
    ended_sessions: list[Values] = field(default_factory=list)
    # Orders of before the cut: number, CHANGING, CHANGING_TIMES as text.
    changed_orders: list[Values] = field(default_factory=list)
    # (symbol, interval_s, open_time as text, open, high, low, close, lots, notional, count), each key once.
    candles: list[Values] = field(default_factory=list)
    # By table: lines for COPY.
    appended: dict[str, list[str]] = field(default_factory=dict)
    # Rows of account_events, for COPY in its binary form.
    events: list[bytes] = field(default_factory=list)


class ProjectionMovedError(RuntimeError):
    """The tables stand at another place of the journal than this writer does: load them again."""


async def open_projection(url: str, partition: int) -> Connection:
    """A connection that writes the tables of a partition. Raises psycopg.OperationalError."""
    async with AsyncExitStack() as stack:
        connection = await connect(url, application_name=f"venue projector {partition}", role=PROJECTOR)
        await stack.enter_async_context(connection)
        # The journal is durable and the position moves with the rows: what a crash loses here is written again.
        await connection.execute("SET synchronous_commit TO off")
        # What changes is found by its key, whatever a planner believes of a table that nobody has counted yet.
        await connection.execute("SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off")
        await connection.execute(BEGIN, [partition, TABLES, CHAIN_START])
        stack.pop_all()
        return connection


async def is_written(connection: Connection, cut: Cut) -> bool:
    """Whether a cut of unknown outcome was written. Raises ProjectionMovedError: neither it nor what comes before."""
    position = await find_projection(connection, cut.partition, TABLES)
    if position is not None and position.sequence == cut.before:
        return False
    if position is not None and (position.sequence, position.chain) == (cut.sequence, cut.chain):
        return True
    raise ProjectionMovedError(f"partition {cut.partition}: tables at {position}, writer at {cut.before}")


async def write_cut(connection: Connection, cut: Cut) -> None:
    """Write a cut and its position. Raises ProjectionMovedError, psycopg.Error; then nothing is written."""
    async with connection.transaction():
        async with connection.pipeline():
            advance = [cut.sequence, cut.epoch, IntNumeric(cut.digest), cut.chain, cut.partition, TABLES, cut.before]
            moved = await connection.execute(ADVANCE, advance, prepare=True)
            await _write_state(connection.cursor(), cut)
        if moved.rowcount != 1:
            raise ProjectionMovedError(f"partition {cut.partition}: the tables are not at {cut.before}")
        passing("mid-projection")
        # New orders come after changed ones: a label is free once the order that had it is written as ended.
        for table, columns in (("orders", "partition, " + ", ".join(ORDERS.names)), *APPENDED):
            lines = cut.appended.get(table)
            if lines:
                await _copy(connection, table, columns, "text", "".join(lines))
        if cut.events:
            rows = b"".join((BINARY_BEGINS, *cut.events, BINARY_ENDS))
            await _copy(connection, "account_events", ACCOUNT_EVENTS, "binary", rows)


async def _write_state(cursor: AsyncCursor[Any], cut: Cut) -> None:
    if cut.changed_orders:
        types = ("bigint",) + ("numeric",) * len(CHANGING) + ("timestamptz",) * len(CHANGING_TIMES)
        arrays = _arrays(cut.changed_orders, types)
        # Planned each time: a plan that was made for a young table reads all of it, and is kept until the table is counted.
        await cursor.execute(_UPDATE_ORDERS, [cut.partition, *arrays], prepare=False)
    if cut.ended_sessions:
        arrays = _arrays(cut.ended_sessions, ("text", "text"))
        await cursor.execute(END_SESSIONS, [cut.partition, *arrays], prepare=True)
    for table, rows in cut.state.items():
        columns, _ = STATE[table]
        await cursor.execute(_UPSERTS[table], [cut.partition, *_arrays(rows, columns.types)], prepare=True)
    if cut.candles:
        await cursor.execute(CANDLES, [cut.partition, *_arrays(cut.candles, CANDLE_TYPES)], prepare=True)


async def _copy(connection: Connection, table: str, columns: str, form: LiteralString, rows: str | bytes) -> None:
    names = sql.SQL(", ").join([sql.Identifier(name) for name in columns.split(", ")])
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(sql.Identifier(table), names, sql.SQL(form))
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows)


def _arrays(rows: Sequence[Values], types: Sequence[str]) -> list[object]:
    """Rows as one array a column; numbers as the text of an array, which is made faster than an array of numerics."""
    quoted = {"text", "timestamptz", "bytea"}
    return [
        list(values) if kind in quoted else "{" + ",".join([format(value, "d") for value in values]) + "}"
        for kind, values in zip(types, zip(*rows, strict=True), strict=True)
    ]


def _upsert(table: str, columns: Columns, key: tuple[str, ...]) -> sql.Composed:
    names = [sql.Identifier(name) for name in columns.names]
    arrays = [sql.SQL("%s::{}[]").format(sql.Identifier(kind)) for kind in columns.types]
    changes = [sql.SQL("{0} = excluded.{0}").format(name) for name in names if name.as_string().strip('"') not in key]
    return sql.SQL(
        "INSERT INTO {} (partition, {}) SELECT %s, * FROM unnest({}) ON CONFLICT ({}) DO UPDATE SET {}"
    ).format(
        sql.Identifier(table),
        sql.SQL(", ").join(names),
        sql.SQL(", ").join(arrays),
        sql.SQL(", ").join([sql.Identifier(name) for name in ("partition", *key)]),
        sql.SQL(", ").join(changes),
    )


def _update_orders() -> sql.Composed:
    changing = [sql.Identifier(name) for name in (*CHANGING, *CHANGING_TIMES)]
    # Each order's place is looked up by its key, however few or many orders the planner believes there are.
    return sql.SQL(
        "UPDATE orders o SET {} FROM ("
        "SELECT u.*, (SELECT ctid FROM orders WHERE partition = %s AND number = u.number) AS place"
        " FROM unnest(%s::bigint[], {}, {}) AS u (number, {}) OFFSET 0"
        ") AS u WHERE o.ctid = u.place"
    ).format(
        sql.SQL(", ").join([sql.SQL("{0} = u.{0}").format(name) for name in changing]),
        sql.SQL(", ").join([sql.SQL("%s::numeric[]")] * len(CHANGING)),
        sql.SQL(", ").join([sql.SQL("%s::timestamptz[]")] * len(CHANGING_TIMES)),
        sql.SQL(", ").join(changing),
    )


_UPSERTS: Final = {table: _upsert(table, columns, key) for table, (columns, key) in STATE.items()}
_UPDATE_ORDERS: Final = _update_orders()
