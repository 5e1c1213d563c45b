"""OrderService as its process serves it: two partitions led, projected, behind the guard; and users with tokens."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.session import PROJECTOR, SERVICES, Connection, Pool, connect, open_pool
from db.streams import open_bus
from servers.domain.errors import VenueError
from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.client import Engines
from servers.engine.fence import Fence
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.markets import Markets
from servers.engine.measures import ReplicaMeasures
from servers.engine.missed import Past
from servers.engine.replica import run as project
from servers.order.servicer import OrderServicer
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import Server, build_server
from servers.transport.telemetry import Metrics
from tests.integration.engine.leading import until
from tests.unit.transport.conftest import Keys, Refusal, refusal_of
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

SERVICE = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]
PARTITIONS = {1: Environment.LIVE, 2: Environment.DEMO}
PREFIX = {1: "live", 2: "demo"}
HEARTBEAT_S = 0.3
# Readers wait so long for tables that are behind, unless they are held up: longer than a busy machine needs.
WAIT_S = 3.0
Metadata = tuple[tuple[str, str], ...]


def order(account_id: str, **changes: Any) -> order_service_pb2.PlaceOrderRequest:
    """A limit order that rests, unless changed."""
    fields: dict[str, Any] = {
        "account_id": account_id,
        "symbol": "BTC-USD",
        "side": type_pb2.SIDE_BUY,
        "type": order_pb2.ORDER_TYPE_LIMIT,
        "time_in_force": order_pb2.TIME_IN_FORCE_GTC,
        "quantity": "0.01",
        "price": "50000",
    }
    return order_service_pb2.PlaceOrderRequest(**{**fields, **changes})


@dataclass
class User:
    """A signed-in user with an account of each environment."""

    stub: "order_service_pb2_grpc.OrderServiceAsyncStub"
    user_id: str
    metadata: Metadata
    demo: str
    live: str

    async def place(self, **changes: Any) -> order_service_pb2.PlaceOrderResponse:
        return await self.stub.PlaceOrder(order(**{"account_id": self.demo, **changes}), metadata=self.metadata)

    async def cancel(self, order_id: str = "", **fields: Any) -> order_service_pb2.CancelOrderResponse:
        request = order_service_pb2.CancelOrderRequest(order_id=order_id, **fields)
        return await self.stub.CancelOrder(request, metadata=self.metadata)

    async def call(self, method: str, **fields: Any) -> Any:
        """The answer of a unary method."""
        request = getattr(order_service_pb2, f"{method}Request")(**fields)
        return await getattr(self.stub, method)(request, metadata=self.metadata)

    async def refused(self, method: str, **fields: Any) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.call(method, **fields)
        return refusal_of(raised.value)


class Room:
    """The running service."""

    def __init__(self, pool: Pool, url: str, bus: Redis) -> None:
        self.pool = pool
        self.past = Past(pool, Fence(pool, WAIT_S), bus)
        self.keys = Keys()
        self.engines = {number: LocalEngine(number, pool) for number in PARTITIONS}
        terms = Terms(
            database_url=url,
            address="127.0.0.1:1",
            lease_s=10.0,
            batch_max=400,
            queue_max=20_000,
            request_memory=200_000,
            projector_lag_max=10**9,
        )
        self.leaders = [
            Leader(environment, self.engines[number], pool, terms, missing)
            for number, environment in PARTITIONS.items()
        ]
        self.tasks = [asyncio.create_task(leader.run()) for leader in self.leaders]

    async def serve(self) -> tuple[Server, int]:
        routes = Engines({int(environment): self.engines[number] for number, environment in PARTITIONS.items()})
        verifier = TokenVerifier(self.keys.public, self.keys.revoked_ids)
        await verifier.fetch_keys()
        limits = Limits()
        servicer = OrderServicer(routes, self.past, Markets(self.pool), PageTokens(b"key"), limits, HEARTBEAT_S)
        server = build_server([(SERVICE, servicer)], Guard(verifier, limits, Metrics(CollectorRegistry())))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await until(lambda: all(engine.sequencer is not None for engine in self.engines.values()))
        return server, port

    async def submit(self, command: pb.Command, partition: int = 2) -> bytes:
        """A command of the venue itself."""
        (outcome,) = await self.engines[partition].submit([command], None)
        if isinstance(outcome, VenueError):
            raise outcome
        return outcome

    async def open_account(self, partition: int, user_id: str) -> str:
        account_id = f"{PREFIX[partition]}-{uuid.uuid4().hex}"
        funds = [pb.Amount(asset="USD", amount="1000000"), pb.Amount(asset="BTC", amount="100")]
        body = pb.OpenAccount(account_id=account_id, type=account_pb2.ACCOUNT_TYPE_DEMO, opening=funds)
        await self.submit(pb.Command(user_id=user_id, open_account=body), partition)
        return account_id

    async def user(self, port: int, name: str) -> tuple[User, grpc.aio.Channel]:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        accounts = [await self.open_account(partition, name) for partition in (2, 1)]
        token = self.keys.token(sub=name, sid=f"session-{name}")
        metadata = (("authorization", f"Bearer {token}"),)
        stub: order_service_pb2_grpc.OrderServiceAsyncStub = order_service_pb2_grpc.OrderServiceStub(channel)
        return User(stub, name, metadata, *accounts), channel


@dataclass
class Floor:
    """The room, its server, and the users that came in."""

    room: Room
    server: Server
    port: int
    ana: User
    ben: User


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    pool = await open_pool(database_url, application_name="test room", role=SERVICES)
    bus = open_bus(redis_url)
    room = Room(pool, database_url, bus)
    server, port = await room.serve()
    measures = ReplicaMeasures(CollectorRegistry())
    projecting = asyncio.create_task(project(PARTITIONS, database_url, redis_url, 200_000, None, measures))
    users = [await room.user(port, name) for name in ("ana", "ben")]
    yield Floor(room, server, port, users[0][0], users[1][0])
    for _, channel in users:
        await channel.close()
    await server.stop(0.2)
    for task in (projecting, *room.tasks):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await bus.aclose()
    await pool.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Connection]:
    """A connection beside the room's, to stand in its way."""
    async with await connect(database_url, application_name="test", role=PROJECTOR) as connection:
        yield connection
