"""Orders and cancels that make no sense: each is answered with the one right reason, and leaves everything as it was."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.launching import Venue
from tests.e2e.people import Person, balances, inside, join
from tests.e2e.probe import Victim
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Refused, Rest, Way

ORDERS = "order.v1.OrderService"
# Quiet: nobody else trades there, so what rests there is the test's own.
QUIET = "SOL-USD"


@pytest.fixture(scope="module")
def frank(rest: Rest) -> Person:
    return join(rest, "frank")


@pytest.fixture(scope="module", params=["rest", "grpc"])
def way(request: pytest.FixtureRequest, venue: Venue, rest: Rest) -> Iterator[Way]:
    """The same over REST and over gRPC."""
    if request.param == "rest":
        yield rest
        return
    native = Native(venue.target)
    yield native
    native.close()


def order(person: Person, **changed: Any) -> Json:
    made = person.order("BUY", "10", "1", symbol=QUIET) | changed
    return {name: value for name, value in made.items() if value is not None}


def place(rest: Way, person: Person, **changed: Any) -> Json:
    found: Json = rest.call(f"{ORDERS}.PlaceOrder", order(person, **changed), person.token)["order"]
    return found


def refused(rest: Way, method: str, request: Json, token: str) -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        rest.call(f"{ORDERS}.{method}", request, token)
    return refusal.value.said


MARKET = {"type": "ORDER_TYPE_MARKET", "timeInForce": "TIME_IN_FORCE_IOC", "price": None}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"symbol": "BTC-USD-PERP"}, "MARKET_HALTED"),
        ({"price": "10.0001"}, "PRICE_OFF_TICK"),
        ({"price": "1.000000001"}, "PRICE_OFF_TICK"),
        ({"price": "100000000.001"}, "PRICE_OUT_OF_RANGE"),
        ({"quantity": "1.001"}, "QUANTITY_OFF_LOT"),
        ({"quantity": "1.000000000000000001"}, "QUANTITY_OFF_LOT"),
        ({"quantity": "100000.01"}, "QUANTITY_TOO_LARGE"),
        ({"quantity": "999999999999999999"}, "QUANTITY_TOO_LARGE"),
        ({"price": "1000", "quantity": "100000"}, "INSUFFICIENT_FUNDS"),
        ({"side": "SIDE_SELL"}, "INSUFFICIENT_FUNDS"),
        ({"timeInForce": "TIME_IN_FORCE_FOK"}, "NOT_FILLABLE"),
        (MARKET | {"symbol": "AAPL-USD"}, "NO_LIQUIDITY"),
        (MARKET | {"symbol": "AAPL-USD", "quantity": None, "quoteAmount": "0.00000001"}, "NO_LIQUIDITY"),
        ({"timeInForce": "TIME_IN_FORCE_GTD", "expireTime": "2001-01-01T00:00:00Z"}, "EXPIRE_TIME_PAST"),
        ({"reduceOnly": True}, "NOT_REDUCING"),
        (
            {"symbol": "AAPL-USD", "type": "ORDER_TYPE_STOP", "price": None, "stopPrice": "10"},
            "TRIGGER_PRICE_UNKNOWN",
        ),
        # Of two faults the one whose check comes first is told.
        ({"price": "10.0001", "quantity": "1.001"}, "PRICE_OFF_TICK"),
        ({"symbol": "BTC-USD-PERP", "price": "10.01"}, "MARKET_HALTED"),
    ],
)
def test_an_order_is_rejected_for_its_first_fault(
    way: Way, rest: Rest, frank: Person, changed: Json, reason: str
) -> None:
    before = balances(rest, frank)
    rejected = place(way, frank, **changed)
    assert (rejected["status"], rejected["rejectReason"]) == ("ORDER_STATUS_REJECTED", f"REJECT_REASON_{reason}")
    assert (rejected["filledQuantity"], rejected["remainingQuantity"]) == ("0", "0")
    assert balances(rest, frank) == before


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"price": None}, "price"),
        ({"quantity": None}, "quantity"),
        ({"quoteAmount": "5"}, "quantity"),
        (MARKET | {"price": "10"}, "price"),
        (MARKET | {"timeInForce": "TIME_IN_FORCE_GTC"}, "time_in_force"),
        (MARKET | {"postOnly": True}, "post_only"),
        ({"postOnly": True, "timeInForce": "TIME_IN_FORCE_IOC"}, "post_only"),
        ({"timeInForce": "TIME_IN_FORCE_GTD"}, "expire_time"),
        ({"expireTime": "2001-01-01T00:00:00Z"}, "expire_time"),
        ({"stopPrice": "10"}, "stop_price"),
        ({"side": None}, "side"),
        ({"type": None}, "type"),
        ({"timeInForce": None}, "time_in_force"),
    ],
)
def test_fields_that_contradict_each_other_are_named(way: Way, frank: Person, changed: Json, field: str) -> None:
    with pytest.raises(Refused) as refusal:
        place(way, frank, **changed)
    assert refusal.value.said == ("INVALID_ARGUMENT", "INVALID_FIELD")
    if isinstance(way, Rest):
        assert f'"field":"{field}"' in refusal.value.text.replace(" ", "")


def test_a_label_is_unique_among_open_orders(way: Way, rest: Rest, frank: Person) -> None:
    first = place(way, frank, clientOrderId="mine")
    second = place(way, frank, clientOrderId="mine")
    assert second["rejectReason"] == "REJECT_REASON_DUPLICATE_CLIENT_ORDER_ID"
    rest.call(f"{ORDERS}.CancelOrder", {"orderId": first["orderId"]}, frank.token)
    again = place(rest, frank, clientOrderId="mine")
    assert again["status"] == "ORDER_STATUS_OPEN"
    rest.call(f"{ORDERS}.CancelOrder", {"orderId": again["orderId"]}, frank.token)


def test_nobody_trades_with_oneself(rest: Rest, frank: Person, venue: Venue) -> None:
    with venue.paused("bot"):
        here = {"symbol": "ETH-USD", "price": inside(rest), "quantity": "0.01"}
        resting = place(rest, frank, side="SIDE_SELL", **here)
        incoming = place(rest, frank, **here)
    assert (incoming["status"], incoming["cancelReason"], incoming["filledQuantity"]) == (
        "ORDER_STATUS_CANCELLED",
        "CANCEL_REASON_SELF_TRADE",
        "0",
    )
    cancelled = rest.call(f"{ORDERS}.CancelOrder", {"orderId": resting["orderId"]}, frank.token)["order"]
    assert cancelled["filledQuantity"] == "0"


def test_a_cancel_needs_an_open_order_of_ones_own(way: Way, frank: Person, victim: Victim) -> None:
    closed = place(way, frank)
    named = {"orderId": closed["orderId"]}
    way.call(f"{ORDERS}.CancelOrder", named, frank.token)
    twice = refused(way, "CancelOrder", named, frank.token)
    assert twice == ("FAILED_PRECONDITION", "ORDER_CLOSED")
    unknown = ("NOT_FOUND", "ORDER_NOT_FOUND")
    for order_id in (victim.order_id, "2-999999999", "1-1", "9-1", "0-0", "2--1", "2-1e3", "nonsense"):
        assert refused(way, "CancelOrder", {"orderId": order_id}, frank.token) == unknown


def test_an_amend_below_what_is_filled_is_refused(way: Way, rest: Rest, frank: Person, venue: Venue) -> None:
    other = join(rest, "grete")
    with venue.paused("bot"):
        here = {"symbol": "ETH-USD", "price": inside(rest)}
        resting = place(way, frank, side="SIDE_SELL", quantity="0.03", **here)
        taken = place(way, other, side="SIDE_BUY", quantity="0.02", timeInForce="TIME_IN_FORCE_IOC", **here)
        assert taken["status"] == "ORDER_STATUS_FILLED"
        named = {"orderId": resting["orderId"]}
        below = refused(way, "AmendOrder", named | {"quantity": "0.01"}, frank.token)
        rest.call(f"{ORDERS}.CancelOrder", named, frank.token)
    assert below == ("FAILED_PRECONDITION", "AMEND_BELOW_FILLED")


def test_a_rejected_order_cannot_be_cancelled(rest: Rest, frank: Person) -> None:
    rejected = place(rest, frank, price="10.0001")
    named = {"orderId": rejected["orderId"]}
    assert refused(rest, "CancelOrder", named, frank.token) == ("FAILED_PRECONDITION", "ORDER_CLOSED")


def test_an_unknown_market_or_account_is_not_found(rest: Rest, frank: Person, victim: Victim) -> None:
    elsewhere = order(frank, symbol="NO-SUCH")
    assert refused(rest, "PlaceOrder", elsewhere, frank.token) == ("NOT_FOUND", "MARKET_NOT_FOUND")
    for account_id in (victim.person.account_id, "demo-1", "live-1", "venue:paper", "venue:fees"):
        theirs = order(frank, accountId=account_id)
        assert refused(rest, "PlaceOrder", theirs, frank.token) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
