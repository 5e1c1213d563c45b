"""PostgreSQL as the engine sees it, in memory: the functions of `db` that it calls, with a server that is slow, away, or silent.

Statements are carried out by the server, not by who asked: a process that is killed meanwhile may still have its row committed,
and one whose connection is cut does not learn whether it has.
"""

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import fields
from datetime import datetime
from random import Random
from typing import Any, Final, Self, TypeVar

import psycopg

from db.journal import JournalRow, PartitionState
from db.projecting import CHANGING, CHANGING_TIMES, ORDERS, STATE, Cut, ProjectionMovedError
from db.projections import TABLES, ProjectionRecord
from db.requests import RequestRecord
from db.snapshot import CHAIN_START, Loaded
from db.transfers import TransferRecord
from servers.domain.model import Clockwork, Order
from servers.domain.state import KINDS, Snapshot, stored
from servers.domain.terms import OrderStatus, TransferState
from servers.domain.transfers import RESOLVED_MEMORY

Result = TypeVar("Result")
PARTITION: Final = 2
DELAY_S: Final = 0.0008
AWAY: Final = "connection to server was lost"
ESCAPED: Final = re.compile(r"\\[\\tnr]")
BOOLEANS: Final = {field.name for field in fields(Order) if field.type is bool}
UNESCAPED: Final = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


class Connection:
    """A session of one process with the server."""

    def __init__(self, server: "Database") -> None:
        self.server = server
        self.broken = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.broken = True

    async def close(self) -> None:
        self.broken = True


class Pool:
    """Connections on loan."""

    def __init__(self, server: "Database") -> None:
        self._server = server

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        yield await self._server.connect()


class Database:
    """One partition's fence, journal and tables. `trouble` is the chance that a statement fails, or its answer is lost."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.trouble = 0.0
        self.down = False
        # Rows are appended whatever the fence says: only to prove that this is noticed.
        self.unfenced = False
        self.rows: list[JournalRow] = []
        self.starts: list[int] = []
        self.fence: dict[str, Any] | None = None
        self.lease_until = 0.0
        self.position: ProjectionRecord | None = None
        self.tables: dict[str, dict[Any, dict[str, Any]]] = {name: {} for name in (*STATE, "orders")}
        self.lines: dict[str, list[str]] = {"trades": [], "postings": []}
        self.events: list[bytes] = []
        self._server = Context()

    @property
    def sequence(self) -> int:
        """The last sequence that is durable."""
        return self.rows[-1].last_sequence if self.rows else 0

    async def ask(self, connection: Connection, work: Callable[[], Result]) -> Result:
        """Have the server do something. Raises psycopg.OperationalError with the outcome unknown."""
        loop, random = asyncio.get_running_loop(), self.random
        if connection.broken or self.down:
            connection.broken = True
            await asyncio.sleep(DELAY_S)
            raise psycopg.OperationalError(AWAY)
        answer: asyncio.Future[Result] = loop.create_future()
        unlucky = random.random() < self.trouble
        lost = unlucky and random.random() < 0.6

        def tell(result: Result | Exception) -> None:
            if answer.done():
                return
            if lost or isinstance(result, psycopg.OperationalError):
                connection.broken = True
                answer.set_exception(psycopg.OperationalError(AWAY))
            elif isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        def serve() -> None:
            result: Result | Exception
            try:
                result = psycopg.OperationalError(AWAY) if self.down or (unlucky and not lost) else work()
            except ProjectionMovedError as error:
                result = error
            loop.call_later(DELAY_S * random.random() + (2.0 * random.random() if lost else 0), tell, result)

        loop.call_later(DELAY_S * random.random(), serve, context=self._server)
        return await answer

    # db.session, db.partitions

    async def connect(self, *_: object, **__: object) -> Connection:
        await asyncio.sleep(DELAY_S * self.random.random())
        if self.down:
            raise psycopg.OperationalError(AWAY)
        return Connection(self)

    async def open_projection(self, url: str, partition: int) -> Connection:
        connection = await self.connect()

        def begin() -> None:
            if self.position is None:
                self.position = ProjectionRecord(0, 0, 0, CHAIN_START)

        await self.ask(connection, begin)
        return connection

    async def ensure_partitions(self, connection: Connection, now: datetime) -> int:
        return 0

    # db.journal

    async def append(self, connection: Connection, row: JournalRow, lease_s: float) -> bool:
        return await self.ask(connection, lambda: self._append(row, lease_s))

    def _append(self, row: JournalRow, lease_s: float) -> bool:
        fence = self.fence
        assert fence is not None
        if not self.unfenced and (
            fence["halted_reason"] is not None
            or fence["epoch"] != row.epoch
            or fence["last_sequence"] != row.first_sequence - 1
        ):
            return False
        fence.update(last_sequence=row.last_sequence, rules_version=row.rules_version)
        self.lease_until = asyncio.get_running_loop().time() + lease_s
        self.rows.append(row)
        self.starts.append(row.first_sequence)
        return True

    async def read_row(self, connection: Connection, partition: int, first_sequence: int) -> JournalRow | None:
        def read() -> JournalRow | None:
            at = bisect_right(self.starts, first_sequence) - 1
            return self.rows[at] if at >= 0 and self.starts[at] == first_sequence else None

        return await self.ask(connection, read)

    async def read_after(
        self, connection: Connection, partition: int, after_sequence: int, limit_rows: int
    ) -> list[JournalRow]:
        return await self.ask(connection, lambda: self.after(after_sequence)[:limit_rows])

    def after(self, sequence: int) -> list[JournalRow]:
        """The rows that end after a sequence."""
        at = bisect_right(self.starts, sequence) - 1
        at += at < 0 or self.rows[at].last_sequence <= sequence
        return self.rows[at:]

    async def ensure_partition(self, connection: Connection, partition: int, environment: int) -> None:
        def ensure() -> None:
            if self.fence is None:
                self.fence = {
                    "epoch": 0,
                    "last_sequence": 0,
                    "holder": "",
                    "address": "",
                    "rules_version": 1,
                    "halted_reason": None,
                }

        await self.ask(connection, ensure)

    async def find_partition(self, connection: Connection, partition: int) -> PartitionState | None:
        return await self.ask(connection, self.state)

    def state(self) -> PartitionState | None:
        """The fence as others see it."""
        if self.fence is None:
            return None
        f, left_s = self.fence, self.lease_until - asyncio.get_running_loop().time()
        place = (f["epoch"], f["last_sequence"], f["holder"], f["address"])
        return PartitionState(PARTITION, 0, *place, left_s, self.lease_until, f["rules_version"], f["halted_reason"])

    async def take_over(
        self, connection: Connection, partition: int, holder: str, address: str, lease_s: float
    ) -> int | None:
        def take() -> int | None:
            now, fence = asyncio.get_running_loop().time(), self.fence
            assert fence is not None
            if self.lease_until > now and fence["holder"] != holder:
                return None
            fence.update(epoch=fence["epoch"] + 1, holder=holder, address=address)
            self.lease_until = now + lease_s
            epoch: int = fence["epoch"]
            return epoch

        return await self.ask(connection, take)

    async def renew(self, connection: Connection, partition: int, epoch: int, lease_s: float) -> bool:
        def renew() -> bool:
            assert self.fence is not None
            if self.fence["epoch"] != epoch or self.fence["halted_reason"] is not None:
                return False
            self.lease_until = asyncio.get_running_loop().time() + lease_s
            return True

        return await self.ask(connection, renew)

    async def release(self, connection: Connection, partition: int, epoch: int) -> bool:
        def release() -> bool:
            assert self.fence is not None
            if self.fence["epoch"] != epoch:
                return False
            self.fence.update(holder="", address="")
            self.lease_until = 0.0
            return True

        return await self.ask(connection, release)

    async def halt(self, connection: Connection, partition: int, reason: str) -> bool:
        def halt() -> bool:
            assert self.fence is not None
            first = self.fence["halted_reason"] is None
            if first:
                self.fence["halted_reason"] = reason
            return first

        return await self.ask(connection, halt)

    # db.projecting, db.projections

    async def find_projection(self, connection: Connection, partition: int, reader: str) -> ProjectionRecord | None:
        return await self.ask(connection, lambda: self.position if reader == TABLES else None)

    async def write_cut(self, connection: Connection, cut: Cut) -> None:
        await self.ask(connection, lambda: self._write(cut))

    def _write(self, cut: Cut) -> None:
        if (self.position.sequence if self.position else 0) != cut.before:
            raise ProjectionMovedError(f"the tables are not at {cut.before}")
        self.position = ProjectionRecord(cut.sequence, cut.epoch, cut.digest, cut.chain)
        orders = self.tables["orders"]
        changing = (*CHANGING, *CHANGING_TIMES)
        for number, *changes in cut.changed_orders:
            orders[number].update(zip(changing, map(_value, changing, changes), strict=True))
        for key in cut.ended_sessions:
            self.tables["trading_sessions"].pop(key, None)
        for table, rows in cut.state.items():
            columns, key = STATE[table]
            for values in rows:
                row = dict(zip(columns.names, map(_value, columns.names, values), strict=True))
                self.tables[table][tuple(row[name] for name in key)] = row
        for line in cut.appended.get("orders", ()):
            order = _parse(line)
            orders[order["number"]] = order
        for table, lines in self.lines.items():
            lines.extend(cut.appended.get(table, ()))
        self.events += cut.events

    # db.snapshot, db.requests

    async def find_request(
        self, connection: Connection, partition: int, scope: str, request_id: str
    ) -> RequestRecord | None:
        def find() -> RequestRecord | None:
            row = self.tables["requests"].get((scope, request_id))
            return None if row is None else RequestRecord(row["fingerprint"], row["sequence"], row["time"])

        return await self.ask(connection, find)

    async def find_transfer(self, connection: Connection, partition: int, transfer_id: str) -> TransferRecord | None:
        def find() -> TransferRecord | None:
            row = self.tables["transfers"].get(transfer_id)
            if row is None:
                return None
            return TransferRecord(**{name: row[name] for name in TransferRecord._fields[:-1]}, user_id="")

        return await self.ask(connection, find)

    async def load_snapshot(self, connection: Connection, partition: int, request_memory: int) -> Loaded:
        return await self.ask(connection, lambda: self.snapshot(request_memory))

    def snapshot(self, request_memory: int) -> Loaded:
        """The tables as db.snapshot.load_snapshot reads them."""
        if self.position is None or self.position.sequence == 0:
            machine = Clockwork()
            return Loaded(
                Snapshot({name: getattr(machine, name) for name, _ in stored(Clockwork)}), 0, 0, 0, CHAIN_START
            )
        found: dict[str, Any] = {kind: [dict(row) for row in self.tables[kind].values()] for kind in KINDS}
        (machine_row,) = found.pop("machine")
        found["orders"] = sorted(
            (row for row in found["orders"] if row["status"] < OrderStatus.FILLED), key=lambda row: row["number"]
        )
        requests = sorted(found["requests"], key=lambda row: -row["sequence"])[: request_memory + 1]
        if len(requests) > request_memory:
            machine_row["forgotten_time"] = max(machine_row["forgotten_time"], requests.pop()["time"])
        found["requests"] = requests[::-1]
        found["transfers"] = self._transfers(found["transfers"])
        return Loaded(Snapshot(machine_row, **found), *self.position)

    def _transfers(self, transfers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        requests = self.tables["requests"]
        kept = []
        for row in transfers:
            request = requests.get(("transfer", row["transfer_id"]))
            two_phases = request is not None and request["sequence"] != row["sequence"]
            if row["state"] == TransferState.PENDING or two_phases:
                kept.append(row)
        pending = [row for row in kept if row["state"] == TransferState.PENDING]
        resolved = sorted(
            (row for row in kept if row["state"] != TransferState.PENDING), key=lambda row: -row["sequence"]
        )
        return sorted(pending + resolved[:RESOLVED_MEMORY], key=lambda row: (row["sequence"], row["transfer_id"]))


def microseconds(text: str) -> int:
    """A time as the tables get it, in microseconds since 1970."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _value(name: str, value: Any) -> Any:
    return microseconds(value) if name.endswith("time") and isinstance(value, str) else value


def _parse(line: str) -> dict[str, Any]:
    """A line for COPY of a new order."""
    _, *values = line.removesuffix("\n").split("\t")
    order: dict[str, Any] = {}
    for name, kind, value in zip(ORDERS.names, ORDERS.types, values, strict=True):
        if name in BOOLEANS:
            order[name] = value == "1"
        elif kind == "numeric":
            order[name] = int(value)
        elif kind == "timestamptz":
            order[name] = microseconds(value)
        else:
            order[name] = ESCAPED.sub(lambda found: UNESCAPED[found[0]], value)
    return order
