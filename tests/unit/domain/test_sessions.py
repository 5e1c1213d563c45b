"""Trading sessions: what losing one does to the orders placed in it, and what does not count as a loss."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AccountNotFound
from servers.domain.model import Order
from servers.domain.state import dump, load
from servers.domain.terms import Environment, MarketState, Side
from tests.unit.domain.desk import PARTITION, SYMBOL, Desk, Outcome, outcome

SECOND = 1_000_000
GONE = Outcome("CANCELLED", "DISCONNECTED", "0", "0")


def opened(desk: Desk, trader: str = "ann", session: str = "s") -> int:
    """The sequence that opened it."""
    desk.run(c.OpenSession, session, f"demo-{trader}", user=trader)
    return desk.exchange.clock.sequence


def ended(desk: Desk, sequence: int, trader: str = "ann", session: str = "s", *, lost: bool = True) -> int:
    """When its orders are cancelled if it is lost."""
    desk.run(c.EndSession, session, f"demo-{trader}", sequence, lost, user=trader)
    return desk.now + 10 * SECOND


def placed(desk: Desk, price: str, trader: str = "ann", session: str = "s") -> Order:
    command = desk.order(trader, Side.BUY, "1", price)
    command.session_id = session
    desk.execute(command)
    return desk.exchange.floor.orders[desk.exchange.clock.sequence]


def test_a_lost_session_s_orders_are_cancelled_after_ten_seconds_and_no_others() -> None:
    desk = Desk()
    sequence = opened(desk)
    mine = [placed(desk, "100"), placed(desk, "101")]
    others = [desk.buy("ann", "1", "99"), placed(desk, "98", session="t"), placed(desk, "97", trader="ben")]
    due = ended(desk, sequence)
    assert desk.exchange.next_deadline() == due
    desk.advance(due - 1)
    assert [outcome(order).status for order in mine] == ["OPEN", "OPEN"]
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    desk.advance(due)
    assert [outcome(order) for order in mine] == [GONE, GONE]
    assert [outcome(order).status for order in others] == ["OPEN"] * 3
    assert (desk.exchange.next_deadline(), desk.exchange.sessions.held) == (None, {})


def test_a_session_that_is_taken_up_again_in_time_loses_nothing() -> None:
    desk = Desk()
    first = opened(desk)
    order = placed(desk, "100")
    due = ended(desk, first)
    desk.now = due - 2
    second = opened(desk)
    # What is late to tell of the first connection says nothing of the second.
    ended(desk, first)
    desk.advance(due + 60 * SECOND)
    assert (outcome(order).status, desk.exchange.next_deadline()) == ("OPEN", None)
    due = ended(desk, second)
    ended(desk, second)
    assert desk.exchange.next_deadline() == due
    desk.advance(due)
    assert outcome(order) == GONE


def test_a_session_that_ends_as_planned_leaves_its_orders() -> None:
    desk = Desk()
    sequence = opened(desk)
    order = placed(desk, "100")
    ended(desk, sequence - 1, lost=False)
    assert len(desk.exchange.sessions.held) == 1
    ended(desk, sequence, lost=False)
    ended(desk, sequence)
    assert (desk.exchange.sessions.held, desk.exchange.next_deadline()) == ({}, None)
    assert outcome(order).status == "OPEN"


def test_a_new_leader_takes_every_session_for_lost_and_gives_ten_seconds_more() -> None:
    desk = Desk()
    opened(desk)
    order, theirs = placed(desk, "100"), opened(desk, "ben")
    due = ended(desk, theirs, "ben")
    desk.run(c.LeaderStarted, 2)
    assert desk.exchange.next_deadline() == desk.now + 10 * SECOND
    assert desk.exchange.sessions.held["demo-ben", "s"].cancel_time == due + 10 * SECOND
    desk.now += 3_600 * SECOND
    desk.run(c.LeaderStarted, 3)
    assert desk.exchange.next_deadline() == desk.now + 10 * SECOND
    back = opened(desk)
    desk.advance(desk.now + 11 * SECOND)
    assert outcome(order).status == "OPEN"
    desk.advance(ended(desk, back))
    assert outcome(order) == GONE


def test_sessions_and_their_orders_outlive_a_restart() -> None:
    desk = Desk()
    sequence = opened(desk)
    order = placed(desk, "100")
    opened(desk, session="connected")
    due = ended(desk, sequence)
    desk.exchange = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert desk.exchange.next_deadline() == due
    assert {key: each.cancel_time for key, each in desk.exchange.sessions.held.items()} == {
        ("demo-ann", "s"): due,
        ("demo-ann", "connected"): 0,
    }
    desk.advance(due)
    assert order.number not in desk.exchange.floor.orders


def test_an_order_put_in_the_place_of_another_belongs_to_the_session_it_came_through() -> None:
    desk = Desk()
    sequence = opened(desk)
    old = placed(desk, "100", session="")
    command = desk.order("ann", Side.BUY, "1", "99")
    command.session_id = "s"
    stamp = (command.sequence, command.time, command.user_id, command.request_id, command.fingerprint)
    desk.execute(c.ReplaceOrder(*stamp, old.number, command))
    new = desk.exchange.floor.orders[desk.exchange.clock.sequence]
    desk.advance(ended(desk, sequence))
    assert outcome(new) == GONE


@pytest.mark.parametrize("command", [c.OpenSession, c.EndSession])
def test_somebody_else_s_account_is_not_found(command: type[c.Command]) -> None:
    more = (1, True) if command is c.EndSession else ()
    with pytest.raises(AccountNotFound):
        Desk().run(command, "s", "demo-ann", *more, user="ben")
