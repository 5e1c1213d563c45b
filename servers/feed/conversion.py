"""From what sources quote to what our markets are called: dollars out of tether, and perpetuals out of their base.

Pure. A source that quotes a market's own pair is taken at its word; only else is a price converted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from servers.domain.money import ATTO

# "par": a tether is a dollar. "rate": what the sources say it is worth, and nothing where they do not.
Tether = Literal["par", "rate"]
TETHER_PAIR: Final = "USDT-USD"
_OTHER: Final = {"USD": "USDT", "USDT": "USD"}


@dataclass(frozen=True, slots=True)
class Price:
    """A price in atto, its age, and how long ago it was heard, in milliseconds."""

    price: int
    age_ms: int
    heard_ms: int


def price_for(pair: str, told: Mapping[str, Price], tether: Price | None) -> Price | None:
    """What a source that told these prices by pair says of a pair; `tether` is a tether in dollars, if it is known."""
    if pair in told:
        return told[pair]
    base, _, quote = pair.partition("-")
    other = told.get(f"{base}-{_OTHER.get(quote, '')}")
    if other is None or tether is None or base in _OTHER:
        return None
    price = other.price * tether.price // ATTO if quote == "USD" else other.price * ATTO // tether.price
    return Price(price, max(other.age_ms, tether.age_ms), max(other.heard_ms, tether.heard_ms))


def on_tick(price: int, tick_size: int) -> int:
    """The nearest multiple of the tick, at least one tick. Both in atto."""
    return max((2 * price + tick_size) // (2 * tick_size), 1) * tick_size
