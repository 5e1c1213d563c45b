"""Limits and reduce-only orders over random traffic: sound after every command, the same from a snapshot, previewed rightly."""

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
from servers.domain.limits import UNSAID
from servers.domain.model import Limits
from servers.domain.money import ATTO, RATE
from servers.domain.previewing import preview
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, Side
from tests.property.conditions import ConditionalTraffic
from tests.property.plain import perform
from tests.property.traffic import PARTITION, SYMBOLS

MEMORY = 300
COMMANDS = 200
seeds = st.integers(0, 2**32)


class LimitedTraffic(ConditionalTraffic):
    """The same with limits that are set now and then, and orders that may only reduce."""

    def next(self) -> c.Command:
        if self.random.random() < 0.05:
            return self._limits()
        return super().next()

    def _limits(self) -> c.SetLimits:
        random = self.random
        account_id, tier, symbol = random.choice(
            (("", "", ""), ("", "vip", ""), (random.choice(self.accounts), "", ""))
        )
        symbol = random.choice(("", *SYMBOLS))
        limits = Limits(
            account_id,
            tier,
            symbol,
            random.choice((UNSAID, UNSAID, 0, ATTO // 5)),
            random.choice((UNSAID, UNSAID, 0, ATTO // 4, 900 * ATTO)),
            UNSAID if symbol else random.choice((UNSAID, UNSAID, 5, 20)),
            random.choice((UNSAID, 0, ATTO, 3_000 * ATTO)),
            random.choice((UNSAID, 0, ATTO // 100, 50 * ATTO)),
            random.choice((UNSAID, 0, RATE // 50, RATE // 20)),
            "" if symbol else random.choice(("", "", "*", SYMBOLS[0])),
        )
        return c.SetLimits(*self._stamp(), limits)

    def _place(self, like: c.PlaceOrder | None = None) -> c.PlaceOrder:
        order = super()._place(like)
        order.reduce_only = self.random.random() < 0.2
        return order


def opened(seed: int) -> tuple[Exchange, LimitedTraffic]:
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, request_memory=MEMORY), LimitedTraffic(seed)
    for command in traffic.opening():
        exchange.execute(command)
    return exchange, traffic


def attempt(exchange: Exchange, command: c.Command, traffic: LimitedTraffic) -> list[Event]:
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
    exchange, traffic = opened(seed)
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


@given(seed=seeds, before=st.integers(0, 300))
def test_a_machine_loaded_from_its_rows_goes_on_as_the_dumped_one(seed: int, before: int) -> None:
    exchange, traffic = opened(seed)
    for _ in range(before):
        attempt(exchange, traffic.next(), traffic)
    loaded = load(PARTITION, Environment.DEMO, dump(exchange), request_memory=MEMORY)
    assert (state_hash(loaded), breaches(loaded)) == (state_hash(exchange), [])
    for _ in range(COMMANDS):
        one = perform(exchange, traffic.next())
        if one.refusal:
            traffic.refused()
        assert perform(loaded, one.command) == one
    assert (loaded.clock.digest, state_hash(loaded)) == (exchange.clock.digest, state_hash(exchange))


@given(seed=seeds)
def test_the_first_check_that_a_preview_fails_is_the_reason(seed: int) -> None:
    exchange, traffic = opened(seed)
    for _ in range(COMMANDS):
        command = traffic.next()
        expected = None
        if type(command) is c.PlaceOrder and not (command.take_profit or command.stop_loss):
            account = exchange.ledger.account(command.account_id, command.user_id)
            expected = preview(exchange.floor, replace(command), account, exchange.market(command.symbol))
        events = attempt(exchange, command, traffic)
        if expected is not None:
            order = next(e.order for e in events if isinstance(e, OrderChanged) and e.order.number == command.sequence)
            failed = next((check.reason for check in expected.checks if not check.passed), 0)
            assert failed == order.reject_reason
            if not order.trigger_source:
                assert (expected.order.lots, expected.order.reject_reason) == (order.lots, order.reject_reason)
