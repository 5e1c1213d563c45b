"""A statement: the entries of an account between two times as CSV, read and sent piece by piece.

It holds as of one sequence, taken when it is asked for, so entries that come while it is sent are not in it. No connection to
the database is held while a slow reader takes a piece.
"""

import csv
import io
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from google.api import httpbody_pb2

from db import projections
from db.entries import EntryRecord
from db.session import Pool
from db.statements import Stretch, next_entries, sum_before
from servers.account.views import accounts_of
from servers.domain.errors import PartUnavailable
from servers.domain.identifiers import TRANSIT, VENUE_ACCOUNTS
from servers.domain.money import format_units
from servers.domain.terms import EntryKind
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import micros
from servers.transport.call import Call
from venue.account.v1 import account_pb2 as pb

CONTENT_TYPE: Final = "text/csv; charset=utf-8; header=present"
COLUMNS: Final = (
    "time", "kind", "asset", "amount", "balance", "reference", "counterparty", "entry_id", "sequence",
)  # fmt: skip
# Some 100 bytes each: a piece is far below what a message may have.
ROWS: Final = 500
_TOLD: Final = (*VENUE_ACCOUNTS, TRANSIT)
_KINDS: Final = {int(kind): kind.name for kind in EntryKind}
Line = Sequence[object]


class Statements:
    """Writes statements of every partition."""

    def __init__(self, pool: Pool, fence: Fence, markets: Markets) -> None:
        self._pool = pool
        self._fence = fence
        self._markets = markets

    async def pieces(
        self, engine: Engine, request: pb.StreamStatementRequest, call: Call
    ) -> AsyncGenerator[pb.StreamStatementResponse, None]:
        """Raises AccountNotFound, PositionInvalid, PartUnavailable: the server leaves, or the tables are not in time."""
        await accounts_of(engine, request.account_id, "", call)
        await self._fence.pass_through(engine, request.min_position, call.timeout_s)
        stretch = await self._stretch(engine.partition, request)
        async with self._pool.connection() as connection:
            opening = await sum_before(connection, stretch)
        scales = {each.asset: await self._markets.scale(stretch.partition, each.asset) for each in opening}
        balances = {each.asset: each.amount for each in opening}
        yield piece([COLUMNS, *edge("OPENING", stretch.start, balances, scales)])
        after = (0, 0)
        while True:
            if call.end is not None and call.end.done():
                raise PartUnavailable("the server")
            async with self._pool.connection() as connection:
                rows = await next_entries(connection, stretch, after, ROWS)
            if not rows:
                break
            for asset in {row.asset for row in rows} - scales.keys():
                scales[asset] = await self._markets.scale(stretch.partition, asset)
            yield piece(lines(stretch.partition, rows, balances, scales))
            after = rows[-1].sequence, rows[-1].n
        yield piece(edge("CLOSING", stretch.end, balances, scales))

    async def _stretch(self, partition: int, request: pb.StreamStatementRequest) -> Stretch:
        now = time.time_ns() // 1000
        start = micros(request.start_time) if request.HasField("start_time") else 0
        end = min(micros(request.end_time), now) if request.HasField("end_time") else now
        async with self._pool.connection() as connection:
            position = await projections.find_projection(connection, partition, projections.TABLES)
        until = 0 if position is None else position.sequence
        return Stretch(partition, request.account_id, request.asset, start, end, until)


def lines(
    partition: int, rows: Sequence[EntryRecord], balances: dict[str, int], scales: dict[str, int]
) -> Iterable[Line]:
    """A line an entry; `balances` are carried on."""
    for row in rows:
        scale = scales[row.asset]
        balances[row.asset] = balances.get(row.asset, 0) + row.amount
        yield (
            moment(row.time),
            _KINDS[row.kind],
            row.asset,
            format_units(row.amount, scale),
            format_units(balances[row.asset], scale),
            row.reference,
            row.counterparty_id if row.counterparty_id.startswith(_TOLD) else "",
            f"{partition}-{row.sequence}-{row.n}{'d' if row.amount < 0 else 'c'}",
            row.sequence,
        )


def edge(kind: str, time_us: int, balances: dict[str, int], scales: dict[str, int]) -> Iterable[Line]:
    """A line an asset, with what there is of it at the beginning or the end."""
    for asset, amount in sorted(balances.items()):
        yield moment(time_us), kind, asset, "", format_units(amount, scales[asset]), "", "", "", ""


def moment(time_us: int) -> str:
    """RFC 3339, to the microsecond."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def piece(told: Iterable[Line]) -> pb.StreamStatementResponse:
    """Lines as RFC 4180 has them. What stands in them is the venue's own text: no cell begins a formula but a negative amount."""
    written = io.StringIO()
    csv.writer(written).writerows(told)
    body = httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=written.getvalue().encode())
    return pb.StreamStatementResponse(body=body)
