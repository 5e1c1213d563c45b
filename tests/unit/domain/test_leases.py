"""The dead-man's switch: armed, moved, disarmed, gone off; and what a new leader does to it."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AccountNotFound, TooManyLeases
from servers.domain.leases import STALE_MAX, TAGS_MAX
from servers.domain.state import dump, load
from servers.domain.terms import Environment, MarketState
from tests.unit.domain.desk import PARTITION, SYMBOL, Desk, Outcome, outcome

SECOND = 1_000_000


def arm(desk: Desk, trader: str, timeout_s: int, tag: str = "") -> int:
    """When it goes off; 0: it is disarmed."""
    desk.run(c.CancelAllAfter, f"demo-{trader}", timeout_s * SECOND, tag, user=trader)
    return desk.exchange.leases.time(desk.exchange.ledger.accounts[f"demo-{trader}"], tag)


def test_a_lease_that_runs_out_cancels_what_the_account_has_open() -> None:
    desk = Desk()
    mine, theirs = [desk.buy("ann", "1", "100"), desk.sell("ann", "1", "110")], desk.buy("ben", "1", "100")
    due = arm(desk, "ann", 60)
    assert desk.exchange.next_deadline() == due == desk.now + 60 * SECOND
    desk.advance(due - 1)
    assert [outcome(order).status for order in mine] == ["OPEN", "OPEN"]
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.HALTED))
    desk.advance(due)
    assert [outcome(order) for order in mine] == [Outcome("CANCELLED", "LEASE_EXPIRED", "0", "0")] * 2
    assert (outcome(theirs).status, desk.exchange.next_deadline()) == ("OPEN", None)


def test_the_last_call_counts_and_zero_disarms() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    early, late = arm(desk, "ann", 5), arm(desk, "ann", 60)
    desk.advance(early)
    assert (outcome(order).status, desk.exchange.next_deadline()) == ("OPEN", late)
    assert arm(desk, "ann", 0) == 0
    assert desk.exchange.next_deadline() is None
    desk.advance(late)
    assert outcome(order).status == "OPEN"


def test_a_new_leader_gives_ten_seconds_more() -> None:
    desk = Desk()
    due = arm(desk, "ann", 60)
    desk.run(c.LeaderStarted, 2)
    assert desk.exchange.next_deadline() == due + 10 * SECOND
    desk.now = due + 3_600 * SECOND
    desk.run(c.LeaderStarted, 3)
    assert desk.exchange.next_deadline() == desk.now + 10 * SECOND


def test_a_lease_outlives_a_restart() -> None:
    desk = Desk()
    due = arm(desk, "ann", 60)
    assert load(PARTITION, Environment.DEMO, dump(desk.exchange)).next_deadline() == due


def test_a_tag_has_a_switch_of_its_own() -> None:
    desk = Desk()
    red, blue = desk.buy("ann", "1", "100", tag="red"), desk.buy("ann", "1", "101", tag="blue")
    plain, theirs = desk.buy("ann", "1", "102"), desk.buy("ben", "1", "103", tag="red")
    whole, due = arm(desk, "ann", 60), arm(desk, "ann", 30, "red")
    assert desk.exchange.next_deadline() == due
    desk.advance(due)
    assert [outcome(order).reason for order in (red, blue, plain, theirs)] == ["LEASE_EXPIRED", *[""] * 3]
    assert desk.exchange.next_deadline() == whole
    desk.advance(whole)
    assert [outcome(order).reason for order in (blue, plain, theirs)] == ["LEASE_EXPIRED"] * 2 + [""]


def test_the_switches_of_tags_outlive_a_restart_and_a_new_leader() -> None:
    desk = Desk()
    due = arm(desk, "ann", 30, "red")
    arm(desk, "ann", 20, "blue")
    assert arm(desk, "ann", 0, "blue") == 0
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert (loaded.next_deadline(), loaded.leases.armed) == (due, {("demo-ann", "red"): due})
    desk.run(c.LeaderStarted, 2)
    assert desk.exchange.next_deadline() == due + 10 * SECOND


def test_an_account_has_only_so_many_switches_of_tags() -> None:
    desk = Desk()
    for number in range(TAGS_MAX):
        arm(desk, "ann", 60, f"t{number}")
    with pytest.raises(TooManyLeases):
        arm(desk, "ann", 60, "one more")
    arm(desk, "ann", 0, "never armed")
    assert arm(desk, "ann", 61, "t0") == desk.now + 61 * SECOND
    arm(desk, "ann", 0, "t1")
    assert arm(desk, "ann", 60, "one more") == desk.now + 60 * SECOND


def test_somebody_else_s_account_is_not_found() -> None:
    with pytest.raises(AccountNotFound):
        Desk().run(c.CancelAllAfter, "demo-ann", SECOND, user="ben")


def test_leases_set_again_and_again_take_no_room() -> None:
    desk = Desk()
    leases, account = desk.exchange.leases, desk.exchange.ledger.accounts["demo-ann"]
    for time in range(1, 5 * STALE_MAX):
        leases.set(account, "", desk.now + time)
    assert len(leases.due) <= STALE_MAX + 1
    assert leases.next() == account.lease_time
