"""The tables as the machine's snapshot: every row of a partition as of its projected sequence, read in one transaction."""

from collections.abc import Hashable
from typing import Any, Final, NamedTuple, cast

from psycopg import sql
from psycopg.rows import dict_row

from db.projections import TABLES, find_projection
from db.session import Connection
from servers.domain.model import Clockwork
from servers.domain.state import KINDS, Snapshot, stored
from servers.domain.terms import OrderStatus, TransferState
from servers.domain.transfers import RESOLVED_MEMORY

CHAIN_START: Final = bytes(32)
_FIRST_FINAL: Final = int(OrderStatus.FILLED)
_PENDING: Final = int(TransferState.PENDING)
# A transfer made at once has the sequence of its request; one in two phases that of its resolution. One whose request is
# forgotten was resolved long ago: who would resolve it again is told that there is none.
_TWO_PHASES: Final = sql.SQL(
    " AND state <> {} AND EXISTS (SELECT FROM requests r WHERE r.partition = transfers.partition"
    " AND r.scope = 'transfer' AND r.request_id = transfer_id AND r.sequence <> transfers.sequence)"
    " ORDER BY sequence DESC LIMIT {}"
).format(_PENDING, RESOLVED_MEMORY)


class Loaded(NamedTuple):
    """A snapshot and where in the journal it stands, with digest and chain of the row that ends there."""

    snapshot: Snapshot
    sequence: int
    epoch: int
    digest: int
    chain: bytes


class SnapshotTornError(RuntimeError):
    """The machine's row and the projector's position disagree: the tables were changed by somebody else."""


async def load_snapshot(connection: Connection, partition: int, request_memory: int) -> Loaded:
    """The partition as the tables have it, with the last `request_memory` requests; an empty one before the first projection.

    Raises SnapshotTornError.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        position = await find_projection(connection, partition, TABLES)
        if position is None or position.sequence == 0:
            return Loaded(_empty(), 0, 0, 0, CHAIN_START)
        rows = {
            kind: await _rows(connection, partition, kind) for kind in KINDS if kind not in ("transfers", "requests")
        }
        pending = await _rows(connection, partition, "transfers", sql.SQL(" AND state = {}").format(_PENDING))
        resolved = await _rows(connection, partition, "transfers", _TWO_PHASES)
        newest = sql.SQL(" ORDER BY sequence DESC LIMIT {}").format(request_memory + 1)
        requests = await _rows(connection, partition, "requests", newest)
    machines = rows.pop("machine")
    if len(machines) != 1 or (machines[0]["sequence"], machines[0]["digest"]) != (position.sequence, position.digest):
        raise SnapshotTornError(f"partition {partition}: projected to {position.sequence}, machine at {machines}")
    machine = machines[0]
    if len(requests) > request_memory:
        # The same time as is stored, unless the memory was made smaller since.
        machine["forgotten_time"] = max(machine["forgotten_time"], requests.pop()["time"])
    transfers = sorted(pending + resolved, key=lambda r: (r["sequence"], r["transfer_id"]))
    snapshot = Snapshot(machine, **rows, transfers=transfers, requests=requests[::-1])
    return Loaded(snapshot, *position)


def _empty() -> Snapshot:
    machine = Clockwork()
    return Snapshot({name: getattr(machine, name) for name, _ in stored(Clockwork)})


async def _rows(connection: Connection, partition: int, kind: str, more: sql.Composable | None = None) -> list[Any]:
    if more is None:
        more = sql.SQL(" AND status < {} ORDER BY number").format(_FIRST_FINAL) if kind == "orders" else sql.SQL("")
    query = sql.SQL("SELECT {} FROM {} WHERE partition = {}{}").format(
        sql.SQL(", ").join([_column(name) for _, name in stored(cast("Hashable", KINDS[kind]))]),
        sql.Identifier(kind),
        partition,
        more,
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query)
        return await cursor.fetchall()


def _column(name: str) -> sql.Composable:
    """A column, a time as microseconds since 1970: told by the server in an integer, which is read ten times as fast."""
    if not name.endswith("time"):
        return sql.Identifier(name)
    return sql.SQL("(extract(epoch FROM {0}) * 1000000)::bigint AS {0}").format(sql.Identifier(name))
