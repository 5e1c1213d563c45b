"""Changing an order that waits for its price: what it waits for, its limit, its quantity.

Invariant: it keeps its place in time exactly if its stop price stays.
"""

from dataclasses import replace
from typing import Final

from servers.domain.commands import AmendOrder
from servers.domain.errors import AmendRefused
from servers.domain.iceberg import too_many_parts
from servers.domain.identifiers import order_id
from servers.domain.linking import need
from servers.domain.model import Order
from servers.domain.placing import Floor
from servers.domain.risk import check_allowed, check_price, check_quantity, check_standing
from servers.domain.terms import ListRole, OrderType, RejectReason

_TRAILING: Final = int(OrderType.TRAILING_STOP)


def decide_retarget(floor: Floor, command: AmendOrder, order: Order) -> Order:
    """The order as it would be. Changes nothing. Raises AmendRefused."""
    market, name = order.market, order_id(floor.partition, order.number)
    # What has no limit takes none, and the stop price of a trailing stop is the market's to move.
    if (command.price and not order.price) or (command.stop_price and order.type == _TRAILING):
        raise refused(name, RejectReason.PRICE_OUT_OF_RANGE)
    price, stop_price = command.price or order.price, command.stop_price or order.stop_price
    quantity = command.quantity or order.quantity
    stays = (price, stop_price) == (order.price, order.stop_price) and quantity <= order.quantity
    bounds = floor.limits.of(order.account, market)
    reason = (
        (0 if stays else check_standing(order, order.account, market) or check_allowed(bounds))
        or (check_price(command.price, market) if command.price else 0)
        or (check_price(command.stop_price, market) if command.stop_price else 0)
        or check_quantity(quantity, market, market.max_lots if stays else bounds.lots_max)
        or (RejectReason.QUANTITY_TOO_SMALL if too_many_parts(order.display_quantity, quantity) else 0)
        # An exit covers what its entry has filled, or less.
        or (RejectReason.QUANTITY_TOO_LARGE if order.list_role > ListRole.ENTRY and quantity > order.quantity else 0)
    )
    if reason:
        raise refused(name, reason)
    ticks = price // market.tick_size if price else order.ticks
    if command.stop_price and not price:
        ticks = stop_price // market.tick_size
    lots = quantity // market.lot_size
    if not stays and lots * ((price or stop_price) // market.tick_size) * market.tick_value > bounds.notional_max:
        raise refused(name, RejectReason.NOTIONAL_TOO_LARGE)
    amended = replace(order, price=price, stop_price=stop_price, quantity=quantity, ticks=ticks, lots=lots)
    amended.held = need(amended)
    if floor.links.more(order, amended.held) > floor.ledger.available(order.account, order.market.pays[order.side]):
        raise refused(name, RejectReason.INSUFFICIENT_FUNDS)
    return amended


def retarget(floor: Floor, order: Order, amended: Order) -> None:
    """Make a waiting order what was decided."""
    order.price, order.quantity, order.ticks, order.lots = amended.price, amended.quantity, amended.ticks, amended.lots
    floor.hold(order, amended.held)
    floor.record.fold(amended.stop_price, amended.lots)
    if amended.stop_price != order.stop_price:
        floor.triggers.move(order, amended.stop_price)


def refused(name: str, reason: int) -> AmendRefused:
    """The refusal of a change, for a RejectReason."""
    return AmendRefused(name, RejectReason(reason).name)
