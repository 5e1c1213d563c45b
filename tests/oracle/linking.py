"""Lists of linked orders in the naive venue: two of which one cancels the other, and the exits of a bracket."""

from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain import commands as c
from servers.domain.terms import ListRole, MarketState, OrderType, RejectReason, Side, TimeInForce, TriggerSource
from tests.oracle import bounds, checks, waiting
from tests.oracle.book import NaiveOrder, NaiveTrade
from tests.oracle.orders import ATTO, NaiveList, Placed, Wait

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue

# A command's further orders are numbered so much higher each.
MEMBER = 10**17
EXITS = (
    (ListRole.TAKE_PROFIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT),
    (ListRole.STOP_LOSS, OrderType.STOP, OrderType.STOP_LIMIT),
)


def stands_in(venue: "NaiveVenue", placed: Placed) -> NaiveList | None:
    """The list that an order shares its hold with, if it does."""
    found = venue.lists.get(placed.list_number)
    return found if found is not None and any(member is placed for member in found.members) else None


def triggered(venue: "NaiveVenue", placed: Placed) -> None:
    """The price of an order has come: of two that cancel each other the other ends, of a bracket what is left of the entry."""
    found = stands_in(venue, placed)
    if found is not None and found.role == ListRole.OCO:
        trading(venue, placed)
    elif found is not None:
        venue.end(venue.orders[placed.list_number], "linked")


def trading(venue: "NaiveVenue", placed: Placed) -> None:
    """An order trades or is triggered: what stands in for it ends, an exit's entry too."""
    found = stands_in(venue, placed)
    if found is None:
        return
    del venue.lists[placed.list_number]
    for other in found.members:
        if other is not placed:
            venue.end(other, "linked")
    if found.role != ListRole.OCO:
        venue.end(venue.orders[placed.list_number], "linked")


def prune(venue: "NaiveVenue") -> None:
    """Orders have ended: the other of two ends too, and a list of which nobody is left is none."""
    for number, found in list(venue.lists.items()):
        living = found.living()
        if found.role == ListRole.OCO and len(living) < len(found.members):
            venue.lists.pop(number, None)
            for other in living:
                venue.end(other, "linked")
        elif not living:
            venue.lists.pop(number, None)


def filled(venue: "NaiveVenue", entry: Placed, trade: NaiveTrade, fee: Fraction) -> None:
    """An entry traded: its exits cover that too, and live from the first trade on."""
    if entry.exits == (None, None):
        return
    if entry.order.filled == trade.quantity:
        members = [_born(venue, entry, at) for at, terms in enumerate(entry.exits) if terms is not None]
        venue.lists[entry.order.number] = NaiveList(members, ListRole.STOP_LOSS)
    found = venue.lists.get(entry.order.number)
    if found is None:
        return
    for member in found.living():
        assert member.order.quantity is not None
        assert member.wait is not None
        # What the trade's own price means to it is seen with all others.
        known = member.wait.source != TriggerSource.LAST and member.market.state == MarketState.OPEN
        if not member.order.quantity and known and member.met(member.market.says(member.wait.source)):
            venue.due.append(member)
        member.order.quantity += trade.quantity
    if entry.order.side == Side.SELL:
        found.brought += max(trade.price * trade.quantity - fee, Fraction(0))


def _born(venue: "NaiveVenue", entry: Placed, at: int) -> Placed:
    terms, order = entry.exits[at], entry.order
    assert terms is not None
    role, plain, limited = EXITS[at]
    labels = {other.label for other in venue.open_orders(entry.account.account_id)}
    exit_ = NaiveOrder(
        order.number + (at + 1) * MEMBER,
        order.group,
        Side.SELL if order.side == Side.BUY else Side.BUY,
        Fraction(terms.price, ATTO) if terms.price else None,
        Fraction(0),
        type=OrderType.LIMIT if terms.price else OrderType.MARKET,
        prevention=order.prevention,
        owner=order.owner,
    )
    stop = Fraction(terms.stop_price, ATTO)
    source = TriggerSource(terms.trigger_source or TriggerSource.LAST)
    kind = limited if terms.price else plain
    placed = Placed(
        exit_,
        entry.account,
        entry.market,
        entry.maker_rate,
        entry.taker_rate,
        "" if terms.client_order_id in labels else terms.client_order_id,
        0,
        (entry.age[0], at + 1),
        parent=order.number,
        root=entry.root or order.number,
        tag=entry.tag,
        session=entry.session,
        wait=Wait(kind, source, stop, stop, Fraction(0), Fraction(0)),
        list_number=order.number,
        role=role,
    )
    venue.enlist(placed)
    return placed


def oco_fault(command: c.PlaceOco) -> bool:
    """Whether two orders cannot stand in for each other."""
    one, other = command.orders
    same = (one.account_id, one.symbol, one.side) == (other.account_id, other.symbol, other.side)
    lives = all(order.time_in_force not in {TimeInForce.IOC, TimeInForce.FOK} for order in command.orders)
    plain = all(
        order.type != OrderType.MARKET and not order.quote_amount and not (order.take_profit or order.stop_loss)
        for order in command.orders
    )
    return not (same and lives and plain) or one.type == other.type == OrderType.LIMIT


def place_oco(venue: "NaiveVenue", command: c.PlaceOco) -> None:
    """Accept both, each as if the other were not there, or reject both for the first reason found."""
    pair = [venue.draft(order, index) for index, order in enumerate(command.orders)]
    # Each is checked by itself, both in any case: the first fault counts.
    reasons = [checks.refusal(venue, placed) for placed in pair]
    reason = next((found for found in reasons if found), None) or _together(venue, pair)
    for placed in pair:
        placed.reject = reason
        venue.enlist(placed)
        if reason:
            placed.order.end = "rejected"
        else:
            placed.list_number, placed.role = pair[0].order.number, ListRole.OCO
    if reason:
        return
    venue.lists[pair[0].order.number] = NaiveList(pair, ListRole.OCO)
    for placed in pair:
        if placed.waits:
            waiting.begin(venue, placed)
    for placed in pair:
        if not placed.waits:
            venue.match(placed)


def _together(venue: "NaiveVenue", pair: list[Placed]) -> RejectReason:
    first, second = pair
    count = len(list(venue.open_orders(first.account.account_id)))
    most = bounds.orders_max(venue, first.account, first.market)
    return checks.first(
        (RejectReason.DUPLICATE_CLIENT_ORDER_ID, bool(first.label) and first.label == second.label),
        (RejectReason.TOO_MANY_OPEN_ORDERS, most is not None and count + 2 > most),
    )
