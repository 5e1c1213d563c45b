"""F32 of the faults: those who were sent away together are told to come back at different moments, by the server."""

import asyncio
from itertools import pairwise

import grpc
import pytest
from google.rpc import error_details_pb2

from servers.domain.errors import Overloaded
from servers.transport.call import Call
from servers.transport.returning import (
    RETURNS_A_SECOND,
    SLOW_MAX_S,
    SLOW_MIN_S,
    SOON_MIN_S,
    SPREAD,
    SPREAD_MAX_S,
    goodbye,
    spread_s,
)
from tests.unit.transport.conftest import SERVICE, Bench
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import stream_pb2

PATH = f"/{SERVICE.full_name}/StreamOrders"
REQUEST = wire.StreamOrdersRequest(account_id="demo-1").SerializeToString()


class Ending:
    """A call among so many streams."""

    def __init__(self, streams: int) -> None:
        self.crowd = lambda: streams


def told_s(said: stream_pb2.Goodbye) -> float:
    return said.retry_after.ToNanoseconds() / 1e9


def spread_over(waits: list[float], first: float, last: float) -> None:
    """All within the bounds, and every tenth of what lies between has its share: nowhere do many come together."""
    assert first <= min(waits)
    assert max(waits) <= last
    tenths = [0] * 10
    for wait in waits:
        tenths[min(9, int((wait - first) / (last - first) * 10))] += 1
    # A tenth of 10,000 is 1,000; chance moves it by 30.
    assert all(0.08 * len(waits) <= count <= 0.12 * len(waits) for count in tenths), tenths


@pytest.mark.parametrize("reason", ["SHUTDOWN", "LEADER_CHANGED"])
def test_f32_ten_thousand_goodbyes_are_spread_over_their_bounds(reason: str) -> None:
    said = [goodbye(Ending(10_000), reason, "2.1.1") for _ in range(10_000)]
    assert {(each.reason, each.resume_after) for each in said} == {(reason, "2.1.1")}
    spread_over([told_s(each) for each in said], SOON_MIN_S, SPREAD_MAX_S)


def test_f32_those_who_were_too_slow_come_back_later_and_apart() -> None:
    spread_over([told_s(goodbye(Ending(3), "SLOW_CONSUMER", "")) for _ in range(10_000)], SLOW_MIN_S, SLOW_MAX_S)


def test_few_hardly_wait_and_many_wait_as_long_as_it_takes_to_let_them_in() -> None:
    assert [spread_s(streams) for streams in (0, 15, RETURNS_A_SECOND, 10_000_000)] == pytest.approx(
        [0.1, 0.11, 1.1, SPREAD_MAX_S]
    )


def test_who_is_not_let_in_again_is_told_no_time() -> None:
    assert not goodbye(Ending(10_000), "SESSION_REVOKED", "").HasField("retry_after")


async def test_f32_streams_that_a_server_ends_are_told_different_times(bench: Bench) -> None:
    count = 60
    stub: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = bench.channel.unary_stream(PATH)
    streams = [stub(REQUEST, metadata=bench.metadata()) for _ in range(count)]
    async with asyncio.timeout(30):
        for stream in streams:
            assert isinstance(await stream.read(), bytes)
        stopping = asyncio.create_task(bench.server.stop(5))
        said = []
        for stream in streams:
            raw = await stream.read()
            assert isinstance(raw, bytes)
            said.append(wire.StreamOrdersResponse.FromString(raw).goodbye)
        await stopping
    waits = [told_s(each) for each in said]
    # Of all that were open, also for those that were told when most had left.
    assert len(set(waits)) == count
    assert min(waits) >= SOON_MIN_S
    # Of 60 some are beyond the first half; none would be one in 10^15 times.
    assert (SOON_MIN_S + spread_s(count)) / 2 < max(waits) <= spread_s(count)


async def test_f32_refusals_are_told_different_times_and_none_too_short(
    bench: Bench, order: wire.PlaceOrderRequest
) -> None:
    async def shed(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        raise Overloaded(2.0)

    bench.orders.script = shed
    waits = []
    for _ in range(40):
        retry = (await bench.refused("PlaceOrder", order)).details["RetryInfo"]
        assert isinstance(retry, error_details_pb2.RetryInfo)
        waits.append(retry.retry_delay.ToNanoseconds() / 1e9)
    assert min(waits) >= 2.0
    assert max(waits) <= 2.0 * (1 + SPREAD)
    assert all(one < other for one, other in pairwise(sorted(waits)))
    assert max(waits) - min(waits) > 2.0 * SPREAD / 2
