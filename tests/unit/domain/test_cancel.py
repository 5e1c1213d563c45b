"""Cancelling one order, or all that match; and what a market's state lets through."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AccountNotFound, MarketHalted, MarketNotFound, OrderNotFound, VenueError
from servers.domain.terms import AccountStatus, MarketState, Side
from tests.unit.domain.desk import MIDNIGHT_US, SYMBOL, Desk, Outcome, outcome

CANCELLED = Outcome("CANCELLED", "REQUESTED", "0", "0")


def test_a_cancelled_order_leaves_the_book_and_releases_its_hold() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100")
    desk.sell("ben", "0.5", "100")
    desk.cancel(order)
    assert outcome(order) == Outcome("CANCELLED", "REQUESTED", "0.5", "0")
    assert (desk.book(Side.BUY), desk.balance("ann")) == ([], ("999950", "0"))


def test_the_venue_s_own_cancel_is_called_administrative() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100")
    desk.cancel(order, user="")
    assert outcome(order).reason == "ADMINISTRATIVE"


def test_an_order_is_cancelled_by_its_label_too_which_is_free_again_afterwards() -> None:
    desk = Desk()
    order = desk.buy("ann", "2", "100", label="mine")
    desk.run(c.CancelOrder, 0, "demo-ann", "mine", user="ann")
    assert outcome(order) == CANCELLED
    assert outcome(desk.buy("ann", "2", "100", label="mine")).status == "OPEN"


def test_a_label_is_unique_within_an_account_only() -> None:
    desk = Desk()
    for trader in ("ann", "ben"):
        assert outcome(desk.buy(trader, "1", "100", label="mine")).status == "OPEN"


def test_a_filled_order_frees_its_label() -> None:
    desk = Desk()
    desk.buy("ann", "1", "100", label="mine")
    desk.sell("ben", "1", "100")
    assert outcome(desk.buy("ann", "1", "100", label="mine")).status == "OPEN"


@pytest.mark.parametrize(
    ("number", "account_id", "label", "user", "refusal"),
    [
        (99, "", "", "ann", OrderNotFound),  # never placed
        ("own", "", "", "ben", OrderNotFound),  # somebody else's
        ("own", "demo-ben", "", "ben", OrderNotFound),  # not of the account that is named
        ("own", "demo-ben", "", "ann", OrderNotFound),
        (0, "demo-ann", "other", "ann", OrderNotFound),  # no such label
        (0, "demo-ann", "", "ann", OrderNotFound),  # no label at all
        (0, "demo-ann", "mine", "ben", AccountNotFound),  # somebody else's account
        (0, "demo-nobody", "mine", "ann", AccountNotFound),
        (0, "venue:fees", "mine", "", AccountNotFound),  # not a customer's
    ],
)
def test_what_is_not_the_caller_s_is_not_found(
    number: int | str, account_id: str, label: str, user: str, refusal: type[VenueError]
) -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100", label="mine")
    with pytest.raises(refusal):
        desk.run(c.CancelOrder, order.number if number == "own" else number, account_id, label, user=user)
    assert outcome(order).status == "OPEN"


def test_an_order_is_cancelled_once() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    desk.cancel(order)
    with pytest.raises(OrderNotFound) as refused:
        desk.cancel(order)
    assert refused.value.metadata == {"order_id": f"2-{order.number}"}


def test_a_filled_order_is_not_cancelled() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    desk.sell("ben", "1", "100")
    with pytest.raises(OrderNotFound):
        desk.cancel(order)


def prepared() -> Desk:
    """Bids and offers of ann in two markets, one bid of ben."""
    desk = Desk()
    desk.run(c.DefineAsset, "ETH", 8, 8)
    desk.define("ETH-USD")
    desk.transfer("venue:external", "demo-ann", "10", asset="ETH")
    desk.buy("ann", "1", "100")
    desk.sell("ann", "1", "200")
    desk.buy("ann", "1", "10", symbol="ETH-USD")
    desk.sell("ann", "1", "20", symbol="ETH-USD")
    desk.buy("ben", "1", "99")
    return desk


def test_cancel_all_by_tag_narrows_by_everything_else_too() -> None:
    desk = prepared()
    desk.buy("ann", "1", "90", tag="red")
    desk.sell("ann", "1", "210", tag="red")
    kept = [desk.buy("ann", "1", "9", symbol="ETH-USD", tag="red"), desk.buy("ann", "1", "91", tag="blue")]
    desk.run(c.CancelAllOrders, "demo-ann", SYMBOL, int(Side.SELL), "red", user="ann")
    desk.run(c.CancelAllOrders, "demo-ann", SYMBOL, 0, "red", user="ann")
    assert [order.tag for order in desk.exchange.ledger.accounts["demo-ann"].orders.values()] == [
        *[""] * 4,
        "red",
        "blue",
    ]
    assert [outcome(order).status for order in kept] == ["OPEN", "OPEN"]


@pytest.mark.parametrize(
    ("symbol", "side", "left"),
    [
        ("", 0, []),
        (SYMBOL, 0, ["ETH-USD BUY", "ETH-USD SELL"]),
        ("", Side.BUY, ["BTC-USD SELL", "ETH-USD SELL"]),
        (SYMBOL, Side.SELL, ["BTC-USD BUY", "ETH-USD BUY", "ETH-USD SELL"]),
    ],
)
def test_cancel_all_takes_what_matches_and_nobody_else_s(symbol: str, side: int, left: list[str]) -> None:
    desk = prepared()
    desk.run(c.CancelAllOrders, "demo-ann", symbol, int(side), user="ann")
    accounts = desk.exchange.ledger.accounts
    rest = accounts["demo-ann"].orders.values()
    assert [f"{order.market.symbol} {Side(order.side).name}" for order in rest] == left
    assert len(accounts["demo-ben"].orders) == 1


@pytest.mark.parametrize(
    ("account_id", "symbol", "user", "refusal"),
    [
        ("demo-ann", "", "ben", AccountNotFound),
        ("demo-nobody", "", "ann", AccountNotFound),
        ("demo-ann", "NO-SUCH", "ann", MarketNotFound),
    ],
)
def test_cancel_all_of_what_does_not_exist_is_not_found(
    account_id: str, symbol: str, user: str, refusal: type[VenueError]
) -> None:
    with pytest.raises(refusal):
        prepared().run(c.CancelAllOrders, account_id, symbol, 0, user=user)


def test_cancel_all_with_nothing_to_cancel_is_fine() -> None:
    assert Desk().run(c.CancelAllOrders, "demo-ann", "", 0, user="ann") == []


def test_a_frozen_account_may_cancel() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.FROZEN))
    desk.cancel(order)
    assert outcome(order) == CANCELLED


@pytest.mark.parametrize(
    ("state", "placed", "may_cancel"),
    [
        (MarketState.OPEN, "", True),
        (MarketState.CANCEL_ONLY, "MARKET_CANCEL_ONLY", True),
        (MarketState.HALTED, "MARKET_HALTED", False),
        (MarketState.PRE_OPEN, "", True),
        (MarketState.POST_ONLY, "MARKET_POST_ONLY", True),
    ],
)
def test_a_market_s_state_says_what_it_takes(state: MarketState, placed: str, may_cancel: bool) -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    desk.run(c.SetMarketState, SYMBOL, int(state))
    assert outcome(desk.buy("ann", "1", "100")).reason == placed
    if may_cancel:
        desk.cancel(order)
        assert outcome(order) == CANCELLED
        return
    with pytest.raises(MarketHalted) as refused:
        desk.cancel(order)
    assert (refused.value.code, refused.value.metadata) == ("FAILED_PRECONDITION", {"symbol": SYMBOL})
    desk.run(c.CancelAllOrders, "demo-ann", "", 0, user="ann")
    assert outcome(order).status == "OPEN"


def test_an_order_expires_in_a_halted_market_too() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100", life=4, expires=MIDNIGHT_US + 1_000_000)
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    desk.advance(MIDNIGHT_US + 1_000_000)
    assert outcome(order).status == "EXPIRED"


def test_a_market_trades_again_when_it_is_opened_again() -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    assert outcome(desk.buy("ann", "1", "100")).status == "FILLED"


def test_the_state_of_a_market_that_does_not_exist_is_not_set() -> None:
    with pytest.raises(MarketNotFound):
        Desk().run(c.SetMarketState, "NO-SUCH", int(MarketState.OPEN))
