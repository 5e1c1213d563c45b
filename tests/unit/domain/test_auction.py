"""The opening auction, as a trader reads it."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.events import Event, MarketChanged, Traded
from servers.domain.terms import MarketState, SelfTradePrevention, Side, TimeInForce
from tests.unit.domain.desk import SYMBOL, Desk, Outcome, outcome, units

NEWEST, OLDEST = SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_OLDEST
BOTH, DECREMENT = SelfTradePrevention.CANCEL_BOTH, SelfTradePrevention.DECREMENT_AND_CANCEL


def state(desk: Desk, to: MarketState) -> list[Event]:
    return desk.run(c.SetMarketState, SYMBOL, int(to))


def collecting(bids: str, asks: str, **fees: Any) -> Desk:
    """A market that collects: bids of ann, then offers of ben, each `quantity@price`."""
    desk = Desk(**fees)
    state(desk, MarketState.PRE_OPEN)
    for trader, side, orders in (("ann", Side.BUY, bids), ("ben", Side.SELL, asks)):
        for order in orders.split():
            desk.place(trader, side, *order.split("@"), life=TimeInForce.GTC)
    return desk


def indication(desk: Desk) -> str:
    market = desk.exchange.market(SYMBOL)
    return f"{units(market.auction_lots * market.lot_size)}@{units(market.auction_ticks * market.tick_size)}"


def trades(events: list[Event]) -> list[str]:
    return [
        f"{units(e.lots * e.market.lot_size)}@{units(e.ticks * e.market.tick_size)}"
        for e in events
        if isinstance(e, Traded)
    ]


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ("1@100", "1@101", "0@0"),
        # The most that can be traded.
        ("5@102 5@101 5@100", "7@100 7@101 7@102", "10@101"),
        # At 100 as much would trade as above it, but buyers would be left; from there to 101 nobody is.
        ("5@101 3@100", "5@100", "5@100.5"),
        # Everywhere buyers are left: the highest price.
        ("8@103", "5@100", "5@103"),
        # Everywhere sellers are left: the lowest.
        ("5@103", "8@100", "5@100"),
        # Nobody is left anywhere, and there was no trade before: the middle.
        ("5@103", "5@100", "5@101.5"),
    ],
)
def test_the_price_is_that_of_most_volume_then_of_least_left(bids: str, asks: str, expected: str) -> None:
    desk = collecting(bids, asks)
    assert indication(desk) == expected
    assert outcome(desk.buy("cem", "1", "50")).status == "OPEN"
    volume = trades(state(desk, MarketState.OPEN))
    assert {trade.partition("@")[2] for trade in volume} == (
        {expected.partition("@")[2]} if expected != "0@0" else set()
    )
    assert desk.exchange.clock.trade_number == len(volume)


@pytest.mark.parametrize(("last", "price"), [("90", "100"), ("100.7", "100.7"), ("120", "103")])
def test_of_prices_as_good_the_one_closest_to_the_last_is_taken(last: str, price: str) -> None:
    desk = Desk()
    desk.sell("ben", "1", last)
    desk.buy("cem", "1", last)
    state(desk, MarketState.PRE_OPEN)
    desk.buy("ann", "5", "103")
    desk.sell("ben", "5", "100")
    assert indication(desk) == f"5@{price}"
    assert trades(state(desk, MarketState.OPEN)) == [f"5@{price}"]


def test_best_prices_trade_first_and_of_one_price_the_oldest() -> None:
    desk = collecting("", "3@100")
    low, first, second = (
        desk.buy(trader, "1", price) for trader, price in (("ann", "100"), ("ann", "101"), ("cem", "101"))
    )
    late = desk.buy("ann", "1", "100")
    state(desk, MarketState.OPEN)
    assert [outcome(order).status for order in (first, second, low, late)] == ["FILLED"] * 3 + ["OPEN"]


def test_everybody_pays_the_one_price_and_the_older_order_the_maker_s_fee() -> None:
    desk = collecting("2@103", "2@100", maker="0.001", taker="0.002")
    assert desk.balance("ann") == ("999793.588", "206.412")
    traded = [event for event in state(desk, MarketState.OPEN) if isinstance(event, Traded)]
    assert [(event.maker.account.name, event.taker.account.name) for event in traded] == [("ann", "ben")]
    assert (desk.balance("ann"), desk.balance("ben")) == (("999796.797", "0"), ("1000202.594", "0"))


def test_nothing_trades_before_and_what_is_left_rests_as_ever() -> None:
    desk = collecting("2@103 1@90", "1@100 1@110")
    assert desk.book(Side.BUY) == ["2 @ 103", "1 @ 90"]
    assert desk.exchange.clock.trade_number == 0
    state(desk, MarketState.OPEN)
    assert (desk.book(Side.BUY), desk.book(Side.SELL)) == (["1 @ 103", "1 @ 90"], ["1 @ 110"])
    assert indication(desk) == "0@0"


def test_icebergs_count_with_all_they_have_and_keep_their_place() -> None:
    desk = collecting("5@100", "")
    ice = desk.sell("ben", "8", "100", display="1")
    plain = desk.sell("cem", "1", "100")
    assert indication(desk) == "5@100"
    state(desk, MarketState.OPEN)
    assert (outcome(ice), outcome(plain).status) == (Outcome("PARTIALLY_FILLED", "", "5", "3"), "OPEN")
    assert desk.book(Side.SELL) == ["2 @ 100"]


@pytest.mark.parametrize(
    ("mode", "buyer", "seller"),
    [
        (NEWEST, Outcome("OPEN", "", "0", "3"), Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
        (OLDEST, Outcome("CANCELLED", "SELF_TRADE", "0", "0"), Outcome("OPEN", "", "0", "2")),
        (BOTH, Outcome("CANCELLED", "SELF_TRADE", "0", "0"), Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
        (DECREMENT, Outcome("OPEN", "", "0", "1"), Outcome("CANCELLED", "SELF_TRADE", "0", "0")),
    ],
)
def test_nobody_trades_with_himself(mode: SelfTradePrevention, buyer: Outcome, seller: Outcome) -> None:
    desk = collecting("3@101", "")
    (bid,) = desk.exchange.floor.orders.values()
    offer = desk.sell("ann", "2", "100", prevention=mode)
    state(desk, MarketState.OPEN)
    assert (outcome(bid), outcome(offer), desk.exchange.clock.trade_number) == (buyer, seller, 0)


def test_the_price_is_found_again_without_what_would_have_traded_with_itself() -> None:
    desk = collecting("5@105", "1@100")
    own = desk.sell("ann", "9", "101")
    assert indication(desk) == "5@101"
    assert trades(state(desk, MarketState.OPEN)) == ["1@105"]
    assert outcome(own) == Outcome("CANCELLED", "SELF_TRADE", "0", "0")


def test_the_indication_is_told_exactly_when_it_changes() -> None:
    desk = collecting("", "")

    def tells(command: c.Command) -> bool:
        return any(isinstance(event, MarketChanged) for event in desk.execute(command))

    assert [tells(desk.order("ann", Side.BUY, "1", price)) for price in ("100", "99")] == [False, False]
    assert tells(desk.order("ben", Side.SELL, "1", "100"))
    assert not tells(desk.order("ben", Side.SELL, "1", "110"))
    order = desk.order("cem", Side.BUY, "1", "101")
    assert (tells(order), indication(desk)) == (True, "1@100.5")
    amend = c.AmendOrder(*desk.stamp(), order.sequence, "", "", 0, 10**17, 0)
    assert (tells(amend), indication(desk)) == (True, "1@100")
    assert tells(c.CancelAllOrders(*desk.stamp(), "demo-ben", "", 0))
    assert indication(desk) == "0@0"


def test_the_indication_follows_what_an_iceberg_hides() -> None:
    desk = collecting("5@100", "")
    ice = desk.sell("ben", "4", "100", display="1")
    assert indication(desk) == "4@100"
    desk.run(c.AmendOrder, ice.number, "", "", 0, 2 * 10**18, 0)
    assert indication(desk) == "2@100"


def test_a_book_that_is_crossed_is_uncrossed_on_whatever_way_it_opens() -> None:
    for way in (MarketState.HALTED, MarketState.CANCEL_ONLY):
        desk = collecting("1@101", "1@100")
        state(desk, way)
        assert trades(state(desk, MarketState.POST_ONLY)) == ["1@100.5"]
