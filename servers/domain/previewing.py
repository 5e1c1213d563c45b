"""What a placement would come to: every check with what it found, and fills that are reckoned, not made. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from servers.domain.checks import Check, atto, exposure_checks, notional_checks, price_checks
from servers.domain.commands import ExitTerms, PlaceOrder
from servers.domain.conditions import LIMITED, TRIGGERED, met, reference, source_of
from servers.domain.fees import buy_need, charge
from servers.domain.iceberg import PARTS_MAX, hide
from servers.domain.limits import Bounds
from servers.domain.matching import DECREMENT, FILL, Plan, end_of
from servers.domain.model import Account, Market, Order
from servers.domain.money import ATTO_SCALE, RATE, format_units
from servers.domain.placing import Floor
from servers.domain.positions import position_of
from servers.domain.reducing import cut_to_room
from servers.domain.risk import check_state, ends_at_once, is_plain, market_takes
from servers.domain.terms import (
    AccountStatus,
    CancelReason,
    MarketState,
    OrderStatus,
    RejectReason,
    Side,
    TimeInForce,
    TriggerSource,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOK: Final = int(TimeInForce.FOK)
_BUY: Final = int(Side.BUY)
_LAST: Final = int(TriggerSource.LAST)
# What the state of a market may be a reason for.
_STATES: Final = (
    RejectReason.MARKET_HALTED,
    RejectReason.MARKET_CLOSED,
    RejectReason.MARKET_CANCEL_ONLY,
    RejectReason.MARKET_POST_ONLY,
    RejectReason.MARKET_PRE_OPEN,
)


@dataclass(slots=True)
class Preview:
    """The order after matching; fills as (ticks, lots, fee in quote units); fee of all of it; hold of its rest."""

    order: Order
    fills: list[tuple[int, int, int]]
    checks: list[Check]
    fee: int
    hold: int


def preview(floor: Floor, command: PlaceOrder, account: Account, market: Market) -> Preview:
    """What placing would come to right now."""
    order, found = floor.decide(command, account, market, None)
    order.update_time = command.time
    checks = list(checks_of(floor, command, account, market))
    if found is None:
        return Preview(order, [], checks, 0, 0)
    if order.trigger_source:
        if not _comes_at_once(order):
            order.status = int(OrderStatus.PENDING_TRIGGER)
            notional = order.lots * order.ticks * market.tick_value
            return Preview(order, [], checks, -(-order.maker_rate * notional // RATE), order.held)
        found, order.reject_reason = _trigger(floor, order, command.time)
        if order.reject_reason:
            order.status, order.cancel_reason = int(OrderStatus.CANCELLED), int(CancelReason.TRIGGER_REJECTED)
            return Preview(order, [], checks, 0, 0)
    fills = _fill(order, found)
    order.status, order.cancel_reason = end_of(order, found)
    rest = 0
    if not order.status:
        order.status = int(OrderStatus.PARTIALLY_FILLED if fills else OrderStatus.OPEN)
        rest = order.lots - order.filled_lots - order.removed_lots
        if order.display_quantity:
            hide(order)
    if order.status != int(OrderStatus.CANCELLED):
        order.cancel_reason = 0
    notional = rest * order.ticks * market.tick_value
    fee = -(-(order.fee_accrued + order.maker_rate * notional) // RATE)
    hold = buy_need(order, rest) if rest and order.side == _BUY else rest * market.lot_units
    return Preview(order, fills, checks, fee, hold)


def _comes_at_once(order: Order) -> bool:
    market = order.market
    return market.state == int(MarketState.OPEN) and met(order, reference(market, order.trigger_source))


def _trigger(floor: Floor, order: Order, time: int) -> tuple[Plan, int]:
    """What an order that need not wait would do, and why it could not be placed."""
    order.trigger_time = time
    if not order.price:
        order.ticks = 0
    # Its hold is among the free funds: nothing was taken.
    order.held = 0
    if order.reduce_only:
        cut_to_room(order, ())
    return floor.triggers.decide(order)


def checks_of(floor: Floor, command: PlaceOrder, account: Account, market: Market) -> Iterator[Check]:
    """Every check of a placement in its order; those that are meaningless for want of others are left out."""
    bounds = floor.limits.of(account, market)
    yield from _before_book(floor, command, account, market, bounds)
    yield from _with_book(floor, command, account, market, bounds)


def _fill(order: Order, found: Plan) -> list[tuple[int, int, int]]:
    """Let the order have the fills of its plan; makers stay as they are."""
    fills = []
    for step, maker, lots in found.steps:
        if step == FILL:
            notional = lots * maker.ticks * order.market.tick_value
            order.filled_lots += lots
            order.notional += notional
            fills.append((maker.ticks, lots, charge(order, order.taker_rate, notional)))
        elif step == DECREMENT and not order.quote_amount:
            order.removed_lots += lots
    if order.quote_amount:
        order.quantity = order.lots * order.market.lot_size
    return fills


def _before_book(
    floor: Floor, command: PlaceOrder, account: Account, market: Market, bounds: Bounds
) -> Iterator[Check]:
    status, state = AccountStatus(account.status), MarketState(market.state)
    active = status == AccountStatus.ACTIVE
    yield Check(RejectReason.ACCOUNT_NOT_ACTIVE, active, AccountStatus.ACTIVE.name, status.name, status.name)
    refused = check_state(command, state)
    for reason in _STATES:
        yield Check(reason, reason != refused, MarketState.OPEN.name, state.name, state.name)
    yield Check(RejectReason.SYMBOL_NOT_ALLOWED, bounds.allowed, "", "", market.symbol)
    exits = [terms for terms in (command.take_profit, command.stop_loss) if terms is not None]
    yield from _prices(market, command, exits)
    if command.price and command.type not in TRIGGERED:
        yield from price_checks(command, market, bounds)
    yield from _sizes(command, market, bounds)
    yield from notional_checks(command, market, bounds)
    expires = floor.draft(command, account, market).expire_time
    if expires:
        future = expires > command.time
        yield Check(RejectReason.EXPIRE_TIME_PAST, future, _instant(command.time), "", _instant(expires))
    yield from _labels(account, [command.client_order_id, *(terms.client_order_id for terms in exits)])
    most, now = bounds.open_orders_max, len(account.orders)
    after = now if is_plain(command) and ends_at_once(command) else now + 1
    yield Check(RejectReason.TOO_MANY_OPEN_ORDERS, after <= max(most, now), str(most), str(now), str(after))
    # An entry's own fill makes a last price for its exits.
    sources = [source_of(command), *(terms.trigger_source for terms in exits if terms.trigger_source > _LAST)]
    for source in filter(None, sources):
        known = reference(market, source)
        yield Check(RejectReason.TRIGGER_PRICE_UNKNOWN, known > 0, TriggerSource(source).name, atto(known), "")


def _prices(market: Market, command: PlaceOrder, exits: list[ExitTerms]) -> Iterator[Check]:
    """Whether the market can hold every price of an order and of its exits."""
    given = [command.stop_price, command.trailing_amount]
    for terms in exits:
        given += [terms.stop_price, terms.price]
    prices = [command.price] if command.type in LIMITED else []
    prices += [price for price in given if price]
    for price in prices:
        off = price % market.tick_size
        yield Check(RejectReason.PRICE_OFF_TICK, not off, atto(market.tick_size), "", atto(price))
    highest = atto(market.max_ticks * market.tick_size)
    for price in prices:
        fits = 0 < price // market.tick_size <= market.max_ticks
        yield Check(RejectReason.PRICE_OUT_OF_RANGE, fits, highest, "", atto(price))


def _labels(account: Account, labels: list[str]) -> Iterator[Check]:
    """Whether an order and its exits may have the labels that they ask for."""
    taken = set(account.labels)
    for label in filter(None, labels):
        used = int(label in taken)
        yield Check(RejectReason.DUPLICATE_CLIENT_ORDER_ID, not used, "1", str(used), str(used + 1))
        taken.add(label)


def _sizes(command: PlaceOrder, market: Market, bounds: Bounds) -> Iterator[Check]:
    if command.quote_amount:
        unit = 10 ** (ATTO_SCALE - market.quote_scale)
        whole = command.quote_amount % unit == 0
        yield Check(RejectReason.QUANTITY_OFF_LOT, whole, atto(unit), "", atto(command.quote_amount))
        return
    lots, off = divmod(command.quantity, market.lot_size)
    yield Check(RejectReason.QUANTITY_OFF_LOT, not off, atto(market.lot_size), "", atto(command.quantity))
    sizes = _between(market, bounds, lots, lots >= market.min_lots, command.quantity)
    if not command.display_quantity:
        yield from sizes
        return
    shown = _shown(command, market)
    yield next(shown)
    for size in sizes:
        yield size
        yield next(shown)


def _shown(command: PlaceOrder, market: Market) -> Iterator[Check]:
    """What a display quantity must be: whole lots, not too small, less than the quantity."""
    display = command.display_quantity
    off = display % market.lot_size
    least = max(market.min_lots * market.lot_size, -(-command.quantity // PARTS_MAX))
    yield Check(RejectReason.QUANTITY_OFF_LOT, not off, atto(market.lot_size), "", atto(display))
    yield Check(RejectReason.QUANTITY_TOO_SMALL, display >= least, atto(least), "", atto(display))
    yield Check(RejectReason.QUANTITY_TOO_LARGE, display < command.quantity, atto(command.quantity), "", atto(display))


def _between(market: Market, bounds: Bounds, lots: int, enough: bool, quantity: int) -> Iterator[Check]:
    least, most = atto(market.min_lots * market.lot_size), atto(bounds.lots_max * market.lot_size)
    yield Check(RejectReason.QUANTITY_TOO_SMALL, enough, least, "", atto(quantity))
    yield Check(RejectReason.QUANTITY_TOO_LARGE, lots <= bounds.lots_max, most, "", atto(quantity))


def _with_book(floor: Floor, command: PlaceOrder, account: Account, market: Market, bounds: Bounds) -> Iterator[Check]:
    """What only the book and the funds can tell, where the market can hold price and size at all."""
    if not market_takes(command, market):
        return
    source = source_of(command)
    if source and not reference(market, source):
        return
    order = floor.draft(command, account, market)
    wanted_lots = order.quantity // market.lot_size
    found = floor.planned(order, bounds, ())
    if source:
        yield _funds(floor, order, found)
        if not _comes_at_once(order):
            return
        found, _ = _trigger(floor, order, command.time)
        if order.price:
            yield from price_checks(command, market, bounds)
    yield from exposure_checks(order, found, position_of(account, market), bounds, wanted_lots)
    filled = atto(found.filled_lots * market.lot_size)
    if order.post_only:
        best = floor.books[market.symbol].opposite[order.side].top
        limit = "" if best is None else atto(best.ticks * market.tick_size)
        yield Check(RejectReason.POST_ONLY_WOULD_TRADE, not floor.would_trade(order), limit, "", atto(order.price))
    wanted, whole = atto(order.quantity), found.filled_lots == order.lots
    if not order.ticks:
        nothing = not found.filled_lots and not found.steps and not found.stopped
        yield Check(RejectReason.NO_LIQUIDITY, found.spent or not nothing, "", "", filled)
        if order.quote_amount:
            lots = found.filled_lots
            small = found.spent and (nothing or (not found.stopped and lots < market.min_lots))
            yield from _between(market, bounds, lots, not small, lots * market.lot_size)
            wanted, whole = atto(order.quote_amount), found.spent and not found.stopped
    if order.time_in_force == _FOK:
        yield Check(RejectReason.NOT_FILLABLE, whole, wanted, "", filled)
    yield _funds(floor, order, found)


def _funds(floor: Floor, order: Order, found: Plan) -> Check:
    account, market, asset = order.account, order.market, order.market.pays[order.side]
    scale = market.quote_scale if asset == market.quote_asset else market.base_scale
    available, need = floor.ledger.available(account, asset), floor.first_need(order, found)
    funds = format_units(available, scale), format_units(available - need, scale)
    return Check(RejectReason.INSUFFICIENT_FUNDS, need <= available, "0", *funds)


def _instant(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
