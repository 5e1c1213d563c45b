"""Limits: which of them counts, what they let through, and that they hold from the moment they are set."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.errors import AccountNotFound, AmendRefused, DefinitionInvalid, MarketNotFound
from servers.domain.limits import Bounds
from servers.domain.money import parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, OrderType, Side, TimeInForce
from tests.unit.domain.desk import PARTITION, SYMBOL, Desk, Outcome, outcome

LEVELS: list[dict[str, Any]] = [
    {},
    {"symbol": SYMBOL},
    {"tier": "default"},
    {"tier": "default", "symbol": SYMBOL},
    {"account_id": "demo-ann"},
    {"account_id": "demo-ann", "symbol": SYMBOL},
]


def bounds(desk: Desk, trader: str = "ann") -> Bounds:
    return desk.exchange.floor.limits.of(desk.exchange.ledger.accounts[f"demo-{trader}"], desk.exchange.market(SYMBOL))


def lots(desk: Desk, trader: str = "ann") -> int:
    return bounds(desk, trader).lots_max


def test_the_narrowest_that_says_something_counts() -> None:
    desk = Desk()
    assert lots(desk) == 100_000
    for number, level in enumerate(LEVELS, 1):
        desk.limit(**level, quantity=str(number))
        assert lots(desk) == number * 1_000
    assert lots(desk, "ben") == 4_000
    for number, level in reversed(list(enumerate(LEVELS, 1))):
        assert lots(desk) == number * 1_000
        desk.limit(**level)
    assert lots(desk) == 100_000


def test_zero_takes_a_wider_limit_away() -> None:
    desk = Desk()
    desk.limit(position="100", loss="10", band="5")
    desk.limit(tier="default", position="0", loss="0", band="0")
    assert bounds(desk).plain
    desk.open("dee", tier="vip")
    assert not bounds(desk, "dee").plain


def test_limits_hold_from_the_moment_they_are_set_and_leave_what_rests() -> None:
    desk = Desk()
    resting = desk.buy("ann", "3", "100")
    desk.limit("demo-ann", quantity="2")
    assert outcome(desk.buy("ann", "3", "100")).reason == "QUANTITY_TOO_LARGE"
    assert outcome(resting).status == "OPEN"
    with pytest.raises(AmendRefused):
        desk.run(c.AmendOrder, resting.number, "", "", parse("101"), 0, 0)
    desk.run(c.AmendOrder, resting.number, "", "", 0, parse("2.5"), 0)
    desk.limit("demo-ann")
    assert outcome(desk.buy("ann", "3", "100")).status == "OPEN"


def test_open_orders_are_counted_over_all_markets() -> None:
    desk = Desk()
    desk.limit("demo-ann", orders=1)
    desk.buy("ann", "1", "1")
    assert outcome(desk.buy("ann", "1", "1")).reason == "TOO_MANY_OPEN_ORDERS"


@pytest.mark.parametrize("level", [{"account_id": "demo-zoe"}, {"account_id": "venue:fees"}])
def test_limits_are_of_customers(level: dict[str, Any]) -> None:
    with pytest.raises(AccountNotFound):
        Desk().limit(**level, quantity="1")


def test_limits_that_contradict_themselves_are_refused() -> None:
    desk = Desk()
    with pytest.raises(MarketNotFound):
        desk.limit(symbol="NONE-USD", quantity="1")
    faults: list[dict[str, Any]] = [
        {"account_id": "demo-ann", "tier": "vip"},
        {"symbol": SYMBOL, "symbols": "*"},
        {"band": "10001"},
    ]
    for wrong in faults:
        with pytest.raises(DefinitionInvalid):
            desk.limit(**wrong)
    with pytest.raises(DefinitionInvalid):
        desk.limit(symbol=SYMBOL, orders=3)
    with pytest.raises(DefinitionInvalid):
        desk.limit(quantity="-2")


def test_a_position_may_reach_its_limit_and_always_come_back() -> None:
    desk = Desk()
    desk.limit(position="1000")
    desk.sell("ben", "5", "100")
    assert outcome(desk.buy("ann", "10", "100")).reason == ""
    assert outcome(desk.buy("ann", "0.001", "100")).reason == "POSITION_LIMIT"
    # Ann has bought 5, and bids for 5: she may sell them all, and as many as may be short.
    desk.limit(position="10")
    assert outcome(desk.sell("ann", "5.2", "101")).reason == "POSITION_LIMIT"
    assert outcome(desk.sell("ann", "4.9", "101")).status == "OPEN"


def test_who_has_lost_enough_may_only_reduce_until_the_day_ends() -> None:
    desk = Desk()
    desk.limit(loss="50")
    desk.sell("ben", "1", "100")
    desk.buy("ann", "1", "100")
    desk.sell("ben", "1", "50")
    desk.buy("cem", "1", "50")
    assert outcome(desk.buy("ann", "1", "40")).reason == "DAILY_LOSS_LIMIT"
    assert outcome(desk.sell("ann", "1.001", "60")).reason == "DAILY_LOSS_LIMIT"
    assert outcome(desk.sell("ann", "1", "60")).status == "OPEN"
    desk.advance(desk.now + 86_400_000_000)
    assert outcome(desk.buy("ann", "1", "40")).status == "OPEN"


def test_a_market_order_stops_at_the_band() -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    desk.buy("cem", "1", "100")
    desk.limit(band="10")
    desk.sell("ben", "1", "110")
    desk.limit(band="0")
    desk.sell("ben", "1", "110.01")
    desk.limit(band="10")
    desk.run(c.SetReferencePrices, SYMBOL, 0, parse("100"))
    assert outcome(desk.buy("ann", "2")) == Outcome("CANCELLED", "UNFILLED", "1", "0")
    assert desk.book(Side.SELL) == ["1 @ 110.01"]


def test_a_loaded_machine_has_the_limits() -> None:
    desk = Desk()
    desk.limit("demo-ann", quantity="2", symbols="BTC-USD ETH-USD")
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)
    account, market = loaded.ledger.accounts["demo-ann"], loaded.market(SYMBOL)
    assert loaded.floor.limits.of(account, market).lots_max == 2_000


def test_a_stop_loss_is_placed_when_too_much_is_lost_though_a_sale_rests_beside_it() -> None:
    desk = Desk()
    desk.sell("ben", "2", "100")
    desk.buy("ann", "2", "100")
    profit = desk.sell("ann", "2", "120")
    stops = [desk.sell("ann", quantity, "80", stop="85") for quantity in ("2", "2.001")]
    desk.limit(loss="10")
    desk.print("85")
    # Either alone would be too much beside the sale that rests; one that is larger than the position stays so.
    assert [outcome(order).reason for order in stops] == ["", "DAILY_LOSS_LIMIT"]
    assert (outcome(stops[0]).status, outcome(profit).status) == ("OPEN", "OPEN")
    assert outcome(desk.sell("ann", "2", "120")).reason == "DAILY_LOSS_LIMIT"


@pytest.mark.parametrize("life", [TimeInForce.IOC, TimeInForce.FOK])
def test_who_has_all_the_open_orders_there_may_be_can_still_trade(life: TimeInForce) -> None:
    desk = Desk()
    desk.limit("demo-ann", orders=1)
    desk.buy("ann", "1", "1")
    desk.sell("ben", "3", "100")
    assert outcome(desk.buy("ann", "1", life=life)).status == "FILLED"
    assert outcome(desk.buy("ann", "1", "100", life=life)).status == "FILLED"
    # It would wait, or leave an exit that does.
    assert outcome(desk.buy("ann", "1", stop="200", life=life)).reason == "TOO_MANY_OPEN_ORDERS"
    loss = c.ExitTerms(parse("50"), 0, 0, "")
    assert outcome(desk.buy("ann", "1", "100", life=life, loss=loss)).reason == "TOO_MANY_OPEN_ORDERS"


def test_stops_that_rest_at_the_limit_of_the_loss_close_the_position_together_at_most() -> None:
    desk = Desk()
    desk.sell("ben", "10", "100")
    desk.buy("ann", "10", "100")
    desk.limit(loss="10")
    desk.print("92")
    assert outcome(desk.sell("ann", "10", "116")).status == "OPEN"
    assert outcome(desk.sell("ann", "1", "116")).reason == "DAILY_LOSS_LIMIT"
    # Their price is there already: they are triggered at once.
    taken = [
        desk.sell("ann", size, price, stop="91", kind=OrderType.TAKE_PROFIT_LIMIT)
        for size, price in (("6", "117"), ("5", "118"), ("4", "119"))
    ]
    assert [outcome(order).reason for order in taken] == ["", "DAILY_LOSS_LIMIT", ""]
