"""The 24 hours of a ticker against a recount of the trades in them, at a clock that the test moves."""

from random import Random

import pytest

from servers.marketdata.window import WINDOW_S, Bucket, Window

Made = tuple[int, int, int]


def recount(trades: list[Made], now: int) -> tuple[int, ...]:
    inside = [trade for trade in trades if now - WINDOW_S < trade[0] <= now]
    if not inside:
        return (0, 0, 0)
    prices = [ticks for _, ticks, _ in inside]
    sums = (len(inside), sum(lots for _, _, lots in inside), sum(ticks * lots for _, ticks, lots in inside))
    return (*sums, prices[0], max(prices), min(prices), prices[-1])


def counted(window: Window) -> tuple[int, ...]:
    sums = (window.count, window.lots, window.product)
    return (*sums, window.open, window.high, window.low, window.close) if window.count else sums


@pytest.mark.parametrize("seed", range(8))
def test_the_window_is_a_recount_of_its_trades_at_every_second(seed: int) -> None:
    random = Random(seed)
    window, trades, now = Window(), [], 1_800_000_000
    steps = (0, 0, 0, 1, 5, 600, 20_000) if seed % 2 else (0, 1, 2, 3)
    for _ in range(1_500):
        now += random.choice(steps)
        made = (now, random.randint(95, 105), random.randint(1, 50))
        trades.append(made)
        window.add(*made)
        later = now + random.choice((0, 0, 1))
        window.expire(later)
        trades = [trade for trade in trades if trade[0] > now - WINDOW_S - 10]
        assert counted(window) == recount(trades, later)


def test_a_trade_leaves_exactly_24_hours_after_its_second() -> None:
    window = Window()
    window.add(1_000, 100, 1)
    assert not window.expire(1_000 + WINDOW_S - 1)
    assert window.count == 1
    assert window.expire(1_000 + WINDOW_S)
    assert counted(window) == (0, 0, 0)


def test_seconds_from_the_tables_and_trades_after_them_are_one_window() -> None:
    window = Window()
    window.append(Bucket(1_000, 100, 120, 90, 110, 30, 3_000, 4))
    window.add(1_000, 130, 1)
    window.add(1_001, 80, 2)
    assert counted(window) == (6, 33, 3_290, 100, 130, 80, 80)
    window.expire(1_000 + WINDOW_S)
    assert counted(window) == (1, 2, 160, 80, 80, 80, 80)
