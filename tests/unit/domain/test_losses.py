"""What an account lost today is put right from the moves of prices alone, and is then what its positions say."""

import random

from servers.domain.losses import lost_today
from servers.domain.model import MOVES_MAX
from servers.domain.positions import DAY_US, day_loss
from tests.unit.domain.desk import MIDNIGHT_US, SYMBOL, Desk

USD = 10**8
DAY = MIDNIGHT_US // DAY_US


def trade(desk: Desk, buyer: str, seller: str, price: str) -> None:
    desk.sell(seller, "1", price)
    desk.buy(buyer, "1", price)


def lost(desk: Desk, trader: str, day: int = DAY) -> int:
    account = desk.exchange.ledger.accounts[f"demo-{trader}"]
    found = lost_today(account, desk.exchange.market(SYMBOL), day)
    assert found == day_loss(account, "USD", day)
    return found // USD


def test_moves_of_others_count() -> None:
    desk = Desk()
    trade(desk, "ann", "ben", "100")
    assert (lost(desk, "ann"), lost(desk, "ben")) == (0, 0)
    trade(desk, "cem", "ben", "90")
    assert (lost(desk, "ann"), lost(desk, "ben")) == (10, -10)
    desk.references(mark="130")
    assert (lost(desk, "ann"), lost(desk, "cem")) == (-30, -40)


def test_another_day_is_counted_anew() -> None:
    desk = Desk()
    trade(desk, "ann", "ben", "100")
    trade(desk, "cem", "ben", "90")
    assert lost(desk, "ann") == 10
    desk.advance(MIDNIGHT_US + DAY_US)
    assert lost(desk, "ann", DAY + 1) == 0
    trade(desk, "cem", "ben", "85")
    assert lost(desk, "ann", DAY + 1) == 5


def test_who_looks_late_counts_anew() -> None:
    desk = Desk()
    trade(desk, "ann", "ben", "100")
    assert lost(desk, "ann") == 0
    for number in range(MOVES_MAX + 5):
        buyer, seller = ("cem", "ben") if number % 2 else ("ben", "cem")
        trade(desk, buyer, seller, str(50 + number % 7))
    assert lost(desk, "ann") == 100 - (50 + (MOVES_MAX + 4) % 7)


def test_any_trades_in_any_order_of_looks() -> None:
    desk, dice = Desk(), random.Random(7)
    for number in range(600):
        buyer, seller = dice.sample(["ann", "ben", "cem"], 2)
        if dice.random() < 0.1:
            desk.references(mark=str(dice.randint(50, 150)))
        trade(desk, buyer, seller, str(dice.randint(50, 150)))
        if dice.random() < 0.4:
            lost(desk, dice.choice(["ann", "ben", "cem"]))
        if number == 300:
            desk.advance(MIDNIGHT_US + DAY_US)
            lost(desk, "ann", DAY + 1)
    assert {lost(desk, trader, DAY + 1) for trader in ("ann", "ben", "cem")} != {0}
