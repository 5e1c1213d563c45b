"""Five hours of a real exchange's order flow, through the machine and through the naive book: the same trades, the same book."""

from itertools import pairwise
from pathlib import Path

import pytest

from servers.domain import commands as c
from servers.domain.events import Event, Traded
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.money import ATTO, parse
from servers.domain.terms import (
    AccountType,
    Environment,
    MarketKind,
    MarketState,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from servers.replay.flow import Action, Cancel, Count, read_flow
from tests.oracle.book import NaiveBook, NaiveOrder, NaiveTrade

SYMBOL = "BTC-USD-REPLAY"
TICK, LOT = parse("0.01"), parse("0.00000001")
ACCOUNTS = 8
FILE = "bitstamp-btcusd-2015-05-01-orders.csv.xz"


@pytest.fixture(scope="module")
def flow(order_flow: Path) -> tuple[list[Action], Count]:
    count = Count()
    return list(read_flow(order_flow / FILE, count)), count


class Machine:
    """The market of the replay and accounts on either side: nobody in the record is known, so nobody trades with himself."""

    def __init__(self) -> None:
        self.exchange = Exchange(2, Environment.DEMO)
        self.numbers: dict[int, int] = {}
        self.ids: dict[int, int] = {}
        self.run(c.DefineAsset(*self.stamp(), "RBTC", 8, 8))
        self.run(c.DefineAsset(*self.stamp(), "RUSD", 10, 2))
        sizes = (TICK, LOT, LOT, 10_000 * ATTO, 100_000 * ATTO)
        kind, state = int(MarketKind.SPOT), int(MarketState.OPEN)
        self.run(c.DefineMarket(*self.stamp(), SYMBOL, kind, state, "RBTC", "RUSD", *sizes, -10_000, 100_000))
        for at in range(2 * ACCOUNTS):
            funds = (("RBTC", 100_000 * ATTO), ("RUSD", 10_000_000 * ATTO))
            self.run(c.OpenAccount(*self.stamp(), f"demo-{at}", int(AccountType.DEMO), "", "replay", "", funds))

    def stamp(self, time_ms: int = 0) -> tuple[int, int, str, str, bytes]:
        return self.exchange.clock.sequence + 1, time_ms * 1_000, "user", "", b""

    def run(self, command: c.Command) -> list[Event]:
        return self.exchange.execute(command)

    def play(self, action: Action) -> list[NaiveTrade]:
        """Carry out an action; its trades in ticks and lots, by the recorded ids."""
        stamp = self.stamp(action.time_ms)
        if isinstance(action, Cancel):
            number = self.numbers[action.number]
            if number in self.exchange.floor.orders:
                self.run(c.CancelOrder(*stamp, number, "", ""))
            return []
        self.numbers[action.number], self.ids[stamp[0]] = stamp[0], action.number
        account_id = f"demo-{action.number % ACCOUNTS + (ACCOUNTS if action.side == Side.SELL else 0)}"
        terms = (
            int(action.side),
            int(OrderType.LIMIT),
            int(TimeInForce.GTC),
            parse(action.price),
            parse(action.quantity),
        )
        prevention = int(SelfTradePrevention.CANCEL_NEWEST)
        events = self.run(c.PlaceOrder(*stamp, account_id, SYMBOL, *terms, 0, False, False, prevention, "", 0))
        return [
            NaiveTrade(event.ticks, event.lots, self.ids[event.maker.number], self.ids[event.taker.number])
            for event in events
            if isinstance(event, Traded)
        ]

    def levels(self, side: Side) -> list[tuple[int, int, int]]:
        walked = self.exchange.floor.books[SYMBOL].side(side).walk()
        return [(level.ticks, level.lots, level.count) for level in walked]


class Naive:
    """The same in the naive book, in cents and satoshis; orders are numbered by arrival."""

    def __init__(self) -> None:
        self.book = NaiveBook()
        self.numbers: dict[int, int] = {}
        self.ids: list[int] = []

    def play(self, action: Action) -> list[NaiveTrade]:
        if isinstance(action, Cancel):
            self.book.cancel(self.numbers[action.number])
            return []
        number = self.numbers[action.number] = len(self.ids)
        self.ids.append(action.number)
        order = NaiveOrder(number, action.side.name, action.side, parse(action.price, 2), action.volume)
        trades = self.book.place(order)
        return [NaiveTrade(t.price, t.quantity, self.ids[t.maker], self.ids[t.taker]) for t in trades]


def test_the_recorded_flow_trades_as_in_the_naive_book(flow: tuple[list[Action], Count]) -> None:
    actions, _ = flow
    machine, naive = Machine(), Naive()
    trades = 0
    for action in actions:
        made = machine.play(action)
        assert made == naive.play(action)
        trades += len(made)
    for side in (Side.BUY, Side.SELL):
        assert machine.levels(side) == naive.book.levels(side)
    assert breaches(machine.exchange) == []
    print(f"{len(actions)} actions, {trades} trades, {len(machine.exchange.floor.orders)} orders rest")
    # 482 trades are known to have been made while the flow was recorded; orders that rested before are not in it.
    assert trades == machine.exchange.clock.trade_number > 300


def test_every_row_of_the_recorded_flow_is_accounted_for(flow: tuple[list[Action], Count]) -> None:
    actions, count = flow
    assert (count.read, count.created, count.unknown, count.early) == (50_414, 24_894, 186, 5)
    assert count.read == sum((count.created, count.cancelled, count.changed, count.filled, count.unknown, count.early))
    assert len(actions) == count.created + count.cancelled
    assert all(before.time_ms <= after.time_ms for before, after in pairwise(actions))
