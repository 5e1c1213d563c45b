"""Good till a time, good for the day: orders end when time is let pass, and the machine says when that is."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.errors import MarketHalted
from servers.domain.events import OrderChanged
from servers.domain.expiry import STALE_MAX
from servers.domain.ledger import InvariantBreach
from servers.domain.terms import MarketState, Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, SYMBOL, Desk, Outcome, outcome
from tests.unit.domain.test_linking import LIMIT, STOP, desk_at, place_oco

SECOND = 1_000_000
DAY = 86_400 * SECOND
EXPIRED = Outcome("EXPIRED", "", "0", "0")


def test_an_order_expires_at_its_time_and_not_before() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100", life=TimeInForce.GTD, expires=MIDNIGHT_US + SECOND)
    assert desk.exchange.next_deadline() == MIDNIGHT_US + SECOND
    desk.advance(MIDNIGHT_US + SECOND - 1)
    assert outcome(order).status == "OPEN"
    desk.advance(MIDNIGHT_US + SECOND)
    assert (outcome(order), desk.balance("ann")) == (EXPIRED, ("1000000", "0"))
    assert order.update_time == MIDNIGHT_US + SECOND
    assert desk.exchange.next_deadline() is None


def test_a_day_order_expires_at_midnight_utc() -> None:
    desk = Desk()
    order = desk.sell("ann", "1", "100", life=TimeInForce.DAY)
    assert desk.exchange.next_deadline() == order.expire_time == MIDNIGHT_US + DAY
    desk.advance(MIDNIGHT_US + DAY - 1)
    assert outcome(order).status == "OPEN"
    desk.advance(MIDNIGHT_US + DAY)
    assert outcome(order) == EXPIRED


def test_a_day_order_placed_at_midnight_has_a_whole_day() -> None:
    desk = Desk()
    desk.now = MIDNIGHT_US + DAY - 1
    assert desk.buy("ann", "1", "100", life=TimeInForce.DAY).expire_time == MIDNIGHT_US + 2 * DAY


@pytest.mark.parametrize(("after_us", "status"), [(-1, "REJECTED"), (0, "REJECTED"), (1, "OPEN")])
def test_an_order_must_expire_after_it_is_placed(after_us: int, status: str) -> None:
    desk = Desk()
    placed_us = desk.now + 1
    order = desk.buy("ann", "1", "100", life=TimeInForce.GTD, expires=placed_us + after_us)
    assert (outcome(order).status, order.create_time) == (status, placed_us)


def test_a_partly_filled_order_keeps_what_it_traded() -> None:
    desk = Desk()
    order = desk.sell("ann", "2", "100", life=TimeInForce.GTD, expires=MIDNIGHT_US + SECOND)
    desk.buy("ben", "1", "100")
    desk.advance(MIDNIGHT_US + SECOND)
    assert outcome(order) == Outcome("EXPIRED", "", "1", "0")


@pytest.mark.parametrize("state", [MarketState.HALTED, MarketState.CANCEL_ONLY, MarketState.POST_ONLY])
def test_an_order_lives_until_its_time_whatever_its_market_takes_meanwhile(state: MarketState) -> None:
    """GTD is "until expire_time", in a halted market too, where its owner cannot even cancel it."""
    desk = Desk(maker="0.001")
    desk.print("100")
    until: dict[str, Any] = {"life": TimeInForce.GTD, "expires": MIDNIGHT_US + SECOND}
    bid, stop = desk.buy("ann", "2", "90", **until), desk.sell("ben", "1", stop="80", **until)
    stays = desk.buy("ann", "1", "89")
    desk.sell("cem", "0.5", "90")
    desk.run(c.SetMarketState, SYMBOL, int(state))
    desk.advance(MIDNIGHT_US + SECOND - 1)
    assert [outcome(order).status for order in (bid, stop)] == ["PARTIALLY_FILLED", "PENDING_TRIGGER"]
    # 45 and its fee are paid; 1.5 at 90 and 1 at 89 are held, each with its fee.
    assert [desk.balance("ann"), desk.balance("ben", "BTC")] == [("999730.731", "224.224"), ("999", "1")]
    desk.advance(MIDNIGHT_US + SECOND)
    assert [outcome(order) for order in (bid, stop)] == [Outcome("EXPIRED", "", "0.5", "0"), EXPIRED]
    assert [desk.balance("ann"), desk.balance("ben", "BTC")] == [("999865.866", "89.089"), ("1000", "0")]
    assert (desk.exchange.market(SYMBOL).state, desk.book(Side.BUY)) == (state, ["1 @ 89"])
    if state == MarketState.HALTED:
        with pytest.raises(MarketHalted):
            desk.cancel(stays)
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    assert outcome(desk.sell("cem", "1", "90", life=TimeInForce.IOC)).reason == "UNFILLED"


def test_an_order_that_expires_before_the_auction_has_no_part_in_it() -> None:
    desk = Desk()
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.PRE_OPEN))
    bid = desk.buy("ann", "1", "101", life=TimeInForce.GTD, expires=MIDNIGHT_US + SECOND)
    offer = desk.sell("ben", "1", "100")
    market = desk.exchange.market(SYMBOL)
    assert market.auction_lots == 1_000
    desk.advance(MIDNIGHT_US + SECOND)
    assert (outcome(bid), market.auction_lots, market.auction_ticks) == (EXPIRED, 0, 0)
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    assert (outcome(offer).status, market.last_ticks) == ("OPEN", 0)


def test_orders_expire_in_the_order_of_their_times_then_of_their_arrival() -> None:
    desk = Desk()
    times = (3, 1, 2, 1)
    orders = [desk.buy("ann", "1", "100", life=TimeInForce.GTD, expires=MIDNIGHT_US + t * SECOND) for t in times]
    events = desk.advance(MIDNIGHT_US + 3 * SECOND)
    expired = [event.order for event in events if isinstance(event, OrderChanged)]
    assert expired == [orders[1], orders[3], orders[2], orders[0]]


def test_a_deadline_of_an_order_that_ended_is_forgotten() -> None:
    desk = Desk()
    first = desk.buy("ann", "1", "100", life=TimeInForce.GTD, expires=MIDNIGHT_US + SECOND)
    desk.buy("ann", "1", "99", life=TimeInForce.GTD, expires=MIDNIGHT_US + 2 * SECOND)
    desk.cancel(first)
    assert desk.exchange.next_deadline() == MIDNIGHT_US + 2 * SECOND


def test_an_order_that_never_rests_leaves_no_deadline() -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    desk.buy("ann", "1", "100", life=TimeInForce.DAY)
    assert desk.exchange.next_deadline() is None


def test_letting_time_pass_without_a_deadline_changes_the_clock_only() -> None:
    desk = Desk()
    assert desk.advance(MIDNIGHT_US + DAY) == []
    assert desk.exchange.clock.time == MIDNIGHT_US + DAY


def test_time_never_goes_back() -> None:
    desk = Desk()
    desk.advance(MIDNIGHT_US + SECOND)
    desk.now = MIDNIGHT_US
    with pytest.raises(InvariantBreach, match="after"):
        desk.buy("ann", "1", "100")


@pytest.mark.parametrize("step", [0, 2])
def test_a_sequence_is_never_left_out_or_used_twice(step: int) -> None:
    desk = Desk()
    command = desk.order("ann", Side.BUY, "1", "100")
    command.sequence += step - 1
    with pytest.raises(InvariantBreach, match="stamp"):
        desk.execute(command)


def test_orders_of_the_day_that_are_placed_and_cancelled_again_and_again_take_no_room() -> None:
    desk = Desk()
    expiry = desk.exchange.expiry
    first = desk.buy("ann", "1", "100", life=TimeInForce.GTD, expires=MIDNIGHT_US + SECOND)
    for _ in range(3 * STALE_MAX):
        desk.cancel(desk.buy("ann", "1", "100", life=TimeInForce.DAY))
        assert len(expiry.due) <= STALE_MAX + 8
    last = desk.buy("ann", "1", "100", life=TimeInForce.DAY)
    assert desk.exchange.next_deadline() == first.expire_time
    desk.advance(first.expire_time)
    assert (outcome(first).status, outcome(last).status) == ("EXPIRED", "OPEN")
    desk.advance(last.expire_time)
    assert outcome(last).status == "EXPIRED"


def test_the_second_of_a_list_is_as_old_as_the_first() -> None:
    desk = desk_at()
    until = {"life": TimeInForce.GTD, "expires": MIDNIGHT_US + SECOND}
    _, stop = place_oco(desk, "ann", Side.SELL, {**LIMIT}, {**STOP, **until})
    young = desk.buy("ben", "1", "80", **until)
    events = desk.advance(MIDNIGHT_US + SECOND)
    ended = [
        event.order for event in events if isinstance(event, OrderChanged) and outcome(event.order).status == "EXPIRED"
    ]
    assert ended == [stop, young]
