"""Orders that wait for a price in the naive venue: all of them are looked at, one after the other, at every price."""

from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain import commands as c
from servers.domain.terms import MarketState, RejectReason, TimeInForce, TriggerSource
from tests.oracle import bounds, checks, linking
from tests.oracle.orders import ATTO, NaiveMarket, Placed

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue

SOURCES = (TriggerSource.LAST, TriggerSource.MARK, TriggerSource.INDEX)


def begin(venue: "NaiveVenue", placed: Placed) -> None:
    """An order that was accepted waits from now on, unless its price is there already."""
    assert placed.wait is not None
    venue.queue.remove(placed)
    venue.queue.append(placed)
    if placed.market.state == MarketState.OPEN and placed.met(placed.market.says(placed.wait.source)):
        venue.due.append(placed)


def set_references(venue: "NaiveVenue", command: c.SetReferencePrices) -> None:
    """Prices come from outside: both are known before either is looked at."""
    market = venue.markets[command.symbol]
    if command.stale_index_time:
        del market.outside[TriggerSource.INDEX]
        return
    prices = ((TriggerSource.MARK, command.mark_price), (TriggerSource.INDEX, command.index_price))
    given = [(source, Fraction(price, ATTO)) for source, price in prices if price]
    market.outside.update(given)
    if command.index_price and TriggerSource.MARK not in market.outside:
        given.insert(0, (TriggerSource.MARK, Fraction(command.index_price, ATTO)))
    market.valuations.append((venue.now, market.valuation()))
    for source, price in given:
        observe(venue, market, source, price)


def opened(venue: "NaiveVenue", market: NaiveMarket) -> None:
    """A market takes orders again: every price that there is counts."""
    for source in SOURCES:
        if market.says(source):
            observe(venue, market, source, market.says(source))


def observe(venue: "NaiveVenue", market: NaiveMarket, source: TriggerSource, price: Fraction) -> None:
    """Look at a price: rising orders first, the nearest stop price first, then who waits longest."""
    mine = [p for p in venue.queue if p.waits and p.market is market and p.wait is not None and p.wait.source == source]
    for placed in mine:
        placed.follow(price)
    if market.state != MarketState.OPEN:
        return
    found = [p for p in mine if p.met(price) and not any(p is other for other in venue.due)]
    venue.due += sorted([p for p in found if p.rises], key=stop_price)
    venue.due += sorted([p for p in found if not p.rises], key=lambda p: -stop_price(p))


def stop_price(placed: Placed) -> Fraction:
    assert placed.wait is not None
    return placed.wait.stop


def run(venue: "NaiveVenue") -> None:
    """Trigger what is due, and what that brings about."""
    while venue.due:
        placed = venue.due.pop(0)
        if not placed.order.end:
            _trigger(venue, placed)


def _trigger(venue: "NaiveVenue", placed: Placed) -> None:
    order = placed.order
    assert placed.wait is not None
    linking.triggered(venue, placed)
    placed.wait.over = True
    # Not among the open ones while it is tried: its own hold is free.
    order.end = "triggered"
    found = linking.stands_in(venue, placed)
    twins = [] if found is None else found.living()
    for twin in twins:
        twin.order.end = "aside"
    wanted = order.quantity
    reason = checks.first(
        (RejectReason.ACCOUNT_NOT_ACTIVE, not placed.account.active),
        (RejectReason.PRICE_OUT_OF_BAND, bounds.out_of_band(venue, placed)),
    ) or checks.with_book(venue, placed)
    for twin in twins:
        twin.order.end = ""
    if reason:
        order.quantity, placed.reject = wanted, reason
        order.end = ""
        venue.end(placed, "trigger rejected")
        return
    order.end = ""
    linking.trading(venue, placed)
    if order.price is None and order.time_in_force != TimeInForce.FOK:
        order.time_in_force = TimeInForce.IOC
    venue.match(placed)
