"""Orders that wait for a price: what triggers each type, what it then does, and in which order many go."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.errors import AmendRefused
from servers.domain.model import Order
from servers.domain.money import parse
from servers.domain.terms import AccountStatus, MarketState, OrderType, Side, TimeInForce, TriggerSource
from servers.domain.triggers import STALE_MAX
from tests.unit.domain.desk import MIDNIGHT_US, SYMBOL, Desk, Outcome, outcome, trades, units

BUY, SELL = Side.BUY, Side.SELL
STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT
PROFIT, PROFIT_LIMIT, TRAILING = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT, OrderType.TRAILING_STOP
MARK, INDEX = TriggerSource.MARK, TriggerSource.INDEX
WAITS = Outcome("PENDING_TRIGGER", "", "0", "1")


def desk_at(maker: str = "0", taker: str = "0") -> Desk:
    """Last price 100, bids for 10 at 90 and asks for 10 at 110 by cem."""
    desk = Desk(maker=maker, taker=taker)
    desk.print("100")
    desk.buy("cem", "10", "90")
    desk.sell("cem", "10", "110")
    return desk


def stamp_of(command: c.Command) -> tuple[int, int, str, str, bytes]:
    return command.sequence, command.time, command.user_id, command.request_id, command.fingerprint


def stop_price(order: Order) -> str:
    return units(order.stop_price)


@pytest.mark.parametrize(
    ("side", "kind", "stop", "not_yet", "met"),
    [
        (BUY, STOP, "105", "104.99", "105"),
        (BUY, STOP, "105", "104.99", "108"),
        (SELL, STOP, "95", "95.01", "95"),
        (SELL, STOP, "95", "95.01", "92"),
        (BUY, PROFIT, "95", "95.01", "95"),
        (SELL, PROFIT, "105", "104.99", "105"),
    ],
)
def test_a_market_type_trades_when_the_last_price_reaches_its_stop_price(
    side: Side, kind: OrderType, stop: str, not_yet: str, met: str
) -> None:
    desk = desk_at()
    order = desk.place("ann", side, "1", kind=kind, stop=stop)
    assert outcome(order) == WAITS
    desk.print(not_yet)
    assert outcome(order) == WAITS
    desk.print(met)
    assert outcome(order) == Outcome("FILLED", "", "1", "0")
    assert order.trigger_time == desk.now
    assert desk.balance("ann", "BTC")[1] == desk.balance("ann")[1] == "0"


@pytest.mark.parametrize(
    ("side", "kind", "stop", "price", "met", "level"),
    [
        (BUY, STOP_LIMIT, "105", "106", "105", "1 @ 106"),
        (SELL, STOP_LIMIT, "95", "94", "95", "1 @ 94"),
        (BUY, PROFIT_LIMIT, "95", "96", "95", "1 @ 96"),
        (SELL, PROFIT_LIMIT, "105", "104", "105", "1 @ 104"),
    ],
)
def test_a_limit_type_rests_at_its_limit(
    side: Side, kind: OrderType, stop: str, price: str, met: str, level: str
) -> None:
    desk = desk_at()
    order = desk.place("ann", side, "1", price, kind=kind, stop=stop)
    assert level not in desk.book(side)
    desk.print(met)
    assert outcome(order) == Outcome("OPEN", "", "0", "1")
    assert level in desk.book(side)
    desk.cancel(order)
    assert desk.balance("ann")[1] == desk.balance("ann", "BTC")[1] == "0"


@pytest.mark.parametrize("source", [MARK, INDEX])
def test_only_the_source_that_was_chosen_triggers(source: TriggerSource) -> None:
    desk = desk_at()
    desk.references(mark="100", index="100")
    order = desk.sell("ann", "1", stop="95", source=source)
    desk.print("92")
    desk.references(**{"mark" if source == INDEX else "index": "94"})
    assert outcome(order) == WAITS
    desk.references(**{"mark" if source == MARK else "index": "95"})
    assert outcome(order).status == "FILLED"


@pytest.mark.parametrize("source", [TriggerSource.LAST, MARK, INDEX])
def test_a_price_that_is_not_known_triggers_nothing(source: TriggerSource) -> None:
    order = Desk().sell("ann", "1", stop="95", source=source)
    assert outcome(order) == Outcome("REJECTED", "TRIGGER_PRICE_UNKNOWN", "0", "0")


def test_an_order_whose_price_has_come_already_is_triggered_at_once() -> None:
    desk = desk_at()
    assert outcome(desk.sell("ann", "1", stop="100")) == Outcome("FILLED", "", "1", "0")
    assert outcome(desk.buy("ann", "1", stop="90")).status == "FILLED"


@pytest.mark.parametrize(
    ("side", "terms", "path", "stops", "met"),
    [
        (SELL, {"trail": "5"}, ["103", "101", "104.5"], ["95", "98", "98", "99.5"], "99.5"),
        (BUY, {"trail": "5"}, ["97", "101", "95.5"], ["105", "102", "102", "100.5"], "100.5"),
        (SELL, {"percent": "10"}, ["101", "99", "102.34"], ["90", "90.9", "90.9", "92.1"], "92.1"),
        (BUY, {"percent": "0.01"}, ["99.99"], ["100.01", "100"], "100"),
        (SELL, {"trail": "200"}, ["101"], ["0.01", "0.01"], "0.01"),
    ],
)
def test_a_trailing_stop_follows_the_best_price(
    side: Side, terms: dict[str, str], path: list[str], stops: list[str], met: str
) -> None:
    desk = Desk()
    desk.print("100")
    order = desk.place("ann", side, "1", kind=TRAILING, **terms)
    seen = [stop_price(order)]
    for price in path:
        desk.print(price)
        seen.append(stop_price(order))
    assert seen == stops
    assert outcome(order) == WAITS
    desk.print(met)
    assert outcome(order) == Outcome("CANCELLED", "NO_LIQUIDITY", "0", "0")


def test_a_sweep_is_seen_from_its_first_price_to_its_last() -> None:
    desk = Desk()
    desk.print("100")
    falling = desk.sell("ann", "1", "97", stop="98")
    trailing = desk.sell("ann", "1", "90", kind=STOP_LIMIT, stop="91")
    rising = desk.buy("ann", "1", "90", stop="103")
    for price in ("98", "103"):
        desk.sell("ben", "1", price)
    desk.buy("cem", "2", "103")
    assert [outcome(order).status for order in (falling, rising, trailing)] == ["OPEN", "OPEN", "PENDING_TRIGGER"]


def test_nearest_stop_first_then_who_waits_longest() -> None:
    desk = desk_at()
    desk.buy("cem", "1", "95")
    far, near, late = (desk.sell("ann", "1", stop=stop) for stop in ("93", "94", "94"))
    events = desk.execute(desk.order("ben", SELL, "10", "90"))
    desk.buy("fay", "10", "92", kind=OrderType.LIMIT)
    assert trades(events)[:2] == ["1 @ 95", "9 @ 90"]
    assert [order.trigger_time > 0 for order in (near, late, far)] == [True] * 3
    ended = [e.order.number for e in events if hasattr(e, "order") and e.order in (far, near, late)]
    assert ended == [near.number, late.number, far.number]


def test_one_triggered_order_moves_the_price_to_the_next() -> None:
    desk = desk_at()
    for price in ("99", "98", "97"):
        desk.buy("ben", "1", price)
    chain = [desk.sell("ann", "1", stop=stop) for stop in ("99", "98", "97")]
    events = desk.execute(desk.order("cem", SELL, "1", "99"))
    assert trades(events) == ["1 @ 99", "1 @ 98", "1 @ 97", "1 @ 90"]
    assert [outcome(order).status for order in chain] == ["FILLED"] * 3


def test_triggers_wait_until_the_market_is_open() -> None:
    desk = desk_at()
    desk.references(mark="100")
    order, other = (desk.sell("ann", "1", stop=stop, source=MARK) for stop in ("95", "80"))
    for state in (MarketState.HALTED, MarketState.CANCEL_ONLY):
        desk.run(c.SetMarketState, SYMBOL, int(state))
        desk.references(mark="79")
        assert outcome(order) == WAITS
    desk.references(mark="90")
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    assert (outcome(order).status, outcome(other)) == ("FILLED", WAITS)


def test_a_waiting_sale_holds_its_base_and_a_purchase_its_worst_price() -> None:
    desk = desk_at(maker="0.001", taker="0.002")
    sale = desk.sell("ann", "1", stop="95")
    assert desk.balance("ann", "BTC") == ("999", "1")
    market, limit = desk.buy("ann", "1", stop="105"), desk.buy("ann", "1", "107", stop="105")
    assert desk.balance("ann")[1] == units(10521000000 + 10721400000, 8)
    for order in (sale, market, limit):
        desk.cancel(order)
    assert (desk.balance("ann"), desk.balance("ann", "BTC")[1]) == (("1000000", "0"), "0")


def test_a_purchase_takes_what_it_holds_and_what_is_free() -> None:
    desk = desk_at()
    desk.open("dee", usd="205", btc="0")
    order = desk.buy("dee", "2", stop="102")
    assert desk.balance("dee") == ("1", "204")
    desk.print("102")
    assert outcome(order) == Outcome("CANCELLED", "UNFILLED", "1.863", "0")
    assert desk.balance("dee") == ("0.07", "0")


def freeze(desk: Desk) -> None:
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.FROZEN))


def clear(desk: Desk) -> None:
    desk.run(c.CancelAllOrders, "demo-cem", "", 0, user="cem")


@pytest.mark.parametrize(
    ("reason", "terms"),
    [
        ("ACCOUNT_NOT_ACTIVE", {"stop": "95"}),
        ("NO_LIQUIDITY", {"stop": "95"}),
        ("NOT_FILLABLE", {"stop": "95", "life": TimeInForce.FOK, "quantity": "11"}),
        ("POST_ONLY_WOULD_TRADE", {"stop": "95", "price": "90", "post_only": True}),
    ],
)
def test_what_cannot_be_placed_any_more_ends(reason: str, terms: dict[str, str]) -> None:
    desk = desk_at()
    order = desk.sell("ann", terms.pop("quantity", "1"), **terms)
    if reason == "ACCOUNT_NOT_ACTIVE":
        freeze(desk)
    if reason == "NO_LIQUIDITY":
        clear(desk)
    desk.print("95")
    assert outcome(order) == Outcome("CANCELLED", reason, "0", "0")
    assert order.cancel_reason == 11
    assert desk.balance("ann", "BTC") == ("1000", "0")


def test_a_purchase_that_can_pay_for_nothing_any_more_ends() -> None:
    desk = desk_at()
    desk.open("dee", usd="0.1", btc="0")
    order = desk.buy("dee", "0.001", stop="100.5", life=TimeInForce.FOK)
    assert outcome(order).reason == "INSUFFICIENT_FUNDS"
    desk.open("gus", usd="0.1005", btc="0")
    order = desk.buy("gus", "0.001", stop="100.5")
    desk.print("100.5")
    assert outcome(order) == Outcome("CANCELLED", "INSUFFICIENT_FUNDS", "0", "0")
    assert desk.balance("gus") == ("0.1005", "0")


def test_a_waiting_order_is_cancelled_expires_and_has_its_label() -> None:
    desk = desk_at()
    order = desk.sell("ann", "1", stop="95", label="mine")
    assert outcome(desk.buy("ann", "1", "1", label="mine")).reason == "DUPLICATE_CLIENT_ORDER_ID"
    desk.run(c.CancelOrder, 0, "demo-ann", "mine", user="ann")
    assert outcome(order) == Outcome("CANCELLED", "REQUESTED", "0", "0")
    expiring = desk.sell("ann", "1", stop="95", life=TimeInForce.GTD, expires=MIDNIGHT_US + 10**6)
    assert desk.exchange.next_deadline() == MIDNIGHT_US + 10**6
    desk.advance(MIDNIGHT_US + 10**6)
    assert outcome(expiring).status == "EXPIRED"
    desk.sell("ann", "1", stop="95")
    desk.run(c.CancelAllOrders, "demo-ann", "", 0, user="ann")
    assert desk.exchange.floor.triggers.watches == {}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"stop": "95"}, {"stop": "97"}, ("97", "0", "1", "1")),
        ({"stop": "95"}, {"quantity": "0.5"}, ("95", "0", "0.5", "0.5")),
        ({"stop": "95", "price": "94"}, {"price": "93", "quantity": "2"}, ("95", "93", "2", "2")),
        ({"stop": "95", "price": "94"}, {"price": "94.001"}, "PRICE_OFF_TICK"),
        ({"stop": "95"}, {"stop": "100000.01"}, "PRICE_OUT_OF_RANGE"),
        ({"stop": "95"}, {"price": "94"}, "PRICE_OUT_OF_RANGE"),
        ({"trail": "5", "kind": TRAILING}, {"stop": "94"}, "PRICE_OUT_OF_RANGE"),
        ({"price": "120"}, {"stop": "94"}, "PRICE_OUT_OF_RANGE"),
        ({"stop": "95"}, {"quantity": "1001"}, "QUANTITY_TOO_LARGE"),
        ({"stop": "95", "quantity": "1"}, {"quantity": "100", "price": "0"}, ("95", "0", "100", "100")),
    ],
)
def test_a_waiting_order_is_amended(
    before: dict[str, Any], change: dict[str, str], after: tuple[str, ...] | str
) -> None:
    desk = desk_at()
    order = desk.sell("ann", before.pop("quantity", "1"), **before)
    price, quantity, stop = (parse(change.get(name, "0")) for name in ("price", "quantity", "stop"))
    terms = (order.number, "", "", price, quantity, 0, stop)
    if isinstance(after, str):
        with pytest.raises(AmendRefused) as refusal:
            desk.run(c.AmendOrder, *terms, user="ann")
        assert refusal.value.metadata["reject_reason"] == after
        return
    desk.run(c.AmendOrder, *terms, user="ann")
    held = desk.balance("ann", "BTC")[1]
    assert (stop_price(order), units(order.price), units(order.quantity), held) == after


def test_a_stop_price_that_is_moved_to_the_market_triggers() -> None:
    desk = desk_at()
    order = desk.sell("ann", "1", stop="95")
    desk.run(c.AmendOrder, order.number, "", "", 0, 0, 0, parse("100"), user="ann")
    assert outcome(order).status == "FILLED"


def test_a_waiting_order_is_replaced() -> None:
    desk = desk_at()
    desk.open("dee", btc="100")
    old = desk.sell("dee", "100", stop="95", label="mine")
    new = desk.order("dee", SELL, "90", stop="94", label="mine")
    desk.execute(c.ReplaceOrder(*stamp_of(new), old.number, new))
    placed = desk.exchange.ledger.accounts["demo-dee"].labels["mine"]
    assert (outcome(old).reason, outcome(placed).status, placed.parent_number) == (
        "REPLACED",
        "PENDING_TRIGGER",
        old.number,
    )
    assert desk.balance("dee", "BTC") == ("10", "90")


def test_a_market_where_nothing_waits_is_not_watched() -> None:
    desk = desk_at()
    order = desk.sell("ann", "1", stop="95")
    assert list(desk.exchange.floor.triggers.watches) == [(SYMBOL, int(TriggerSource.LAST))]
    desk.cancel(order)
    assert desk.exchange.floor.triggers.watches == {}


def test_trailing_stops_that_are_placed_and_cancelled_again_and_again_take_no_room() -> None:
    desk = Desk()
    desk.print("100")
    first = desk.sell("ann", "1", kind=TRAILING, trail="5")
    (watch,) = desk.exchange.floor.triggers.watches.values()
    for _ in range(3 * STALE_MAX):
        desk.cancel(desk.sell("ann", "1", kind=TRAILING, trail="4"))
        assert max(len(heap) for heaps in (watch.bests, watch.stops) for heap in heaps.values()) <= STALE_MAX + 4
    desk.print("103")
    assert outcome(first).status == "PENDING_TRIGGER"
    desk.print("98")
    assert outcome(first).status != "PENDING_TRIGGER"


def test_a_market_without_a_mark_price_is_marked_by_its_index() -> None:
    desk = desk_at()
    desk.references(index="100")
    stop, trail = (
        desk.sell("ann", "1", stop="95", source=MARK),
        desk.sell("ann", "1", trail="4", source=MARK, kind=TRAILING),
    )
    desk.references(index="103")
    assert stop_price(trail) == "99"
    desk.references(index="99")
    assert [outcome(order).status for order in (stop, trail)] == ["PENDING_TRIGGER", "FILLED"]
    # From its first mark price on that alone counts.
    desk.references(mark="100")
    desk.references(index="94")
    assert outcome(stop) == WAITS
    desk.references(mark="95", index="100")
    assert outcome(stop).status == "FILLED"
