"""Reduce-only orders: never more than the position, cut as it shrinks."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AmendRefused
from servers.domain.money import parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, OrderType, TimeInForce
from tests.unit.domain.desk import PARTITION, SYMBOL, Desk, Outcome, outcome


def long(quantity: str = "5") -> Desk:
    """Ann has bought from ben at 100."""
    desk = Desk()
    desk.sell("ben", quantity, "100")
    desk.buy("ann", quantity, "100")
    return desk


def test_without_a_position_or_on_its_side_it_is_rejected() -> None:
    desk = long()
    assert outcome(desk.buy("ann", "1", "90", reduce_only=True)).reason == "NOT_REDUCING"
    assert outcome(desk.sell("cem", "1", "110", reduce_only=True)).reason == "NOT_REDUCING"
    assert outcome(desk.sell("ben", "1", "110", reduce_only=True)).reason == "NOT_REDUCING"


def test_it_is_cut_to_what_others_leave_of_the_position() -> None:
    desk = long()
    first, second = desk.sell("ann", "3", "110", reduce_only=True), desk.sell("ann", "3", "111", reduce_only=True)
    assert (outcome(first).remaining, outcome(second).remaining) == ("3", "2")
    assert second.quantity == 2 * 10**18
    assert outcome(desk.sell("ann", "1", "112", reduce_only=True)).reason == "NOT_REDUCING"
    assert desk.balance("ann", "BTC")[1] == "5"


def test_a_market_order_closes_the_position_and_no_more() -> None:
    desk = long()
    desk.buy("cem", "20", "99")
    assert outcome(desk.sell("ann", "7", reduce_only=True)) == Outcome("FILLED", "", "5", "0")
    assert desk.exchange.ledger.accounts["demo-ann"].positions[SYMBOL].lots == 0


def test_resting_ones_shrink_with_the_position_the_youngest_first() -> None:
    desk = long()
    old, young = desk.sell("ann", "3", "110", reduce_only=True), desk.sell("ann", "2", "109", reduce_only=True)
    desk.buy("cem", "20", "99")
    desk.sell("ann", "1", "99")
    assert (outcome(old).remaining, outcome(young).remaining) == ("3", "1")
    desk.sell("ann", "2", "99")
    assert (outcome(old).remaining, outcome(young)) == ("2", Outcome("CANCELLED", "NOT_REDUCING", "0", "0"))
    desk.sell("ann", "4", "99")
    assert outcome(old) == Outcome("CANCELLED", "NOT_REDUCING", "0", "0")
    assert desk.balance("ann", "BTC")[1] == "0"


def test_a_walk_through_the_book_takes_no_more_than_the_position() -> None:
    desk = Desk()
    desk.buy("cem", "5", "100")
    desk.sell("ann", "5", "100")
    desk.buy("ann", "4", "99")
    reducing = desk.buy("ann", "5", "98", reduce_only=True)
    desk.buy("cem", "10", "97")
    taken = desk.sell("ben", "8", "97")
    assert outcome(taken) == Outcome("FILLED", "", "8", "0")
    assert outcome(reducing) == Outcome("CANCELLED", "NOT_REDUCING", "1", "0")
    assert desk.exchange.ledger.accounts["demo-ann"].positions[SYMBOL].lots == 0


def test_an_amend_may_not_grow_it_past_the_position() -> None:
    desk = long()
    order = desk.sell("ann", "3", "110", reduce_only=True)
    with pytest.raises(AmendRefused) as refused:
        desk.run(c.AmendOrder, order.number, "", "", 0, parse("6"), 0)
    assert refused.value.metadata["reject_reason"] == "NOT_REDUCING"
    desk.run(c.AmendOrder, order.number, "", "", parse("109"), parse("5"), 0)
    assert outcome(order).remaining == "5"


def test_a_waiting_one_is_cut_when_it_is_triggered() -> None:
    desk = long()
    stop = desk.sell("ann", "9", kind=OrderType.STOP, stop="95", reduce_only=True)
    empty = desk.sell("ben", "1", kind=OrderType.STOP, stop="95", reduce_only=True)
    desk.buy("ben", "20", "94")
    desk.buy("cem", "1", "95")
    desk.sell("ben", "1", "95", life=TimeInForce.IOC)
    assert outcome(stop) == Outcome("FILLED", "", "5", "0")
    assert outcome(empty).status == "CANCELLED"


def test_a_loaded_machine_knows_them() -> None:
    desk = long()
    desk.sell("ann", "3", "110", reduce_only=True)
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)
    assert len(loaded.ledger.accounts["demo-ann"].positions[SYMBOL].reducing) == 1


def test_a_stop_goes_before_what_rests_when_its_price_comes() -> None:
    desk = long()
    old, young = desk.sell("ann", "3", "110", reduce_only=True), desk.sell("ann", "2", "111", reduce_only=True)
    stop = desk.sell("ann", "4", stop="95", reduce_only=True)
    desk.buy("cem", "3", "94")
    desk.print("95")
    # All that there was to trade with; what is left of the position is still covered.
    assert outcome(stop) == Outcome("CANCELLED", "UNFILLED", "3", "0")
    assert (outcome(old).remaining, outcome(young)) == ("2", Outcome("CANCELLED", "NOT_REDUCING", "0", "0"))


def test_what_rests_gives_way_to_what_is_left_of_a_stop() -> None:
    desk = long()
    old, young = desk.sell("ann", "3", "110", reduce_only=True), desk.sell("ann", "2", "111", reduce_only=True)
    stop = desk.sell("ann", "9", "94", stop="95", reduce_only=True)
    desk.buy("cem", "1", "94")
    desk.print("95")
    # It is of the whole position, no more: one is sold, four rest.
    assert outcome(stop) == Outcome("PARTIALLY_FILLED", "", "1", "4")
    assert [outcome(order).reason for order in (old, young)] == ["NOT_REDUCING"] * 2
    assert desk.balance("ann", "BTC")[1] == "4"


def test_a_stop_that_fills_by_itself_leaves_of_the_others_what_is_left_of_the_position() -> None:
    desk = long()
    profit = desk.sell("ann", "5", "110", reduce_only=True)
    stop = desk.sell("ann", "2", stop="95", reduce_only=True)
    desk.buy("cem", "9", "94")
    desk.print("95")
    assert (outcome(stop).status, outcome(profit).remaining) == ("FILLED", "3")
