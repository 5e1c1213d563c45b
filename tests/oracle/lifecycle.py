"""What the naive venue does when a market changes its state, and when: an auction tries every price there is."""

from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain.hours import Hours
from servers.domain.terms import MarketState, RejectReason, SelfTradePrevention, TimeInForce
from tests.oracle import linking, waiting
from tests.oracle.book import NaiveBook, NaiveOrder, Number

if TYPE_CHECKING:
    from tests.oracle.orders import NaiveMarket, Placed
    from tests.oracle.venue import NaiveVenue

RESTING = {TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY}
WEEK_S = 7 * 86_400
BY_HOURS = {MarketState.PRE_OPEN, MarketState.OPEN, MarketState.POST_ONLY, MarketState.OUTSIDE_HOURS}


def state_reason(state: int, placed: "Placed") -> RejectReason:
    """Why a market in a state does not take an order."""
    order = placed.order
    collected = order.price is not None and order.time_in_force in RESTING and not order.post_only and not placed.waits
    failures = [
        (RejectReason.MARKET_HALTED, state == MarketState.HALTED),
        (RejectReason.MARKET_CLOSED, state in {MarketState.CLOSED, MarketState.OUTSIDE_HOURS}),
        (RejectReason.MARKET_CANCEL_ONLY, state == MarketState.CANCEL_ONLY),
        (RejectReason.MARKET_POST_ONLY, state == MarketState.POST_ONLY and not order.post_only),
        (RejectReason.MARKET_PRE_OPEN, state == MarketState.PRE_OPEN and not collected),
    ]
    return next((reason for reason, failed in failures if failed), RejectReason.UNSPECIFIED)


def clearing(book: NaiveBook, tick: Fraction, last: Number) -> tuple[Number, Number] | None:
    """(price, quantity) of an auction, found by trying every price; None if nothing would trade."""
    if not book.bids or not book.asks:
        return None
    low, high = book.asks[0].price, book.bids[0].price
    assert low is not None
    assert high is not None
    prices = [Fraction(low) + n * tick for n in range(int((high - low) / tick) + 1)]
    found: list[tuple[Fraction, Fraction, Fraction]] = []
    for price in prices:
        bought = sum(o.remaining() for o in book.bids if o.price is not None and o.price >= price)
        sold = sum(o.remaining() for o in book.asks if o.price is not None and o.price <= price)
        found.append((Fraction(min(bought, sold)), Fraction(bought - sold), price))
    if not found:
        return None
    most = max(volume for volume, _, _ in found)
    least = min(abs(surplus) for volume, surplus, _ in found if volume == most)
    best = [(surplus, price) for volume, surplus, price in found if (volume, abs(surplus)) == (most, least)]
    good = [price for _, price in best]
    if all(surplus > 0 for surplus, _ in best):
        return good[-1], most
    if all(surplus < 0 for surplus, _ in best):
        return good[0], most
    reference: Fraction = Fraction(last) or good[(len(good) - 1) // 2]
    distances = [(abs(price - reference), price) for price in good]
    return min(distances)[1], most


def auction(venue: "NaiveVenue", market: "NaiveMarket") -> None:
    """Trade at one price; what would trade with its own group is taken off first, and the price found again.

    A trade may make orders behind it smaller (lists, reduce-only): who trades with whom is then found again, the price stands.
    """
    book = market.book
    price: Number | None = None
    while True:
        found = clearing(book, market.size("tick_size"), market.last) if price is None else (price, 0)
        if found is None:
            return
        at = found[0]
        pairs, given_up = _allocate(book, at)
        for order, quantity in given_up:
            order.removed += quantity
            _show_or_end(book, order)
        linking.prune(venue)
        if given_up:
            continue
        price = at
        if _trade_all(venue, market, pairs, at):
            price = None


def _trade_all(
    venue: "NaiveVenue", market: "NaiveMarket", pairs: "list[tuple[NaiveOrder, NaiveOrder, Number]]", price: Number
) -> bool:
    """Let pairs trade one after the other; False as soon as one cannot any more."""
    book = market.book
    for maker, taker, quantity in pairs:
        if not all(book.rests(order) and order.remaining() >= quantity for order in (maker, taker)):
            return False
        venue.settle(book.trade(price, quantity, maker, taker), observed=False)
        for order in (maker, taker):
            _show_or_end(book, order)
        venue.cut(market)
        linking.prune(venue)
    return True


def _allocate(
    book: NaiveBook, price: Number
) -> tuple[list[tuple[NaiveOrder, NaiveOrder, Number]], list[tuple[NaiveOrder, Number]]]:
    buyers = [order for order in book.bids if order.price is not None and order.price >= price]
    sellers = [order for order in book.asks if order.price is not None and order.price <= price]
    left = {order.number: order.remaining() for order in buyers + sellers}
    pairs, given_up = [], []
    while buyers and sellers:
        older, newer = sorted((buyers[0], sellers[0]), key=lambda order: order.arrival)
        quantity = min(left[older.number], left[newer.number])
        if older.group != newer.group:
            pairs.append((older, newer, quantity))
            off = {older.number: quantity, newer.number: quantity}
        else:
            off = {
                SelfTradePrevention.CANCEL_NEWEST: {newer.number: left[newer.number]},
                SelfTradePrevention.CANCEL_OLDEST: {older.number: left[older.number]},
                SelfTradePrevention.CANCEL_BOTH: {n: left[n] for n in (older.number, newer.number)},
                SelfTradePrevention.DECREMENT_AND_CANCEL: dict.fromkeys((older.number, newer.number), quantity),
            }[newer.prevention]
            given_up += [(order, off[order.number]) for order in (buyers[0], sellers[0]) if order.number in off]
        for number, gone in off.items():
            left[number] -= gone
        buyers = [order for order in buyers if left[order.number]]
        sellers = [order for order in sellers if left[order.number]]
    return pairs, given_up


def _show_or_end(book: NaiveBook, order: NaiveOrder) -> None:
    if order.remaining():
        order.show()
    else:
        book.cancel(order.number, "self-trade" if order.removed else "filled")


def enter(venue: "NaiveVenue", market: "NaiveMarket", state: int) -> None:
    """Let a market go over to a state."""
    if state in {MarketState.OPEN, MarketState.POST_ONLY}:
        auction(venue, market)
    if state == MarketState.CLOSED:
        for placed in list(venue.open_orders()):
            if placed.market is market and not placed.order.end:
                venue.end(placed, "closed")
    market.state = state
    if state == MarketState.OPEN:
        waiting.opened(venue, market)


def state_at(hours: tuple[Hours, ...], second: int) -> MarketState:
    """What hours say at a second since 1970, which began on a Thursday."""
    since_monday = (second + 3 * 86_400) % (7 * 86_400)
    for weekday, opens, closes, auction_s in hours:
        day = (weekday - 1) * 86_400
        if day + opens <= since_monday < day + closes:
            return MarketState.OPEN
        if (day + opens - 1 - since_monday) % (7 * 86_400) < auction_s:
            return MarketState.PRE_OPEN
    return MarketState.OUTSIDE_HOURS


def follow_hours(venue: "NaiveVenue", market: "NaiveMarket", second: int) -> None:
    """Let a market be as its hours say at a second, if they may change what it is."""
    wanted = state_at(market.hours, second)
    stays = wanted == market.state or (market.state, wanted) == (MarketState.POST_ONLY, MarketState.OPEN)
    if not stays and market.state in BY_HOURS:
        enter(venue, market, wanted)


def changes(market: "NaiveMarket", after_us: int, until_us: int) -> list[int]:
    """The seconds after one time, up to another, at which hours say another thing than the second before."""
    if not market.hours:
        return []
    after, until = after_us // 1_000_000, until_us // 1_000_000
    # Nothing changes but where a day of the hours begins or ends, or collects before it begins.
    edges = {day * 86_400 + at for day, *times in _edges(market.hours) for at in times}
    found = [
        week + edge - 3 * 86_400
        for week in range(after // WEEK_S * WEEK_S - WEEK_S, until + 2 * WEEK_S, WEEK_S)
        for edge in sorted(edges)
    ]
    seconds = [second for second in found if after < second <= until]
    return [s for s in seconds if state_at(market.hours, s) != state_at(market.hours, s - 1)]


def _edges(hours: tuple[Hours, ...]) -> list[tuple[int, int, int, int]]:
    return [(weekday - 1, opens, closes, opens - auction_s) for weekday, opens, closes, auction_s in hours]


def day_ends(market: "NaiveMarket", now_us: int, day_us: int = 0) -> int:
    """When a DAY order expires: at midnight (after `day_us` where it came earlier), or when hours close the market before."""
    midnight = -(-day_us // 86_400_000_000) * 86_400 or now_us // 86_400_000_000 * 86_400 + 86_400
    if market.hours:
        if day_us and state_at(market.hours, now_us // 1_000_000) == MarketState.OUTSIDE_HOURS:
            return min(now_us, midnight * 1_000_000)
        for second in changes(market, now_us, midnight * 1_000_000):
            if state_at(market.hours, second) == MarketState.OUTSIDE_HOURS:
                return second * 1_000_000
    return midnight * 1_000_000
