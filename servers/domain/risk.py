"""What stands between a placement and the book: checks in the order of RejectReason's numbers, the first failure wins."""

from typing import Final

from servers.domain.commands import PlaceOrder
from servers.domain.conditions import LIMITED, TRIGGERED, check_known
from servers.domain.iceberg import check_display
from servers.domain.limits import NO_LIMIT, Bounds
from servers.domain.losses import lost_today
from servers.domain.matching import Plan
from servers.domain.model import Account, Market, Order, Position
from servers.domain.money import ATTO_SCALE, RATE
from servers.domain.positions import DAY_US, day_end, position_of, reference_ticks, valuation_ticks
from servers.domain.reducing import most_of, reducible, rest_of
from servers.domain.terms import (
    AccountStatus,
    MarketState,
    OrderStatus,
    OrderType,
    RejectReason,
    Side,
    TimeInForce,
)

_ACTIVE: Final = int(AccountStatus.ACTIVE)
_OPEN: Final = int(MarketState.OPEN)
_POST_ONLY: Final = int(MarketState.POST_ONLY)
_PRE_OPEN: Final = int(MarketState.PRE_OPEN)
# What a market that does not take an order rejects it for.
_STATE_REASONS: Final = {
    int(MarketState.HALTED): RejectReason.MARKET_HALTED,
    int(MarketState.CLOSED): RejectReason.MARKET_CLOSED,
    int(MarketState.OUTSIDE_HOURS): RejectReason.MARKET_CLOSED,
    int(MarketState.CANCEL_ONLY): RejectReason.MARKET_CANCEL_ONLY,
    int(MarketState.POST_ONLY): RejectReason.MARKET_POST_ONLY,
    int(MarketState.PRE_OPEN): RejectReason.MARKET_PRE_OPEN,
}
_AT_ONCE: Final = frozenset(map(int, (TimeInForce.IOC, TimeInForce.FOK)))
_COLLECTED: Final = frozenset(map(int, (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY)))
_LIMIT: Final = int(OrderType.LIMIT)
_MARKET: Final = int(OrderType.MARKET)
_PENDING: Final = int(OrderStatus.PENDING_TRIGGER)
_DAY: Final = int(TimeInForce.DAY)
_BUY: Final = int(Side.BUY)
_LOST: Final = int(RejectReason.DAILY_LOSS_LIMIT)
_NONE: Final = 0


def check(
    command: PlaceOrder, account: Account, market: Market, bounds: Bounds, expire_time: int, gone: tuple[Order, ...]
) -> int:
    """The first reason (RejectReason) to refuse a placement before the book and the funds are looked at; 0: none.

    `gone` are orders of the account that would be gone.
    """
    if account.status != _ACTIVE or market.state != _OPEN:
        reason = check_standing(command, account, market)
        if reason:
            return reason
    if not bounds.allowed:
        return int(RejectReason.SYMBOL_NOT_ALLOWED)
    plain = is_plain(command)
    reason = check_prices(command, market, bounds, plain) or check_size(command, market, bounds)
    if reason:
        return reason
    if expire_time and expire_time <= command.time:
        return int(RejectReason.EXPIRE_TIME_PAST)
    if not (plain and not command.client_order_id) and not labels_are_free(command, account, gone):
        return int(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
    if len(account.orders) - len(gone) >= bounds.open_orders_max and not (plain and ends_at_once(command)):
        return int(RejectReason.TOO_MANY_OPEN_ORDERS)
    return _NONE if plain else check_known(command, market)


def is_plain(command: PlaceOrder) -> bool:
    """Whether a placement neither waits nor brings exits: nearly all, which are then not asked about either."""
    return command.type not in TRIGGERED and command.take_profit is None and command.stop_loss is None


def ends_at_once(command: PlaceOrder) -> bool:
    """Whether a plain order is never an open one: who has too many of these can still trade."""
    return command.type == _MARKET or command.time_in_force in _AT_ONCE


def check_standing(terms: PlaceOrder | Order, account: Account, market: Market) -> int:
    """Whether the account may place, and the market takes such orders."""
    if account.status != _ACTIVE:
        return int(RejectReason.ACCOUNT_NOT_ACTIVE)
    return _NONE if market.state == _OPEN else check_state(terms, market.state)


def check_state(terms: PlaceOrder | Order, state: int) -> int:
    """Whether a market in a state takes such orders."""
    if state == _POST_ONLY and terms.post_only:
        return _NONE
    if state == _PRE_OPEN and terms.time_in_force in _COLLECTED and not terms.post_only:
        # One whose time has come rests as any other.
        rests = isinstance(terms, Order) and terms.status != _PENDING
        if terms.type == _LIMIT or rests:
            return _NONE
    return int(_STATE_REASONS.get(state, _NONE))


def check_allowed(bounds: Bounds) -> int:
    """Whether the account may trade the market."""
    return _NONE if bounds.allowed else int(RejectReason.SYMBOL_NOT_ALLOWED)


def check_prices(command: PlaceOrder, market: Market, bounds: Bounds, plain: bool) -> int:
    """Whether the market can hold the prices that an order of its type has, and its limit lies within the band.

    `plain` is what `is_plain` says of it.
    The limit of an order that waits is held against the band when it is triggered.
    """
    if plain:
        reason = check_price(command.price, market) if command.type in LIMITED else _NONE
    else:
        reason = market_prices(command, market, plain)
    if bounds.band == NO_LIMIT or reason or not command.price or command.type in TRIGGERED:
        return reason
    return check_band(command.price // market.tick_size, market, bounds)


def market_prices(command: PlaceOrder, market: Market, plain: bool) -> int:
    """Whether the market can hold the prices of an order of its type: its limit, its stop price, its distance, its exits'."""
    reason = check_price(command.price, market) if command.type in LIMITED else _NONE
    if plain:
        return reason
    prices = [command.stop_price, command.trailing_amount] if command.type in TRIGGERED else []
    for terms in (command.take_profit, command.stop_loss):
        if terms is not None:
            prices += [terms.stop_price, terms.price]
    if not prices:
        return reason
    reasons = (reason, *(check_price(price, market) for price in prices if price))
    return min((reason for reason in reasons if reason), default=_NONE)


def labels_are_free(command: PlaceOrder, account: Account, gone: tuple[Order, ...]) -> bool:
    """Whether an order and its exits may have the labels that they ask for."""
    label = command.client_order_id
    if label and not _is_free(label, account, gone):
        return False
    taken = {label} if label else set()
    for terms in (command.take_profit, command.stop_loss):
        if terms is not None and terms.client_order_id:
            label = terms.client_order_id
            if label in taken or not _is_free(label, account, gone):
                return False
            taken.add(label)
    return True


def _is_free(label: str, account: Account, gone: tuple[Order, ...]) -> bool:
    holder = account.labels.get(label)
    return holder is None or holder in gone


def check_band(ticks: int, market: Market, bounds: Bounds) -> int:
    """Whether a limit price lies within the account's band."""
    lowest, highest = band(market, bounds)
    return _NONE if lowest <= ticks <= highest else int(RejectReason.PRICE_OUT_OF_BAND)


def check_price(price: int, market: Market) -> int:
    """Whether the market can hold a price (atto)."""
    ticks, rest = divmod(price, market.tick_size)
    if rest:
        return int(RejectReason.PRICE_OFF_TICK)
    if not 0 < ticks <= market.max_ticks:
        return int(RejectReason.PRICE_OUT_OF_RANGE)
    return _NONE


def market_takes(command: PlaceOrder, market: Market) -> bool:
    """Whether the market can hold a placement's prices and size at all."""
    if market_prices(command, market, is_plain(command)):
        return False
    if command.quote_amount:
        return not command.quote_amount % int(10 ** (ATTO_SCALE - market.quote_scale))
    return not check_quantity(command.quantity, market, market.max_lots)


def band(market: Market, bounds: Bounds) -> tuple[int, int]:
    """The lowest and the highest price (ticks) that an order may have or trade at; all there are while nothing has a price."""
    reference = reference_ticks(market)
    if bounds.band == NO_LIMIT or not reference:
        return 0, NO_LIMIT
    width = reference * bounds.band
    return -((width - reference * RATE) // RATE), (reference * RATE + width) // RATE


def price_limit(order: Order, bounds: Bounds) -> int:
    """The price (ticks; 0: any) up to which an order without a limit trades."""
    return 0 if bounds.plain else band(order.market, bounds)[order.side == _BUY]


def check_size(command: PlaceOrder, market: Market, bounds: Bounds) -> int:
    """Whether the market can hold a placement's quantity or amount, and the account may ask for it."""
    if command.quote_amount:
        # In quote units; what it buys is decided by the book. It must be a whole amount of the quote asset.
        if command.quote_amount % 10 ** (ATTO_SCALE - market.quote_scale):
            return int(RejectReason.QUANTITY_OFF_LOT)
    else:
        reason = check_quantity(command.quantity, market, bounds.lots_max)
        if command.display_quantity:
            reasons = (reason, check_display(command.display_quantity, command.quantity, market))
            reason = min(filter(None, reasons), default=_NONE)
        if reason:
            return reason
    if bounds.notional_max != NO_LIMIT and notional_of(command, market) > bounds.notional_max:
        return int(RejectReason.NOTIONAL_TOO_LARGE)
    return _NONE


def notional_of(command: PlaceOrder, market: Market) -> int:
    """What a placement comes to, in quote units: at its limit, a market order at the valuation price."""
    if command.quote_amount:
        return command.quote_amount // int(10 ** (ATTO_SCALE - market.quote_scale))
    ticks = (command.price or command.stop_price) // market.tick_size or valuation_ticks(market)
    return command.quantity // market.lot_size * ticks * market.tick_value


def check_quantity(quantity: int, market: Market, most: int) -> int:
    """Whether the market can hold a quantity (atto) that is of so many lots at most."""
    lots, rest = divmod(quantity, market.lot_size)
    if rest:
        return int(RejectReason.QUANTITY_OFF_LOT)
    if lots < market.min_lots:
        return int(RejectReason.QUANTITY_TOO_SMALL)
    if lots > most:
        return int(RejectReason.QUANTITY_TOO_LARGE)
    return _NONE


def expire_time(command: PlaceOrder, market: Market) -> int:
    """When the order expires, in microseconds since 1970: as given (GTD), at the end of the day (DAY), or 0: never.

    A day ends at the next midnight UTC, or when the market's trading hours close it next, if that is sooner.
    """
    if command.time_in_force != _DAY:
        return command.expire_time
    midnight = day_end(command.time)
    if market.schedule is None:
        return midnight
    return min(midnight, market.schedule.close_after(command.time) or midnight)


def exposure(position: Position, side: int, lots: int) -> int:
    """The position in the direction of an order, below zero where it is the other way, if all that rests on its side traded."""
    return (position.lots if side == _BUY else -position.lots) + position.resting[side] + lots


def position_worth(position: Position, lots: int, ticks: int) -> int:
    """What a position of so many lots is worth where an order at a price (0: none) leads to it, in quote units."""
    market = position.market
    return lots * max(ticks, valuation_ticks(market)) * market.tick_value


def check_exposure(order: Order, found: Plan, bounds: Bounds, gone: tuple[Order, ...]) -> int:
    """Reasons that the position and the losses of the day give against a new order, in order of their numbers; 0: none.

    A loss of the day does not stand in the way of one whose price has come and that closes no more than there is (`closes`).
    """
    if order.reduce_only:
        reduces = not order.quote_amount and most_of(order, gone) > 0
        return _NONE if reduces else int(RejectReason.NOT_REDUCING)
    if bounds.plain:
        return _NONE
    lots = found.filled_lots if order.quote_amount else order.lots
    ticks = order.ticks or (found.steps[0][1].ticks if found.steps else 0)
    # What waits for its price is not in the exposure yet.
    more = lots - sum(rest_of(other) for other in gone if other.status != _PENDING) if gone else lots
    reason = check_growth(order, bounds, more, ticks, order.trigger_time or order.create_time)
    return _NONE if reason == _LOST and closes(order, lots) else reason


def closes(order: Order, lots: int) -> bool:
    """Whether an order waited for its price, which has come, and closes no more than there is.

    Others that rest since their price came count with it: together they close the position at most.
    """
    if not order.trigger_time:
        return False
    others = sum(
        rest_of(other)
        for other in order.account.orders.values()
        if other.trigger_time and other is not order and other.side == order.side and other.market is order.market
    )
    return lots + others <= reducible(position_of(order.account, order.market), order.side)


def check_growth(order: Order, bounds: Bounds, lots: int, ticks: int, now: int) -> int:
    """Whether position and loss of the day allow so many lots more on the side of an order that is not reduce-only."""
    account, market = order.account, order.market
    position = account.positions.get(market.symbol) or position_of(account, market)
    side = order.side
    # `exposure` and `position_worth`, spelled out: the calls cost every order.
    reached = (position.lots if side == _BUY else -position.lots) + position.resting[side] + lots
    if reached <= 0:
        return _NONE
    if bounds.position_max != NO_LIMIT:
        worth = market.mark_price // market.tick_size or market.last_ticks
        if ticks > worth:  # noqa: PLR1730
            worth = ticks
        if reached * worth * market.tick_value > bounds.position_max:
            return int(RejectReason.POSITION_LIMIT)
    if bounds.loss_max != NO_LIMIT:
        loss = lost_today(account, market, now // DAY_US)
        if loss >= bounds.loss_max:
            return _LOST
    return _NONE
