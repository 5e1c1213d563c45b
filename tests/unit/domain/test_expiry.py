"""Good till a time, good for the day: orders end when time is let pass, and the machine says when that is."""

import pytest

from servers.domain.events import OrderChanged
from servers.domain.expiry import STALE_MAX
from servers.domain.ledger import InvariantBreach
from servers.domain.terms import Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, Desk, Outcome, outcome

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
