"""Why the naive venue refuses an order: every check in its documented order, the book's by trying the order on a copy."""

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain.terms import ListRole, MarketState, OrderType, RejectReason, Side, TimeInForce, TriggerSource
from tests.oracle import bounds
from tests.oracle.book import Trial
from tests.oracle.lifecycle import state_reason
from tests.oracle.orders import ATTO, Placed

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue

NONE = RejectReason.UNSPECIFIED
EXITS = {ListRole.TAKE_PROFIT, ListRole.STOP_LOSS}


def first(*failures: tuple[RejectReason, bool]) -> RejectReason:
    """The first that failed."""
    return next((reason for reason, failed in failures if failed), NONE)


def refusal(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    """The first reason to refuse an order; a reduce-only one is cut to what it may reduce on the way."""
    return standing(venue, placed) or prices(venue, placed) or size(venue, placed) or rest(venue, placed)


def standing(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    account, market = placed.account, placed.market
    return first(
        (RejectReason.ACCOUNT_NOT_ACTIVE, not account.active),
        (state := state_reason(market.state, placed), state != NONE),
        (RejectReason.SYMBOL_NOT_ALLOWED, not bounds.is_allowed(venue, account, market)),
    )


def prices(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    market, wait, limit = placed.market, placed.wait, placed.order.price
    given = [] if limit is None else [Fraction(limit)]
    if wait is not None:
        # The stop price of a trailing stop is the market's to move.
        trails = wait.kind == OrderType.TRAILING_STOP
        given += [price for price in (Fraction(0) if trails else wait.stop, wait.amount) if price]
    for terms in placed.exits:
        given += [Fraction(p, ATTO) for p in (terms.stop_price, terms.price) if p] if terms is not None else []
    return first(
        (RejectReason.PRICE_OFF_TICK, any(price % market.size("tick_size") for price in given)),
        (RejectReason.PRICE_OUT_OF_RANGE, any(not 0 < price <= market.size("max_price") for price in given)),
        (RejectReason.PRICE_OUT_OF_BAND, not placed.waits and bounds.out_of_band(venue, placed)),
    )


def size(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    order, market, account = placed.order, placed.market, placed.account
    lot, least = market.size("lot_size"), market.size("min_quantity")
    if order.amount is not None:
        return first(
            (RejectReason.QUANTITY_OFF_LOT, order.amount % market.quote_unit != 0),
            (RejectReason.NOTIONAL_TOO_LARGE, bounds.is_too_large(venue, placed)),
        )
    assert order.quantity is not None
    quantity, own = order.quantity, bounds.most(venue, account, market, "quantity_max")
    shown = order.display is not None
    display = quantity if order.display is None else order.display
    return first(
        (RejectReason.QUANTITY_OFF_LOT, quantity % lot != 0 or display % lot != 0),
        (RejectReason.QUANTITY_TOO_SMALL, min(quantity, display) < least or display * 100 < quantity),
        (RejectReason.QUANTITY_TOO_LARGE, quantity > market.size("max_quantity") or (shown and display >= quantity)),
        (RejectReason.QUANTITY_TOO_LARGE, own is not None and quantity > own),
        (RejectReason.NOTIONAL_TOO_LARGE, bounds.is_too_large(venue, placed)),
    )


def rest(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    account, market, wait = placed.account, placed.market, placed.wait
    open_now = list(venue.open_orders(account.account_id))
    labels = [placed.label, *(terms.client_order_id for terms in placed.exits if terms is not None)]
    asked = [label for label in labels if label] + [other.label for other in open_now if other.label]
    sources = [] if wait is None else [wait.source]
    exits = [TriggerSource(terms.trigger_source) for terms in placed.exits if terms is not None]
    sources += [source for source in exits if source not in {TriggerSource.UNSPECIFIED, TriggerSource.LAST}]
    orders_max = bounds.orders_max(venue, account, market)
    return first(
        (RejectReason.EXPIRE_TIME_PAST, 0 < placed.expire_time <= venue.now),
        (RejectReason.DUPLICATE_CLIENT_ORDER_ID, len(set(asked)) < len(asked)),
        (
            RejectReason.TOO_MANY_OPEN_ORDERS,
            orders_max is not None and len(open_now) >= orders_max and not _ends_at_once(placed),
        ),
        (RejectReason.TRIGGER_PRICE_UNKNOWN, not all(market.says(source) for source in sources)),
    ) or with_book(venue, placed)


def _ends_at_once(placed: Placed) -> bool:
    """Whether neither it nor an exit of it is ever an open order."""
    order = placed.order
    at_once = order.price is None or order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}
    return at_once and not placed.waits and placed.exits == (None, None)


def with_book(venue: "NaiveVenue", placed: Placed) -> RejectReason:
    """What only the book, the position and the funds can tell."""
    order = placed.order
    if placed.wait is not None and placed.waits:
        wait = placed.wait
        wait.best = placed.market.says(wait.source) if wait.kind == OrderType.TRAILING_STOP else Fraction(0)
        if wait.kind == OrderType.TRAILING_STOP:
            wait.stop = wait.first = placed.trailing()
        return first(funds(venue, placed, placed.hold()))
    if order.reduce_only and order.quantity is not None:
        order.quantity = min(order.quantity, bounds.room(venue, placed)) or order.quantity
    order.bound = bounds.bound(venue, placed)
    if placed.market.state == MarketState.PRE_OPEN:
        return bounds.exposure_reason(venue, placed, None) or first(funds(venue, placed, placed.hold()))
    trial = placed.market.book.trial(order, placed.taker_rate)
    if _buys_what_it_can(placed) and _cost(placed, trial) > venue.available(placed.account.account_id, placed.pays()):
        order.funds = venue.available(placed.account.account_id, placed.pays())
        limited = placed.market.book.trial(order, placed.taker_rate)
        trial = limited if limited.trades else trial
    return bounds.exposure_reason(venue, placed, trial) or _tried(venue, placed, trial)


def _tried(venue: "NaiveVenue", placed: Placed, trial: Trial) -> RejectReason:
    order, market = placed.order, placed.market
    own = bounds.most(venue, placed.account, market, "quantity_max")
    largest = market.size("max_quantity") if own is None else min(own, market.size("max_quantity"))
    amount, bought = order.amount is not None, trial.order.filled
    nothing = order.price is None and not trial.trades and not trial.first and trial.order.end != "self-trade"
    spent = trial.order.spent and not trial.order.removed
    need = placed.hold() if order.price is not None else _cost(placed, trial)
    return first(
        (RejectReason.POST_ONLY_WOULD_TRADE, order.post_only and market.book.would_trade(order)),
        (RejectReason.QUANTITY_TOO_SMALL, nothing and trial.order.spent),
        (RejectReason.NO_LIQUIDITY, nothing),
        (RejectReason.QUANTITY_TOO_SMALL, amount and spent and bought < market.size("min_quantity")),
        (RejectReason.QUANTITY_TOO_LARGE, amount and bought > largest),
        (RejectReason.NOT_FILLABLE, order.time_in_force == TimeInForce.FOK and trial.order.end != "filled"),
        funds(venue, placed, need),
    )


def funds(venue: "NaiveVenue", placed: Placed, need: Fraction) -> tuple[RejectReason, bool]:
    return RejectReason.INSUFFICIENT_FUNDS, need > venue.available(placed.account.account_id, placed.pays())


def _buys_what_it_can(placed: Placed) -> bool:
    """Whether it is a purchase at any price whose time has come: it buys what there are funds for."""
    order = placed.order
    lives = order.time_in_force != TimeInForce.FOK
    return placed.wait is not None and order.price is None and order.side == Side.BUY and lives


def _cost(placed: Placed, trial: Trial) -> Fraction:
    """What the trades of a market order cost: base, or quote and a taker's fee."""
    if placed.order.side == Side.SELL:
        return Fraction(sum(trade.quantity for trade in trial.trades))
    notional = Fraction(sum(trade.price * trade.quantity for trade in trial.trades))
    return notional + max(placed.fee(placed.taker_rate * notional), Fraction(0))


def after_change(venue: "NaiveVenue", placed: Placed, *, more: bool) -> RejectReason:
    """What stands against an order that was changed and would lose its place, before the book and the funds are looked at.

    `more`: its quantity has grown, which that of an exit that waits may not.
    """
    own = bounds.most(venue, placed.account, placed.market, "quantity_max")
    return (
        standing(venue, placed)
        or prices(venue, replace(placed, exits=(None, None)))
        or still_fits(placed, own)
        or first((RejectReason.QUANTITY_TOO_LARGE, more and placed.waits and placed.role in EXITS))
        or first((RejectReason.NOTIONAL_TOO_LARGE, bounds.is_too_large(venue, placed)))
    )


def still_fits(placed: Placed, own: Fraction | None = None) -> RejectReason:
    """Whether the market can hold the quantity of an order that was changed; its account's `own` limit is told."""
    order, market = placed.order, placed.market
    quantity = order.quantity
    assert quantity is not None
    return first(
        (RejectReason.QUANTITY_OFF_LOT, quantity % market.size("lot_size") != 0),
        (RejectReason.QUANTITY_TOO_SMALL, quantity < market.size("min_quantity")),
        (
            RejectReason.QUANTITY_TOO_LARGE,
            quantity > market.size("max_quantity") or (own is not None and quantity > own),
        ),
        (RejectReason.QUANTITY_TOO_SMALL, order.display is not None and order.display * 100 < quantity),
    )
