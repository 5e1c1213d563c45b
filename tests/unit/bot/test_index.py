"""An index that moves is followed, one that stands still is not."""

import random

from servers.bot.index import ALIVE_S, Moves
from servers.bot.walk import Walk


def test_an_index_is_alive_while_it_moves() -> None:
    moves = Moves()
    assert moves.alive("BTC-USD", 0.0) is None
    moves.take("BTC-USD", "", 0.0)
    assert moves.alive("BTC-USD", 0.0) is None
    moves.take("BTC-USD", "65000", 10.0)
    moves.take("BTC-USD", "65000", 10.0 + ALIVE_S)
    assert moves.alive("BTC-USD", 9.0 + ALIVE_S) == "65000"
    assert moves.alive("BTC-USD", 10.0 + ALIVE_S) is None
    moves.take("BTC-USD", "65000.01", 20.0 + ALIVE_S)
    assert moves.alive("BTC-USD", 20.0 + ALIVE_S) == "65000.01"
    assert moves.alive("ETH-USD", 20.0 + ALIVE_S) is None


def test_a_walk_goes_on_from_where_the_index_was() -> None:
    walk, source = Walk(1_000_000, 200, 50_000), random.Random(3)
    assert walk.follow(2_000_000) == 2_000_000
    prices = [walk.next(source) for _ in range(2000)]
    assert all(1_900_000 <= price <= 2_100_000 for price in prices)
    assert len(set(prices)) > 100
