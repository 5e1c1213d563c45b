"""What the market maker wants to have in a book: levels around a price, as decimal texts."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from servers.domain.money import ATTO_SCALE, format_units, parse


class Quote(NamedTuple):
    """One order of a ladder; side 1 buys, 2 sells."""

    side: int
    price: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """A market's quoting: sizes in atto, `spread` and `gap` in ticks, `lots` at the best level, growing outwards."""

    tick_size: int
    lot_size: int
    spread: int
    gap: int
    lots: int
    levels: int

    def around(self, price_ticks: int) -> list[Quote]:
        """Bids below and asks above a price; none at or below zero."""
        quotes = []
        for level in range(self.levels):
            distance = self.spread + level * self.gap
            quantity = format_units(self.lots * (level + 1) * self.lot_size, ATTO_SCALE)
            for side, ticks in ((1, price_ticks - distance), (2, price_ticks + distance)):
                if ticks > 0:
                    quotes.append(Quote(side, format_units(ticks * self.tick_size, ATTO_SCALE), quantity))
        return quotes


def affordable(quotes: list[Quote], base: Decimal, quote: Decimal) -> list[Quote]:
    """The quotes that these funds cover, the nearest first: bids cost the quote asset, asks the base asset."""
    left, kept = {1: quote, 2: base}, []
    for each in quotes:
        size = Decimal(each.quantity)
        cost = size * Decimal(each.price) if each.side == 1 else size
        if cost <= left[each.side]:
            left[each.side] -= cost
            kept.append(each)
    return kept


def ladder(tick_size: str, lot_size: str, seed_price: str, notional: int = 2_000) -> tuple[Ladder, int]:
    """A ladder whose best level is worth about `notional` of the quote asset, and the seed price in ticks."""
    tick, lot = parse(tick_size), parse(lot_size)
    anchor = parse(seed_price) // tick
    lots = int(Decimal(notional) / Decimal(seed_price) / Decimal(lot_size)) or 1
    spread = max(anchor // 10_000, 1)
    return Ladder(tick, lot, spread, max(spread // 2, 1), lots, 8), anchor
