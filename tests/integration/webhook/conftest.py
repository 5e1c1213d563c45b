"""The worker on a real PostgreSQL, with the record of events as the projector writes it, and receivers that are real servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from db.revocations import Revocations
from db.sealing import Sealer, new_entry
from db.session import SERVICES, Pool, connect, engine, open_pool
from servers.domain.errors import AccountNotFound
from servers.transport.call import Call
from servers.transport.errors import from_call
from servers.transport.guard import Guard as CallGuard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import build_server
from servers.transport.telemetry import Metrics
from servers.webhook.addresses import Guard
from servers.webhook.deliver import Worker
from servers.webhook.measures import WebhookMeasures
from servers.webhook.posting import Poster
from servers.webhook.servicer import WebhookServicer
from servers.wiring.notify import disabling
from tests.unit.transport.conftest import Keys
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2
from venue.webhook.v1 import webhook_pb2 as pb
from venue.webhook.v1 import webhook_pb2_grpc

PARTITION = 2
OWNERS = {"demo-a": "usr-ann", "demo-b": "usr-ann", "demo-c": "usr-bob"}
FILLED = pb.EVENT_TYPE_ORDER_FILLED
BALANCE = pb.EVENT_TYPE_BALANCE_CHANGED


@dataclass
class Receiver:
    """An endpoint: what came, and what it answers with."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    hold: asyncio.Event | None = None
    came: list[tuple[dict[str, str], str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.came.append(({name.lower(): value for name, value in request.headers.items()}, body))
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status, headers=self.headers, body=self.answer)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.came]

    def verified(self, secret: str, index: int = -1) -> Any:
        """The body of a message, once the official library has verified it."""
        headers, body = self.came[index]
        return Webhook(secret).verify(body, headers)


@dataclass(kw_only=True)
class Hooks:
    """The service, its worker, and what tests look at beside them."""

    stub: "webhook_pb2_grpc.WebhookServiceAsyncStub"
    keys: Keys
    pool: Pool
    tables: AsyncEngine
    database_url: str
    field_keys: str
    stack: AsyncExitStack
    last: dict[str, int] = field(default_factory=dict)
    sequence: int = 0
    gone: list[str] = field(default_factory=list)

    async def ask(self, request: Any, user: str = "usr-ann", **claims: Any) -> Any:
        """The answer to a request; somebody logged in just now."""
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        fresh: dict[str, Any] = {"sub": user, "scope": "read trade account", "auth_time": int(time.time())}
        token = self.keys.token(**(fresh | claims))
        return await method(request, metadata=(("authorization", f"Bearer {token}"),))

    async def refused(self, request: Any, user: str = "usr-ann", **claims: Any) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.ask(request, user, **claims)
        error = from_call(failed.value)
        return error.code, error.reason

    async def endpoint(self, url: str, *types: pb.EventType.ValueType, **more: Any) -> tuple[str, str]:
        """A new endpoint's id and secret."""
        made = await self.ask(pb.CreateEndpointRequest(url=url, event_types=types or [FILLED], **more))
        return made.endpoint.endpoint_id, made.secret

    async def receiver(self, **settings: Any) -> Receiver:
        """A server of its own on a port of the kernel's."""
        receiver = Receiver(**settings)
        application = web.Application()
        application.router.add_post("/{rest:.*}", receiver.take)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = receiver.url or f"http://127.0.0.1:{port}/hook"
        return receiver

    async def happens(self, account_id: str = "demo-a", **parts: Any) -> int:
        """An event of an account as the projector writes it; an order that was filled where nothing else is said."""
        self.sequence += 1
        record = engine_pb2.AccountRecord(**(parts or {"orders": [filled(self.sequence, account_id)]}))
        await self.write([(account_id, self.sequence, record)])
        return self.sequence

    async def write(self, events: list[tuple[str, int, engine_pb2.AccountRecord]]) -> None:
        async with await connect(self.database_url, application_name="test") as connection, connection.transaction():
            for n, (account_id, sequence, record) in enumerate(events):
                before = self.last.get(account_id, 0)
                await connection.execute(
                    "INSERT INTO account_events (partition, sequence, n, account_id, previous_sequence, type, payload, time)"
                    " VALUES (%s, %s, %s, %s, %s, 1, %s, clock_timestamp())",
                    (PARTITION, sequence, n, account_id, before, record.SerializeToString()),
                )
                self.last[account_id] = sequence
            await connection.execute(
                "UPDATE projections SET sequence = %s WHERE partition = %s", (self.sequence, PARTITION)
            )

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        async with await connect(self.database_url, application_name="test") as connection:
            cursor = await connection.execute(statement.encode(), arguments)
            return await cursor.fetchall() if cursor.description else []

    async def deliveries(self, endpoint_id: str) -> list[pb.Delivery]:
        """Oldest first."""
        listed = await self.ask(pb.ListDeliveriesRequest(endpoint_id=endpoint_id, page_size=500))
        return list(reversed(listed.deliveries))

    async def hurry(self) -> None:
        """What waits for its next attempt is due now."""
        await self.rows("UPDATE webhook_deliveries SET next_time = clock_timestamp() WHERE state = 'PENDING'")

    @asynccontextmanager
    async def working(self, **settings: Any) -> AsyncIterator[WebhookMeasures]:
        """The worker, while the body runs."""
        measures = WebhookMeasures(CollectorRegistry())
        guard = settings.pop("guard", Guard(loopback=True))
        async with Poster(guard, **settings) as poster:

            async def gone(endpoint_id: str, url: str) -> None:
                await disabling(self.tables, Sealer(lambda: self.field_keys))(endpoint_id, url)
                self.gone.append(endpoint_id)

            sealer = Sealer(lambda: self.field_keys)
            worker = Worker(self.database_url, self.pool, [PARTITION], sealer, poster, measures, gone)
            task = asyncio.create_task(worker.run())
            try:
                yield measures
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def filled(sequence: int, account_id: str) -> order_pb2.OrderUpdate:
    """An order that was filled by the command that placed it."""
    order = order_pb2.Order(
        order_id=f"{PARTITION}-{sequence}",
        account_id=account_id,
        symbol="ETH-USD",
        side=1,  # type: ignore[arg-type]
        type=order_pb2.ORDER_TYPE_LIMIT,
        quantity="1.5",
        price="2000",
        filled_quantity="1.5",
        remaining_quantity="0",
        average_price="1999.5",
        status=order_pb2.ORDER_STATUS_FILLED,
        sequence=sequence,
    )
    fill = order_pb2.Fill(trade_id="2-1", price="1999.5", quantity="1.5", liquidity=order_pb2.LIQUIDITY_TAKER)
    return order_pb2.OrderUpdate(order=order, fills=[fill])


def balance(total: str) -> account_pb2.Balance:
    return account_pb2.Balance(asset="USD", available=total, held="0", total=total)


async def eventually(holds: Callable[[], bool | Awaitable[bool]], within_s: float = 30.0) -> None:
    """Raises TimeoutError where it does not come true."""
    async with asyncio.timeout(within_s):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def prepare(database_url: str) -> None:
    """Two people, their accounts, and a record without an event."""
    async with await connect(database_url, application_name="test") as connection:
        for user in sorted(set(OWNERS.values())):
            await connection.execute(
                "INSERT INTO users (user_id, email, email_key, password_hash) VALUES (%s, %s, %s, 'x')",
                (user, f"{user}@example.com", f"{user}@example.com"),
            )
        await connection.execute("INSERT INTO partitions (partition, environment) VALUES (%s, 2)", (PARTITION,))
        await connection.execute(
            "INSERT INTO projections (partition, reader, sequence, epoch, digest, chain) VALUES (%s, 'tables', 0, 1, 0, '')",
            (PARTITION,),
        )
        for account_id, user in OWNERS.items():
            await connection.execute(
                "INSERT INTO accounts (partition, account_id, user_id, type, name, tier, self_trade_group, status,"
                " create_time, last_event_sequence, lease_time) VALUES (%s, %s, %s, 2, '', '', '', 1, now(), 0, now())",
                (PARTITION, account_id, user),
            )


async def owned(account_id: str, call: Call) -> int:
    """As the engine says it."""
    if OWNERS.get(account_id) != call.user_id:
        raise AccountNotFound(account_id)
    return PARTITION


@pytest.fixture
async def hooks(database_url: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with AsyncExitStack() as stack:
        await prepare(database_url)
        keys, field_keys = Keys(), new_entry("test")
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        stack.push_async_callback(pool.close)
        tables = engine(database_url, application_name="test", role=SERVICES)
        stack.push_async_callback(tables.dispose)

        async def nobody() -> Revocations:
            return Revocations(frozenset(), {})

        verifier = TokenVerifier(keys.public, nobody)
        await verifier.start()
        stack.push_async_callback(verifier.stop)
        servicer = WebhookServicer(tables, Sealer(lambda: field_keys), Guard(loopback=True), owned, PageTokens(b"key"))
        guard = CallGuard(verifier, Limits(), Metrics(CollectorRegistry()))
        server = build_server([(pb.DESCRIPTOR.services_by_name["WebhookService"], servicer)], guard)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 0.5)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Hooks(
            stub=webhook_pb2_grpc.WebhookServiceStub(channel),
            keys=keys,
            pool=pool,
            tables=tables,
            database_url=database_url,
            field_keys=field_keys,
            stack=stack,
        )
