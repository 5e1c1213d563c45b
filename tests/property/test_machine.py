"""Hypothesis looks for the shortest run of commands after which the machine is wrong: in itself, or beside the naive venue."""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from servers.domain import commands as c
from servers.domain.exchange import Exchange
from servers.domain.hours import Hours
from servers.domain.invariants import breaches
from servers.domain.model import Limits
from servers.domain.money import ATTO, RATE, parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, MarketState, OrderType, SelfTradePrevention, Side, TimeInForce
from tests.oracle.venue import NaiveVenue
from tests.property.comparison import check_books, check_funds, check_positions, check_waiting, step
from tests.property.traffic import ACCOUNTS, MARKETS, PARTITION, Traffic

TICK, LOT = parse(MARKETS["AAA-USD"][0]), parse(MARKETS["AAA-USD"][1])
accounts = st.sampled_from(ACCOUNTS[:3])
sides = st.sampled_from((Side.BUY, Side.SELL))
ticks = st.integers(97, 103)
lots = st.integers(2, 12)
# 0: none
limits = st.sampled_from((0, 98, 100, 102))
tags = st.sampled_from(("", "red"))
preventions = st.sampled_from((0, *map(int, SelfTradePrevention)))


class Venue(RuleBasedStateMachine):
    """One market, three accounts, two of them of one group."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange, self.naive = Exchange(PARTITION, Environment.DEMO), NaiveVenue()
        self.time = 0
        for command in Traffic(0, transfers=False).opening():
            assert step(self.exchange, self.naive, command)
            self.time = command.time

    def stamp(self) -> tuple[int, int, str, str, bytes]:
        return self.exchange.clock.sequence + 1, self.time, "", "", b""

    def place(self, account_id: str, side: Side, kind: OrderType, life: TimeInForce, *rest: int) -> None:
        price, quantity, amount, post_only, prevention, expires, display = rest if len(rest) == 7 else (*rest, 0)
        numbers = (int(side), int(kind), int(life), price, quantity, amount)
        tag = ("", "red")[self.exchange.clock.sequence % 2]
        order = (*self.stamp(), account_id, "AAA-USD", *numbers, bool(post_only), False, prevention, "", expires, tag)
        assert step(self.exchange, self.naive, c.PlaceOrder(*order, display))

    @rule(account_id=accounts, side=sides, at=ticks, size=lots, post_only=st.booleans(), prevention=preventions)
    def place_limit(self, account_id: str, side: Side, at: int, size: int, post_only: bool, prevention: int) -> None:
        kind, life = OrderType.LIMIT, TimeInForce.GTC
        self.place(account_id, side, kind, life, at * TICK, size * LOT, 0, post_only, prevention, 0)

    @rule(account_id=accounts, side=sides, at=ticks, size=lots, shown=st.integers(1, 4), prevention=preventions)
    def place_iceberg(self, account_id: str, side: Side, at: int, size: int, shown: int, prevention: int) -> None:
        kind, life = OrderType.LIMIT, TimeInForce.GTC
        self.place(account_id, side, kind, life, at * TICK, size * LOT, 0, 0, prevention, 0, shown * LOT)

    @rule(
        account_id=accounts,
        side=sides,
        at=ticks,
        size=lots,
        life=st.sampled_from((TimeInForce.IOC, TimeInForce.FOK)),
        prevention=preventions,
    )
    def place_immediate(
        self, account_id: str, side: Side, at: int, size: int, life: TimeInForce, prevention: int
    ) -> None:
        self.place(account_id, side, OrderType.LIMIT, life, at * TICK, size * LOT, 0, 0, prevention, 0)

    @rule(account_id=accounts, side=sides, at=ticks, size=lots, after=st.integers(-1, 3))
    def place_expiring(self, account_id: str, side: Side, at: int, size: int, after: int) -> None:
        life, expires = TimeInForce.GTD, self.time + after
        self.place(account_id, side, OrderType.LIMIT, life, at * TICK, size * LOT, 0, 0, 0, expires)

    @rule(
        account_id=accounts,
        side=sides,
        size=lots,
        life=st.sampled_from((TimeInForce.IOC, TimeInForce.FOK)),
        prevention=preventions,
    )
    def place_market(self, account_id: str, side: Side, size: int, life: TimeInForce, prevention: int) -> None:
        self.place(account_id, side, OrderType.MARKET, life, 0, size * LOT, 0, 0, prevention, 0)

    @rule(
        account_id=accounts,
        side=sides,
        units=st.integers(1, 2_500),
        life=st.sampled_from((TimeInForce.IOC, TimeInForce.FOK)),
        prevention=preventions,
    )
    def place_amount(self, account_id: str, side: Side, units: int, life: TimeInForce, prevention: int) -> None:
        self.place(account_id, side, OrderType.MARKET, life, 0, 0, units * ATTO // 10**4, 0, prevention, 0)

    def waiting(self, side: Side, stop: int, price: int, size: int, reduce_only: bool, account_id: str) -> c.PlaceOrder:
        kind = OrderType.STOP_LIMIT if price else OrderType.TAKE_PROFIT
        terms: tuple[Any, ...] = (
            int(side),
            int(kind),
            int(TimeInForce.GTC),
            price * TICK,
            size * LOT,
            0,
            False,
            reduce_only,
            0,
            "",
            0,
        )
        return replace(c.PlaceOrder(*self.stamp(), account_id, "AAA-USD", *terms), stop_price=stop * TICK)

    @rule(account_id=accounts, side=sides, stop=ticks, price=limits, size=lots, reduce_only=st.booleans())
    def place_waiting(self, account_id: str, side: Side, stop: int, price: int, size: int, reduce_only: bool) -> None:
        assert step(self.exchange, self.naive, self.waiting(side, stop, price, size, reduce_only, account_id))

    @rule(account_id=accounts, side=sides, stop=ticks, price=limits, at=ticks, size=lots, reduce_only=st.booleans())
    def place_oco(
        self, account_id: str, side: Side, stop: int, price: int, at: int, size: int, reduce_only: bool
    ) -> None:
        first = self.waiting(side, stop, price, size, reduce_only, account_id)
        second = replace(first, type=int(OrderType.LIMIT), price=at * TICK, stop_price=0)
        assert step(self.exchange, self.naive, c.PlaceOco(*self.stamp(), (first, second)))

    @rule(account_id=accounts, side=sides, at=ticks, size=lots, profit=ticks, loss=ticks, limit=limits)
    def place_bracket(
        self, account_id: str, side: Side, at: int, size: int, profit: int, loss: int, limit: int
    ) -> None:
        terms: tuple[Any, ...] = (
            int(side),
            int(OrderType.LIMIT),
            int(TimeInForce.GTC),
            at * TICK,
            size * LOT,
            0,
            False,
            False,
            0,
            "",
            0,
        )
        exits = (c.ExitTerms(profit * TICK, 0, 1, ""), c.ExitTerms(loss * TICK, limit * TICK, 1, ""))
        order = c.PlaceOrder(*self.stamp(), account_id, "AAA-USD", *terms)
        assert step(self.exchange, self.naive, replace(order, take_profit=exits[0], stop_loss=exits[1]))

    @rule(account_id=accounts, side=sides, at=ticks, size=lots)
    def place_reducing(self, account_id: str, side: Side, at: int, size: int) -> None:
        terms: tuple[Any, ...] = (
            int(side),
            int(OrderType.LIMIT),
            int(TimeInForce.GTC),
            at * TICK,
            size * LOT,
            0,
            False,
            True,
            0,
            "",
            0,
        )
        assert step(self.exchange, self.naive, c.PlaceOrder(*self.stamp(), account_id, "AAA-USD", *terms))

    @rule(at=st.integers(0, 5), stop=ticks)
    def retarget(self, at: int, stop: int) -> None:
        numbers = sorted(self.exchange.floor.orders)
        if at < len(numbers):
            change = c.AmendOrder(*self.stamp(), numbers[at], "", "", 0, 0, 0, stop * TICK)
            step(self.exchange, self.naive, change)

    @rule(
        account_id=st.sampled_from(("", ACCOUNTS[0])),
        position=st.sampled_from((-1, 0, ATTO // 20, ATTO // 10)),
        band=st.sampled_from((-1, 0, RATE // 50)),
        loss=st.sampled_from((-1, 0, ATTO // 1_000)),
        notional=st.sampled_from((-1, 0, ATTO // 12)),
    )
    def set_limits(self, account_id: str, position: int, band: int, loss: int, notional: int) -> None:
        found = Limits(account_id, "", "", -1, notional, -1, position, loss, band, "")
        assert step(self.exchange, self.naive, c.SetLimits(*self.stamp(), found))

    @rule(at=st.integers(0, 5))
    def cancel(self, at: int) -> None:
        numbers = sorted(self.exchange.floor.orders)
        if at < len(numbers):
            assert step(self.exchange, self.naive, c.CancelOrder(*self.stamp(), numbers[at], "", ""))

    @rule(
        at=st.integers(0, 5), price=st.sampled_from((0, *range(97, 104))), size=st.integers(0, 14), seen=st.booleans()
    )
    def amend(self, at: int, price: int, size: int, seen: bool) -> None:
        numbers = sorted(self.exchange.floor.orders)
        if at < len(numbers):
            version = self.exchange.floor.orders[numbers[at]].update_sequence if seen else 0
            change = c.AmendOrder(*self.stamp(), numbers[at], "", "", price * TICK, size * LOT, version)
            step(self.exchange, self.naive, change)

    @rule(
        at=st.integers(0, 5),
        price=ticks,
        size=lots,
        life=st.sampled_from((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)),
        post_only=st.booleans(),
        prevention=preventions,
    )
    def replace(self, at: int, price: int, size: int, life: TimeInForce, post_only: bool, prevention: int) -> None:
        numbers = sorted(self.exchange.floor.orders)
        if at < len(numbers):
            old, stamp = self.exchange.floor.orders[numbers[at]], self.stamp()
            kind, rests = int(OrderType.LIMIT), post_only and life == TimeInForce.GTC
            sized = (old.side, kind, int(life), price * TICK, size * LOT, 0)
            account_id = old.account.account_id
            order = c.PlaceOrder(*stamp, account_id, "AAA-USD", *sized, rests, False, prevention, "", 0)
            step(self.exchange, self.naive, c.ReplaceOrder(*stamp, old.number, order))

    @rule(account_id=accounts, timeout=st.integers(0, 3), tag=tags)
    def cancel_all_after(self, account_id: str, timeout: int, tag: str) -> None:
        assert step(self.exchange, self.naive, c.CancelAllAfter(*self.stamp(), account_id, timeout, tag))

    @rule()
    def start_a_leader(self) -> None:
        assert step(self.exchange, self.naive, c.LeaderStarted(*self.stamp(), 1))

    @rule(account_id=accounts, side=st.sampled_from((0, 1, 2)), tag=tags)
    def cancel_all(self, account_id: str, side: int, tag: str) -> None:
        assert step(self.exchange, self.naive, c.CancelAllOrders(*self.stamp(), account_id, "", side, tag))

    @rule(by=st.sampled_from((0, 1, 2, 1_000_000, 10_000_001)))
    def advance(self, by: int) -> None:
        self.time += by
        assert step(self.exchange, self.naive, c.Advance(*self.stamp()))

    @rule(
        state=st.sampled_from(
            (MarketState.OPEN, MarketState.OPEN, MarketState.PRE_OPEN, MarketState.CANCEL_ONLY, MarketState.POST_ONLY)
        )
    )
    def set_state(self, state: MarketState) -> None:
        assert step(self.exchange, self.naive, c.SetMarketState(*self.stamp(), "AAA-USD", int(state)))

    @rule(after=st.integers(-2, 3), open_s=st.integers(1, 4), auction=st.integers(0, 2), none=st.booleans())
    def set_hours(self, after: int, open_s: int, auction: int, none: bool) -> None:
        opens = 3 * 86_400 + self.time // 1_000_000 + after
        day, second = divmod(opens, 86_400)
        hours = () if none or second + open_s > 86_400 else (Hours(day % 7 + 1, second, second + open_s, auction),)
        assert step(self.exchange, self.naive, c.SetTradingHours(*self.stamp(), "AAA-USD", hours))

    @rule(maker=st.integers(-RATE // 500, RATE // 500), taker=st.integers(RATE // 500, RATE // 100))
    def set_fees(self, maker: int, taker: int) -> None:
        # What the rates of another tier do not cover is refused.
        step(self.exchange, self.naive, c.SetFees(*self.stamp(), "AAA-USD", "default", maker, taker))

    @rule()
    def restart(self) -> None:
        loaded = load(PARTITION, Environment.DEMO, dump(self.exchange))
        assert state_hash(loaded) == state_hash(self.exchange)
        self.exchange = loaded

    @invariant()
    def is_sound(self) -> None:
        assert breaches(self.exchange) == []
        check_books(self.exchange, self.naive)
        check_funds(self.exchange, self.naive)
        check_positions(self.exchange, self.naive)
        check_waiting(self.exchange, self.naive)


TestVenue = Venue.TestCase
TestVenue.settings = settings(stateful_step_count=40)
