"""What stands before a servicer, in its order."""

import asyncio
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from servers.transport.call import Call
from servers.transport.limits import Limits, Rate
from servers.transport.returning import SPREAD
from tests.unit.transport.conftest import SERVICE, Bench, refusal_of
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2 as wire

Order = wire.PlaceOrderRequest

MALFORMED = {
    "wrong wire type": b"\x0b\x0c\x0f",
    "length beyond the end": b"\x0a\xff\x01abc",
    "huge varint": b"\x18" + b"\xff" * 11,
    "deep groups": b"\x0b" * 10_000,
    "invalid UTF-8": b"\x0a\x02\xff\xfe",
    "field number 0": b"\x00\x01",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
async def test_bytes_that_are_no_message_are_an_invalid_argument(bench: Bench, raw: bytes) -> None:
    refused = await bench.refused("PlaceOrder", raw)
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert dict(refused.info.metadata) == {"expected": "venue.order.v1.PlaceOrderRequest"}


async def test_a_message_that_is_too_large_is_refused_with_a_reason(bench: Bench, order: Order) -> None:
    refused = await bench.refused("PlaceOrder", order.SerializeToString() + b"\xfa\x7f" + b"\x00" * 300_000)
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")


async def test_a_message_beyond_every_bound_is_cut_off_by_grpc(bench: Bench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.call("PlaceOrder", b"\x00" * 5_000_000)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def without(name: str) -> Callable[[Order], None]:
    return lambda order: order.ClearField(name)  # type: ignore[arg-type]


def with_value(name: str, value: object) -> Callable[[Order], None]:
    return lambda order: setattr(order, name, value)


FIELDS = [
    (without("account_id"), ["account_id"]),
    (without("symbol"), ["symbol"]),
    (with_value("side", 99), ["side"]),
    (without("price"), ["price"]),
    (without("quantity"), ["quantity"]),
    (with_value("post_only", True), []),
    (with_value("time_in_force", 4), ["expire_time"]),
    (with_value("request_id", "not a uuid"), ["request_id"]),
    (with_value("client_order_id", "a b"), ["client_order_id"]),
] + [
    (with_value("quantity", text), ["quantity"])
    for text in [
        "1e400", "1e-400", "1" * 10_000, "NaN", "Infinity", "-0", "+1", " 1", "1_000", "0x10", ",", "١", "1\n", "-1", "0",
        "0.0000000000000000001", "1.", ".5",
    ]
]  # fmt: skip


@pytest.mark.parametrize(("change", "fields"), FIELDS)
async def test_a_broken_constraint_names_its_field(
    bench: Bench, order: Order, change: Callable[[Order], None], fields: list[str]
) -> None:
    change(order)
    if not fields:
        assert await bench.call("PlaceOrder", order) == b""
        return
    refused = await bench.refused("PlaceOrder", order)
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert sorted(set(refused.fields)) == fields


async def test_a_rule_inside_a_batch_names_the_item(bench: Bench, order: Order) -> None:
    bad = Order()
    bad.CopyFrom(order)
    bad.price = ""
    refused = await bench.refused("PlaceOrders", wire.PlaceOrdersRequest(orders=[order, bad]))
    assert refused.fields == ["orders[1].price"]


async def test_identity_comes_before_access_before_form_before_constraints(bench: Bench) -> None:
    weak = bench.metadata(bench.keys.token(scope="read"))
    reasons = [
        (await bench.refused("PlaceOrder", b"\x0b", ())).info.reason,
        (await bench.refused("PlaceOrder", b"\x0b", weak)).info.reason,
        (await bench.refused("PlaceOrder", b"\x0b")).info.reason,
        (await bench.refused("PlaceOrder", Order())).info.reason,
    ]
    assert reasons == ["UNAUTHENTICATED", "NOT_PERMITTED", "MALFORMED_MESSAGE", "INVALID_FIELD"]


async def test_bytes_of_a_servicer_pass_as_they_are(bench: Bench, order: Order) -> None:
    expected = wire.PlaceOrderResponse(position="2.1.7").SerializeToString()

    async def as_bytes(_request: Message, _call: Call) -> bytes:
        return expected

    async def as_message(_request: Message, _call: Call) -> Message:
        return wire.PlaceOrderResponse(position="2.1.7")

    bench.orders.script = as_bytes
    assert await bench.call("PlaceOrder", order) == expected
    bench.orders.script = as_message
    assert await bench.call("PlaceOrder", order) == expected


async def test_the_servicer_learns_the_deadline(bench: Bench, order: Order) -> None:
    await bench.call("PlaceOrder", order, timeout_s=30)
    await bench.call("PlaceOrder", order)
    timed, untimed = bench.orders.calls
    assert timed.timeout_s is not None
    # gRPC rounds a deadline up on its way.
    assert 25 < timed.timeout_s < 31
    assert (untimed.timeout_s, untimed.deadline_monotonic) == (None, None)


async def test_a_call_that_outlives_its_deadline_ends_with_it(bench: Bench, order: Order) -> None:
    async def wait(_request: Message, _call: Call) -> bytes:
        await asyncio.Event().wait()
        return b""

    bench.orders.script = wait
    # The client ends it, too, a moment later; whose end comes first is up to the machine, so it may take several.
    reasons: list[str] = []
    while len(reasons) < 20 and "TIMED_OUT" not in reasons:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await bench.call("PlaceOrder", order, timeout_s=0.3)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        told = "grpc-status-details-bin" in dict(raised.value.trailing_metadata() or ())
        reasons.append(refusal_of(raised.value).info.reason if told else "")
    assert reasons[-1] == "TIMED_OUT"


async def test_a_request_id_that_cannot_be_printed_is_replaced(bench: Bench, order: Order) -> None:
    for given, kept in [("abc-1", True), ("x" * 129, False)]:
        await bench.call("PlaceOrder", order, (*bench.metadata(), ("x-request-id", given)))
        assert (bench.orders.calls[-1].request_id == given) is kept


async def test_the_address_is_the_one_the_gateway_saw(bench: Bench, order: Order) -> None:
    await bench.call("PlaceOrder", order)
    await bench.call("PlaceOrder", order, (*bench.metadata(), ("x-forwarded-for", "6.6.6.6, 203.0.113.9")))
    assert bench.orders.peers == ["127.0.0.1", "203.0.113.9"]


class TestLimits:
    @pytest.fixture
    async def limits(self) -> Limits:
        return Limits(
            {bucket: Rate(0.5, 3) for bucket in (access_pb2.BUCKET_ORDER, access_pb2.BUCKET_CANCEL)}, in_flight_max=1
        )

    async def test_too_many_orders_are_told_when_to_come_again(self, bench: Bench, order: Order) -> None:
        for _ in range(3):
            await bench.call("PlaceOrder", order)
        refused = await bench.refused("PlaceOrder", order)
        assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert dict(refused.info.metadata) == {"bucket": "ORDER"}
        retry, quota = refused.details["RetryInfo"], refused.details["QuotaFailure"]
        assert isinstance(retry, error_details_pb2.RetryInfo)
        assert isinstance(quota, error_details_pb2.QuotaFailure)
        assert 0.0 < retry.retry_delay.ToNanoseconds() / 1e9 <= 2.0 * (1 + SPREAD)
        assert [violation.subject for violation in quota.violations] == ["ORDER"]

    async def test_a_batch_counts_as_its_orders_and_cancels_are_counted_apart(self, bench: Bench, order: Order) -> None:
        await bench.call("PlaceOrders", wire.PlaceOrdersRequest(orders=[order] * 3))
        assert (await bench.refused("PlaceOrder", order)).info.reason == "RATE_LIMITED"
        await bench.call("CancelOrder", wire.CancelOrderRequest(order_id="2-1"))

    async def test_a_batch_of_cancels_counts_as_its_cancels(self, bench: Bench) -> None:
        cancel = wire.CancelOrderRequest(order_id="2-1")
        await bench.call("CancelOrders", wire.CancelOrdersRequest(cancels=[cancel] * 3))
        assert (await bench.refused("CancelOrder", cancel)).info.reason == "RATE_LIMITED"

    async def test_limits_are_counted_by_user(self, bench: Bench, order: Order) -> None:
        await bench.call("PlaceOrders", wire.PlaceOrdersRequest(orders=[order] * 3))
        await bench.call("PlaceOrder", order, bench.metadata(bench.keys.token(sub="user-2")))

    async def test_a_full_server_sheds_orders_but_no_cancels(self, bench: Bench, order: Order) -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def wait(request: Message, _call: Call) -> bytes:
            if isinstance(request, Order):
                entered.set()
                await leave.wait()
            return b""

        bench.orders.script = wait
        first = asyncio.create_task(bench.call("PlaceOrder", order))
        await asyncio.wait_for(entered.wait(), 5)
        refused = await bench.refused("PlaceOrder", order)
        assert (refused.info.reason, "RetryInfo" in refused.details) == ("OVERLOADED", True)
        await bench.call("CancelOrder", wire.CancelOrderRequest(order_id="2-1"))
        leave.set()
        await first


async def test_calls_are_counted_by_method_and_code(bench: Bench, order: Order) -> None:
    await bench.call("PlaceOrder", order)
    await bench.refused("PlaceOrder", Order())
    path = f"/{SERVICE.full_name}/PlaceOrder"

    def count(code: str) -> float | None:
        return bench.metrics.registry.get_sample_value("venue_rpc_total", {"method": path, "code": code})

    assert (count("OK"), count("INVALID_ARGUMENT")) == (1.0, 1.0)
    assert bench.metrics.registry.get_sample_value("venue_rpc_seconds_count", {"method": path}) == 2.0


async def test_text_of_a_caller_never_begins_a_log_line(
    bench: Bench, order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    order.symbol = 'X\r\n{"level":"critical"}'
    await bench.refused("PlaceOrder", order)
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


async def test_health_and_reflection_are_there(bench: Bench) -> None:
    health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = bench.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = health_pb2.HealthCheckResponse.FromString(await health(b""))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    mirrors = [f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")]
    for name in mirrors:
        mirror: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = bench.channel.stream_stream(
            f"/{name}/ServerReflectionInfo"
        )
        stream = mirror(iter([reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()]))
        replies = [reflection_pb2.ServerReflectionResponse.FromString(raw) async for raw in stream]
        names = [service.name for reply in replies for service in reply.list_services_response.service]
        assert names == sorted([SERVICE.full_name, "grpc.health.v1.Health", *mirrors])


async def test_a_session_ends_with_the_error_of_a_bad_message(bench: Bench) -> None:
    trade: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = bench.channel.stream_stream(f"/{SERVICE.full_name}/Trade")
    good = wire.TradeRequest(
        commands=[wire.TradeCommand(correlation_id="1", start=wire.TradeStart(account_id="demo-1"))]
    )
    stream = trade(metadata=bench.metadata())
    await stream.write(good.SerializeToString())
    raw = await stream.read()
    assert isinstance(raw, bytes)
    assert wire.TradeResponse.FromString(raw).position == "1"
    await stream.write(wire.TradeRequest().SerializeToString())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert refusal_of(raised.value).info.reason == "INVALID_FIELD"
