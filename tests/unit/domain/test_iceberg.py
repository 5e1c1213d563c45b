"""Icebergs: what they show, when they show more, and what that does to everybody's place in the queue."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.events import Event, LevelChanged, Traded
from servers.domain.model import Order
from servers.domain.money import parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, SelfTradePrevention, Side, TimeInForce
from tests.unit.domain.desk import PARTITION, Desk, Outcome, outcome, units

OLDEST, DECREMENT = SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.DECREMENT_AND_CANCEL


def trades(desk: Desk, command: c.Command) -> list[str]:
    """The trades of a command, as `quantity of maker`, makers numbered by the order they were placed in."""
    return told(desk.execute(command))


def told(events: list[Event]) -> list[str]:
    return [f"{units(e.lots * e.market.lot_size)} of {e.maker.tag}" for e in events if isinstance(e, Traded)]


def asks(desk: Desk, *offers: tuple[str, str, str]) -> list[Order]:
    """Offers of ben at 100: tag, quantity, display quantity."""
    return [desk.sell("ben", quantity, "100", tag=tag, display=display) for tag, quantity, display in offers]


def test_a_book_shows_a_part_and_everything_is_held() -> None:
    desk = Desk()
    order = desk.sell("ben", "10", "100", display="2")
    assert (desk.book(Side.SELL), desk.balance("ben", "BTC")) == (["2 @ 100"], ("990", "10"))
    assert outcome(order) == Outcome("OPEN", "", "0", "10")
    desk.buy("ann", "1.5", "100")
    assert (desk.book(Side.SELL), outcome(order).remaining) == (["0.5 @ 100"], "8.5")
    desk.buy("ann", "0.5", "100")
    assert (desk.book(Side.SELL), outcome(order).remaining) == (["2 @ 100"], "8")


def test_what_is_shown_anew_queues_behind_those_who_were_there() -> None:
    desk = Desk()
    asks(desk, ("ice", "5", "2"), ("plain", "3", ""))
    assert trades(desk, desk.order("ann", Side.BUY, "2", "100")) == ["2 of ice"]
    assert trades(desk, desk.order("ann", Side.BUY, "4", "100")) == ["3 of plain", "1 of ice"]
    asks(desk, ("late", "1", ""))
    assert trades(desk, desk.order("ann", Side.BUY, "3", "100")) == ["1 of ice", "1 of late", "1 of ice"]


def test_a_sweep_goes_round_the_icebergs_again_and_again() -> None:
    desk = Desk()
    asks(desk, ("a", "5", "2"), ("b", "4", "1"), ("plain", "1", ""))
    sweep = trades(desk, desk.order("ann", Side.BUY, "9.5", "100"))
    assert sweep == ["2 of a", "1 of b", "1 of plain", "2 of a", "1 of b", "1 of a", "1 of b", "0.5 of b"]
    assert desk.book(Side.SELL) == ["0.5 @ 100"]


def test_a_fill_or_kill_order_counts_what_is_hidden() -> None:
    desk = Desk()
    asks(desk, ("a", "5", "1"), ("b", "5", "1"))
    assert outcome(desk.buy("ann", "10.001", "100", life=TimeInForce.FOK)).reason == "NOT_FILLABLE"
    assert outcome(desk.buy("ann", "10", "100", life=TimeInForce.FOK)).status == "FILLED"


@pytest.mark.parametrize(
    ("prevention", "left", "rest"),
    [
        (SelfTradePrevention.CANCEL_NEWEST, ["2 @ 100"], Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
        (OLDEST, [], Outcome("OPEN", "", "0", "5")),
        (SelfTradePrevention.CANCEL_BOTH, [], Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
        (DECREMENT, ["1 @ 100"], Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
    ],
)
def test_self_trades_are_prevented_part_by_part(
    prevention: SelfTradePrevention, left: list[str], rest: Outcome
) -> None:
    desk = Desk()
    desk.sell("ann", "6", "100", display="2")
    assert outcome(desk.buy("ann", "5", "100", prevention=prevention)) == rest
    assert desk.book(Side.SELL) == left


def test_an_iceberg_that_is_cancelled_on_the_way_shows_nothing_more() -> None:
    desk = Desk()
    mine = desk.sell("ann", "6", "100", display="2")
    asks(desk, ("b", "2", "1"))
    assert trades(desk, desk.order("ann", Side.BUY, "3", "100", prevention=OLDEST)) == ["1 of b", "1 of b"]
    assert (outcome(mine).reason, desk.book(Side.BUY)) == ("SELF_TRADE", ["1 @ 100"])


def amend(desk: Desk, order: Order, price: str = "", quantity: str = "") -> list[Event]:
    numbers = [parse(number) if number else 0 for number in (price, quantity)]
    return desk.run(c.AmendOrder, order.number, "", "", *numbers, 0, user=order.account.user_id)


def test_a_smaller_quantity_comes_off_what_is_hidden_and_keeps_the_place() -> None:
    desk = Desk()
    ice, _ = asks(desk, ("ice", "6", "2"), ("plain", "1", ""))
    events = amend(desk, ice, quantity="3")
    assert not any(isinstance(event, LevelChanged) for event in events)
    assert (desk.book(Side.SELL), outcome(ice).remaining, desk.balance("ben", "BTC")[1]) == (["3 @ 100"], "3", "4")
    amend(desk, ice, quantity="1.5")
    assert desk.book(Side.SELL) == ["2.5 @ 100"]
    assert trades(desk, desk.order("ann", Side.BUY, "2", "100")) == ["1.5 of ice", "0.5 of plain"]


def test_a_larger_quantity_or_another_price_queues_anew_and_shows_a_whole_part() -> None:
    desk = Desk()
    ice, _ = asks(desk, ("ice", "6", "2"), ("plain", "1", ""))
    desk.buy("ann", "1", "100")
    amend(desk, ice, quantity="7")
    assert desk.book(Side.SELL) == ["3 @ 100"]
    assert trades(desk, desk.order("ann", Side.BUY, "2", "100")) == ["1 of plain", "1 of ice"]
    amend(desk, ice, price="99")
    assert (desk.book(Side.SELL), outcome(ice).remaining) == (["2 @ 99"], "5")


def test_bids_are_icebergs_too() -> None:
    desk = Desk(taker="0.001")
    desk.buy("ann", "3", "100", tag="ice", display="1")
    desk.buy("cem", "1", "100", tag="plain")
    assert desk.book(Side.BUY) == ["2 @ 100"]
    assert trades(desk, desk.order("ben", Side.SELL, "4", "100")) == ["1 of ice", "1 of plain", "1 of ice", "1 of ice"]


def test_places_and_hidden_parts_outlive_a_restart() -> None:
    desk = Desk()
    asks(desk, ("a", "5", "2"), ("b", "5", "2"), ("c", "1", ""))
    desk.buy("ann", "6", "100")
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)
    rest = desk.order("ann", Side.BUY, "5", "100")
    again = told(loaded.execute(rest))
    assert again == trades(desk, rest) == ["1 of a", "2 of b", "1 of a", "1 of b"]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"quantity": "1", "display": "0.0005"}, "QUANTITY_OFF_LOT"),
        ({"quantity": "0.0005", "display": "0.0001"}, "QUANTITY_OFF_LOT"),
        ({"quantity": "1", "display": "0.009"}, "QUANTITY_TOO_SMALL"),
        ({"quantity": "1", "display": "1"}, "QUANTITY_TOO_LARGE"),
        ({"quantity": "101", "display": "1"}, "QUANTITY_TOO_SMALL"),
        ({"quantity": "101", "display": "2"}, "QUANTITY_TOO_LARGE"),
    ],
)
def test_a_display_quantity_is_checked_as_a_quantity_is(terms: dict[str, Any], reason: str) -> None:
    assert outcome(Desk().buy("ann", price="100", **terms)).reason == reason
    assert outcome(Desk().buy("ann", "1", "100", display="0.01")).status == "OPEN"
