"""Changing an order in place, and putting another in its place: decided first, so what is refused leaves it as it was.

Invariant: an order keeps its place in the queue exactly if its price stays and its quantity does not grow; else its priority that
of the change. An iceberg gives up what it hides before what it shows.
"""

from dataclasses import replace
from typing import Final

from servers.domain.commands import AmendOrder, ReplaceOrder
from servers.domain.errors import (
    AmendBelowFilled,
    MarketHalted,
    OrderHasChanged,
    ReplaceMismatched,
)
from servers.domain.iceberg import too_many_parts
from servers.domain.identifiers import order_id
from servers.domain.linking import need
from servers.domain.matching import Plan, plan
from servers.domain.model import Order
from servers.domain.money import ATTO_SCALE, format_units
from servers.domain.placing import Floor
from servers.domain.positions import position_of
from servers.domain.reducing import rest_of, room, take_off
from servers.domain.retargeting import decide_retarget, refused, retarget
from servers.domain.risk import check_allowed, check_band, check_growth, check_price, check_quantity, check_standing
from servers.domain.terms import CancelReason, MarketState, OrderStatus, RejectReason

_PENDING: Final = int(OrderStatus.PENDING_TRIGGER)
_HALTED: Final = int(MarketState.HALTED)
_PRE_OPEN: Final = int(MarketState.PRE_OPEN)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_FINAL: Final = int(OrderStatus.FILLED)


def decide_amend(floor: Floor, command: AmendOrder, order: Order) -> tuple[Order, Plan | None]:
    """The order as it would be, and what it would do to the book; no plan: it keeps its place. Changes nothing.

    Raises MarketHalted, OrderHasChanged, AmendBelowFilled, AmendRefused.
    """
    market, name = order.market, order_id(floor.partition, order.number)
    if market.state == _HALTED:
        raise MarketHalted(market.symbol)
    if command.expected_version and command.expected_version != order.update_sequence:
        raise OrderHasChanged(name, command.expected_version, order.update_sequence)
    price, quantity = command.price or order.price, command.quantity or order.quantity
    gone = (order.filled_lots + order.removed_lots) * market.lot_size
    if quantity <= gone:
        filled, removed = order.filled_lots * market.lot_size, order.removed_lots * market.lot_size
        raise AmendBelowFilled(name, format_units(filled, ATTO_SCALE), format_units(removed, ATTO_SCALE))
    if order.status == _PENDING:
        return decide_retarget(floor, command, order), None
    if command.stop_price:
        raise refused(name, RejectReason.PRICE_OUT_OF_RANGE)
    stays = price == order.price and quantity <= order.quantity
    ticks, lots = price // market.tick_size, quantity // market.lot_size
    reason = _refusal(floor, order, price, quantity, stays)
    if reason:
        raise refused(name, reason)
    amended = replace(order, price=price, quantity=quantity, ticks=ticks, lots=lots, before=None, after=None)
    rest = lots - order.filled_lots - order.removed_lots
    amended.held = need(amended)
    if stays:
        return amended, None
    if order.post_only and floor.would_trade(amended):
        raise refused(name, RejectReason.POST_ONLY_WOULD_TRADE)
    if floor.links.more(order, amended.held) > floor.ledger.available(order.account, order.market.pays[order.side]):
        raise refused(name, RejectReason.INSUFFICIENT_FUNDS)
    if market.state == _PRE_OPEN:
        return amended, Plan([], 0, 0, False, False)
    return amended, plan(amended, floor.books[market.symbol].opposite[order.side], ticks, rest, -1)


def _refusal(floor: Floor, order: Order, price: int, quantity: int, stays: bool) -> int:
    """Why an order may not be changed to a price and quantity; one that keeps its place is only checked for size."""
    account, market = order.account, order.market
    bounds = floor.limits.of(account, market)
    ticks, lots = price // market.tick_size, quantity // market.lot_size
    parts = int(RejectReason.QUANTITY_TOO_SMALL) if too_many_parts(order.display_quantity, quantity) else 0
    if stays:
        return check_quantity(quantity, market, market.max_lots) or parts
    reason = (
        check_standing(order, account, market)
        or check_allowed(bounds)
        or check_price(price, market)
        or (0 if bounds.plain else check_band(ticks, market, bounds))
        or check_quantity(quantity, market, bounds.lots_max)
        or parts
    )
    if reason:
        return reason
    if not bounds.plain and lots * ticks * market.tick_value > bounds.notional_max:
        return int(RejectReason.NOTIONAL_TOO_LARGE)
    more = lots - order.lots
    if order.reduce_only:
        fits = rest_of(order) + more <= room(position_of(account, market), order.side, (order,))
        return 0 if fits else int(RejectReason.NOT_REDUCING)
    return 0 if bounds.plain else check_growth(order, bounds, more, ticks, floor.record.time)


def amend(floor: Floor, order: Order, amended: Order, found: Plan | None) -> None:
    """Make an open order what was decided."""
    record = floor.record
    record.order(order)
    record.fold(order.number, amended.lots)
    record.fold(amended.ticks, amended.held)
    if order.status == _PENDING:
        retarget(floor, order, amended)
        return
    if found is None:
        level = take_off(floor, order, order.lots - amended.lots)
        order.lots, order.quantity = amended.lots, amended.quantity
        floor.rehold(order)
        # An auction counts what is hidden: a market that collects for one says anew what it would come to.
        if level is None and order.market.symbol in floor.collecting:
            level = floor.books[order.market.symbol].side(order.side).levels[order.ticks]
        if level is not None:
            floor.tell_level(order.market, order.side, level)
        return
    floor.withdraw(order)
    order.price, order.quantity, order.ticks, order.lots = amended.price, amended.quantity, amended.ticks, amended.lots
    floor.hold(order, amended.held)
    floor.match(order, found)
    if order.status >= _FINAL:
        floor.forget(order)


def decide_replace(floor: Floor, command: ReplaceOrder, old: Order) -> tuple[Order, Plan | None] | None:
    """The order that takes an open one's place, and its plan; None: the old one filled all that is wanted. Changes nothing.

    Raises MarketHalted, ReplaceMismatched, AmendRefused.
    """
    market, wanted = old.market, command.order
    name = order_id(floor.partition, old.number)
    if market.state == _HALTED:
        raise MarketHalted(market.symbol)
    if (wanted.symbol, wanted.side) != (market.symbol, old.side):
        raise ReplaceMismatched(name)
    quantity = wanted.quantity - old.filled_lots * market.lot_size
    if quantity <= 0:
        return None
    display = wanted.display_quantity
    if quantity <= display < wanted.quantity and not display % market.lot_size:
        # What is left is less than was to be shown at a time.
        display = 0
    wanted = replace(wanted, quantity=quantity, display_quantity=display)
    order, found = floor.decide(wanted, old.account, market, old)
    if found is None:
        raise refused(name, order.reject_reason)
    order.parent_number = old.number
    order.root_number = old.root_number or old.number
    return order, found


def put_in_place(floor: Floor, old: Order, decided: tuple[Order, Plan | None] | None, requested: int) -> None:
    """Cancel the old order, and accept the new one if there is one; without one it was `requested` (a CancelReason)."""
    floor.end(old, _CANCELLED, requested if decided is None else int(CancelReason.REPLACED))
    if decided is not None:
        order, found = decided
        assert found is not None
        floor.accept(order, found)
