"""Icebergs: orders that show a part of themselves at a time.

Invariant: a resting order shows some lots; it hides what it does not show, and what it hides it shows once what it showed is
gone, as much as its display quantity at a time, each time at the end of the queue at its price. So what is hidden at a price
trades only after everything that was shown there before. An order without a display quantity hides nothing.
"""

from typing import Final

from servers.domain.book import BookSide, Level
from servers.domain.model import Market, Order
from servers.domain.terms import RejectReason

# An order may be shown in so many parts: one that trades with it has as many trades.
PARTS_MAX: Final = 100


def hide(order: Order) -> None:
    """Let an iceberg that is about to rest show no more than its display quantity."""
    rest = order.lots - order.filled_lots - order.removed_lots
    order.hidden_lots = max(rest - order.display_quantity // order.market.lot_size, 0)


def shows_nothing(order: Order) -> bool:
    """Whether all that is left of an order is hidden."""
    return order.hidden_lots == order.lots - order.filled_lots - order.removed_lots


def show_more(side: BookSide, order: Order, place: int) -> Level:
    """Show the next part of an order of which nothing is shown any more, at another place in the queue."""
    side.remove(order, 0)
    order.hidden_lots -= min(order.display_quantity // order.market.lot_size, order.hidden_lots)
    order.priority = place
    return side.add(order)


def shrink(side: BookSide, order: Order, lots: int) -> Level | None:
    """Take lots off a resting order, those that it hides first; it keeps its place. The level, if what it shows changed."""
    hidden = min(order.hidden_lots, lots)
    level = side.reduce(order, lots - hidden)
    level.hidden -= hidden
    order.hidden_lots -= hidden
    return level if lots > hidden else None


def check_display(display_quantity: int, quantity: int, market: Market) -> int:
    """The first reason (RejectReason) to refuse a display quantity (atto) of a quantity; 0: none."""
    lots, rest = divmod(display_quantity, market.lot_size)
    if rest:
        return int(RejectReason.QUANTITY_OFF_LOT)
    if lots < market.min_lots or too_many_parts(display_quantity, quantity):
        return int(RejectReason.QUANTITY_TOO_SMALL)
    return int(RejectReason.QUANTITY_TOO_LARGE) if display_quantity >= quantity else 0


def too_many_parts(display_quantity: int, quantity: int) -> bool:
    """Whether a quantity would be shown in more parts than may be."""
    return 0 < display_quantity * PARTS_MAX < quantity
