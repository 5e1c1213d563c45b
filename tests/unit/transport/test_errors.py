"""Every error reaches the client as the contract shows it, and nothing else does."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from servers.domain.errors import (
    AccountNotFound,
    DeadlinePassed,
    Fault,
    FieldViolation,
    InsufficientFunds,
    NotImplementedYet,
    NotLeader,
    OrderClosed,
    Overloaded,
    RequestIdReused,
    TransferIdReused,
    VenueError,
)
from servers.transport.call import Call
from servers.transport.errors import classes, from_status, to_status
from servers.transport.refusals import InvalidField, MessageTooLarge, NotAuthenticated, NotPermitted, RateLimited
from tests.unit.transport.conftest import Bench
from venue.order.v1 import order_service_pb2 as wire

SECRET = "Traceback <class 'psycopg.Error'> SELECT password hunter2"
CASES: list[tuple[VenueError, grpc.StatusCode, set[str]]] = [
    (RequestIdReused("018f"), grpc.StatusCode.INVALID_ARGUMENT, {"BadRequest"}),
    (NotAuthenticated(SECRET), grpc.StatusCode.UNAUTHENTICATED, set()),
    (NotPermitted(scope="trade"), grpc.StatusCode.PERMISSION_DENIED, set()),
    (AccountNotFound("demo-2"), grpc.StatusCode.NOT_FOUND, set()),
    (TransferIdReused("t"), grpc.StatusCode.ALREADY_EXISTS, set()),
    (OrderClosed("2-17"), grpc.StatusCode.FAILED_PRECONDITION, {"PreconditionFailure"}),
    (InsufficientFunds("USD", "1", "2"), grpc.StatusCode.FAILED_PRECONDITION, {"PreconditionFailure"}),
    (Overloaded(0.25), grpc.StatusCode.RESOURCE_EXHAUSTED, {"RetryInfo", "QuotaFailure"}),
    (RateLimited("ORDER", 1.5), grpc.StatusCode.RESOURCE_EXHAUSTED, {"RetryInfo", "QuotaFailure"}),
    (MessageTooLarge(5), grpc.StatusCode.RESOURCE_EXHAUSTED, set()),
    (NotLeader(2), grpc.StatusCode.UNAVAILABLE, set()),
    (DeadlinePassed(), grpc.StatusCode.DEADLINE_EXCEEDED, set()),
    (NotImplementedYet("AmendOrder"), grpc.StatusCode.UNIMPLEMENTED, set()),
    (Fault(), grpc.StatusCode.INTERNAL, set()),
]


@pytest.mark.parametrize(("error", "code", "details"), CASES, ids=lambda value: getattr(value, "reason", None))
async def test_a_domain_error_is_its_code_with_details(
    bench: Bench, order: wire.PlaceOrderRequest, error: VenueError, code: grpc.StatusCode, details: set[str]
) -> None:
    async def refuse(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        raise error

    bench.orders.script = refuse
    refused = await bench.refused("PlaceOrder", order, (*bench.metadata(), ("x-request-id", "trace-7")))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain="venue", metadata=error.metadata)
    assert (refused.code, refused.message, refused.info, refused.request_id) == (code, error.message, info, "trace-7")
    assert set(refused.details) == {"ErrorInfo", "RequestInfo"} | details
    assert SECRET not in str(refused)


@pytest.mark.parametrize("fault", [RuntimeError(SECRET), KeyError(SECRET), AssertionError(SECRET), Exception(SECRET)])
async def test_s20_no_text_of_an_exception_leaves(
    bench: Bench, order: wire.PlaceOrderRequest, fault: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        raise fault

    bench.orders.script = fail
    refused = await bench.refused("PlaceOrder", order)
    assert (refused.code, refused.message, refused.info.reason) == (
        grpc.StatusCode.INTERNAL,
        "internal error",
        "INTERNAL",
    )
    assert SECRET not in str(refused)
    assert refused.request_id in capsys.readouterr().out


async def test_an_answer_that_is_no_message_is_a_fault_too(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    async def nonsense(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        return None  # type: ignore[return-value]

    bench.orders.script = nonsense
    refused = await bench.refused("PlaceOrder", order)
    assert (refused.code, refused.message) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_cancelled_part_of_the_venue_leaves_no_caller_waiting(
    bench: Bench, order: wire.PlaceOrderRequest
) -> None:
    async def give_up(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    bench.orders.script = give_up
    refused = await bench.refused("PlaceOrder", order, timeout_s=5)
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


async def test_a_caller_who_leaves_cancels_the_servicer(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait(_request: wire.PlaceOrderRequest, _call: Call) -> bytes:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return b""

    bench.orders.script = wait
    task = asyncio.create_task(bench.call("PlaceOrder", order))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    await asyncio.wait_for(left.wait(), 5)


async def test_a_method_without_code_says_so(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    refused = await bench.refused("PreviewOrder", wire.PreviewOrderRequest(order=order))
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    unknown = await bench.refused("NoSuchMethod", b"")
    assert (unknown.code, unknown.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=lambda error: error.reason)
def test_a_status_becomes_the_same_error_again(error: VenueError) -> None:
    status = to_status(error)
    again = from_status(status)
    assert type(again) is type(error)
    # What it says when to come again too: the chance in it was added where it was refused, and not once more.
    assert to_status(again) == status


def test_an_unknown_reason_keeps_its_code() -> None:
    status = to_status(NotLeader(1))
    status.ClearField("details")
    assert from_status(status).code == "UNAVAILABLE"


def test_many_violations_stay_within_what_clients_take() -> None:
    violations = [FieldViolation(f"orders[{n}].quantity", "x" * 500, "string.pattern") for n in range(300)]
    status = to_status(InvalidField(violations))
    assert status.ByteSize() < 6_000


def test_reasons_are_given_by_one_class_each() -> None:
    found = classes()
    assert found["ORDER_CLOSED"] is OrderClosed
    assert found["RATE_LIMITED"] is RateLimited
