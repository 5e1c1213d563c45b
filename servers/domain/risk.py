"""What stands between a placement and the book: checks in the order of RejectReason's numbers, the first failure wins."""

from typing import Final

from servers.domain.commands import PlaceOrder
from servers.domain.conditions import LIMITED, check_known
from servers.domain.iceberg import check_display
from servers.domain.model import Account, Market, Order
from servers.domain.terms import AccountStatus, MarketState, OrderType, RejectReason, TimeInForce

# Open orders that an account of a tier may have; a tier not named here has the default's.
MAX_OPEN_ORDERS: Final = {"default": 1_000, "market_maker": 20_000, "replay": 200_000}

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
_COLLECTED: Final = frozenset(map(int, (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY)))
_LIMIT: Final = int(OrderType.LIMIT)
_DAY: Final = int(TimeInForce.DAY)
_DAY_US: Final = 86_400_000_000
_NONE: Final = 0


def check(
    command: PlaceOrder, account: Account, market: Market, expire_time: int, now: int, instead_of: Order | None
) -> int:
    """The first reason (RejectReason) to refuse a placement before the book and the funds are looked at; 0: none.

    `instead_of` is an order of the account that would be gone.
    """
    reason = check_standing(command, account, market)
    if reason:
        return reason
    reason = check_prices(command, market) or check_size(command, market)
    if reason:
        return reason
    if expire_time and expire_time <= now:
        return int(RejectReason.EXPIRE_TIME_PAST)
    if command.client_order_id and account.labels.get(command.client_order_id, instead_of) is not instead_of:
        return int(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
    if len(account.orders) - (instead_of is not None) >= open_orders_max(account):
        return int(RejectReason.TOO_MANY_OPEN_ORDERS)
    return check_known(command, market)


def open_orders_max(account: Account) -> int:
    """How many open orders an account may have."""
    return MAX_OPEN_ORDERS.get(account.tier, MAX_OPEN_ORDERS["default"])


def check_standing(terms: PlaceOrder | Order, account: Account, market: Market) -> int:
    """Whether the account may place, and the market takes such orders."""
    if account.status != _ACTIVE:
        return int(RejectReason.ACCOUNT_NOT_ACTIVE)
    return _NONE if market.state == _OPEN else check_state(terms, market.state)


def check_state(terms: PlaceOrder | Order, state: int) -> int:
    """Whether a market in a state takes such orders."""
    if state == _POST_ONLY and terms.post_only:
        return _NONE
    if state == _PRE_OPEN and terms.type == _LIMIT and terms.time_in_force in _COLLECTED and not terms.post_only:
        return _NONE
    return int(_STATE_REASONS.get(state, _NONE))


def check_prices(command: PlaceOrder, market: Market) -> int:
    """Whether the market can hold the prices that an order of its type has: its limit, its stop price, its distance."""
    reason = check_price(command.price, market) if command.type in LIMITED else _NONE
    for price in (command.stop_price, command.trailing_amount):
        if price and not reason:
            reason = check_price(price, market)
    return reason


def check_price(price: int, market: Market) -> int:
    """Whether the market can hold a price (atto)."""
    ticks, rest = divmod(price, market.tick_size)
    if rest:
        return int(RejectReason.PRICE_OFF_TICK)
    if not 0 < ticks <= market.max_ticks:
        return int(RejectReason.PRICE_OUT_OF_RANGE)
    return _NONE


def check_size(command: PlaceOrder, market: Market) -> int:
    """Whether the market can hold a placement's quantity or amount."""
    if command.quote_amount:
        # In quote units; what it buys is decided by the book. It must be a whole amount of the quote asset.
        rest = command.quote_amount % 10 ** (18 - market.quote_scale)
        return int(RejectReason.QUANTITY_OFF_LOT) if rest else _NONE
    reason = check_quantity(command.quantity, market)
    if command.display_quantity:
        reasons = (reason, check_display(command.display_quantity, command.quantity, market))
        return min(filter(None, reasons), default=_NONE)
    return reason


def check_quantity(quantity: int, market: Market) -> int:
    """Whether the market can hold a quantity (atto)."""
    lots, rest = divmod(quantity, market.lot_size)
    if rest:
        return int(RejectReason.QUANTITY_OFF_LOT)
    if lots < market.min_lots:
        return int(RejectReason.QUANTITY_TOO_SMALL)
    if lots > market.max_lots:
        return int(RejectReason.QUANTITY_TOO_LARGE)
    return _NONE


def expire_time(command: PlaceOrder, market: Market) -> int:
    """When the order expires, in microseconds since 1970: as given (GTD), at the end of the day (DAY), or 0: never.

    A day ends at the next midnight UTC, or when the market's trading hours close it next, if that is sooner.
    """
    if command.time_in_force != _DAY:
        return command.expire_time
    midnight = (command.time // _DAY_US + 1) * _DAY_US
    if market.schedule is None:
        return midnight
    return min(midnight, market.schedule.close_after(command.time) or midnight)
