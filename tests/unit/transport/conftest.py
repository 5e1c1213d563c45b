"""A real gRPC server over loopback, keys of its own, and a servicer that does what a test tells it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from db.revocations import Revocations
from servers.transport.call import Call
from servers.transport.errors import DETAILS
from servers.transport.guard import Guard
from servers.transport.identity import ALGORITHM, TYPE, Identity, TokenVerifier, claims_of
from servers.transport.limits import Limits
from servers.transport.returning import goodbye
from servers.transport.server import Server, build_server
from servers.transport.streaming import lively
from servers.transport.telemetry import Metrics
from venue.option.v1 import access_pb2
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import stream_pb2, type_pb2

KID = "key-1"
SERVICE = wire.DESCRIPTOR.services_by_name["OrderService"]
Script = Callable[[Any, Call], Awaitable[Message | bytes]]


async def answer_empty(_request: Message, _call: Call) -> Message | bytes:
    return wire.PlaceOrderResponse()


class Orders:
    """Serves what a test scripts. PreviewOrder is missing on purpose."""

    def __init__(self) -> None:
        self.script: Script = answer_empty
        self.frames: Callable[[Call], AsyncIterator[wire.StreamOrdersResponse]] = self.silence
        self.calls: list[Call] = []
        self.peers: list[str] = []
        self.silence_s = 15.0

    async def PlaceOrder(self, request: wire.PlaceOrderRequest, call: Call) -> Message | bytes:
        self.calls.append(call)
        self.peers.append(call.peer)
        return await self.script(request, call)

    PlaceOrders = CancelOrder = CancelOrders = GetOrder = PlaceOrder

    async def silence(self, _call: Call) -> AsyncIterator[wire.StreamOrdersResponse]:
        yield wire.StreamOrdersResponse(ready=stream_pb2.Ready(), position="2.1.1")
        await asyncio.Event().wait()

    async def StreamOrders(
        self, _request: wire.StreamOrdersRequest, call: Call
    ) -> AsyncGenerator[wire.StreamOrdersResponse, None]:
        frames = lively(
            self.frames(call),
            call,
            heartbeat=lambda: wire.StreamOrdersResponse(heartbeat=stream_pb2.Heartbeat()),
            goodbye=lambda reason: wire.StreamOrdersResponse(goodbye=goodbye(call, reason, "2.1.1")),
            silence_s=self.silence_s,
        )
        async for frame in frames:
            yield frame

    async def Trade(
        self, requests: AsyncIterator[wire.TradeRequest], _call: Call
    ) -> AsyncGenerator[wire.TradeResponse, None]:
        async for request in requests:
            yield wire.TradeResponse(position=request.commands[0].correlation_id)


@dataclass
class Keys:
    """The signing keys of a test, and the tokens made with them."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    revoked: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)

    async def public(self) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(self.private.public_key()))
        return {"keys": [key | {"kid": KID, "alg": ALGORITHM, "use": "sig"}]}

    async def revoked_ids(self) -> Revocations:
        return Revocations(frozenset(self.revoked), dict(self.versions))

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        scopes = frozenset({access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADE})
        identity = Identity("user-1", "session-1", access_pb2.ROLE_USER, scopes, True, "a@example.com", now + 600.0)
        claims = claims_of(identity, now) | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token with some of its claims changed, or absent where given as None."""
        return jwt.encode(self.claims(**changes), self.private, ALGORITHM, {"kid": KID, "typ": TYPE} | (headers or {}))


@dataclass
class Refusal:
    """What a failed call said."""

    code: grpc.StatusCode
    message: str
    details: dict[str, Message]
    request_id: str

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        found = self.details["ErrorInfo"]
        assert isinstance(found, error_details_pb2.ErrorInfo)
        return found

    @property
    def fields(self) -> list[str]:
        found = self.details["BadRequest"]
        assert isinstance(found, error_details_pb2.BadRequest)
        return [violation.field for violation in found.field_violations]


KINDS: list[type[Message]] = [
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.RequestInfo,
]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    metadata = dict(error.trailing_metadata())
    packed = metadata[DETAILS]
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    details: dict[str, Message] = {}
    for entry in status.details:
        kind = next(kind for kind in KINDS if entry.TypeName() == kind.DESCRIPTOR.full_name)
        details[kind.DESCRIPTOR.name] = kind.FromString(entry.value)
    return Refusal(error.code(), status.message, details, str(metadata["x-request-id"]))


@dataclass
class Bench:
    """A running server and a client of it."""

    orders: Orders
    keys: Keys
    verifier: TokenVerifier
    guard: Guard
    metrics: Metrics
    server: Server
    channel: grpc.aio.Channel

    def metadata(self, token: str | None = None) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {token or self.keys.token()}"),)

    async def call(
        self,
        method: str,
        request: Message | bytes,
        metadata: tuple[tuple[str, str], ...] | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(
            f"/{SERVICE.full_name}/{method}"
        )
        answer: bytes = await stub(raw, metadata=self.metadata() if metadata is None else metadata, timeout=timeout_s)
        return answer

    async def refused(
        self,
        method: str,
        request: Message | bytes,
        metadata: tuple[tuple[str, str], ...] | None = None,
        timeout_s: float | None = None,
    ) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.call(method, request, metadata, timeout_s)
        return refusal_of(raised.value)


@pytest.fixture
async def limits() -> Limits:
    return Limits()


@pytest.fixture
async def bench(limits: Limits) -> AsyncIterator[Bench]:
    keys, orders, metrics = Keys(), Orders(), Metrics(CollectorRegistry())
    verifier = TokenVerifier(keys.public, keys.revoked_ids)
    await verifier.fetch_keys()
    guard = Guard(verifier, limits, metrics)
    server = build_server([(SERVICE, orders)], guard)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bench(orders, keys, verifier, guard, metrics, server, channel)
    await server.stop(0.1)


@pytest.fixture
def order() -> wire.PlaceOrderRequest:
    return wire.PlaceOrderRequest(
        account_id="demo-1",
        symbol="BTC-USD",
        side=type_pb2.SIDE_BUY,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity="0.5",
        price="50000.25",
    )
