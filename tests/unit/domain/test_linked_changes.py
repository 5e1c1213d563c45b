"""Changing orders that stand in for each other: what they hold together right after, and what a bracket's exits cover."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AmendBelowFilled, AmendRefused
from servers.domain.model import Order
from servers.domain.money import parse
from servers.domain.terms import Side
from tests.unit.domain.desk import Desk, Outcome, outcome, units
from tests.unit.domain.test_linking import (
    BUY,
    LIMIT,
    LINKED,
    SELL,
    STOP,
    bracket,
    desk_at,
    exit_at,
    exits,
    place_oco,
    waits,
)
from tests.unit.domain.test_replace import replace

SCALE = 8
# Of a purchase that is one of two: 95 and its fee of a thousandth, or 105 and its fee.
LOWER, HIGHER = {"quantity": "1", "price": "95"}, {"quantity": "1", "stop": "105"}


def amend(desk: Desk, order: Order, *, quantity: str = "", price: str = "", stop: str = "") -> None:
    given = [parse(text) if text else 0 for text in (price, quantity)]
    desk.run(c.AmendOrder, order.number, "", "", *given, 0, parse(stop) if stop else 0, user=order.account.user_id)


def held(*orders: Order) -> list[str]:
    """What each holds by itself."""
    return [units(order.held, SCALE) for order in orders]


@pytest.mark.parametrize("swapped", [False, True])
def test_sales_hold_the_larger_quantity_after_each_change_of_either(swapped: bool) -> None:
    desk = desk_at()
    both = place_oco(desk, "ann", SELL, *((STOP, LIMIT) if swapped else (LIMIT, STOP)))
    stop, limit = both if swapped else both[::-1]
    for order, change, together in (
        (limit, {"quantity": "3"}, "3"),
        (limit, {"price": "107"}, "3"),
        (stop, {"quantity": "5"}, "5"),
        (stop, {"stop": "93"}, "5"),
        (limit, {"quantity": "1"}, "5"),
        (stop, {"quantity": "0.5"}, "1"),
        (limit, {"quantity": "0.2", "price": "106"}, "0.5"),
    ):
        amend(desk, order, **change)
        assert held(*both) == [together, "0"], change
        assert desk.balance("ann", "BTC") == (units(1_000 * 10**18 - parse(together)), together), change
    assert [outcome(limit), outcome(stop)] == [Outcome("OPEN", "", "0", "0.2"), waits("0.5")]
    assert desk.book(SELL) == ["0.2 @ 106", "10 @ 110"]
    desk.buy("ben", "0.1", "106")
    assert (outcome(stop), held(limit)) == (LINKED, ["0.1"])
    assert desk.balance("ann", "BTC") == ("999.8", "0.1")


def test_purchases_hold_the_dearer_after_each_change_of_either() -> None:
    desk = desk_at(taker="0.001")
    limit, stop = place_oco(desk, "ann", BUY, LOWER, HIGHER)
    for order, change, together in (
        (limit, {"price": "99"}, "105.105"),
        (limit, {"quantity": "2"}, "198.198"),
        (stop, {"quantity": "3"}, "315.315"),
        (stop, {"stop": "102"}, "306.306"),
        (stop, {"quantity": "1", "stop": "101"}, "198.198"),
        (limit, {"quantity": "1", "price": "98"}, "101.101"),
    ):
        amend(desk, order, **change)
        assert held(limit, stop) == [together, "0"], change
        assert desk.balance("ann") == (units(10**24 - parse(together)), together), change
    assert desk.book(BUY) == ["1 @ 98", "10 @ 90"]
    desk.cancel(stop)
    assert (outcome(limit), desk.balance("ann")) == (LINKED, ("1000000", "0"))


def test_what_both_hold_already_counts_towards_what_one_needs() -> None:
    desk = desk_at(taker="0.001")
    desk.open("dee", usd="200")
    limit, stop = place_oco(desk, "dee", BUY, LOWER, HIGHER)
    amend(desk, limit, quantity="2", price="99")
    assert desk.balance("dee") == ("1.802", "198.198")
    for order, change in (
        (limit, {"price": "99.91"}),
        (limit, {"quantity": "2.02"}),
        (stop, {"stop": "199.81"}),
        (stop, {"quantity": "1.91"}),
    ):
        with pytest.raises(AmendRefused) as refused:
            amend(desk, order, **change)
        assert refused.value.metadata["reject_reason"] == "INSUFFICIENT_FUNDS"
    assert held(limit, stop) == ["198.198", "0"]
    assert [outcome(limit), outcome(stop)] == [Outcome("OPEN", "", "0", "2"), waits("1")]
    amend(desk, stop, stop="199.8")
    assert desk.balance("dee") == ("0.0002", "199.9998")


@pytest.mark.parametrize(("quantity", "after", "rest"), [("2", "FILLED", "0"), ("12", "PARTIALLY_FILLED", "2")])
def test_one_that_is_amended_into_the_book_trades_and_ends_the_other(quantity: str, after: str, rest: str) -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    amend(desk, limit, quantity=quantity, price="90")
    assert (outcome(limit).status, outcome(limit).remaining, outcome(stop)) == (after, rest, LINKED)
    filled = parse(quantity) - parse(rest)
    assert desk.balance("ann", "BTC") == (units(1_000 * 10**18 - filled - parse(rest)), rest)
    assert desk.balance("ann") == (units(10**24 + 90 * filled), "0")


def test_one_whose_amended_stop_price_has_come_is_triggered_and_ends_the_other() -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    amend(desk, stop, quantity="3", stop="100")
    assert [outcome(stop), outcome(limit)] == [Outcome("FILLED", "", "3", "0"), LINKED]
    assert desk.balance("ann", "BTC") == ("997", "0")
    assert desk.book(SELL) == ["10 @ 110"]


def test_one_that_is_replaced_ends_the_other_and_one_whose_successor_would_be_rejected_does_not() -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    with pytest.raises(AmendRefused):
        replace(desk, limit, "ann", SELL, "2", "105.001")
    assert [outcome(limit), outcome(stop)] == [Outcome("OPEN", "", "0", "2"), waits("2")]
    assert (held(limit, stop), desk.balance("ann", "BTC")) == (["2", "0"], ("998", "2"))
    new = replace(desk, limit, "ann", SELL, "3", "106")
    assert new is not None
    assert [outcome(order).reason for order in (limit, stop)] == ["REPLACED", "LINKED"]
    assert (new.list_number, held(new), desk.balance("ann", "BTC")) == (0, ["3"], ("997", "3"))


def test_exits_cover_what_a_purchase_filled_before_and_after_it_was_amended() -> None:
    desk = desk_at(maker="0.0005", taker="0.001")
    entry = bracket(desk, quantity="10", price="105", profit=exit_at("120"), loss=exit_at("90"))

    def stands(filled: str, rest: str, of_entry: str) -> None:
        profit, loss = exits(desk, entry)
        assert (outcome(entry).filled, outcome(entry).remaining) == (filled, rest)
        assert [outcome(order) for order in (profit, loss)] == [waits(filled)] * 2
        assert held(entry, profit, loss) == [of_entry, filled, "0"]
        assert (desk.balance("ann")[1], desk.balance("ann", "BTC")[1]) == (of_entry, filled)

    desk.sell("ben", "3", "105")
    stands("3", "7", "735.735")
    amend(desk, entry, quantity="6")
    stands("3", "3", "315.315")
    amend(desk, entry, quantity="8", price="104")
    stands("3", "5", "520.52")
    with pytest.raises(AmendBelowFilled):
        amend(desk, entry, quantity="3")
    desk.sell("ben", "2", "104")
    stands("5", "3", "312.312")
    # What an amend itself trades, at the maker's price.
    amend(desk, entry, quantity="6", price="110")
    profit, loss = exits(desk, entry)
    assert [outcome(order) for order in (entry, profit, loss)] == [
        Outcome("FILLED", "", "6", "0"),
        waits("6"),
        waits("6"),
    ]
    assert (desk.balance("ann"), desk.balance("ann", "BTC")) == (("999366.6285", "0"), ("1000", "6"))


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_entry_that_was_amended_and_cancelled_leaves_exits_for_what_it_filled(side: Side) -> None:
    desk = desk_at(maker="0.0005", taker="0.001")
    buys = side == BUY
    entry = bracket(desk, side, "10", "105" if buys else "95", loss=exit_at("90" if buys else "110"))
    desk.place("ben", SELL if buys else BUY, "3", "105" if buys else "95")
    amend(desk, entry, quantity="8", price="104" if buys else "96")
    desk.place("ben", SELL if buys else BUY, "2", "104" if buys else "96")
    desk.cancel(entry)
    profit, loss = exits(desk, entry)
    assert outcome(entry) == Outcome("CANCELLED", "REQUESTED", "5", "0")
    assert [outcome(order) for order in (profit, loss)] == [waits("5")] * 2
    # A purchase's exits sell the five; a sale's spend what it brought: 3 at 95 and 2 at 96, less a fee of 0.2385.
    usd, btc = ("999476.7385", "1000") if buys else ("1000000", "995")
    assert held(entry, profit, loss) == ["0", "5" if buys else "476.7615", "0"]
    assert [desk.balance("ann"), desk.balance("ann", "BTC")] == [
        (usd, "0" if buys else "476.7615"),
        (btc, "5" if buys else "0"),
    ]
    desk.cancel(profit)
    assert held(loss) == ["5" if buys else "476.7615"]
    desk.cancel(loss)
    assert [desk.balance("ann")[1], desk.balance("ann", "BTC")[1]] == ["0", "0"]
    assert desk.exchange.ledger.accounts["demo-ann"].orders == {}


def test_an_entry_that_is_replaced_leaves_exits_for_what_it_filled() -> None:
    desk = desk_at()
    entry = bracket(desk, quantity="10", price="105")
    desk.sell("ben", "3", "105")
    new = replace(desk, entry, "ann", BUY, "8", "104")
    assert new is not None
    desk.sell("ben", "2", "104")
    # The new order names the entry as its parent too.
    profit, loss = (order for order in exits(desk, entry) if order is not new)
    assert [outcome(order) for order in (profit, loss, new)] == [
        waits("3"),
        waits("3"),
        Outcome("PARTIALLY_FILLED", "", "2", "3"),
    ]
    assert (desk.balance("ann")[1], desk.balance("ann", "BTC")) == ("312", ("1002", "3"))


def test_what_takes_the_place_of_one_takes_that_of_both() -> None:
    desk = desk_at()
    desk.buy("ann", "2", "110")
    both = place_oco(
        desk,
        "ann",
        SELL,
        {**LIMIT, "label": "up", "reduce_only": True},
        {**STOP, "label": "down", "reduce_only": True},
    )
    desk.limit("demo-ann", orders=2, position="300")
    # The position, the labels, the number of orders and the funds of both are free.
    new = replace(desk, both[1], "ann", SELL, "2", "106", label="up", reduce_only=True)
    assert new is not None
    assert [outcome(order) for order in (new, *both)] == [
        Outcome("OPEN", "", "0", "2"),
        LINKED,
        Outcome("CANCELLED", "REPLACED", "0", "0"),
    ]
    assert list(desk.exchange.ledger.accounts["demo-ann"].orders) == [new.number]


def test_the_limits_do_not_count_what_would_be_gone() -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    desk.limit("demo-ann", position="220")
    # Two at 110 are as much as there may be; the two that rest end with the stop.
    new = replace(desk, stop, "ann", SELL, "2", "107")
    assert new is not None
    assert (outcome(new).status, outcome(limit)) == ("OPEN", LINKED)


def test_an_exit_covers_no_more_than_was_filled() -> None:
    desk = desk_at()
    entry = bracket(desk, price="105", quantity="10")
    desk.sell("ben", "3", "105")
    profit, loss = exits(desk, entry)
    for change in ({"quantity": "3.001"}, {"quantity": "9", "stop": "81"}):
        with pytest.raises(AmendRefused) as refused:
            amend(desk, loss, **change)
        assert refused.value.metadata["reject_reason"] == "QUANTITY_TOO_LARGE"
    amend(desk, loss, quantity="1", stop="81")
    desk.sell("ben", "2", "105")
    assert [outcome(order) for order in (profit, loss)] == [waits("5"), waits("3")]
