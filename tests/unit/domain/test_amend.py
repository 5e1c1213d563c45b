"""Amending an order: what keeps its place, what loses it, what is refused and then changes nothing."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AmendBelowFilled, AmendRefused, MarketHalted, OrderHasChanged, OrderNotFound
from servers.domain.events import Event
from servers.domain.model import Order
from servers.domain.money import parse
from servers.domain.terms import AccountStatus, MarketState, Side
from tests.unit.domain.desk import SYMBOL, Desk, Outcome, outcome, trades


def amend(desk: Desk, order: Order, quantity: str = "", price: str = "", version: int = 0) -> list[Event]:
    numbers = parse(price) if price else 0, parse(quantity) if quantity else 0
    return desk.run(c.AmendOrder, order.number, "", "", *numbers, version, user=order.account.user_id)


def queue(desk: Desk) -> list[int]:
    """The orders of the best bid, oldest first."""
    level = desk.exchange.floor.books[SYMBOL].side(Side.BUY).top
    assert level is not None
    numbers, order = [], level.first
    while order is not None:
        numbers.append(order.number)
        order = order.after
    return numbers


@pytest.mark.parametrize(
    ("quantity", "price", "keeps"),
    [("1", "", True), ("2", "", True), ("2", "100", True), ("2.001", "", False), ("1", "100", True)],
)
def test_only_what_makes_an_order_smaller_keeps_its_place(quantity: str, price: str, keeps: bool) -> None:
    desk = Desk()
    first, second = desk.buy("ann", "2", "100"), desk.buy("ben", "1", "100")
    amend(desk, first, quantity, price)
    numbers = [first.number, second.number]
    assert queue(desk) == (numbers if keeps else numbers[::-1])
    assert first.priority == (first.number if keeps else first.update_sequence)


def test_another_price_and_back_again_loses_the_place() -> None:
    desk = Desk()
    first, second = desk.buy("ann", "2", "100"), desk.buy("ben", "1", "100")
    amend(desk, first, price="99")
    assert desk.book(Side.BUY) == ["1 @ 100", "2 @ 99"]
    amend(desk, first, price="100")
    assert (queue(desk), desk.book(Side.BUY)) == ([second.number, first.number], ["3 @ 100"])


def test_a_hold_follows_the_order() -> None:
    desk = Desk(taker="0.001")
    order = desk.buy("ann", "2", "100")
    assert desk.balance("ann") == ("999799.8", "200.2")
    amend(desk, order, "1")
    assert desk.balance("ann") == ("999899.9", "100.1")
    amend(desk, order, "3", "50")
    assert desk.balance("ann") == ("999849.85", "150.15")


def test_an_order_amended_into_the_other_side_trades_as_a_taker() -> None:
    desk = Desk(taker="0.001")
    desk.sell("ben", "1.5", "101")
    order = desk.buy("ann", "2", "100")
    assert trades(amend(desk, order, price="102")) == ["1.5 @ 101"]
    assert outcome(order) == Outcome("PARTIALLY_FILLED", "", "1.5", "0.5")
    assert desk.book(Side.BUY) == ["0.5 @ 102"]
    assert order.fee_charged == 15_150_000


def test_an_order_that_an_amend_fills_is_gone() -> None:
    desk = Desk()
    desk.sell("ben", "2", "101")
    order = desk.buy("ann", "2", "100", label="mine")
    amend(desk, order, price="101")
    assert (outcome(order).status, desk.balance("ann")) == ("FILLED", ("999798", "0"))
    assert outcome(desk.buy("ann", "1", "100", label="mine")).status == "OPEN"


def test_the_quantity_counts_what_is_filled() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100")
    desk.sell("ben", "0.5", "100")
    for quantity in ("0.4", "0.5"):
        with pytest.raises(AmendBelowFilled) as refused:
            amend(desk, order, quantity)
        assert refused.value.metadata == {"order_id": f"2-{order.number}", "filled": "0.5", "removed": "0"}
    amend(desk, order, "0.6")
    assert outcome(order) == Outcome("PARTIALLY_FILLED", "", "0.5", "0.1")


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("", "100.001", "PRICE_OFF_TICK"),
        ("", "100000.01", "PRICE_OUT_OF_RANGE"),
        ("1.0001", "", "QUANTITY_OFF_LOT"),
        ("101", "", "QUANTITY_TOO_LARGE"),
        ("", "101", "POST_ONLY_WOULD_TRADE"),
        ("90", "100.99", ""),
    ],
)
def test_what_would_be_rejected_is_refused(quantity: str, price: str, reason: str) -> None:
    desk = Desk()
    desk.sell("ben", "1", "101")
    order = desk.buy("ann", "2", "100", post_only=True)
    if not reason:
        amend(desk, order, quantity, price)
        return
    with pytest.raises(AmendRefused) as refused:
        amend(desk, order, quantity, price)
    assert refused.value.metadata["reject_reason"] == reason
    assert (outcome(order).status, desk.book(Side.BUY)) == ("OPEN", ["2 @ 100"])


def test_what_an_order_holds_already_counts_towards_what_it_needs() -> None:
    desk = Desk()
    desk.open("dee", usd="300")
    order = desk.buy("dee", "2", "100")
    amend(desk, order, "3")
    assert desk.balance("dee") == ("0", "300")
    with pytest.raises(AmendRefused) as refused:
        amend(desk, order, "3.001")
    assert refused.value.metadata["reject_reason"] == "INSUFFICIENT_FUNDS"


def test_a_change_meant_for_another_version_is_refused() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100")
    desk.sell("ben", "0.5", "100")
    with pytest.raises(OrderHasChanged) as refused:
        amend(desk, order, "1", version=order.number)
    assert refused.value.code == "ABORTED"
    amend(desk, order, "1", version=order.update_sequence)
    assert outcome(order).remaining == "0.5"


def test_where_nothing_is_placed_an_order_may_only_get_smaller() -> None:
    desk = Desk()
    first, second = desk.buy("ann", "2", "100"), desk.buy("ben", "2", "100")
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.CANCEL_ONLY))
    desk.run(c.SetAccountStatus, "demo-ben", int(AccountStatus.FROZEN))
    for order, reason in ((first, "MARKET_CANCEL_ONLY"), (second, "ACCOUNT_NOT_ACTIVE")):
        with pytest.raises(AmendRefused) as refused:
            amend(desk, order, price="99")
        assert refused.value.metadata["reject_reason"] == reason
        amend(desk, order, "1")
        assert outcome(order).remaining == "1"
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    with pytest.raises(MarketHalted):
        amend(desk, first, "0.5")


def test_self_trade_prevention_holds_for_an_amended_order_too() -> None:
    desk = Desk()
    desk.sell("ann", "1", "101")
    order = desk.buy("ann", "2", "100")
    amend(desk, order, price="101")
    assert outcome(order) == Outcome("CANCELLED", "SELF_TRADE", "0", "0")
    assert desk.balance("ann") == ("1000000", "0")


def test_an_order_is_amended_by_its_label_and_by_its_owner_only() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100", label="mine")
    desk.run(c.AmendOrder, 0, "demo-ann", "mine", 0, parse("1"), 0, user="ann")
    assert outcome(order).remaining == "1"
    with pytest.raises(OrderNotFound):
        desk.run(c.AmendOrder, order.number, "", "", 0, parse("0.5"), 0, user="ben")
