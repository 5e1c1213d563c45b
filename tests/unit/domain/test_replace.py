"""Putting another order in an order's place: both or neither, and nothing is bought twice."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AmendRefused, MarketHalted, ReplaceMismatched, VenueError
from servers.domain.model import Order
from servers.domain.terms import MarketState, Side
from tests.unit.domain.desk import SYMBOL, Desk, Outcome, outcome


def replace(
    desk: Desk, old: Order, trader: str, side: Side, quantity: str, price: str, **terms: object
) -> Order | None:
    order = desk.order(trader, side, quantity, price, **terms)  # type: ignore[arg-type]
    stamp = order.sequence, order.time, order.user_id, order.request_id, order.fingerprint
    desk.execute(c.ReplaceOrder(*stamp, old.number, order))
    return desk.exchange.floor.orders.get(order.sequence)


def test_the_new_order_gets_what_the_old_one_left() -> None:
    desk = Desk()
    old = desk.buy("ann", "2", "100", label="mine")
    desk.sell("ben", "0.5", "100")
    new = replace(desk, old, "ann", Side.BUY, "3", "99", label="mine")
    assert new is not None
    assert outcome(old) == Outcome("CANCELLED", "REPLACED", "0.5", "0")
    assert (outcome(new), new.parent_number, new.root_number) == (
        Outcome("OPEN", "", "0", "2.5"),
        old.number,
        old.number,
    )
    third = replace(desk, new, "ann", Side.BUY, "1", "98")
    assert third is not None
    assert (third.parent_number, third.root_number) == (new.number, old.number)
    assert desk.book(Side.BUY) == ["1 @ 98"]


def test_when_nothing_is_left_the_old_order_is_only_cancelled() -> None:
    desk = Desk()
    old = desk.buy("ann", "2", "100")
    desk.sell("ben", "1.5", "100")
    assert replace(desk, old, "ann", Side.BUY, "1", "100") is None
    assert (outcome(old), desk.book(Side.BUY)) == (Outcome("CANCELLED", "REQUESTED", "1.5", "0"), [])


def test_the_new_order_may_use_the_old_one_s_funds() -> None:
    desk = Desk()
    desk.open("dee", usd="200")
    old = desk.buy("dee", "2", "100")
    assert replace(desk, old, "dee", Side.BUY, "4", "50") is not None
    assert desk.balance("dee") == ("0", "200")


@pytest.mark.parametrize(
    ("side", "quantity", "price", "refusal", "reason"),
    [
        (Side.SELL, "1", "100", ReplaceMismatched, ""),
        (Side.BUY, "2", "100.001", AmendRefused, "PRICE_OFF_TICK"),
        (Side.BUY, "100.6", "100", AmendRefused, "QUANTITY_TOO_LARGE"),
        (Side.BUY, "100", "99999", AmendRefused, "INSUFFICIENT_FUNDS"),
    ],
)
def test_an_order_that_would_be_rejected_leaves_the_old_one(
    side: Side, quantity: str, price: str, refusal: type[VenueError], reason: str
) -> None:
    desk = Desk()
    old = desk.buy("ann", "2", "100")
    desk.sell("ben", "0.5", "100")
    with pytest.raises(refusal) as refused:
        replace(desk, old, "ann", side, quantity, price)
    assert refused.value.metadata.get("reject_reason", "") == reason
    assert (outcome(old).remaining, desk.book(Side.BUY)) == ("1.5", ["1.5 @ 100"])


def test_in_a_halted_market_nothing_takes_a_place() -> None:
    desk = Desk()
    old = desk.buy("ann", "2", "100")
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    with pytest.raises(MarketHalted):
        replace(desk, old, "ann", Side.BUY, "1", "100")


@pytest.mark.parametrize(
    ("display", "reason"), [("5", "QUANTITY_TOO_LARGE"), ("6", "QUANTITY_TOO_LARGE"), ("3.0001", "QUANTITY_OFF_LOT")]
)
def test_an_iceberg_that_is_none_takes_no_place(display: str, reason: str) -> None:
    """The lot is 0.001. Nothing is shown that was to be hidden."""
    desk = Desk()
    old = desk.buy("ann", "5", "100", display="1")
    with pytest.raises(AmendRefused) as refused:
        replace(desk, old, "ann", Side.BUY, "5", "99", display=display)
    assert refused.value.metadata["reject_reason"] == reason
    assert (outcome(old).status, desk.book(Side.BUY)) == ("OPEN", ["1 @ 100"])


def test_what_is_left_of_an_iceberg_is_shown_whole_where_it_is_less_than_was_to_be_shown() -> None:
    desk = Desk()
    old = desk.buy("ann", "5", "100", display="3")
    desk.sell("ben", "3.5", "100")
    new = replace(desk, old, "ann", Side.BUY, "5", "99", display="3")
    assert new is not None
    assert (outcome(new).remaining, new.display_quantity, desk.book(Side.BUY)) == ("1.5", 0, ["1.5 @ 99"])
    with pytest.raises(AmendRefused):
        replace(desk, new, "ann", Side.BUY, "5", "99", display="5")
