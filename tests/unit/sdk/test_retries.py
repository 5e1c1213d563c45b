"""What the SDK may repeat, by the contract; ids and errors."""

import uuid

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from venue.auth.v1 import auth_pb2
from venue.order.v1 import order_service_pb2
from venue_sdk.errors import FieldViolation, OverLimit, VenueError, said_of
from venue_sdk.request_ids import request_id
from venue_sdk.retries import Patience, changes_nothing, is_named, wait_s

ORDERS = "/venue.order.v1.OrderService"


@pytest.mark.parametrize(
    ("method", "repeatable"),
    [
        (f"{ORDERS}/ListOrders", True),
        (f"{ORDERS}/GetRequestOutcome", True),
        (f"{ORDERS}/PreviewOrder", True),
        (f"{ORDERS}/PlaceOrder", False),
        ("/venue.auth.v1.AuthService/Refresh", False),
        ("/venue.auth.v1.AuthService/Login", False),
        ("/venue.auth.v1.AuthService/DisableTotp", False),
    ],
)
def test_what_changes_nothing_is_known_by_the_contract(method: str, *, repeatable: bool) -> None:
    assert changes_nothing(method) is repeatable


def test_a_mutation_gets_an_id_and_keeps_its_own() -> None:
    request = order_service_pb2.PlaceOrderRequest()
    assert is_named(request)
    given = request.request_id
    assert uuid.UUID(given).version == 7
    assert is_named(request)
    assert request.request_id == given
    assert not is_named(auth_pb2.RefreshRequest())
    asked = order_service_pb2.GetRequestOutcomeRequest(client_order_id="mine")
    is_named(asked)
    assert asked.request_id == ""


def test_ids_tell_when_they_were_made() -> None:
    made = [uuid.UUID(request_id(now_ms)) for now_ms in (0, 1_700_000_000_000, (1 << 48) - 1)]
    assert [each.int >> 80 for each in made] == [0, 1_700_000_000_000, (1 << 48) - 1]
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert len({request_id() for _ in range(1000)}) == 1000


def test_an_error_carries_all_that_was_said() -> None:
    status = status_pb2.Status(message="slow down")
    for detail in (
        error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="venue", metadata={"bucket": "ORDER"}),
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="price", description="is no decimal")]
        ),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)),
    ):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    said = said_of("RESOURCE_EXHAUSTED", status)
    assert (said.reason, said.metadata, said.retry_after_s) == ("RATE_LIMITED", {"bucket": "ORDER"}, 2.0)
    assert said.violations == [FieldViolation("price", "is no decimal")]
    error: VenueError = OverLimit(said)
    assert str(error) == "slow down (RESOURCE_EXHAUSTED / RATE_LIMITED); price: is no decimal"
    assert 2.0 <= wait_s(error, 9, Patience()) <= 2.2


def test_waits_grow_to_their_bound() -> None:
    error = VenueError(said_of("UNAVAILABLE", status_pb2.Status()))
    patience = Patience(first_s=1, longest_s=4)
    assert all(0.5 <= wait_s(error, 0, patience) <= 1 for _ in range(50))
    assert all(2 <= wait_s(error, 30, patience) <= 4 for _ in range(50))
