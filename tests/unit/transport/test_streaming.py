"""Streams live, and say goodbye."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from servers.domain.errors import AccountNotFound
from servers.transport.call import Call
from servers.transport.limits import Limits
from tests.unit.transport.conftest import SERVICE, Bench, refusal_of
from venue.order.v1 import order_service_pb2 as wire

REQUEST = wire.StreamOrdersRequest(account_id="demo-1").SerializeToString()
PATH = f"/{SERVICE.full_name}/StreamOrders"


class Reader:
    """Reads frames of StreamOrders."""

    def __init__(self, bench: Bench) -> None:
        stub: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = bench.channel.unary_stream(PATH)
        self._stream = stub(REQUEST, metadata=bench.metadata())

    async def read(self) -> wire.StreamOrdersResponse | None:
        raw = await asyncio.wait_for(self._stream.read(), 5)
        return wire.StreamOrdersResponse.FromString(raw) if isinstance(raw, bytes) else None

    async def kinds(self, count: int) -> list[str | None]:
        frames = [await self.read() for _ in range(count)]
        return [frame.WhichOneof("frame") if frame else "end" for frame in frames]

    def cancel(self) -> None:
        self._stream.cancel()


async def numbered(count: int) -> AsyncIterator[wire.StreamOrdersResponse]:
    for number in range(count):
        yield wire.StreamOrdersResponse(sequence=number, event=wire.OrderEvent())


async def test_frames_arrive_in_order_and_the_stream_ends_with_them(bench: Bench) -> None:
    bench.orders.frames = lambda _call: numbered(100)
    reader = Reader(bench)
    frames = [await reader.read() for _ in range(101)]
    assert [frame.sequence for frame in frames if frame] == list(range(100))
    assert frames[-1] is None


async def test_a_silence_is_filled_with_heartbeats(bench: Bench) -> None:
    bench.orders.silence_s = 0.05
    assert await Reader(bench).kinds(3) == ["ready", "heartbeat", "heartbeat"]


async def test_a_stopping_server_says_goodbye_and_ends_well(bench: Bench) -> None:
    reader = Reader(bench)
    assert await reader.kinds(1) == ["ready"]
    stopping = asyncio.create_task(bench.server.stop(5))
    last = await reader.read()
    assert last is not None
    assert last.goodbye.reason == "SHUTDOWN"
    assert await reader.read() is None
    await asyncio.wait_for(stopping, 5)


async def test_a_revoked_session_loses_its_streams(bench: Bench) -> None:
    reader = Reader(bench)
    assert await reader.kinds(1) == ["ready"]
    bench.keys.revoked.add("session-1")
    await bench.verifier.fetch_revoked()
    last = await reader.read()
    assert last is not None
    assert last.goodbye.reason == "SESSION_REVOKED"
    assert await reader.read() is None


async def test_an_error_of_the_frames_ends_the_stream_with_its_status(bench: Bench) -> None:
    async def refused(_call: Call) -> AsyncIterator[wire.StreamOrdersResponse]:
        yield wire.StreamOrdersResponse()
        raise AccountNotFound("demo-1")

    bench.orders.frames = refused
    reader = Reader(bench)
    await reader.read()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await reader.read()
    assert refusal_of(raised.value).info.reason == "ACCOUNT_NOT_FOUND"


async def test_a_reader_who_leaves_closes_what_made_the_frames(bench: Bench) -> None:
    closed = asyncio.Event()

    async def frames(_call: Call) -> AsyncIterator[wire.StreamOrdersResponse]:
        try:
            yield wire.StreamOrdersResponse()
            await asyncio.Event().wait()
        finally:
            closed.set()

    bench.orders.frames = frames
    reader = Reader(bench)
    await reader.read()
    open_streams = ("venue_streams_open", {"method": PATH})
    assert bench.metrics.registry.get_sample_value(*open_streams) == 1.0
    reader.cancel()
    await asyncio.wait_for(closed.wait(), 5)
    await asyncio.wait_for(bench.guard.wait_quiet(), 5)
    assert bench.metrics.registry.get_sample_value(*open_streams) == 0.0


async def test_a_slow_reader_is_felt_by_the_maker_of_frames(bench: Bench) -> None:
    made = 0

    async def frames(_call: Call) -> AsyncIterator[wire.StreamOrdersResponse]:
        nonlocal made
        for made in range(100_000):  # noqa: B007  read by the test
            yield wire.StreamOrdersResponse(position="x" * 10_000)

    bench.orders.frames = frames
    reader = Reader(bench)
    await reader.read()
    stalled = -1
    while stalled != made:
        stalled = made
        await asyncio.sleep(0.3)
    assert made < 100_000 - 1
    reader.cancel()


class TestLimits:
    @pytest.fixture
    async def limits(self) -> Limits:
        return Limits({}, streams_max=1)

    async def test_open_streams_of_a_user_are_bounded(self, bench: Bench) -> None:
        first = Reader(bench)
        assert await first.kinds(1) == ["ready"]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await Reader(bench).read()
        assert refusal_of(raised.value).info.reason == "RATE_LIMITED"
        first.cancel()
        await asyncio.wait_for(bench.guard.wait_quiet(), 5)
        assert await Reader(bench).kinds(1) == ["ready"]


async def test_a_changed_role_ends_the_streams_of_older_tokens(bench: Bench) -> None:
    reader = Reader(bench)
    assert await reader.kinds(1) == ["ready"]
    bench.keys.versions["user-1"] = 1
    await bench.verifier.fetch_revoked()
    last = await reader.read()
    assert last is not None
    assert last.goodbye.reason == "SESSION_REVOKED"
