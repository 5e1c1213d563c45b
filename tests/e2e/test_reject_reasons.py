"""Every reason there is, produced on the running venue through the gateway, over REST and over gRPC: placements that are
rejected, and changes and cancels that are refused with what stands against them (`b10`: semantics of orders).
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servers.domain.terms import MarketState, RejectReason
from tests.e2e.launching import Venue
from tests.e2e.operator import Operator, operating
from tests.e2e.people import balances, join
from tests.e2e.rejections import CASES, CHANGES, Stage
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Refused, Rest
from venue.order.v1 import order_pb2

ORDERS = "order.v1.OrderService"
# Of an order that rests no reason of these can come: they are about what a change cannot ask for.
NOT_OF_CHANGES = {
    "MARKET_HALTED": "the change itself is refused with it, as a cancel is",
    "MARKET_PRE_OPEN": "what rests is collected",
    "EXPIRE_TIME_PAST": "a change has none",
    "DUPLICATE_CLIENT_ORDER_ID": "it keeps its own",
    "TOO_MANY_OPEN_ORDERS": "it is one of them",
    "TRIGGER_PRICE_UNKNOWN": "it waited for it",
    "NO_LIQUIDITY": "it has a price",
    "NOT_FILLABLE": "it rests",
    "NOT_REDUCING": "a case of its own: it takes a position",
    "POST_ONLY_WOULD_TRADE": "a case of its own: it takes a post-only order",
}


@pytest.fixture(scope="module")
def operator(venue: Venue) -> Iterator[Operator]:
    with operating(venue) as made:
        yield made


@pytest.fixture(scope="module", params=["rest", "grpc"])
def stage(request: pytest.FixtureRequest, venue: Venue, rest: Rest, operator: Operator) -> Iterator[Stage]:
    """A market of its own for each way."""
    symbol = f"ETH-{request.param}{secrets.token_hex(2)}".upper()
    operator.define(symbol)
    native = Native(venue.target)
    way = rest if request.param == "rest" else native
    yield Stage(way, operator, symbol, join(rest, "taker"), join(rest, "maker"))
    native.close()


def test_every_reason_of_the_contract_has_its_case() -> None:
    named = {value.name.removeprefix("REJECT_REASON_") for value in order_pb2.RejectReason.DESCRIPTOR.values} - {
        "UNSPECIFIED"
    }
    assert {reason.name for reason in CASES} == named
    assert {reason.name for reason in CHANGES} | set(NOT_OF_CHANGES) == named


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name.lower())
def test_a_placement_is_rejected_for_it_and_nothing_is_changed(stage: Stage, reason: RejectReason) -> None:
    case = CASES[reason]
    with case.so(stage):
        before = balances(stage.way, stage.taker)
        rejected = stage.place(stage.taker, **case.changed)
        after = balances(stage.way, stage.taker)
    assert (rejected["status"], rejected["rejectReason"]) == ("ORDER_STATUS_REJECTED", f"REJECT_REASON_{reason.name}")
    assert after == before


@contextmanager
def an_order(stage: Stage, **changed: Any) -> Iterator[Json]:
    order = stage.place(stage.taker, **changed)
    assert order["status"] == "ORDER_STATUS_OPEN"
    yield order
    stage.cancel_all(stage.taker)


def refusal(stage: Stage, method: str, request: Json) -> Refused:
    with pytest.raises(Refused) as refused:
        stage.way.call(f"{ORDERS}.{method}", request, stage.taker.token)
    return refused.value


def check(refused: Refused, code: str, reason: str, subject: str = "", **metadata: str) -> None:
    """The code, ErrorInfo, and of what its state stands against the PreconditionFailure."""
    assert refused.said == (code, reason)
    info = next(detail for detail in refused.details if "domain" in detail)
    assert info["domain"] == "venue"
    assert metadata.items() <= info["metadata"].items()
    found = [detail["violations"] for detail in refused.details if "violations" in detail]
    if code != "FAILED_PRECONDITION":
        assert found == []
        return
    ((violation,),) = found
    assert (violation["type"], violation["subject"]) == (reason, subject)
    assert violation["description"]


@pytest.mark.parametrize("reason", CHANGES, ids=lambda reason: reason.name.lower())
def test_a_change_is_refused_for_what_would_reject_an_order(stage: Stage, reason: RejectReason) -> None:
    case = CHANGES[reason]
    # Away from the price at which a case lets others trade.
    with an_order(stage, price="99") as order:
        named = {"orderId": order["orderId"]}
        with case.so(stage):
            refused = refusal(stage, "AmendOrder", named | case.changed)
            now = stage.way.call(f"{ORDERS}.GetOrder", named, stage.taker.token)["order"]
    check(refused, "FAILED_PRECONDITION", "AMEND_REFUSED", order["orderId"], reject_reason=reason.name)
    assert (now["price"], now["quantity"], now["status"]) == (order["price"], order["quantity"], order["status"])


def test_a_change_of_a_post_only_order_that_would_trade_is_refused(stage: Stage) -> None:
    stage.place(stage.maker, side="SIDE_SELL", price="110")
    with an_order(stage, postOnly=True) as order:
        refused = refusal(stage, "AmendOrder", {"orderId": order["orderId"], "price": "110"})
    stage.cancel_all(stage.maker)
    check(refused, "FAILED_PRECONDITION", "AMEND_REFUSED", order["orderId"], reject_reason="POST_ONLY_WOULD_TRADE")


def test_a_reduce_only_order_is_not_changed_past_its_position(stage: Stage) -> None:
    stage.place(stage.maker, side="SIDE_SELL")
    stage.place(stage.taker, timeInForce="TIME_IN_FORCE_IOC")
    with an_order(stage, side="SIDE_SELL", price="200", reduceOnly=True) as order:
        refused = refusal(stage, "AmendOrder", {"orderId": order["orderId"], "quantity": "1.5"})
    stage.place(stage.maker)
    stage.place(stage.taker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")
    check(refused, "FAILED_PRECONDITION", "AMEND_REFUSED", order["orderId"], reject_reason="NOT_REDUCING")


@pytest.mark.parametrize("method", ["CancelOrder", "AmendOrder", "ReplaceOrder"])
def test_what_stands_against_cancels_and_changes_is_told(stage: Stage, method: str) -> None:
    """Not there, somebody else's, final, halted."""

    def request(order_id: str) -> Json:
        whole = stage.taker.order("BUY", "100", "2", symbol=stage.symbol)
        more: dict[str, Json] = {"AmendOrder": {"quantity": "2"}, "ReplaceOrder": {"order": whole}, "CancelOrder": {}}
        return {"orderId": order_id} | more[method]

    theirs = stage.place(stage.maker)["orderId"]
    final = stage.place(stage.taker, timeInForce="TIME_IN_FORCE_IOC", price="1")["orderId"]
    for order_id in ("2-999999999", theirs):
        check(refusal(stage, method, request(order_id)), "NOT_FOUND", "ORDER_NOT_FOUND", order_id=order_id)
    check(refusal(stage, method, request(final)), "FAILED_PRECONDITION", "ORDER_CLOSED", final, order_id=final)
    with an_order(stage) as order:
        stage.operator.state(stage.symbol, MarketState.HALTED)
        refused = refusal(stage, method, request(order["orderId"]))
        stage.operator.state(stage.symbol, MarketState.OPEN)
    stage.cancel_all(stage.maker)
    check(refused, "FAILED_PRECONDITION", "MARKET_HALTED", stage.symbol, symbol=stage.symbol)


def test_a_change_of_what_has_changed_or_is_filled_or_is_another_side_is_refused(stage: Stage) -> None:
    with an_order(stage, quantity="2") as order:
        named = {"orderId": order["orderId"]}
        changed = refusal(stage, "AmendOrder", named | {"quantity": "1.5", "expectedVersion": "1"})
        stage.place(stage.maker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")
        below = refusal(stage, "AmendOrder", named | {"quantity": "1"})
        other = stage.taker.order("SELL", "100", "2", symbol=stage.symbol)
        mismatched = refusal(stage, "ReplaceOrder", named | {"order": other})
    check(changed, "ABORTED", "ORDER_CHANGED", order_id=order["orderId"])
    check(below, "FAILED_PRECONDITION", "AMEND_BELOW_FILLED", "1", filled="1")
    check(mismatched, "FAILED_PRECONDITION", "REPLACE_MISMATCHED", order["orderId"])
