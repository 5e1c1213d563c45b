"""What an order waits for: which types wait, on which side of a price, and how a trailing stop follows it. Prices in atto."""

from typing import Final

from servers.domain.commands import PlaceOrder
from servers.domain.model import Market, Order
from servers.domain.terms import OrderType, RejectReason, Side, TriggerSource

TRIGGERED: Final = frozenset(
    map(
        int,
        (
            OrderType.STOP,
            OrderType.STOP_LIMIT,
            OrderType.TAKE_PROFIT,
            OrderType.TAKE_PROFIT_LIMIT,
            OrderType.TRAILING_STOP,
        ),
    )
)
# Types that have a limit price.
LIMITED: Final = frozenset(map(int, (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)))
_PROFIT: Final = frozenset(map(int, (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)))
_TRAILING: Final = int(OrderType.TRAILING_STOP)
_BUY: Final = int(Side.BUY)
_LAST: Final = int(TriggerSource.LAST)
_MARK: Final = int(TriggerSource.MARK)
# Hundredths of a percent.
_WHOLE: Final = 10_000


def source_of(command: PlaceOrder) -> int:
    """The price that triggers an order; 0: it never waits."""
    return (command.trigger_source or _LAST) if command.type in TRIGGERED else 0


def reference(market: Market, source: int) -> int:
    """What a source says at present; 0: nothing yet. A market without a mark price (spot) is marked by its index."""
    if source == _LAST:
        return market.last_ticks * market.tick_size
    return (market.mark_price or market.index_price) if source == _MARK else market.index_price


def rises(order: Order) -> bool:
    """Whether a price triggers the order by rising to its stop price (a buy stop, a sell take-profit), not by falling to it."""
    return (order.side == _BUY) != (order.type in _PROFIT)


def met(order: Order, price: int) -> bool:
    """Whether a price triggers the order: one that is equal to its stop price does; 0 is none."""
    return price > 0 and (price >= order.stop_price if rises(order) else price <= order.stop_price)


def trailing_stop(order: Order, best: int) -> int:
    """The stop price at its distance from the best price, on a tick: a sale's rounded down, a purchase's up; at least a tick."""
    tick = order.market.tick_size
    distance, percent = order.trailing_amount, order.trailing_percent
    if order.side == _BUY:
        stop = best + distance if distance else -(-best * (_WHOLE + percent) // _WHOLE)
        return -(-stop // tick) * tick
    stop = best - distance if distance else best * (_WHOLE - percent) // _WHOLE
    return max(stop // tick, 1) * tick


def improves(order: Order, price: int) -> bool:
    """Whether a price is better than the best that a trailing stop has seen: higher for a sale, lower for a purchase."""
    return price < order.best_price if order.side == _BUY else price > order.best_price


def check_known(command: PlaceOrder, market: Market) -> int:
    """Whether what would trigger an order, and its exits, is known."""
    sources = [source_of(command)] if command.type in TRIGGERED else []
    exits = [terms for terms in (command.take_profit, command.stop_loss) if terms is not None]
    # The entry's own fill makes a last price.
    sources += [terms.trigger_source for terms in exits if terms.trigger_source > _LAST]
    for source in sources:
        if not reference(market, source):
            return int(RejectReason.TRIGGER_PRICE_UNKNOWN)
    return 0


def set_condition(order: Order, command: PlaceOrder) -> None:
    """Give a draft what its command says of what it waits for."""
    order.stop_price = command.stop_price
    order.trigger_source = source_of(command)
    order.trailing_amount = command.trailing_amount
    order.trailing_percent = command.trailing_percent


def begin(order: Order) -> None:
    """Fill in what a new order waits for: a trailing stop's first stop price, and the price that a hold is reckoned at.

    Without a limit a purchase holds what its rest costs at its first stop price.
    """
    market = order.market
    if order.type == _TRAILING:
        order.best_price = reference(market, order.trigger_source)
        order.stop_price = trailing_stop(order, order.best_price)
    if not order.price:
        order.ticks = order.stop_price // market.tick_size
