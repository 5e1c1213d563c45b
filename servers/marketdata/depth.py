"""How much rests within some basis points of the middle of a book."""

from typing import Final

from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.marketdata.levels import Side
from servers.marketdata.view import View
from venue.marketdata.v1 import marketdata_pb2 as pb

BANDS_BPS: Final = (10, 25, 50, 100, 200)
_TWICE_BPS: Final = 20_000


def bands_of(view: View) -> list[pb.DepthBand]:
    """Each band with all within it, the nearer ones included; none where a side is empty."""
    bid, ask = view.levels.bids.bound(1), view.levels.asks.bound(1)
    if bid is None or ask is None:
        return []
    twice_middle = bid + ask
    found = []
    for bps in BANDS_BPS:
        # price <= middle * (1 + bps / 10000), in whole numbers.
        low = -(-twice_middle * (10_000 - bps) // _TWICE_BPS)
        high = twice_middle * (10_000 + bps) // _TWICE_BPS
        bids, asks = within(view.levels.bids, low), within(view.levels.asks, high)
        found.append(
            pb.DepthBand(
                bps=bps,
                bid_quantity=format_units(bids[0], ATTO_SCALE),
                bid_amount=format_units(bids[1], 2 * ATTO_SCALE),
                ask_quantity=format_units(asks[0], ATTO_SCALE),
                ask_amount=format_units(asks[1], 2 * ATTO_SCALE),
            )
        )
    return found


def within(side: Side, bound: int) -> tuple[int, int]:
    """Quantity in atto, and amount in atto squared, of the levels from the best to a bound."""
    quantity = amount = 0
    for price, level in side.up_to(bound):
        size = parse(level.quantity)
        quantity += size
        amount += price * size
    return quantity, amount
