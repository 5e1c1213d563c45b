"""AccountService as process `api` serves it: engines and projectors elsewhere, a real PostgreSQL and bus between them."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import grpc
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.session import SERVICES, Pool, connect, open_pool
from db.streams import open_bus
from servers.account.bus_feed import BusFeed
from servers.account.conversions import Terms as ConversionTerms
from servers.account.quotes import Quotes
from servers.account.servicer import AccountServicer
from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.client import Engine, Engines
from servers.engine.fence import Fence
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.markets import Markets
from servers.engine.measures import ReplicaMeasures
from servers.engine.missed import Past
from servers.engine.remote import RemoteEngine
from servers.engine.replica import run as project
from servers.engine.servicer import EngineServicer
from servers.engine.transit import Transit
from servers.order.servicer import OrderServicer
from servers.transport.errors import from_call
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import Server, Service, build_server
from servers.transport.telemetry import Metrics
from tests.servers import free_port
from tests.unit.transport.conftest import Keys
from venue.account.v1 import account_pb2 as pb
from venue.account.v1 import account_pb2_grpc
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

PARTITIONS = {1: Environment.LIVE, 2: Environment.DEMO, 3: Environment.DEMO}
# What partition 3 lists.
FAR_MARKET = "SOL-USD"
EngineT = TypeVar("EngineT", bound=Engine)
ACCOUNTS_MAX = 4
SCOPES = "read trade account"
KEY = b"k" * 32
# Readers wait so long for tables that are behind: longer than a busy machine needs.
WAIT_S = 3.0
TERMS = ConversionTerms(spread=Fraction(1, 100), quote_s=2.0, amount_max=Fraction(50_000), books=frozenset({"ETH-USD"}))


@dataclass(kw_only=True)
class User:
    """A caller with a token of its own."""

    token: str
    accounts: "account_pb2_grpc.AccountServiceAsyncStub"
    orders: "order_service_pb2_grpc.OrderServiceAsyncStub"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    async def open(
        self,
        kind: pb.AccountType.ValueType = pb.ACCOUNT_TYPE_DEMO,
        name: str = "",
        request_id: str = "",
        symbol: str = "",
    ) -> pb.CreateAccountResponse:
        request = pb.CreateAccountRequest(type=kind, name=name, request_id=request_id, symbol=symbol)
        return await self.accounts.CreateAccount(request, metadata=self.metadata)

    async def balances(self, account_id: str, min_position: str = "") -> dict[str, tuple[str, str, str]]:
        """Available, held and total by asset."""
        request = pb.ListBalancesRequest(account_id=account_id, min_position=min_position)
        response = await self.accounts.ListBalances(request, metadata=self.metadata)
        return table(response.balances)

    async def entries(
        self, account_id: str, asset: str = "", page_size: int = 500, min_position: str = ""
    ) -> list[pb.LedgerEntry]:
        """The whole ledger, page by page."""
        found: list[pb.LedgerEntry] = []
        request = pb.ListLedgerEntriesRequest(
            account_id=account_id, asset=asset, page_size=page_size, min_position=min_position
        )
        while True:
            page = await self.accounts.ListLedgerEntries(request, metadata=self.metadata)
            assert len(page.entries) <= page_size
            found += page.entries
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def place(
        self, account_id: str, side: type_pb2.Side.ValueType, quantity: str, price: str, symbol: str = "ETH-USD"
    ) -> order_service_pb2.PlaceOrderResponse:
        request = order_service_pb2.PlaceOrderRequest(
            account_id=account_id,
            symbol=symbol,
            side=side,
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            quantity=quantity,
            price=price,
            request_id=str(uuid.uuid4()),
        )
        return await self.orders.PlaceOrder(request, metadata=self.metadata)

    @asynccontextmanager
    async def stream(self, account_id: str, resume_after: str = "") -> AsyncGenerator["Frames", None]:
        request = pb.StreamAccountRequest(account_id=account_id, resume_after=resume_after)
        call = self.accounts.StreamAccount(request, metadata=self.metadata)
        try:
            yield Frames(call)
        finally:
            call.cancel()


class Frames:
    """The frames of one stream."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self, limit_s: float = 10.0) -> pb.StreamAccountResponse:
        """Raises AssertionError where the stream has ended."""
        async with asyncio.timeout(limit_s):
            frame = await self._call.read()
        assert frame is not grpc.aio.EOF
        assert isinstance(frame, pb.StreamAccountResponse)
        return frame

    async def next_of(self, kind: str, limit_s: float = 10.0) -> pb.StreamAccountResponse:
        frame = await self.next(limit_s)
        assert frame.WhichOneof("frame") == kind, frame
        return frame


def table(balances: Any) -> dict[str, tuple[str, str, str]]:
    return {balance.asset: (balance.available, balance.held, balance.total) for balance in balances}


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    """Code and reason of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    error = from_call(failed.value)
    return error.code, error.reason


@dataclass(kw_only=True)
class Venue:
    """Everything that accounts need, running."""

    keys: Keys
    account_server: Server
    accounts: "account_pb2_grpc.AccountServiceAsyncStub"
    orders: "order_service_pb2_grpc.OrderServiceAsyncStub"
    database_url: str
    engines: dict[int, RemoteEngine]
    feeds: dict[int, BusFeed]

    def user(self, name: str, **claims: Any) -> User:
        token = self.keys.token(sub=name, scope=SCOPES, **claims)
        return User(token=token, accounts=self.accounts, orders=self.orders)

    async def run(self, statement: str, *arguments: object) -> None:
        """Run a statement beside the servers, as the owner of the database."""
        async with await connect(self.database_url, application_name="test") as connection:
            await connection.execute(statement.encode(), arguments)


Start = Callable[..., Awaitable[Venue]]


class Floor:
    """What one started venue is made of; everything is ended with the stack."""

    def __init__(
        self, stack: AsyncExitStack, pool: Pool, database_url: str, bus: Redis, guard: Guard, silence_s: float
    ) -> None:
        self._stack = stack
        self._bus = bus
        self._pool = pool
        self._database_url = database_url
        self._guard = guard
        self._silence_s = silence_s
        self.tokens, self._past, self._markets = PageTokens(KEY), Past(pool, Fence(pool, WAIT_S), bus), Markets(pool)
        self.remote = {number: RemoteEngine(number, pool) for number in PARTITIONS}
        for engine in self.remote.values():
            stack.push_async_callback(engine.close)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._stack.push_async_callback(ended, asyncio.ensure_future(work))

    async def serve(self, server: Server) -> Server:
        await server.start()
        self._stack.push_async_callback(server.stop, 0.2)
        return server

    async def lead(self, address: str) -> Server:
        """Process `order`, once it leads."""
        terms = Terms(
            database_url=self._database_url,
            address=address,
            lease_s=5.0,
            batch_max=400,
            queue_max=1000,
            request_memory=1000,
            projector_lag_max=100_000,
        )
        local = {number: LocalEngine(number, self._pool) for number in PARTITIONS}
        for number, engine in local.items():
            leader = Leader(PARTITIONS[number], engine, self._pool, terms, missing)
            self.begin(leader.run())
            self._stack.push_async_callback(leader.stop)
        routes = routes_of(local)
        for engine in local.values():
            self.begin(Transit(engine, routes).run())
        orders = OrderServicer(routes, self._past, self._markets, self.tokens, self._guard.limits, self._silence_s)
        services: list[Service] = [
            (order_service_pb2.DESCRIPTOR.services_by_name["OrderService"], orders),
            (engine_pb2.DESCRIPTOR.services_by_name["EngineService"], EngineServicer(local)),
        ]
        server = build_server(services, self._guard, internal=True)
        server.add_insecure_port(address)
        async with asyncio.timeout(20):
            while not all(engine.sequencer for engine in local.values()):  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.01)
        return await self.serve(server)

    async def account_server(self) -> tuple[Server, int]:
        """Process `api` without its other rooms, and its port."""
        feeds = self.feeds = {number: BusFeed(self._bus, self._pool, number) for number in PARTITIONS}
        for feed in feeds.values():
            self.begin(feed.run())
        accounts = AccountServicer(
            routes_of(self.remote),
            feeds,
            self._past,
            self._markets,
            self.tokens,
            accounts_max=ACCOUNTS_MAX,
            quotes=Quotes(KEY),
            terms=TERMS,
            silence_s=self._silence_s,
        )
        server = build_server([(pb.DESCRIPTOR.services_by_name["AccountService"], accounts)], self._guard)
        port = server.add_insecure_port("127.0.0.1:0")
        return await self.serve(server), port


def routes_of(engines: Mapping[int, EngineT]) -> Engines[EngineT]:
    """The first partition of an environment for what names none."""
    first = {int(PARTITIONS[number]): engines[number] for number in sorted(engines, reverse=True)}
    return Engines(first, engines.values(), {(int(Environment.DEMO), FAR_MARKET): 3})


@pytest.fixture
async def start_venue(database_url: str, redis_url: str) -> AsyncIterator[Start]:
    """Starts a venue; `bus_url` is the bus that AccountService reads, `silence_s` when it sends heartbeats."""
    async with AsyncExitStack() as stack:

        async def start(bus_url: str = redis_url, silence_s: float = 15.0) -> Venue:
            keys = Keys()
            verifier = TokenVerifier(keys.public, keys.revoked_ids)
            await verifier.fetch_keys()
            guard = Guard(verifier, Limits(), Metrics(CollectorRegistry()))
            pool = await open_pool(database_url, application_name="test", role=SERVICES)
            stack.push_async_callback(pool.close)
            bus = open_bus(bus_url)
            stack.push_async_callback(bus.aclose)
            floor = Floor(stack, pool, database_url, bus, guard, silence_s)
            address = f"127.0.0.1:{free_port()}"
            await floor.lead(address)
            tails = {number: engine.tail for number, engine in floor.remote.items()}
            floor.begin(project(PARTITIONS, database_url, redis_url, 1000, tails.__getitem__, measures()))
            server, port = await floor.account_server()
            account_channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            order_channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Venue(
                keys=keys,
                account_server=server,
                accounts=account_pb2_grpc.AccountServiceStub(account_channel),
                orders=order_service_pb2_grpc.OrderServiceStub(order_channel),
                database_url=database_url,
                engines=floor.remote,
                feeds=floor.feeds,
            )

        yield start


def measures() -> ReplicaMeasures:
    return ReplicaMeasures(CollectorRegistry())


async def ended(task: "asyncio.Future[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def venue(start_venue: Start) -> Venue:
    return await start_venue()
