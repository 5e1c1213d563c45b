"""Native gRPC through the gateway, and what it keeps inside."""

import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from tests.e2e.backends import STEPPED
from tests.e2e.conftest import Tokens
from tests.e2e.gateway import Gateway
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.engine.v1 import engine_pb2, engine_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

Metadata: TypeAlias = tuple[tuple[str, str], ...]
ORDER = order_service_pb2.PlaceOrderRequest(
    account_id="demo-1",
    symbol="ETH-USD",
    side=type_pb2.SIDE_BUY,
    type=order_pb2.ORDER_TYPE_MARKET,
    time_in_force=order_pb2.TIME_IN_FORCE_IOC,
    quantity="0.1",
)


@pytest.fixture
def channel(edge: Gateway) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(edge.target) as made:
        yield made


@pytest.fixture
def metadata(tokens: Tokens) -> Metadata:
    return tuple(tokens.bearer().items())


def test_a_unary_call(channel: grpc.Channel, metadata: Metadata) -> None:
    orders = order_service_pb2_grpc.OrderServiceStub(channel)
    assert orders.PlaceOrder(ORDER, metadata=metadata, timeout=5).order.order_id == "1-7"


def test_an_error_keeps_its_details(channel: grpc.Channel, metadata: Metadata) -> None:
    orders = order_service_pb2_grpc.OrderServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        orders.CancelOrder(order_service_pb2.CancelOrderRequest(order_id="1-7"), metadata=metadata, timeout=5)
    error: Any = refused.value
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    status: Any = rpc_status.from_call(error)
    assert [detail.type_url.rpartition(".")[2] for detail in status.details] == [
        "ErrorInfo",
        "PreconditionFailure",
        "RequestInfo",
    ]


def test_a_session_in_both_directions(channel: grpc.Channel, metadata: Metadata) -> None:
    orders = order_service_pb2_grpc.OrderServiceStub(channel)
    # Each answer is awaited before the next question, so both directions are open at once.
    answers: list[str] = []
    sent_bytes = 0
    filler = order_service_pb2.TradeCommand(cancel=order_service_pb2.CancelOrderRequest(order_id="1" * 60))

    def questions() -> Iterator[order_service_pb2.TradeRequest]:
        nonlocal sent_bytes
        for number in range(80):
            while len(answers) < number:
                time.sleep(0.001)
            command = order_service_pb2.TradeCommand(correlation_id=str(number), place=ORDER)
            request = order_service_pb2.TradeRequest(commands=[command, *([filler] * 99)])
            sent_bytes += request.ByteSize()
            yield request

    for answer in orders.Trade(questions(), metadata=metadata, timeout=30):
        answers += [answer.answers.answers[0].correlation_id]
    assert answers == [str(number) for number in range(80)]
    # The bound of a body is not one of a stream.
    assert sent_bytes > 262_144


def test_a_stream_comes_frame_by_frame(channel: grpc.Channel) -> None:
    request = marketdata_pb2.SubscribeRequest(symbols=[STEPPED], channels=[marketdata_pb2.CHANNEL_BOOK])
    stub, arrived = marketdata_pb2_grpc.MarketDataServiceStub(channel), []
    for frame in stub.Subscribe(request, timeout=30):
        arrived.append(frame.WhichOneof("frame"))
        # The next is made only now: one that was held back would never be followed.
        stub.GetMarket(marketdata_pb2.GetMarketRequest(symbol=STEPPED), timeout=30)
    assert arrived == ["ready", "event", "event", "event"]


def test_a_silent_stream_outlives_the_clock_of_unary_calls(channel: grpc.Channel, metadata: Metadata) -> None:
    accounts = account_pb2_grpc.AccountServiceStub(channel)
    frames = accounts.StreamAccount(
        account_pb2.StreamAccountRequest(account_id="demo-1"), metadata=metadata, timeout=20
    )
    assert [frame.WhichOneof("frame") for frame in frames] == ["ready", "heartbeat"]


def test_a_call_that_hangs_is_cut_with_the_right_code(channel: grpc.Channel, metadata: Metadata) -> None:
    fills = order_service_pb2_grpc.OrderServiceStub(channel).ListFills
    request = order_service_pb2.ListFillsRequest(account_id="demo-1")
    # An answer would come after 6.5 s; the gateway cuts after 4.75 who has set no deadline of his own.
    for timeout_s, within_s in ((None, 20.0), (1.0, 4.0)):
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as late:
            fills(request, metadata=metadata, timeout=timeout_s)
        error: Any = late.value
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - begun < within_s


def test_s19_the_server_itself_refuses_a_large_message(channel: grpc.Channel, metadata: Metadata) -> None:
    orders = order_service_pb2_grpc.OrderServiceStub(channel)
    for size in (300_000, 1_000_000):
        with pytest.raises(grpc.RpcError) as refused:
            orders.PlaceOrder(order_service_pb2.PlaceOrderRequest(symbol="A" * size), metadata=metadata, timeout=5)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b"MESSAGE_TOO_LARGE" in dict(error.trailing_metadata())["grpc-status-details-bin"]


def test_the_engine_cannot_be_reached(channel: grpc.Channel, metadata: Metadata) -> None:
    engine = engine_pb2_grpc.EngineServiceStub(channel)
    for sent, code in (
        ((), grpc.StatusCode.UNAUTHENTICATED),
        (metadata, grpc.StatusCode.UNIMPLEMENTED),
        ((("x-api-key", "id.secret"),), grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            engine.Query(engine_pb2.QueryRequest(), metadata=sent, timeout=5)
        error: Any = refused.value
        assert error.code() == code


def test_the_engine_is_there_for_those_inside(edge: Gateway, metadata: Metadata) -> None:
    # Else the test above would pass for want of an engine.
    with grpc.insecure_channel(f"127.0.0.1:{edge.ports.order}") as inside:
        engine_pb2_grpc.EngineServiceStub(inside).Query(engine_pb2.QueryRequest(), timeout=5)


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel, metadata: Metadata) -> None:
    for path in (
        "/venue.order.v1.OrderService/Nothing",
        "/venue.nothing.v1.Nothing/Nothing",
        "/grpc.nothing.v1.Nothing/Nothing",
        "/other.v1.Other/Other",
    ):
        call: Any = channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=metadata, timeout=5)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, path


def test_health_and_reflection_answer(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=5)
    assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    mirror: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answer = next(iter(mirror.ServerReflectionInfo(asked, timeout=5)))
    names = [service.name for service in answer.list_services_response.service]
    assert "venue.auth.v1.AuthService" in names
    assert not [name for name in names if "engine" in name]
    # What tools ask for when a person names a service, a message, a method; and what is none.
    symbols = [
        "venue.auth.v1.AuthService",
        "venue.auth.v1.LoginRequest",
        "venue.auth.v1.AuthService.Login",
        "venue.auth.v1.No",
    ]
    asked = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols])
    kinds = [each.WhichOneof("message_response") for each in mirror.ServerReflectionInfo(asked, timeout=5)]
    assert kinds == ["file_descriptor_response"] * 3 + ["error_response"]
