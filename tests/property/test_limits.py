"""Random traffic with everything in it: positions are the fold of trades, and a preview fails where the order does."""

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from math import floor as whole

from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.previewing import preview
from servers.domain.state import state_hash
from servers.domain.terms import Side
from tests.property.whole import SwarmTraffic, opened

COMMANDS = 150
seeds = st.integers(0, 2**32)


def attempt(exchange: Exchange, command: c.Command, traffic: SwarmTraffic) -> list[Event]:
    try:
        return exchange.execute(command)
    except VenueError:
        traffic.refused()
        return []


class Book:
    """A position kept the plain way: lots, what they cost, what was realized, all in quote units."""

    def __init__(self) -> None:
        self.lots = self.cost = self.realized = 0

    def add(self, lots: int, price: int, fee: int) -> None:
        """One lot after the other would round each time: what is closed takes its share of the cost at once."""
        self.realized -= fee
        closing = min(abs(lots), abs(self.lots)) if lots * self.lots < 0 else 0
        if closing:
            share = whole(Fraction(abs(self.cost) * closing, abs(self.lots)))
            sign = 1 if self.lots > 0 else -1
            self.realized += sign * (closing * price - share)
            self.cost -= sign * share
            self.lots -= sign * closing
        opening = abs(lots) - closing
        sign = 1 if lots > 0 else -1
        self.lots += sign * opening
        self.cost += sign * opening * price


@given(seed=seeds)
def test_positions_are_the_fold_of_trades_and_nothing_is_breached(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    books: dict[tuple[str, str], Book] = defaultdict(Book)
    for _ in range(COMMANDS):
        before = state_hash(exchange)
        command = traffic.next()
        events = attempt(exchange, command, traffic)
        assert bool(events or command.sequence == exchange.clock.sequence) == (state_hash(exchange) != before)
        assert breaches(exchange) == []
        for event in events:
            if isinstance(event, Traded):
                price = event.ticks * event.market.tick_value
                for order, fee in ((event.maker, event.maker_fee), (event.taker, event.taker_fee)):
                    lots = event.lots if order.side == Side.BUY else -event.lots
                    books[order.account.account_id, event.market.symbol].add(lots, price, fee)
    positions = [p for account in exchange.ledger.accounts.values() for p in account.positions.values() if p.day]
    assert {(p.account.account_id, p.market.symbol): (p.lots, p.cost, p.realized) for p in positions} == {
        key: (book.lots, book.cost, book.realized) for key, book in books.items()
    }


@given(seed=seeds)
def test_the_first_check_that_a_preview_fails_is_the_reason(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    for _ in range(COMMANDS):
        command = traffic.next()
        expected = None
        if type(command) is c.PlaceOrder:
            account = exchange.ledger.account(command.account_id, command.user_id)
            expected = preview(exchange.floor, replace(command), account, exchange.market(command.symbol))
        events = attempt(exchange, command, traffic)
        if expected is not None:
            order = next(e.order for e in events if isinstance(e, OrderChanged) and e.order.number == command.sequence)
            failed = next((check.reason for check in expected.checks if not check.passed), 0)
            assert failed == order.reject_reason
            if not order.trigger_source:
                assert (expected.order.lots, expected.order.reject_reason) == (order.lots, order.reject_reason)
