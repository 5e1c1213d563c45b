"""AdminService as process `api` serves it, with engines, projectors, accounts and people around it, on real servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from db.revocations import revocations
from db.sealing import INDEX, Sealer, new_entry
from db.session import SERVICES, connect, engine, open_pool
from db.streams import open_bus
from servers.admin.alerts import AlertDesk
from servers.admin.create_admin_token import AdminTokens
from servers.admin.executors import Kind, kinds
from servers.admin.listing import Listing
from servers.admin.pending_actions import PendingActions
from servers.admin.refused_calls import RefusedCalls
from servers.admin.servicer import AdminServicer, Rooms
from servers.admin.status import Status
from servers.admin.users import Unlock, Users
from servers.admin.venue import Trading
from servers.admin.verify_ledger import Prover
from servers.domain.terms import Environment
from servers.engine.client import Engines
from servers.engine.remote import RemoteEngine
from servers.engine.replica import run as project
from servers.funding.compliance import ComplianceDesk
from servers.funding.desk import DepositDesk
from servers.transport.errors import from_call
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import build_server
from servers.transport.telemetry import Metrics
from tests.integration.account.conftest import PARTITIONS, Floor, User, measures, routes_of
from tests.servers import free_port
from tests.unit.transport.conftest import Keys
from venue.account.v1 import account_pb2_grpc
from venue.admin.v1 import admin_pb2 as pb
from venue.admin.v1 import admin_pb2_grpc
from venue.order.v1 import order_service_pb2_grpc

KEYS = f"{new_entry()} {new_entry(INDEX)}"
# Everybody there is: two administrators, one of each other desk, and two customers.
ROLES = {
    "ada": "ADMIN",
    "ben": "ADMIN",
    "cleo": "COMPLIANCE",
    "sam": "SUPPORT",
    "ulla": "USER",
    "vera": "USER",
}

WORLDS = {number: world.name for number, world in PARTITIONS.items()}


def user_id(name: str) -> str:
    return f"usr-{name}"


@dataclass(kw_only=True)
class Desk:
    """The running service, and what tests look at beside it."""

    keys: Keys
    engine: AsyncEngine
    engines: Engines[RemoteEngine]
    stub: "admin_pb2_grpc.AdminServiceAsyncStub"
    customers: Callable[[str], User]
    pending: PendingActions
    kinds: dict[str, Kind]
    database_url: str
    unlocked: list[str] = field(default_factory=list)

    def token(self, name: str, **changes: Any) -> str:
        claims: dict[str, Any] = {"sub": user_id(name), "sid": f"ses-{name}", "role": ROLES[name].lower()}
        claims["auth_time"] = int(time.time())
        return self.keys.token(**(claims | {"scope": "admin", "aud": "venue-admin"} | changes))

    async def ask(self, name: str, request: Any) -> Any:
        """The answer to somebody's request."""
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        return await method(request, metadata=(("authorization", f"Bearer {self.token(name)}"),))

    async def refused(self, name: str, request: Any) -> tuple[str, str]:
        """Code and reason of a request that must fail."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.ask(name, request)
        error = from_call(failed.value)
        return error.code, error.reason

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        """Run a statement beside the service, as the owner of the database."""
        async with await connect(self.database_url, application_name="test") as connection:
            cursor = await connection.execute(statement.encode(), arguments)
            return await cursor.fetchall() if cursor.description else []

    async def audited(self, action: str) -> list[Any]:
        """Actor, object, before, after and outcome of the entries of an action, oldest first."""
        columns = "actor, object, before, after, outcome"
        return await self.rows(f"SELECT {columns} FROM audit_entries WHERE action = %s ORDER BY sequence", action)

    async def eventually(self, holds: Callable[[], Awaitable[bool]], what: str, within_s: float = 60.0) -> None:
        """Raises TimeoutError where it does not come true; `what` is for who reads the test."""
        del what
        async with asyncio.timeout(within_s):
            while not await holds():  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.05)


async def add_people(database_url: str) -> None:
    async with await connect(database_url, application_name="test") as connection:
        for name, role in ROLES.items():
            await connection.execute(
                "INSERT INTO users (user_id, email, email_key, password_hash, display_name, role, email_verified)"
                " VALUES (%s, %s, %s, 'p1:none', %s, %s, true)",
                (user_id(name), f"{name}@Example.com", f"{name}@example.com", name.title(), role),
            )
            await connection.execute(
                "INSERT INTO sessions (session_id, user_id, expire_time) VALUES (%s, %s, now() + interval '1 day')",
                (f"ses-{name}", user_id(name)),
            )


@pytest.fixture
async def desk(database_url: str, redis_url: str) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        await add_people(database_url)
        keys = Keys()
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        stack.push_async_callback(pool.close)
        verifier = TokenVerifier(keys.public, lambda: revocations(pool, timedelta(minutes=16)))
        await verifier.start()
        stack.push_async_callback(verifier.stop)
        guard = Guard(verifier, Limits(), Metrics(CollectorRegistry()))
        stack.push_async_callback((bus := open_bus(redis_url)).aclose)
        floor = Floor(stack, pool, database_url, bus, guard, 15.0)
        address = f"127.0.0.1:{free_port()}"
        await floor.lead(address)
        tails = {number: each.tail for number, each in floor.remote.items()}
        floor.begin(project(PARTITIONS, database_url, redis_url, 1000, tails.__getitem__, measures()))
        _, account_port = await floor.account_server()
        stack.push_async_callback((tables := engine(database_url, application_name="test", role=SERVICES)).dispose)
        engines = routes_of(floor.remote)
        listing = Listing(engines, WORLDS, Environment.DEMO)
        pending = PendingActions(tables, found := kinds(engines) | listing.kinds(), life=timedelta(hours=1))
        unlocked: list[str] = []

        async def unlock(email_key: str) -> None:
            unlocked.append(email_key)

        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        rooms = rooms_of(
            tables, engines, listing, pending, floor.tokens, unlock, client, Prover(pool, tables, PARTITIONS)
        )
        # In a guard of its own: people at a desk make few calls, tests many.
        asked = guard_of(verifier)
        refused = RefusedCalls(tables)
        asked.on_refused = refused.note
        floor.begin(refused.run())
        server = build_server([(pb.DESCRIPTOR.services_by_name["AdminService"], AdminServicer(rooms))], asked)
        port = server.add_insecure_port("127.0.0.1:0")
        await floor.serve(server)

        async def channel(target: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(grpc.aio.insecure_channel(target))

        accounts = account_pb2_grpc.AccountServiceStub(await channel(f"127.0.0.1:{account_port}"))
        orders = order_service_pb2_grpc.OrderServiceStub(await channel(address))

        def customer(name: str) -> User:
            claims: dict[str, Any] = {"sub": user_id(name), "sid": f"ses-{name}", "scope": "read trade account"}
            return User(token=keys.token(**claims), accounts=accounts, orders=orders)

        yield Desk(
            keys=keys,
            engine=tables,
            engines=engines,
            stub=admin_pb2_grpc.AdminServiceStub(await channel(f"127.0.0.1:{port}")),
            customers=customer,
            pending=pending,
            kinds=found,
            database_url=database_url,
            unlocked=unlocked,
        )


def rooms_of(
    tables: AsyncEngine,
    engines: Engines[RemoteEngine],
    listing: Listing,
    pending: PendingActions,
    tokens: PageTokens,
    unlock: Unlock,
    client: httpx.AsyncClient,
    prover: Prover,
) -> Rooms:
    return Rooms(
        engine=tables,
        admin_tokens=AdminTokens(tables, lambda user, session: (f"{user.role} {session.session_id}", 900)),
        users=Users(tables, engines, tokens, unlock),
        trading=Trading(tables, engines, Environment.DEMO),
        listing=listing,
        pending=pending,
        funding=DepositDesk(tables, tokens),
        compliance=ComplianceDesk(tables, Sealer(lambda: KEYS), tokens),
        prover=prover,
        alerts=AlertDesk(tables, tokens),
        status=Status(tables, {"api": f"http://127.0.0.1:{free_port()}/metrics"}, client),
        page_tokens=tokens,
        silence_s=15.0,
    )


def guard_of(verifier: TokenVerifier) -> Guard:
    unlimited: dict[int, Any] = {}
    return Guard(verifier, Limits(unlimited), Metrics(CollectorRegistry()))
