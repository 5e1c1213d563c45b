"""Every reason there is, produced on the running venue through the gateway, over REST and over gRPC: placements that are
rejected, changes and replacements that are refused for what would reject an order, and cancels with what stands against them
(`b10`: semantics of orders). Whatever is refused leaves orders and balances as they were.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import ANY

import pytest

from servers.domain.errors import MarketClosed
from servers.domain.terms import MarketState, RejectReason
from tests.e2e.launching import Venue
from tests.e2e.operator import Operator, operating
from tests.e2e.people import balances, join
from tests.e2e.rejections import (
    CASES,
    CHANGES,
    CHANGES_OF_A_STOP,
    FIRSTS,
    FOK,
    MARKET,
    NOT_OF_CHANGES,
    REPLACEMENTS,
    SECONDS,
    STOP,
    TWO,
    VARIANTS,
    Case,
    Stage,
    market_is,
    session,
    traded_at_a_price,
)
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Refused, Rest
from venue.order.v1 import order_pb2

ORDERS = "order.v1.OrderService"
REJECTED = "ORDER_STATUS_REJECTED"
PLACEMENTS = [*CASES.items(), *VARIANTS]


@pytest.fixture(scope="module")
def operator(venue: Venue) -> Iterator[Operator]:
    with operating(venue) as made:
        yield made


def own_market(operator: Operator) -> str:
    symbol = f"T{secrets.token_hex(3).upper()}-USD"
    operator.define(symbol)
    return symbol


@pytest.fixture(scope="module", params=["rest", "grpc"])
def stage(request: pytest.FixtureRequest, venue: Venue, rest: Rest, operator: Operator) -> Iterator[Stage]:
    """A market of its own for each way."""
    symbol = own_market(operator)
    native = Native(venue.target)
    way = rest if request.param == "rest" else native
    people = join(rest, "taker"), join(rest, "maker")
    for person in people:
        operator.grant(person.account_id, symbol.partition("-")[0], "100")
    yield Stage(way, operator, symbol, *people)
    native.close()


def test_every_reason_of_the_contract_has_its_case() -> None:
    named = {value.name.removeprefix("REJECT_REASON_") for value in order_pb2.RejectReason.DESCRIPTOR.values} - {
        "UNSPECIFIED"
    }
    assert {reason.name for reason in CASES} == named
    assert {reason.name for reason in CHANGES} | set(NOT_OF_CHANGES) == named
    assert {reason.name for reason in [*FIRSTS, *SECONDS]} | {"NO_LIQUIDITY", "NOT_FILLABLE"} == named
    assert {reason.name for reason in REPLACEMENTS} | {"MARKET_HALTED"} == named


@pytest.mark.parametrize(("reason", "case"), PLACEMENTS, ids=[reason.name.lower() for reason, _ in PLACEMENTS])
def test_a_placement_is_rejected_for_it_and_nothing_is_changed(stage: Stage, reason: RejectReason, case: Case) -> None:
    with case.so(stage):
        before = balances(stage.way, stage.taker)
        rejected = stage.place(stage.taker, **case.changed)
        after = balances(stage.way, stage.taker)
    assert (rejected["status"], rejected["rejectReason"]) == (REJECTED, f"REJECT_REASON_{reason.name}")
    assert after == before


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name.lower())
def test_a_preview_shows_the_check_that_a_placement_fails_by_itself_and_in_a_batch(
    stage: Stage, reason: RejectReason
) -> None:
    case = CASES[reason]
    order, name = stage.order(stage.taker, **case.changed), f"REJECT_REASON_{reason.name}"
    with case.so(stage):
        before = balances(stage.way, stage.taker)
        previewed = stage.way.call(f"{ORDERS}.PreviewOrder", {"order": order}, stage.taker.token)
        placed = stage.way.call(f"{ORDERS}.PlaceOrder", order, stage.taker.token)
        batch = stage.way.call(f"{ORDERS}.PlaceOrders", {"orders": [order, order]}, stage.taker.token)["results"]
        after = balances(stage.way, stage.taker)
    # What an expiry has to be after is the moment, which is another for each.
    moment = {"limit": ANY} if reason == RejectReason.EXPIRE_TIME_PAST else {}
    failed = next(check for check in previewed["checks"] if not check["passed"]) | moment
    assert (failed["check"], previewed["order"]["rejectReason"]) == (name, name)
    for each in (placed, *(result["placed"] for result in batch)):
        assert (each["order"]["status"], each["order"]["rejectReason"]) == (REJECTED, name)
        assert each["failedCheck"] == failed
    assert after == before


@pytest.mark.parametrize(("reason", "case"), PLACEMENTS, ids=[reason.name.lower() for reason, _ in PLACEMENTS])
def test_a_session_rejects_for_it_too_and_goes_on(stage: Stage, venue: Venue, reason: RejectReason, case: Case) -> None:
    """Bidirectional streams are not for REST: whoever called so before trades by a session here."""
    commands: list[Json] = [
        {"correlationId": "1", "place": stage.order(stage.taker, **case.changed)},
        {"correlationId": "2", "place": stage.order(stage.taker, symbol="NO-SUCH")},
    ]
    with case.so(stage):
        before = balances(stage.way, stage.taker)
        answers = session(venue.target, stage.taker, commands)
        after = balances(stage.way, stage.taker)
    rejected, refused = answers["1"]["placed"], answers["2"]["error"]
    assert (rejected["order"]["status"], rejected["order"]["rejectReason"]) == (
        REJECTED,
        f"REJECT_REASON_{reason.name}",
    )
    assert rejected["failedCheck"]["check"] == f"REJECT_REASON_{reason.name}"
    assert "MARKET_NOT_FOUND" in {detail.get("reason") for detail in refused["details"]}
    assert after == before


@contextmanager
def an_order(stage: Stage, **changed: Any) -> Iterator[Json]:
    order = stage.place(stage.taker, **changed)
    assert order["status"] in {"ORDER_STATUS_OPEN", "ORDER_STATUS_PENDING_TRIGGER"}
    yield order
    stage.cancel_all(stage.taker)


OF_TWO = [*((0, reason, case) for reason, case in FIRSTS.items()), *((1, *item) for item in SECONDS.items())]


@pytest.mark.parametrize(
    ("which", "reason", "case"),
    OF_TWO,
    ids=[f"{('first', 'second')[n]}-{reason.name.lower()}" for n, reason, _ in OF_TWO],
)
def test_of_two_of_which_one_cancels_the_other_both_are_rejected(
    stage: Stage, which: int, reason: RejectReason, case: Case
) -> None:
    changes = [dict(each) for each in TWO]
    changes[which] |= case.changed
    both = {"orders": [stage.order(stage.taker, **each) for each in changes]}
    with traded_at_a_price(stage), case.so(stage):
        before = balances(stage.way, stage.taker)
        orders = stage.way.call(f"{ORDERS}.PlaceOco", both, stage.taker.token)["orders"]
        after = balances(stage.way, stage.taker)
    assert [(order["status"], order["rejectReason"]) for order in orders] == [
        (REJECTED, f"REJECT_REASON_{reason.name}")
    ] * 2
    assert after == before


@pytest.mark.parametrize(("offered", "reason"), [("1", "NO_LIQUIDITY"), ("1.5", "NOT_FILLABLE")])
def test_an_order_that_is_triggered_and_could_not_be_placed_says_why(stage: Stage, offered: str, reason: str) -> None:
    """What triggers it takes one of what is offered."""
    before = balances(stage.way, stage.taker)
    with traded_at_a_price(stage):
        waiting = stage.place(stage.taker, **STOP, timeInForce=FOK)
        assert waiting["status"] == "ORDER_STATUS_PENDING_TRIGGER"
        stage.place(stage.maker, side="SIDE_SELL", price="150", quantity=offered)
        stage.place(stage.taker, price="150", timeInForce="TIME_IN_FORCE_IOC")
        named = {"orderId": waiting["orderId"]}
        found = stage.way.call(f"{ORDERS}.GetOrder", named, stage.taker.token)["order"]
        held = {asset: balance["held"] for asset, balance in balances(stage.way, stage.taker).items()}
        stage.cancel_all(stage.maker)
        stage.place(stage.maker)
        stage.place(stage.taker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")
    assert (found["status"], found["cancelReason"], found["rejectReason"]) == (
        "ORDER_STATUS_CANCELLED",
        "CANCEL_REASON_TRIGGER_REJECTED",
        f"REJECT_REASON_{reason}",
    )
    assert held == {asset: balance["held"] for asset, balance in before.items()}


class Tried(NamedTuple):
    """A refusal of what names an open order; that order, and what its owner has and holds, before and after."""

    order_id: str
    refused: Refused
    before: tuple[Json, dict[str, Json]]
    after: tuple[Json, dict[str, Json]]


def try_to(stage: Stage, method: str, order: Json, request: Json) -> Tried:
    named = {"orderId": order["orderId"]}

    def state() -> tuple[Json, dict[str, Json]]:
        # Of an open order and of balances the engine itself answers: nothing has to be waited for.
        found = stage.way.call(f"{ORDERS}.GetOrder", named, stage.taker.token)["order"]
        return found, balances(stage.way, stage.taker)

    before = state()
    return Tried(order["orderId"], refusal(stage, method, named | request), before, state())


def check_amend_refused(tried: Tried, reason: RejectReason) -> None:
    """That it was refused for the reason, and the order rests and everything is held as it was."""
    check(tried.refused, "FAILED_PRECONDITION", "AMEND_REFUSED", tried.order_id, reject_reason=reason.name)
    assert tried.before[0]["remainingQuantity"] != "0"
    assert tried.after == tried.before


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
    with an_order(stage, price="99") as order, case.so(stage):
        tried = try_to(stage, "AmendOrder", order, case.changed)
    check_amend_refused(tried, reason)


@pytest.mark.parametrize("reason", CHANGES, ids=lambda reason: reason.name.lower())
def test_in_a_batch_a_change_is_refused_for_the_same_reason(stage: Stage, reason: RejectReason) -> None:
    case = CHANGES[reason]
    with an_order(stage, price="99") as order, case.so(stage):
        item = {"orderId": order["orderId"]} | case.changed
        before = balances(stage.way, stage.taker)
        results = stage.way.call(f"{ORDERS}.AmendOrders", {"amendments": [item, item]}, stage.taker.token)["results"]
        after = balances(stage.way, stage.taker)
    assert [list(result) for result in results] == [["error"]] * 2
    for result in results:
        info = next(detail for detail in result["error"]["details"] if "domain" in detail)
        assert (info["reason"], info["metadata"]["reject_reason"]) == ("AMEND_REFUSED", reason.name)
    assert after == before


@pytest.mark.parametrize("reason", CHANGES_OF_A_STOP, ids=lambda reason: reason.name.lower())
def test_a_change_of_an_order_that_waits_is_refused_for_what_would_reject_it(
    stage: Stage, reason: RejectReason
) -> None:
    case = CHANGES_OF_A_STOP[reason]
    # It waits for a price that is known.
    with traded_at_a_price(stage), an_order(stage, **STOP) as order, case.so(stage):
        tried = try_to(stage, "AmendOrder", order, case.changed)
    check_amend_refused(tried, reason)


@pytest.mark.parametrize("reason", REPLACEMENTS, ids=lambda reason: reason.name.lower())
def test_an_order_is_not_replaced_by_one_that_would_be_rejected(stage: Stage, reason: RejectReason) -> None:
    case = REPLACEMENTS[reason]
    wanted = stage.order(stage.taker, **case.changed)
    with an_order(stage, price="99", clientOrderId="mine") as order, case.so(stage):
        tried = try_to(stage, "ReplaceOrder", order, {"order": wanted})
    check_amend_refused(tried, reason)


def test_a_replacement_is_of_the_whole_and_what_is_left_of_it_may_be_too_small(stage: Stage) -> None:
    with an_order(stage, quantity="2") as order:
        stage.place(stage.maker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")
        for changed, reason in (
            ({"quantity": "1.01"}, RejectReason.QUANTITY_TOO_SMALL),
            ({"quantity": "1001.01"}, RejectReason.QUANTITY_TOO_LARGE),
            ({"quantity": "999", "price": "101"}, RejectReason.INSUFFICIENT_FUNDS),
        ):
            wanted = stage.order(stage.taker, **changed)
            tried = try_to(stage, "ReplaceOrder", order, {"order": wanted})
            check_amend_refused(tried, reason)
    stage.place(stage.maker)
    stage.place(stage.taker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")


def test_a_change_of_a_post_only_order_that_would_trade_is_refused(stage: Stage) -> None:
    stage.place(stage.maker, side="SIDE_SELL", price="110")
    with an_order(stage, postOnly=True) as order:
        tried = try_to(stage, "AmendOrder", order, {"price": "110"})
    stage.cancel_all(stage.maker)
    check_amend_refused(tried, RejectReason.POST_ONLY_WOULD_TRADE)


def test_a_post_only_order_is_not_changed_while_its_market_collects_orders(stage: Stage) -> None:
    with an_order(stage, postOnly=True) as order, market_is(MarketState.PRE_OPEN)(stage):
        tried = try_to(stage, "AmendOrder", order, {"price": "101"})
    check_amend_refused(tried, RejectReason.MARKET_PRE_OPEN)


def test_a_reduce_only_order_is_not_changed_past_its_position(stage: Stage) -> None:
    stage.place(stage.maker, side="SIDE_SELL")
    stage.place(stage.taker, timeInForce="TIME_IN_FORCE_IOC")
    with an_order(stage, side="SIDE_SELL", price="200", reduceOnly=True) as order:
        tried = try_to(stage, "AmendOrder", order, {"quantity": "1.5"})
    stage.place(stage.maker)
    stage.place(stage.taker, side="SIDE_SELL", timeInForce="TIME_IN_FORCE_IOC")
    check_amend_refused(tried, RejectReason.NOT_REDUCING)


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


def test_a_market_that_was_closed_for_good_has_cancelled_its_orders_and_takes_none(
    stage: Stage, operator: Operator
) -> None:
    """Of a market of its own: there is no way back."""
    ended = replace(stage, symbol=own_market(operator))
    for person in (ended.taker, ended.maker):
        operator.grant(person.account_id, ended.symbol.partition("-")[0], "100")
    free = balances(stage.way, stage.taker)
    order = ended.place(stage.taker)
    assert (order["status"], balances(stage.way, stage.taker) == free) == ("ORDER_STATUS_OPEN", False)
    operator.state(ended.symbol, MarketState.CLOSED)
    named = {"orderId": order["orderId"]}
    now = stage.way.call(f"{ORDERS}.GetOrder", named, stage.taker.token)["order"]
    assert (now["status"], now["cancelReason"]) == ("ORDER_STATUS_CANCELLED", "CANCEL_REASON_MARKET_CLOSED")
    wanted = ended.order(stage.taker)
    kinds: list[Json] = [
        {},
        MARKET,
        STOP,
        {"timeInForce": "TIME_IN_FORCE_IOC"},
        {"postOnly": True},
        {"side": "SIDE_SELL"},
    ]
    for changed in kinds:
        rejected = ended.place(stage.taker, **changed)
        assert (rejected["status"], rejected["rejectReason"]) == (REJECTED, "REJECT_REASON_MARKET_CLOSED"), changed
    both = {"orders": [wanted, ended.order(stage.taker, **STOP)]}
    placed = stage.way.call(f"{ORDERS}.PlaceOco", both, stage.taker.token)["orders"]
    assert [each["rejectReason"] for each in placed] == ["REJECT_REASON_MARKET_CLOSED"] * 2
    previewed = stage.way.call(f"{ORDERS}.PreviewOrder", {"order": wanted}, stage.taker.token)["order"]
    assert previewed["rejectReason"] == "REJECT_REASON_MARKET_CLOSED"
    for method, more in (("CancelOrder", {}), ("AmendOrder", {"quantity": "2"}), ("ReplaceOrder", {"order": wanted})):
        refused = refusal(stage, method, named | more)
        check(refused, "FAILED_PRECONDITION", "ORDER_CLOSED", order["orderId"], order_id=order["orderId"])
    with pytest.raises(MarketClosed):
        operator.state(ended.symbol, MarketState.OPEN)
    assert balances(stage.way, stage.taker) == free
