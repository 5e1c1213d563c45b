"""The true prices that all simulated sources see a little differently: bounded random walks around the seed prices."""

import random
from collections.abc import Mapping
from typing import Final

from servers.domain.money import ATTO_SCALE, format_units, parse

STEP_BPS: Final = 2
REACH_BPS: Final = 200
# What two sources of one price differ by.
NOISE_BPS: Final = 1
_BPS: Final = 10_000


class Walks:
    """Prices by pair, in atto, moved once a `step`."""

    def __init__(self, seeds: Mapping[str, str], seed: int = 1) -> None:
        self._source = random.Random(seed)
        self._anchors = {pair: parse(price) for pair, price in seeds.items()}
        self._prices = dict(self._anchors)

    def step(self) -> None:
        """Move every price by up to two basis points, back towards its anchor the further away it is."""
        for pair, anchor in self._anchors.items():
            size = anchor * STEP_BPS // _BPS
            reach = anchor * REACH_BPS // _BPS
            pull = (anchor - self._prices[pair]) * size // reach
            moved = self._prices[pair] + self._source.randint(-size, size) + pull
            self._prices[pair] = max(anchor - reach, min(anchor + reach, moved))

    def price(self, pair: str) -> str:
        """What somebody sees of a price: decimal text of eight digits at most."""
        price = self._prices[pair]
        noise = price * NOISE_BPS // _BPS
        return format_units((price + self._source.randint(-noise, noise)) // 10**10 * 10**10, ATTO_SCALE)

    def set(self, pair: str, price: str) -> None:
        """Put a price somewhere, as the anchor from now on."""
        self._prices[pair] = self._anchors[pair] = parse(price)
