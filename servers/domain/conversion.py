"""What an exchange of assets comes to: markets on the way from one to the other, books walked for the size, and the spread.

Fractions all the way and one rounding at the end, down: the house gives no part of a smallest unit away, and keeps less than one.
"""

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

# Where several assets lie between two, these are asked first.
BETWEEN: Final = ("USD", "USDT")


class Listing(NamedTuple):
    """A market by what it exchanges."""

    symbol: str
    base: str
    quote: str


class Leg(NamedTuple):
    """One market of the way; sells: the base is paid and the quote received, else the other way round."""

    listing: Listing
    sells: bool


class Priced(NamedTuple):
    """What a leg gives, and whether the book said so (else the index price did)."""

    received: Fraction
    by_book: bool


def way(listings: Iterable[Listing], paid: str, received: str, told: Collection[str] = ()) -> tuple[Leg, ...]:
    """The markets from one asset to another: one, or two with an asset between them; empty where there are none.

    Of several that exchange the same assets it is the first by symbol, one whose price somebody tells (`told`) before others.
    """
    legs: dict[str, dict[str, Leg]] = {}
    for listing in sorted(listings, key=lambda each: (each.symbol not in told, each)):
        legs.setdefault(listing.base, {}).setdefault(listing.quote, Leg(listing, sells=True))
        legs.setdefault(listing.quote, {}).setdefault(listing.base, Leg(listing, sells=False))
    first = legs.get(paid, {})
    if received in first:
        return (first[received],)
    for between in (*(asset for asset in BETWEEN if asset in first), *sorted(first)):
        if received in legs[between]:
            return first[between], legs[between][received]
    return ()


def walk(levels: Sequence[tuple[Fraction, Fraction]], amount: Fraction, *, sells: bool) -> Fraction | None:
    """What an amount gives in a book of (price, quantity), best first; None where there is not enough in it.

    `sells`: the amount is of the base and the levels are bids, else it is of the quote and they are asks.
    """
    received = Fraction(0)
    for price, quantity in levels:
        size = quantity if sells else quantity * price
        taken = min(size, amount)
        received += taken * price if sells else taken / price
        amount -= taken
        if not amount:
            return received
    return None


def priced(
    leg: Leg, levels: Sequence[tuple[Fraction, Fraction]], index: Fraction | None, amount: Fraction
) -> Priced | None:
    """What the leg gives for an amount; None where nobody can say.

    An order in the book may be its owner's way to a better price, so of book and index the worse for the customer counts.
    """
    by_index = None
    if index:
        by_index = amount * index if leg.sells else amount / index
    if not levels:
        return None if by_index is None else Priced(by_index, by_book=False)
    by_book = walk(levels, amount, sells=leg.sells)
    if by_book is None:
        return None
    return Priced(by_book if by_index is None else min(by_book, by_index), by_book=True)


def after_spread(received: Fraction, spread: Fraction, scale: int) -> int:
    """What the customer gets, in units of 10**-scale, rounded down."""
    return int(received * (1 - spread) * 10**scale // 1)
