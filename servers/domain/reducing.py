"""Reduce-only orders: they bring a position nearer to zero, or are cut to what is left of it.

Invariant: the reduce-only orders that rest in a market never add up to more than the account's position there, and all of them
are on the side that reduces it. Where a position shrinks under them, the youngest is cut first; one of which nothing is left is
cancelled. One that waited for its price goes before all that rest when that comes: they give way to what of it is left to rest.
"""

from typing import TYPE_CHECKING, Final

from servers.domain.book import Level
from servers.domain.iceberg import shrink
from servers.domain.identifiers import age
from servers.domain.model import Order, Position
from servers.domain.positions import position_of
from servers.domain.terms import CancelReason, OrderStatus, Side

if TYPE_CHECKING:
    from servers.domain.placing import Floor

_CANCELLED: Final = int(OrderStatus.CANCELLED)
_NOT_REDUCING: Final = int(CancelReason.NOT_REDUCING)


def reducible(position: Position, side: int) -> int:
    """How many lots an order of a side may take off a position; none where it would grow it."""
    return max(-position.lots if side == int(Side.BUY) else position.lots, 0)


def rest_of(order: Order) -> int:
    """The lots of an order that may still be filled."""
    return order.lots - order.filled_lots - order.removed_lots


def room(position: Position, side: int, gone: tuple[Order, ...]) -> int:
    """How many lots a further reduce-only order may have beside those that rest already and would not be gone."""
    taken = sum(rest_of(order) for order in position.reducing.values() if order not in gone)
    return max(reducible(position, side) - taken, 0)


def most_of(order: Order, gone: tuple[Order, ...]) -> int:
    """How many lots a reduce-only order that is about to be placed may have; one whose price has come goes before what rests."""
    position = position_of(order.account, order.market)
    return reducible(position, order.side) if order.trigger_time else room(position, order.side, gone)


def enter(order: Order) -> None:
    """Note that what is left of an order rests."""
    account, market = order.account, order.market
    position = account.positions.get(market.symbol) or position_of(account, market)
    position.resting[order.side] += order.lots - order.filled_lots - order.removed_lots
    if order.reduce_only:
        position.reducing[order.number] = order


def leave(order: Order) -> None:
    """Note that an order rests no more."""
    position = order.account.positions[order.market.symbol]
    position.resting[order.side] -= order.lots - order.filled_lots - order.removed_lots
    if order.reduce_only:
        del position.reducing[order.number]


def take_off(floor: "Floor", order: Order, lots: int) -> Level | None:
    """Take lots off a resting order, which keeps its place; its size is the caller's. The level, if what shows changed."""
    order.account.positions[order.market.symbol].resting[order.side] -= lots
    return shrink(floor.books[order.market.symbol].side(order.side), order, lots)


def cut_to_room(order: Order, gone: tuple[Order, ...]) -> None:
    """Let a reduce-only order that is about to be placed be no larger than what is left to reduce, if anything is."""
    most = most_of(order, gone)
    if 0 < most < order.lots:
        order.lots, order.quantity = most, most * order.market.lot_size


def cut(floor: "Floor") -> bool:
    """Cut resting reduce-only orders to what trades left of their positions. True if there was anything to cut."""
    found = False
    while floor.shrunk:
        for order, lots in _excess(floor.shrunk.pop(), 0):
            found = True
            _cut(floor, order, lots)
    return found


def give_way(floor: "Floor", order: Order) -> None:
    """Cut resting reduce-only orders to what one whose price has come leaves them, before the rest of it rests."""
    for other, lots in _excess(position_of(order.account, order.market), rest_of(order)):
        _cut(floor, other, lots)


def _cut(floor: "Floor", order: Order, lots: int) -> None:
    if lots == rest_of(order):
        floor.end(order, _CANCELLED, _NOT_REDUCING)
        return
    level = take_off(floor, order, lots)
    order.lots -= lots
    order.quantity -= lots * order.market.lot_size
    floor.record.order(order)
    floor.record.fold(order.number, order.lots)
    floor.rehold(order)
    if level is not None:
        floor.tell_level(order.market, order.side, level)


def _excess(position: Position, coming: int) -> list[tuple[Order, int]]:
    """The resting reduce-only orders that are too large by so many lots where as many are `coming`, the youngest first."""
    found = []
    orders = sorted(position.reducing.values(), key=lambda order: age(order.number), reverse=True)
    over = coming + sum(rest_of(order) for order in orders) - (reducible(position, orders[0].side) if orders else 0)
    for order in orders:
        if over <= 0:
            break
        lots = min(over, rest_of(order))
        found.append((order, lots))
        over -= lots
    return found
