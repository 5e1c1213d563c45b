"""A check of a placement as its owner is told of it, and the checks of the account's limits in that form. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from servers.domain.commands import PlaceOrder
from servers.domain.limits import NO_LIMIT, Bounds
from servers.domain.losses import lost_today
from servers.domain.matching import Plan
from servers.domain.model import Market, Order, Position
from servers.domain.money import ATTO_SCALE, format_units
from servers.domain.positions import DAY_US, reference_ticks, valuation_ticks
from servers.domain.reducing import most_of
from servers.domain.risk import band, closes, exposure, notional_of, position_worth
from servers.domain.terms import RejectReason


@dataclass(slots=True)
class Check:
    """A check of a placement: the RejectReason it gives, the bound, what is held against it before and after, as text."""

    reason: RejectReason
    passed: bool
    limit: str
    now: str
    after: str


def atto(number: int) -> str:
    """A number at the scale of commands as decimal text."""
    return format_units(number, ATTO_SCALE)


def price_checks(command: PlaceOrder, market: Market, bounds: Bounds) -> Iterator[Check]:
    """Whether a limit price lies within the band: its nearer end is the limit."""
    lowest, highest = band(market, bounds)
    if highest == NO_LIMIT:
        return
    ticks = command.price // market.tick_size
    limit = lowest if ticks < lowest else highest
    reference = atto(reference_ticks(market) * market.tick_size)
    inside = lowest <= ticks <= highest
    yield Check(RejectReason.PRICE_OUT_OF_BAND, inside, atto(limit * market.tick_size), reference, atto(command.price))


def notional_checks(command: PlaceOrder, market: Market, bounds: Bounds) -> Iterator[Check]:
    """Whether the account may place so much at once."""
    if bounds.notional_max == NO_LIMIT:
        return
    notional, scale = notional_of(command, market), market.quote_scale
    limit, after = format_units(bounds.notional_max, scale), format_units(notional, scale)
    yield Check(RejectReason.NOTIONAL_TOO_LARGE, notional <= bounds.notional_max, limit, "", after)


def exposure_checks(order: Order, found: Plan, position: Position, bounds: Bounds, wanted: int) -> Iterator[Check]:
    """Whether position and loss of the day allow an order that wanted so many lots before it was cut to what it may reduce."""
    market, lot = order.market, order.market.lot_size
    if order.reduce_only:
        most = most_of(order, ())
        texts = [atto(lots * lot) for lots in (most, position.lots, wanted)]
        yield Check(RejectReason.NOT_REDUCING, most > 0 and not order.quote_amount, texts[0], texts[1], texts[2])
        return
    scale = market.quote_scale
    lots = found.filled_lots if order.quote_amount else order.lots
    ticks = order.ticks or (found.steps[0][1].ticks if found.steps else 0)
    before, after = exposure(position, order.side, 0), exposure(position, order.side, lots)
    if bounds.position_max != NO_LIMIT:
        worth = position_worth(position, max(after, 0), ticks)
        now = position_worth(position, max(before, 0), valuation_ticks(market))
        texts = [format_units(amount, scale) for amount in (bounds.position_max, now, worth)]
        yield Check(RejectReason.POSITION_LIMIT, worth <= bounds.position_max, texts[0], texts[1], texts[2])
    if bounds.loss_max != NO_LIMIT:
        loss = lost_today(order.account, market, (order.trigger_time or order.create_time) // DAY_US)
        allowed = after <= 0 or loss < bounds.loss_max or closes(order, lots)
        limit, lost = format_units(bounds.loss_max, scale), format_units(loss, scale)
        yield Check(RejectReason.DAILY_LOSS_LIMIT, allowed, limit, lost, lost)
