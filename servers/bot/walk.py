"""Where the market maker thinks a price is: a bounded random walk around its seed price, in ticks."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Walk:
    """A price in ticks that steps by up to `step` and is drawn back to its anchor, never further away than `reach`."""

    anchor: int
    step: int
    reach: int
    price: int = 0

    def __post_init__(self) -> None:
        self.price = self.price or self.anchor

    def follow(self, price: int) -> int:
        """The price that somebody else knows, around which it walks from now on."""
        self.step, self.reach = max(price // 5_000, 1), price // 20
        self.anchor = self.price = price
        return price

    def next(self, source: random.Random) -> int:
        """The next price."""
        pull = (self.anchor - self.price) * self.step // max(self.reach, 1)
        self.price += source.randint(-self.step, self.step) + pull
        self.price = max(self.anchor - self.reach, min(self.anchor + self.reach, self.price), 1)
        return self.price
