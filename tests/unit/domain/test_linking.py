"""Orders that stand in for each other: one cancels the other, brackets, and what they hold together."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.errors import ListInvalid
from servers.domain.events import Event, OrderChanged
from servers.domain.identifiers import order_id
from servers.domain.model import Order
from servers.domain.money import parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, ListRole, MarketState, OrderType, Side, TimeInForce, TriggerSource
from tests.unit.domain.desk import MIDNIGHT_US, PARTITION, SYMBOL, Desk, Outcome, outcome, units

BUY, SELL = Side.BUY, Side.SELL
PROFIT = OrderType.TAKE_PROFIT
LINKED = Outcome("CANCELLED", "LINKED", "0", "0")


def waits(quantity: str) -> Outcome:
    return Outcome("PENDING_TRIGGER", "", "0", quantity)


def orders(events: list[Event]) -> list[Order]:
    return [event.order for event in events if isinstance(event, OrderChanged)]


def place_oco(desk: Desk, trader: str, side: Side, first: dict[str, Any], second: dict[str, Any]) -> list[Order]:
    both = desk.order(trader, side, **first), desk.order(trader, side, **second)
    desk.now -= 1
    head = both[0]
    stamp = (head.sequence, head.time, head.user_id, head.request_id, head.fingerprint)
    for order in both:
        order.sequence, order.time = head.sequence, head.time
    placed = orders(desk.execute(c.PlaceOco(*stamp, both)))
    return sorted((order for order in placed if order.number % 10**17 == head.sequence), key=lambda o: o.number)


def exit_at(stop: str, price: str = "", label: str = "", source: int = 0) -> c.ExitTerms:
    return c.ExitTerms(parse(stop), parse(price) if price else 0, source, label)


def desk_at(maker: str = "0", taker: str = "0") -> Desk:
    """Last price 100; cem bids for 10 at 90 and offers 10 at 110."""
    desk = Desk(maker=maker, taker=taker)
    desk.print("100")
    desk.buy("cem", "10", "90")
    desk.sell("cem", "10", "110")
    return desk


def exits(desk: Desk, entry: Order) -> list[Order]:
    """The open exits of an entry, the take-profit first."""
    mine = [order for order in entry.account.orders.values() if order.parent_number == entry.number]
    assert all(desk.exchange.floor.orders[order.number] is order for order in mine)
    return mine


LIMIT, STOP = {"quantity": "2", "price": "105"}, {"quantity": "2", "stop": "95"}


@pytest.mark.parametrize("swapped", [False, True])
def test_an_oco_holds_once_and_has_ids_of_its_own(swapped: bool) -> None:
    desk = desk_at()
    both = (STOP, LIMIT) if swapped else (LIMIT, STOP)
    first, second = place_oco(desk, "ann", SELL, *both)
    assert [outcome(order).status for order in (first, second)] == (
        ["PENDING_TRIGGER", "OPEN"] if swapped else ["OPEN", "PENDING_TRIGGER"]
    )
    assert desk.balance("ann", "BTC") == ("998", "2")
    assert order_id(2, second.number) == f"2-{first.number}.1"
    assert {order.list_number for order in (first, second)} == {first.number}
    assert {order.list_role for order in (first, second)} == {ListRole.OCO}


def test_a_trade_of_one_cancels_the_other_also_a_part() -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    desk.buy("ben", "0.5", "105")
    assert outcome(limit) == Outcome("PARTIALLY_FILLED", "", "0.5", "1.5")
    assert outcome(stop) == LINKED
    assert desk.balance("ann", "BTC") == ("998", "1.5")


def test_a_trigger_of_one_cancels_the_other() -> None:
    desk = desk_at()
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP)
    desk.print("95")
    assert outcome(stop) == Outcome("FILLED", "", "2", "0")
    assert outcome(limit) == LINKED
    assert "2 @ 105" not in desk.book(SELL)
    assert desk.balance("ann", "BTC") == ("998", "0")


@pytest.mark.parametrize("index", [0, 1])
def test_a_cancel_of_one_cancels_the_other(index: int) -> None:
    desk = desk_at()
    both = place_oco(desk, "ann", SELL, LIMIT, STOP)
    desk.cancel(both[index])
    assert outcome(both[index]).reason == "REQUESTED"
    assert outcome(both[1 - index]) == LINKED
    assert desk.balance("ann", "BTC") == ("1000", "0")


def test_everything_is_cancelled_once() -> None:
    desk = desk_at()
    place_oco(desk, "ann", SELL, LIMIT, STOP)
    events = desk.run(c.CancelAllOrders, "demo-ann", "", 0, user="ann")
    assert [outcome(order).reason for order in orders(events)] == ["REQUESTED", "LINKED"]
    place_oco(desk, "ann", SELL, LIMIT, STOP)
    desk.run(c.CancelAllAfter, "demo-ann", 1_000, user="ann")
    desk.advance(desk.now + 10_000)
    assert desk.exchange.ledger.accounts["demo-ann"].orders == {}


def test_one_that_expires_ends_the_other() -> None:
    desk = desk_at()
    expires = {"life": TimeInForce.GTD, "expires": MIDNIGHT_US + 10**6}
    limit, stop = place_oco(desk, "ann", SELL, LIMIT, STOP | expires)
    desk.advance(MIDNIGHT_US + 10**6)
    assert (outcome(stop).status, outcome(limit)) == ("EXPIRED", LINKED)


def test_a_limit_order_that_trades_at_once_goes_first() -> None:
    desk = desk_at()
    stop, limit = place_oco(desk, "ann", SELL, {"quantity": "2", "stop": "100"}, {"quantity": "2", "price": "90"})
    assert (outcome(limit).status, outcome(stop)) == ("FILLED", LINKED)
    stop, limit = place_oco(desk, "ben", SELL, {"quantity": "2", "stop": "100"}, LIMIT)
    assert (outcome(limit), outcome(stop).status) == (LINKED, "FILLED")


def test_purchases_hold_the_larger_of_both() -> None:
    desk = desk_at(taker="0.001")
    _, stop = place_oco(desk, "ann", BUY, {"quantity": "1", "price": "95"}, {"quantity": "1", "stop": "105"})
    assert desk.balance("ann") == ("999894.895", "105.105")
    desk.run(c.AmendOrder, stop.number, "", "", 0, 0, 0, parse("120"), user="ann")
    assert desk.balance("ann")[1] == "120.12"
    desk.run(c.AmendOrder, stop.number, "", "", 0, parse("0.5"), 0, 0, user="ann")
    assert desk.balance("ann")[1] == "95.095"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (LIMIT, STOP | {"stop": "95.001"}, "PRICE_OFF_TICK"),
        (LIMIT | {"price": "0.001"}, STOP, "PRICE_OFF_TICK"),
        (LIMIT | {"label": "same"}, STOP | {"label": "same"}, "DUPLICATE_CLIENT_ORDER_ID"),
        (LIMIT, STOP | {"source": TriggerSource.MARK}, "TRIGGER_PRICE_UNKNOWN"),
        (LIMIT | {"quantity": "100"}, STOP, "INSUFFICIENT_FUNDS"),
        (LIMIT, STOP | {"quantity": "100"}, "INSUFFICIENT_FUNDS"),
        (LIMIT | {"price": "90", "post_only": True}, STOP, "POST_ONLY_WOULD_TRADE"),
    ],
)
def test_both_are_rejected_for_the_first_reason(first: dict[str, Any], second: dict[str, Any], reason: str) -> None:
    desk = desk_at()
    desk.open("dee", btc="50")
    both = place_oco(desk, "dee", SELL, first, second)
    assert [outcome(order) for order in both] == [Outcome("REJECTED", reason, "0", "0")] * 2
    assert [order.list_number for order in both] == [0, 0]
    assert desk.balance("dee", "BTC") == ("50", "0")


@pytest.mark.parametrize(
    ("second", "field"),
    [
        (LIMIT, "orders"),
        ({"quantity": "1"}, "orders[1].type"),
        (STOP | {"life": TimeInForce.FOK}, "orders[1].time_in_force"),
        (STOP | {"symbol": "ETH-USD"}, "orders[1].symbol"),
        (STOP | {"profit": exit_at("80")}, "orders[1].take_profit"),
    ],
)
def test_orders_that_cannot_stand_in_for_each_other_are_refused(second: dict[str, Any], field: str) -> None:
    with pytest.raises(ListInvalid) as refusal:
        place_oco(desk_at(), "ann", SELL, LIMIT, second)
    assert refusal.value.violations[0].field == field


def bracket(desk: Desk, side: Side = BUY, quantity: str = "2", price: str = "110", **terms: Any) -> Order:
    far, near = ("120", "80") if side == BUY else ("80", "120")
    chosen = {"profit": exit_at(far), "loss": exit_at(near)} | terms
    return desk.place("ann", side, quantity, price, **chosen)


def test_an_entry_that_fills_brings_its_exits_to_life() -> None:
    desk = desk_at()
    entry = bracket(desk, profit=exit_at("120", "119", "up"), loss=exit_at("80", label="down"))
    assert outcome(entry).status == "FILLED"
    profit, loss = exits(desk, entry)
    assert [outcome(order) for order in (profit, loss)] == [waits("2")] * 2
    assert [(order.type, order.side, order.list_role, order.client_order_id) for order in (profit, loss)] == [
        (OrderType.TAKE_PROFIT_LIMIT, SELL, ListRole.TAKE_PROFIT, "up"),
        (OrderType.STOP, SELL, ListRole.STOP_LOSS, "down"),
    ]
    assert [order_id(2, order.number) for order in (profit, loss)] == [f"2-{entry.number}.{n}" for n in (1, 2)]
    assert {order.root_number for order in (profit, loss)} == {entry.number}
    assert desk.balance("ann", "BTC") == ("1000", "2")


def test_exits_grow_with_the_fills_and_hold_once() -> None:
    desk = desk_at()
    entry = bracket(desk, price="105", quantity="10", loss=exit_at("90"))
    assert exits(desk, entry) == []
    for filled in ("3", "4", "3"):
        desk.sell("ben", filled, "105")
    profit, loss = exits(desk, entry)
    assert [outcome(order) for order in (profit, loss)] == [waits("10")] * 2
    assert desk.balance("ann", "BTC") == ("1000", "10")
    desk.print("90")
    # cem's bid is a lot short.
    assert [outcome(order) for order in (profit, loss)] == [LINKED, Outcome("CANCELLED", "UNFILLED", "9.999", "0")]
    assert desk.balance("ann", "BTC") == ("1000.001", "0")


def test_an_entry_that_never_filled_has_no_exits() -> None:
    desk = desk_at()
    entry = bracket(desk, price="95")
    desk.cancel(entry)
    assert desk.exchange.floor.orders.keys() == {
        order.number for order in desk.exchange.ledger.accounts["demo-cem"].orders.values()
    }
    assert desk.balance("ann") == ("1000000", "0")


def test_an_entry_that_is_cancelled_keeps_the_exits_of_its_fills() -> None:
    desk = desk_at()
    entry = bracket(desk, price="105", quantity="10")
    desk.sell("ben", "3", "105")
    desk.cancel(entry)
    assert [outcome(order) for order in exits(desk, entry)] == [waits("3")] * 2


def test_a_triggered_exit_ends_its_twin_and_its_entry() -> None:
    desk = desk_at()
    entry = bracket(desk, price="105", quantity="10", profit=exit_at("108", "108"))
    desk.sell("ben", "3", "105")
    profit, loss = exits(desk, entry)
    desk.print("108")
    assert outcome(profit) == Outcome("OPEN", "", "0", "3")
    assert outcome(loss) == LINKED
    assert outcome(entry) == Outcome("CANCELLED", "LINKED", "3", "0")
    assert (desk.balance("ann")[1], desk.balance("ann", "BTC")[1]) == ("0", "3")


def test_an_exit_that_is_cancelled_leaves_the_other() -> None:
    desk = desk_at()
    entry = bracket(desk, price="105", quantity="10")
    desk.sell("ben", "3", "105")
    profit, loss = exits(desk, entry)
    desk.cancel(profit)
    desk.sell("ben", "2", "105")
    assert exits(desk, entry) == [loss]
    assert outcome(loss) == waits("5")
    assert desk.balance("ann", "BTC")[1] == "5"
    desk.cancel(loss)
    desk.sell("ben", "2", "105")
    assert exits(desk, entry) == []


def test_exits_that_buy_hold_what_the_sale_brought() -> None:
    desk = desk_at(taker="0.001")
    desk.open("dee", usd="0", btc="2")
    entry = desk.sell("dee", "2", "90", profit=exit_at("70"), loss=exit_at("110"))
    assert desk.balance("dee") == ("0", "179.82")
    _, loss = exits(desk, entry)
    desk.print("110")
    # 110 and its fee for what 179.82 pay for.
    assert outcome(loss) == Outcome("CANCELLED", "UNFILLED", "1.633", "0")
    assert desk.balance("dee")[1] == "0"


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"profit": exit_at("120.001")}, "PRICE_OFF_TICK"),
        ({"loss": exit_at("80", "100000.01")}, "PRICE_OUT_OF_RANGE"),
        ({"loss": exit_at("80", label="same"), "label": "same"}, "DUPLICATE_CLIENT_ORDER_ID"),
        ({"loss": exit_at("80", source=TriggerSource.INDEX)}, "TRIGGER_PRICE_UNKNOWN"),
    ],
)
def test_an_entry_is_rejected_for_its_exits(terms: dict[str, Any], reason: str) -> None:
    assert outcome(bracket(desk_at(), **terms)) == Outcome("REJECTED", reason, "0", "0")


def test_an_exit_whose_price_has_come_is_triggered_with_the_entry() -> None:
    desk = desk_at()
    entry = bracket(desk, loss=exit_at("110"), profit=exit_at("130"))
    assert exits(desk, entry) == []
    assert desk.balance("ann", "BTC") == ("1000", "0")


def test_a_waiting_entry_and_one_at_the_market_have_exits_too() -> None:
    desk = desk_at()
    waiting = bracket(desk, quantity="1", price="", stop="105")
    assert outcome(waiting) == waits("1")
    desk.print("105")
    at_market = bracket(desk, quantity="1", price="")
    assert [[outcome(order) for order in exits(desk, entry)] for entry in (waiting, at_market)] == [
        [waits("1")] * 2
    ] * 2


def test_a_label_that_was_taken_meanwhile_is_not_given_to_the_exit() -> None:
    desk = desk_at()
    entry = bracket(desk, price="95", profit=exit_at("120", label="mine"))
    desk.buy("ann", "1", "1", label="mine")
    desk.sell("ben", "2", "95")
    assert [order.client_order_id for order in exits(desk, entry)] == ["", ""]


def test_lists_survive_a_restart() -> None:
    desk = desk_at()
    place_oco(desk, "ann", SELL, LIMIT, STOP)
    place_oco(desk, "ben", BUY, {"quantity": "1", "price": "95"}, {"quantity": "1", "stop": "105"})
    entry = bracket(desk, price="104", quantity="10")
    desk.sell("cem", "3", "104")
    desk.cancel(exits(desk, entry)[0])
    again = load(PARTITION, Environment.DEMO, dump(desk.exchange), desk.exchange.request_memory)
    assert state_hash(again) == state_hash(desk.exchange)
    numbers = {number: [o.number for o in members] for number, members in desk.exchange.floor.links.lists.items()}
    assert {number: [o.number for o in members] for number, members in again.floor.links.lists.items()} == numbers
    assert [list(a.orders) for a in again.ledger.accounts.values()] == [
        list(a.orders) for a in desk.exchange.ledger.accounts.values()
    ]
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    assert units(entry.quantity) == "10"


def test_an_exit_that_cannot_be_placed_leaves_the_position_to_the_other() -> None:
    desk = Desk()
    desk.sell("ben", "2", "100")
    entry = desk.buy("ann", "5", "100", profit=exit_at("120", "120"), loss=exit_at("95"))
    profit, loss = exits(desk, entry)
    desk.cancel(entry)
    # There is nobody to sell to.
    desk.print("95")
    assert outcome(loss) == Outcome("CANCELLED", "NO_LIQUIDITY", "0", "0")
    assert outcome(profit) == waits("2")
    assert desk.balance("ann", "BTC")[1] == "2"
    desk.print("120")
    assert outcome(profit) == Outcome("OPEN", "", "0", "2")


def test_the_entry_ends_with_an_exit_that_cannot_be_placed() -> None:
    desk = Desk()
    desk.references(index="100")
    desk.sell("ben", "2", "100")
    entry = desk.buy("ann", "5", "100", profit=exit_at("120", "120"), loss=exit_at("95", source=3))
    profit, loss = exits(desk, entry)
    desk.references(index="95")
    assert outcome(loss).reason == "NO_LIQUIDITY"
    assert outcome(entry) == Outcome("CANCELLED", "LINKED", "2", "0")
    assert outcome(profit) == waits("2")
    assert (desk.balance("ann")[1], desk.balance("ann", "BTC")[1]) == ("0", "2")
