"""A process `order` that starts while the one that publishes the public keys is frozen."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from db.session import SERVICES, open_pool
from servers.config import Settings
from servers.embedded.health import serving
from servers.engine.remote import RemoteEngine
from servers.transport.telemetry import Metrics
from servers.wiring import order as wiring
from servers.wiring.parts import Process, internal_key
from tests.integration.engine.leading import PARTITION
from tests.servers import free_port
from tests.unit.transport.conftest import Keys, refusal_of
from venue.auth.v1 import auth_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc

# What a start may take that waits for nobody; one that waits for a first key gives up after ten.
SERVING_S = 5.0
AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name


class Published:
    """The public keys, once they are let out."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys = keys
        self.thawed = asyncio.Event()

    async def answer(self, _request: auth_pb2.GetJwksRequest, _context: object) -> auth_pb2.GetJwksResponse:
        await self.thawed.wait()
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.Jwk(**key) for key in self._keys["keys"]])


@pytest.fixture
async def published() -> AsyncIterator[tuple[Keys, Published, int]]:
    keys = Keys()
    servicer = Published(await keys.public())
    method = grpc.unary_unary_rpc_method_handler(
        servicer.answer,
        request_deserializer=auth_pb2.GetJwksRequest.FromString,
        response_serializer=auth_pb2.GetJwksResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(AUTH, {"GetJwks": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield keys, servicer, port
    await server.stop(None)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        asyncio.TaskGroup() as tasks,
        wiring.build(Process(settings, Metrics(CollectorRegistry()), tasks)),
        grpc.aio.insecure_channel(f"127.0.0.1:{settings.order_port}") as channel,
    ):
        yield channel


async def test_who_leads_serves_before_it_knows_the_public_keys(
    published: tuple[Keys, Published, int], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    keys, servicer, port = published
    given = {"database_url": database_url, "redis_url": redis_url, "state_dir": str(tmp_path), "api_port": port}
    settings = Settings.model_validate({**given, "order_port": free_port(), "grace_s": 0.1})
    settings.state.create()
    began = time.monotonic()
    async with started(settings) as channel:
        assert await asyncio.to_thread(serving, "127.0.0.1", settings.order_port)
        # Other servers are served, as are callers who have a key of their own.
        pool = await open_pool(database_url, application_name="test", role=SERVICES)
        elsewhere = RemoteEngine(PARTITION, pool, internal_key(settings))
        assert (await elsewhere.query(engine_pb2.QueryRequest(sequence=engine_pb2.SequenceQuery()))).position
        assert time.monotonic() - began < SERVING_S
        await elsewhere.close()
        await pool.close()
        # Whether a token holds is not known, which is not the caller's fault.
        metadata = (("authorization", f"Bearer {keys.token(sub='ana', sid='session-ana')}"),)
        stub: order_service_pb2_grpc.OrderServiceAsyncStub = order_service_pb2_grpc.OrderServiceStub(channel)
        request = order_service_pb2.ListOrdersRequest(account_id="demo-00000000000000000000000000000000")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.ListOrders(request, metadata=metadata, timeout=5)
        assert refusal_of(raised.value).code == grpc.StatusCode.UNAVAILABLE
        assert refusal_of(raised.value).info.metadata["part"] == "authentication"
        # One who asks shortly before there is a key is served.
        asked = asyncio.ensure_future(stub.ListOrders(request, metadata=metadata, timeout=5).code())
        await asyncio.sleep(0.1)
        servicer.thawed.set()
        assert await asked in {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}
