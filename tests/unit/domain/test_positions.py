"""Positions: what trades add up to, what they cost, what they realized, and what the day brought."""

import pytest

from servers.domain import commands as c
from servers.domain.model import Position
from servers.domain.positions import DAY_US, add_trade, day_loss, day_profit, unrealized
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment
from tests.unit.domain.desk import MIDNIGHT_US, PARTITION, SYMBOL, Desk

# Quote units in a dollar.
USD = 10**8


def position(desk: Desk, trader: str) -> Position:
    return desk.exchange.ledger.accounts[f"demo-{trader}"].positions[SYMBOL]


def held(desk: Desk, trader: str) -> tuple[int, int, int]:
    """(lots, cost, realized), amounts in dollars."""
    found = position(desk, trader)
    return found.lots, found.cost // USD, found.realized // USD


def trade(desk: Desk, buyer: str, seller: str, quantity: str, price: str) -> None:
    desk.sell(seller, quantity, price)
    desk.buy(buyer, quantity, price)


# Trades of ann with ben (quantity below zero: a sale at a price), and what she holds after each: lots, cost, realized.
RUNS = [
    [("1", "100", (1000, 100, 0)), ("1", "200", (2000, 300, 0)), ("-1", "250", (1000, 150, 100))],
    [("2", "100", (2000, 200, 0)), ("-3", "150", (-1000, -150, 100)), ("1", "100", (0, 0, 150))],
    [("-2", "100", (-2000, -200, 0)), ("1", "120", (-1000, -100, -20)), ("3", "90", (2000, 180, -10))],
    [("-1", "50", (-1000, -50, 0)), ("1", "50", (0, 0, 0)), ("1", "70", (1000, 70, 0))],
]


@pytest.mark.parametrize("run", RUNS)
def test_a_position_is_what_its_trades_add_up_to(run: list[tuple[str, str, tuple[int, int, int]]]) -> None:
    desk = Desk()
    for quantity, price, expected in run:
        buys = not quantity.startswith("-")
        buyer, seller = ("ann", "ben") if buys else ("ben", "ann")
        trade(desk, buyer, seller, quantity.lstrip("-"), price)
        assert held(desk, "ann") == expected
        lots, cost, realized = held(desk, "ben")
        assert (lots, cost, realized) == (-expected[0], -expected[1], -expected[2])


def test_fees_are_taken_off_what_was_realized() -> None:
    desk = Desk(maker="0.001", taker="0.002")
    trade(desk, "ann", "ben", "1", "1000")
    assert (held(desk, "ann"), held(desk, "ben")) == ((1000, 1000, -2), (-1000, -1000, -1))


def test_deposits_and_opening_funds_are_in_no_position() -> None:
    desk = Desk()
    desk.transfer("venue:external", "demo-ann", "1000")
    assert desk.exchange.ledger.accounts["demo-ann"].positions == {}


def test_nothing_is_rounded_away() -> None:
    desk = Desk()
    desk.open("dee")
    account, market = desk.exchange.ledger.accounts["demo-dee"], desk.exchange.market(SYMBOL)
    found, cash = Position(account, market), 0
    for lots, price in ((3, 7), (4, 11), (-2, 5), (-6, 13), (5, 3), (-1, 17), (-3, 2)):
        add_trade(found, lots, price, 1, 1)
        cash -= lots * price + 1
        assert found.realized - found.cost == cash
    assert (found.lots, found.cost) == (0, 0)


def test_the_day_begins_with_what_the_position_was_worth() -> None:
    desk = Desk()
    day = MIDNIGHT_US // DAY_US
    trade(desk, "ann", "ben", "1", "100")
    trade(desk, "cem", "ben", "1", "110")
    ann = position(desk, "ann")
    assert (unrealized(ann), day_profit(ann, day)) == (10 * USD, 10 * USD)
    desk.advance(MIDNIGHT_US + DAY_US)
    assert day_profit(ann, day + 1) == 0
    trade(desk, "cem", "ben", "1", "90")
    assert (unrealized(ann), day_profit(ann, day + 1)) == (-10 * USD, -20 * USD)
    trade(desk, "ben", "ann", "1", "95")
    assert (ann.realized, day_profit(ann, day + 1)) == (-5 * USD, -15 * USD)
    assert day_loss(ann.account, "USD", day + 1) == 15 * USD
    assert day_loss(ann.account, "EUR", day + 1) == 0


def test_the_mark_price_goes_before_the_last() -> None:
    desk = Desk()
    trade(desk, "ann", "ben", "1", "100")
    desk.run(c.SetReferencePrices, SYMBOL, 130 * 10**18, 0)
    assert unrealized(position(desk, "ann")) == 30 * USD


def test_a_loaded_machine_goes_on_with_its_positions() -> None:
    desk = Desk()
    trade(desk, "ann", "ben", "1", "100")
    desk.buy("ann", "2", "90")
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)
    again, before = loaded.ledger.accounts["demo-ann"].positions[SYMBOL], position(desk, "ann")
    assert (again.lots, again.cost, again.day, again.resting) == (1000, before.cost, before.day, [0, 2000, 0])
