"""What is left of a limit comes with each answer: behind it for gRPC, before it where the gateway translates to REST (AUT-8)."""

from typing import Any

import grpc
import pytest

from servers.transport.limits import Limits, Rate
from tests.unit.transport.conftest import SERVICE, Bench
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2 as wire

FEW: dict[int, Rate] = {access_pb2.BUCKET_ORDER: Rate(0.001, 3)}
NAMES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@pytest.fixture
async def limits() -> Limits:
    return Limits(FEW)


def told(metadata: Any) -> tuple[str | None, ...]:
    found = dict(metadata or ())
    return tuple(found.get(name) for name in NAMES)


async def placed(
    bench: Bench, order: wire.PlaceOrderRequest, *more: tuple[str, str]
) -> "grpc.aio.UnaryUnaryCall[bytes, bytes]":
    stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = bench.channel.unary_unary(f"/{SERVICE.full_name}/PlaceOrder")
    return stub(order.SerializeToString(), metadata=(*bench.metadata(), *more))


async def test_aut8_grpc_reads_it_behind_the_answer(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    call = await placed(bench, order)
    await call
    assert (told(await call.initial_metadata()), told(await call.trailing_metadata())) == (
        (None, None, None),
        ("3", "2", "1000"),
    )


async def test_aut8_rest_reads_it_in_the_headers(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    call = await placed(bench, order, ("x-envoy-original-path", "/v1/orders"))
    await call
    assert told(await call.initial_metadata()) == ("3", "2", "1000")


async def test_aut8_who_is_turned_away_is_told_too(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    for _ in range(3):
        await bench.call("PlaceOrder", order)
    call = await placed(bench, order)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    limit, remaining, reset = told(refused.value.trailing_metadata())
    assert (limit, remaining) == ("3", "0")
    assert 2900 < int(reset or 0) <= 3000
    refusal = await bench.refused("PlaceOrder", order)
    assert {"ErrorInfo", "RetryInfo", "QuotaFailure"} <= set(refusal.details)


async def test_aut8_each_key_counts_by_itself_and_all_tokens_of_a_user_together(
    bench: Bench, order: wire.PlaceOrderRequest
) -> None:
    for session in ("session-1", "session-2", "session-3"):
        await bench.call("PlaceOrder", order, bench.metadata(bench.keys.token(sid=session)))
    await bench.refused("PlaceOrder", order, bench.metadata(bench.keys.token(sid="session-4")))
    await bench.call("PlaceOrder", order, bench.metadata(bench.keys.token(sub="user-2")))
