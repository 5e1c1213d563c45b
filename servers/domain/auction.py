"""The opening auction: orders that were collected trade at one price.

The price is the one at which the most can be traded; of several such, one that leaves the least unfilled on the larger side; of
several still, the highest if all of them leave buyers unfilled, the lowest if all leave sellers unfilled, else the one closest to
the last price, or the middle where there never was a trade. Icebergs count with all they have.

At that price orders trade by price, then by their place in the queue, best buyers with best sellers. Of the two sides of a trade
the order that was there first is the maker, and pays as one. Where both are of one self-trade group, the later order's mode says
what is taken off which; the price is then found again without it. Afterwards the book is not crossed.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, takewhile
from typing import Final, NamedTuple

from servers.domain.book import Book, BookSide, Level
from servers.domain.events import MarketChanged
from servers.domain.iceberg import hide
from servers.domain.model import Market, Order
from servers.domain.placing import Floor
from servers.domain.reducing import cut
from servers.domain.settling import deal
from servers.domain.terms import CancelReason, OrderStatus, SelfTradePrevention

_PARTIALLY_FILLED: Final = int(OrderStatus.PARTIALLY_FILLED)
_FILLED: Final = int(OrderStatus.FILLED)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_SELF_TRADE: Final = int(CancelReason.SELF_TRADE)
_CANCEL_NEWEST: Final = int(SelfTradePrevention.CANCEL_NEWEST)
_CANCEL_OLDEST: Final = int(SelfTradePrevention.CANCEL_OLDEST)
_DECREMENT: Final = int(SelfTradePrevention.DECREMENT_AND_CANCEL)


class Clearing(NamedTuple):
    """The price of an auction and the lots that can trade at it."""

    ticks: int
    lots: int


def indicate(floor: Floor) -> None:
    """Say what the auctions of markets that collect orders would come to, where the command under way changed that."""
    for market in floor.collecting.values():
        if market.book_sequence == floor.record.sequence:
            set_indication(floor, market)


def set_indication(floor: Floor, market: Market) -> None:
    """Put what an auction would come to now on its market."""
    found = clearing(floor.books[market.symbol], market.last_ticks) or Clearing(0, 0)
    if found != (market.auction_ticks, market.auction_lots):
        market.auction_ticks, market.auction_lots = found
        floor.record.events.append(MarketChanged(market))
        floor.record.fold(*found)


def clearing(book: Book, reference: int) -> Clearing | None:
    """At what price (ticks) how many lots would trade; None if the book is not crossed. `reference` is the last price, or 0."""
    best_bid, best_ask = book.bids.top, book.asks.top
    if best_bid is None or best_ask is None or best_bid.ticks < best_ask.ticks:
        return None
    low, high = best_ask.ticks, best_bid.ticks
    bids = [(level.ticks, level.lots + level.hidden) for level in _reaching(book.bids, low)][::-1]
    asks = [(level.ticks, level.lots + level.hidden) for level in _reaching(book.asks, high)]
    bid_ticks, ask_ticks = [ticks for ticks, _ in bids], [ticks for ticks, _ in asks]
    bid_sums = [0, *accumulate(lots for _, lots in bids)]
    ask_sums = [0, *accumulate(lots for _, lots in asks)]
    # Volume and surplus change nowhere else.
    edges = {low, high, *bid_ticks, *(t + 1 for t in bid_ticks), *ask_ticks, *(t - 1 for t in ask_ticks)}
    ranked = []
    for ticks in sorted(edge for edge in edges if low <= edge <= high):
        bought = bid_sums[-1] - bid_sums[bisect_left(bid_ticks, ticks)]
        sold = ask_sums[bisect_right(ask_ticks, ticks)]
        ranked.append((-min(bought, sold), abs(bought - sold), ticks, bought - sold))
    volume, surplus, *_ = min(ranked)
    # They are neighbours: demand only falls and supply only grows with the price.
    good = [(ticks, pressure) for lots, left, ticks, pressure in ranked if (lots, left) == (volume, surplus)]
    (low, lowest), (high, highest) = good[0], good[-1]
    if highest > 0:
        return Clearing(high, -volume)
    if lowest < 0:
        return Clearing(low, -volume)
    return Clearing(min(max(reference or (low + high) // 2, low), high), -volume)


def _reaching(side: BookSide, ticks: int) -> Iterator[Level]:
    """Levels that reach a price, best first."""
    return takewhile(lambda level: level.ticks * side.sign <= ticks * side.sign, side.walk())


def uncross(floor: Floor, market: Market) -> None:
    """Hold the auction of a market whose book may be crossed."""
    book = floor.books[market.symbol]
    while (found := clearing(book, market.last_ticks)) is not None:
        again, traded = True, False
        while again:
            pairs, given_up = _allocate(book, found.ticks)
            for order, lots in given_up:
                floor.record.order(order)
                order.removed_lots += lots
                _leave_or_stay(floor, order, lots)
            if given_up:
                # A price at which somebody has traded stands.
                again = traded
                continue
            traded = True
            again = not _trade_all(floor, pairs, found.ticks)


def _trade_all(floor: Floor, pairs: list[tuple[Order, Order, int]], ticks: int) -> bool:
    """Let pairs trade; False as soon as a trade before made a pair smaller, or ended one of its orders (lists, reduce-only)."""
    for older, newer, lots in pairs:
        if not all(order.number in floor.orders and _rest(order) >= lots for order in (older, newer)):
            return False
        _trade(floor, older, newer, ticks, lots)
        if floor.shrunk:
            cut(floor)
    return True


def _allocate(book: Book, ticks: int) -> tuple[list[tuple[Order, Order, int]], list[tuple[Order, int]]]:
    """Who trades with whom at a price: (older, newer, lots); and what self-trade prevention takes off before anybody does."""
    pairs: list[tuple[Order, Order, int]] = []
    given_up: list[tuple[Order, int]] = []
    buyers, sellers = _queue(book.bids, ticks), _queue(book.asks, ticks)
    buyer, seller = next(buyers, None), next(sellers, None)
    wanted, offered = _rest(buyer), _rest(seller)
    while buyer is not None and seller is not None:
        lots = min(wanted, offered)
        off_buyer = off_seller = lots
        buyer_is_newer = buyer.priority > seller.priority
        older, newer = (seller, buyer) if buyer_is_newer else (buyer, seller)
        if buyer.account.self_trade_group != seller.account.self_trade_group:
            pairs.append((older, newer, lots))
        else:
            mode = newer.self_trade_prevention
            if mode != _DECREMENT:
                spares_buyer = mode == (_CANCEL_OLDEST if buyer_is_newer else _CANCEL_NEWEST)
                spares_seller = mode == (_CANCEL_NEWEST if buyer_is_newer else _CANCEL_OLDEST)
                off_buyer, off_seller = 0 if spares_buyer else wanted, 0 if spares_seller else offered
            given_up += [(order, off) for order, off in ((buyer, off_buyer), (seller, off_seller)) if off]
        wanted -= off_buyer
        offered -= off_seller
        if not wanted:
            buyer = next(buyers, None)
            wanted = _rest(buyer)
        if not offered:
            seller = next(sellers, None)
            offered = _rest(seller)
    return pairs, given_up


def _queue(side: BookSide, ticks: int) -> Iterator[Order]:
    """The orders that reach a price, by price and place; the book must not change meanwhile."""
    for level in _reaching(side, ticks):
        order = level.first
        while order is not None:
            yield order
            order = order.after


def _rest(order: Order | None) -> int:
    return 0 if order is None else order.lots - order.filled_lots - order.removed_lots


def _trade(floor: Floor, older: Order, newer: Order, ticks: int, lots: int) -> None:
    floor.record.order(older)
    floor.record.order(newer)
    deal(floor, older, newer, ticks, lots)
    for order in (older, newer):
        order.status = _PARTIALLY_FILLED
        _leave_or_stay(floor, order, lots)


def _leave_or_stay(floor: Floor, order: Order, lots: int) -> None:
    """An order that has given up lots, traded or not, ends or rests on at its place and shows what it may."""
    market, hidden = order.market, order.hidden_lots
    rest = _rest(order)
    order.account.positions[market.symbol].resting[order.side] -= lots
    if order.display_quantity:
        hide(order)
    side = floor.books[market.symbol].side(order.side)
    level = side.reduce(order, lots + order.hidden_lots - hidden)
    level.hidden += order.hidden_lots - hidden
    if rest:
        floor.rehold(order)
        floor.tell_level(market, order.side, level)
    elif order.removed_lots:
        floor.end(order, _CANCELLED, _SELF_TRADE)
    else:
        floor.end(order, _FILLED, 0)
