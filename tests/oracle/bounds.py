"""Limits in the naive venue: looked up in all that were ever set, positions and losses counted from every trade."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from servers.domain.terms import RejectReason, Side
from tests.oracle.book import Number, Trial
from tests.oracle.orders import ATTO, NaiveAccount, NaiveMarket, Placed

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue

DAY_US = 86_400_000_000
UNSAID = -1
ORDERS_MAX = 1_000


def _said(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket, name: str, unsaid: Any) -> Any:
    """What the narrowest limits that say something say of it."""
    symbol = market.definition.symbol
    keys = [(account.account_id, ""), ("", account.tier), ("", "")]
    for whose in keys:
        for where in (symbol, ""):
            limits = venue.limits.get((*whose, where))
            if limits is not None and getattr(limits, name) != unsaid:
                return getattr(limits, name)
    return unsaid


def most(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket, name: str) -> Fraction | None:
    """A limit of an amount or quantity; None: there is none."""
    said = _said(venue, account, market, name, UNSAID)
    return None if said in {0, UNSAID} else Fraction(said, ATTO)


def most_quote(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket, name: str) -> Fraction | None:
    """The same of an amount of the quote asset, in its whole units."""
    said = most(venue, account, market, name)
    return None if said is None else said // market.quote_unit * market.quote_unit


def orders_max(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket) -> int | None:
    said = _said(venue, account, market, "open_orders_max", UNSAID)
    return ORDERS_MAX if said == UNSAID else said or None


def is_allowed(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket) -> bool:
    symbols = (_said(venue, account, market, "symbols_allowed", "") or "*").split()
    return "*" in symbols or market.definition.symbol in symbols


def band(venue: "NaiveVenue", account: NaiveAccount, market: NaiveMarket) -> tuple[Fraction, Fraction] | None:
    """Between which prices an order may be or trade; None: everywhere."""
    said = _said(venue, account, market, "price_band", UNSAID)
    reference = market.reference()
    if said in {0, UNSAID} or not reference:
        return None
    width = reference * Fraction(said, 10**8)
    return reference - width, reference + width


def out_of_band(venue: "NaiveVenue", placed: Placed) -> bool:
    """Whether the limit of an order lies outside the band."""
    limits, price = band(venue, placed.account, placed.market), placed.order.price
    return limits is not None and price is not None and not limits[0] <= price <= limits[1]


def bound(venue: "NaiveVenue", placed: Placed) -> Fraction | None:
    """How far an order without a limit trades."""
    limits = band(venue, placed.account, placed.market)
    if limits is None or placed.order.price is not None:
        return None
    return limits[1] if placed.order.side == Side.BUY else limits[0]


def is_too_large(venue: "NaiveVenue", placed: Placed) -> bool:
    """Whether an order comes to too much at its limit, else its stop price, else what positions are worth."""
    limit, order = most_quote(venue, placed.account, placed.market, "notional_max"), placed.order
    if limit is None:
        return False
    if order.amount is not None:
        return order.amount > limit
    stop = Fraction(0) if placed.wait is None else placed.wait.stop
    price = order.price or stop or placed.market.valuation()
    assert order.quantity is not None
    return order.quantity * price > limit


def resting(venue: "NaiveVenue", placed: Placed, *, reduce_only: bool = False) -> Number:
    """What rests in the book of an order's account and side, itself excepted."""
    found: list[Number] = [
        other.order.remaining()
        for other in venue.open_orders(placed.account.account_id)
        if other.market is placed.market
        and other.order.side == placed.order.side
        and other.order is not placed.order
        and other.market.book.rests(other.order)
        and (other.order.reduce_only or not reduce_only)
    ]
    return sum(found)


def room(venue: "NaiveVenue", placed: Placed) -> Number:
    """How much a further reduce-only order may reduce; one whose price has come does not mind those that rest."""
    position = placed.market.book.reducible(placed.account.account_id, placed.order.side)
    if _came(placed):
        return position
    return max(position - resting(venue, placed, reduce_only=True), 0)


def _came(placed: Placed) -> bool:
    """Whether the price of an order has come just now: it is not among the open ones."""
    return placed.wait is not None and placed.wait.over and placed.order.end == "triggered"


def _stopping(venue: "NaiveVenue", placed: Placed) -> Number:
    """What rests on an order's side since its price came."""
    found: list[Number] = [
        other.order.remaining()
        for other in venue.open_orders(placed.account.account_id)
        if other.market is placed.market and other.order.side == placed.order.side
        if other.wait is not None and other.wait.over and other is not placed
    ]
    return sum(found)


def exposure_reason(venue: "NaiveVenue", placed: Placed, trial: Trial | None) -> RejectReason:
    """What position and loss of the day say to an order that does not rest (yet, or as it is)."""
    order, account, market = placed.order, placed.account, placed.market
    if order.reduce_only:
        fits = order.amount is None and 0 < order.remaining() <= room(venue, placed)
        return RejectReason.UNSPECIFIED if fits else RejectReason.NOT_REDUCING
    first = 0 if trial is None else trial.first
    amount = trial.order.filled if order.amount is not None and trial is not None else 0
    quantity = amount if order.amount is not None else order.remaining()
    position = market.book.positions[account.account_id]
    reached = (position if order.side == Side.BUY else -position) + resting(venue, placed) + quantity
    if reached <= 0:
        return RejectReason.UNSPECIFIED
    worth = reached * max(Fraction(order.price or first), market.valuation())
    limit = most_quote(venue, account, market, "position_max")
    if limit is not None and worth > limit:
        return RejectReason.POSITION_LIMIT
    loss = most_quote(venue, account, market, "daily_loss_max")
    stops = _came(placed) and quantity + _stopping(venue, placed) <= market.book.reducible(
        account.account_id, order.side
    )
    if loss is not None and not stops and lost_today(venue, account, market.definition.quote_asset) >= loss:
        return RejectReason.DAILY_LOSS_LIMIT
    return RejectReason.UNSPECIFIED


def lost_today(venue: "NaiveVenue", account: NaiveAccount, quote_asset: str) -> Fraction:
    """What positions were worth when the day began, less what they are now, plus all that trades of the day cost."""
    begun = venue.now // DAY_US * DAY_US
    lost = Fraction(0)
    for market in venue.markets.values():
        if market.definition.quote_asset != quote_asset:
            continue
        mine = [(time, quantity, cost) for time, where, quantity, cost in account.trades if where is market]
        before = sum((quantity for time, quantity, _ in mine if time < begun), Fraction(0))
        then = next((price for time, price in reversed(market.valuations) if time < begun), Fraction(0))
        position = sum((quantity for _, quantity, _ in mine), Fraction(0))
        lost += before * then - position * market.valuation()
        lost += sum((cost for time, _, cost in mine if time >= begun), Fraction(0))
    return lost
