"""Self-trade prevention: an order of 3 BTC at 101 meets its own group's 1 at 100, and 2 of a stranger at 101."""

import pytest

from servers.domain import commands as c
from servers.domain.terms import SelfTradePrevention, Side, TimeInForce
from tests.unit.domain.desk import Desk, Outcome, outcome, trades

NEWEST, OLDEST = SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_OLDEST
BOTH, DECREMENT = SelfTradePrevention.CANCEL_BOTH, SelfTradePrevention.DECREMENT_AND_CANCEL
STOPPED = Outcome("CANCELLED", "SELF_TRADE", "0", "0")
UNTOUCHED = Outcome("OPEN", "", "0", "1")


@pytest.mark.parametrize(
    ("prevention", "taker", "own", "asks", "bids", "traded"),
    [
        (SelfTradePrevention.UNSPECIFIED, STOPPED, UNTOUCHED, ["1 @ 100", "2 @ 101"], [], []),
        (NEWEST, STOPPED, UNTOUCHED, ["1 @ 100", "2 @ 101"], [], []),
        (OLDEST, Outcome("PARTIALLY_FILLED", "", "2", "1"), STOPPED, [], ["1 @ 101"], ["2 @ 101"]),
        (BOTH, STOPPED, STOPPED, ["2 @ 101"], [], []),
        (DECREMENT, Outcome("CANCELLED", "SELF_TRADE", "2", "0"), STOPPED, [], [], ["2 @ 101"]),
    ],
)
def test_the_mode_decides_who_gives_way(
    prevention: SelfTradePrevention, taker: Outcome, own: Outcome, asks: list[str], bids: list[str], traded: list[str]
) -> None:
    desk = Desk()
    resting = desk.sell("ann", "1", "100")
    desk.sell("ben", "2", "101")
    command = desk.order("ann", Side.BUY, "3", "101", prevention=prevention)
    events = desk.execute(command)
    placed = next(e.order for e in events if getattr(e, "order", None) is not resting and hasattr(e, "order"))
    assert (outcome(placed), outcome(resting), trades(events)) == (taker, own, traded)
    assert (desk.book(Side.SELL), desk.book(Side.BUY)) == (asks, bids)
    assert desk.balance("ann", "BTC")[1] == ("1" if own == UNTOUCHED else "0")


@pytest.mark.parametrize(
    ("resting", "incoming", "own", "taker"),
    [
        ("5", "2", Outcome("OPEN", "", "0", "3"), Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
        ("2", "5", STOPPED, Outcome("OPEN", "", "0", "3")),
        ("2", "2", STOPPED, STOPPED),
    ],
)
def test_a_decrement_takes_the_smaller_quantity_off_both(
    resting: str, incoming: str, own: Outcome, taker: Outcome
) -> None:
    desk = Desk()
    maker = desk.sell("ann", resting, "100")
    placed = desk.buy("ann", incoming, "100", prevention=DECREMENT)
    assert (outcome(maker), outcome(placed)) == (own, taker)
    assert desk.balance("ann", "BTC")[1] == own.remaining
    assert desk.balance("ann")[1] == ("300" if taker.remaining == "3" else "0")


def test_a_decremented_order_keeps_its_place_and_ends_cancelled_when_the_rest_is_filled() -> None:
    desk = Desk()
    first, second = desk.sell("ann", "5", "100"), desk.sell("ben", "1", "100")
    desk.buy("ann", "2", "100", prevention=DECREMENT)
    desk.buy("cem", "3", "100")
    assert outcome(first) == Outcome("CANCELLED", "SELF_TRADE", "3", "0")
    assert outcome(second) == Outcome("OPEN", "", "0", "1")


def test_a_group_is_more_than_one_account() -> None:
    desk = Desk()
    desk.open("dee", group="family")
    desk.open("eve", group="family")
    desk.sell("dee", "1", "100")
    assert outcome(desk.buy("eve", "1", "100")) == STOPPED
    assert outcome(desk.buy("ann", "1", "100")).status == "FILLED"


def test_trades_made_before_the_own_order_was_met_stand() -> None:
    desk = Desk()
    desk.sell("ben", "1", "99")
    desk.sell("ann", "1", "100")
    assert outcome(desk.buy("ann", "2", "100")) == Outcome("CANCELLED", "SELF_TRADE", "1", "0")


@pytest.mark.parametrize(("prevention", "status"), [(NEWEST, "REJECTED"), (BOTH, "REJECTED"), (DECREMENT, "REJECTED")])
def test_fill_or_kill_counts_only_what_it_may_trade_with(prevention: SelfTradePrevention, status: str) -> None:
    desk = Desk()
    desk.sell("ann", "1", "100")
    desk.sell("ben", "1", "100")
    order = desk.buy("ann", "2", "100", life=TimeInForce.FOK, prevention=prevention)
    assert (outcome(order).status, outcome(order).reason) == (status, "NOT_FILLABLE")
    assert desk.book(Side.SELL) == ["2 @ 100"]


def test_fill_or_kill_may_push_its_own_resting_orders_aside() -> None:
    desk = Desk()
    own = desk.sell("ann", "1", "100")
    desk.sell("ben", "2", "100")
    order = desk.buy("ann", "2", "100", life=TimeInForce.FOK, prevention=OLDEST)
    assert (outcome(order).status, outcome(own)) == ("FILLED", STOPPED)


@pytest.mark.parametrize(
    ("prevention", "taker", "asks"),
    [
        (NEWEST, Outcome("CANCELLED", "SELF_TRADE", "0", "0"), ["1 @ 100", "5 @ 101"]),
        (OLDEST, Outcome("FILLED", "", "1.5", "0"), ["3.5 @ 101"]),
        (BOTH, Outcome("CANCELLED", "SELF_TRADE", "0", "0"), ["5 @ 101"]),
        # 100 of the 151.5 USD are given up with the own order's 1 BTC; the other 51.5 buy 0.509 at 101.
        (DECREMENT, Outcome("CANCELLED", "SELF_TRADE", "0.509", "0"), ["4.491 @ 101"]),
    ],
)
def test_an_order_by_quote_amount_gives_way_as_others_do(
    prevention: SelfTradePrevention, taker: Outcome, asks: list[str]
) -> None:
    desk = Desk()
    desk.sell("ann", "1", "100")
    desk.sell("ben", "5", "101")
    order = desk.buy("ann", amount="151.5", prevention=prevention)
    assert (outcome(order), desk.book(Side.SELL)) == (taker, asks)


def test_a_decrement_takes_no_more_off_a_resting_order_than_a_quote_amount_would_have_bought() -> None:
    desk = Desk()
    own = desk.sell("ann", "5", "100")
    assert outcome(desk.buy("ann", amount="200", prevention=DECREMENT)) == STOPPED
    assert outcome(own) == Outcome("OPEN", "", "0", "3")


def test_a_market_order_that_met_only_its_own_group_is_cancelled_and_not_filled() -> None:
    desk = Desk()
    own = desk.sell("ann", "1", "100")
    order = desk.buy("ann", amount="100", prevention=OLDEST)
    assert (outcome(order), outcome(own)) == (Outcome("CANCELLED", "UNFILLED", "0", "0"), STOPPED)


def test_an_account_may_cancel_what_prevention_left() -> None:
    desk = Desk()
    own = desk.sell("ann", "5", "100")
    desk.buy("ann", "2", "100", prevention=DECREMENT)
    desk.run(c.CancelAllOrders, "demo-ann", "", 0, user="ann")
    assert (outcome(own).reason, desk.balance("ann", "BTC")) == ("REQUESTED", ("1000", "0"))
