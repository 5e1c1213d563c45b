"""What the naive venue does to an order that is amended or replaced, and why it would refuse to.

A change is made, looked at from all sides, and taken back; a replace is tried by taking the old order out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain import commands as c
from servers.domain.terms import ListRole, MarketState, OrderType, RejectReason
from tests.oracle import bounds, checks, linking, waiting
from tests.oracle.orders import ATTO, Placed

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue


def refusal(venue: "NaiveVenue", command: c.Command, version: int) -> tuple[str, str] | None:
    """(reason, reject reason) of the error that a command deserves, both empty if none; `version` is its order's own.

    None: it does not say.
    """
    match command:
        case c.PlaceOco():
            owners = {venue.accounts[order.account_id].user_id for order in command.orders}
            if command.user_id and owners != {command.user_id}:
                return "ACCOUNT_NOT_FOUND", ""
            return ("LIST_INVALID" if linking.oco_fault(command) else ""), ""
        case c.AmendOrder() | c.ReplaceOrder() | c.CancelOrder():
            placed = venue.orders.get(command.number)
            account_id = command.order.account_id if isinstance(command, c.ReplaceOrder) else command.account_id
            mine = placed is not None and command.user_id in {"", placed.account.user_id}
            if placed is None or placed.order.end or not mine or account_id not in {"", placed.account.account_id}:
                return "ORDER_NOT_FOUND", ""
            if placed.market.state == MarketState.HALTED:
                return "MARKET_HALTED", ""
            if isinstance(command, c.AmendOrder):
                return _amend_refusal(venue, command, placed, version)
            return _replace_refusal(venue, command, placed) if isinstance(command, c.ReplaceOrder) else ("", "")
        case c.SetFees():
            return _fees_refusal(venue, command), ""
    return None


def _fees_refusal(venue: "NaiveVenue", command: c.SetFees) -> str:
    """Whoever meets whom, the two together pay the venue something, or nothing."""
    wanted = Fraction(command.maker_rate, 10**8), Fraction(command.taker_rate, 10**8)
    rates = (venue.markets[command.symbol].rates | {command.tier: wanted}).values()
    sound = -1 < wanted[0] < 1 and 0 <= wanted[1] < 1
    return "" if sound and all(maker + taker >= 0 for maker, _ in rates for _, taker in rates) else "DEFINITION_INVALID"


def _amend_refusal(venue: "NaiveVenue", command: c.AmendOrder, placed: Placed, version: int) -> tuple[str, str]:
    if command.expected_version not in {0, version}:
        return "ORDER_CHANGED", ""
    order = placed.order
    assert order.quantity is not None
    quantity = Fraction(command.quantity, ATTO) if command.quantity else order.quantity
    if quantity <= order.filled + order.removed:
        return "AMEND_BELOW_FILLED", ""
    reason = _senseless(command, placed)
    if not reason:
        rested = placed.market.book.rests(order)
        stays, more = _stays(command, placed), quantity > order.quantity
        with _changed(command, placed):
            reason = checks.still_fits(placed) if stays else _loses_place(venue, placed, more=more)
        if rested:
            placed.market.book.rest(order)
    return ("AMEND_REFUSED", reason.name) if reason else ("", "")


def _senseless(command: c.AmendOrder, placed: Placed) -> RejectReason:
    """A limit for what has none, or a stop price for what waits for none, or follows one by itself."""
    fixed = not placed.waits or (placed.wait is not None and placed.wait.kind == OrderType.TRAILING_STOP)
    wrong = (command.price and placed.order.price is None) or (command.stop_price and fixed)
    return RejectReason.PRICE_OUT_OF_RANGE if wrong else RejectReason.UNSPECIFIED


def _stays(command: c.AmendOrder, placed: Placed) -> bool:
    """Whether an order keeps its place: its prices stay, and its quantity does not grow."""
    order, wait = placed.order, placed.wait
    assert order.quantity is not None
    price = Fraction(command.price, ATTO) if command.price else order.price
    stop = Fraction(command.stop_price, ATTO) if command.stop_price or wait is None else wait.stop
    grows = Fraction(command.quantity, ATTO) > order.quantity
    return price == order.price and (wait is None or not placed.waits or stop == wait.stop) and not grows


def _loses_place(venue: "NaiveVenue", placed: Placed, *, more: bool) -> RejectReason:
    reason = checks.after_change(venue, placed, more=more)
    if reason:
        return reason
    if not placed.waits:
        order = placed.order
        reason = bounds.exposure_reason(venue, placed, None)
        if not reason and order.post_only and placed.market.book.would_trade(order):
            reason = RejectReason.POST_ONLY_WOULD_TRADE
    # It is among the open ones, so what is available is what is left beside the changed order.
    short = venue.available(placed.account.account_id, placed.pays()) < 0
    return reason or (RejectReason.INSUFFICIENT_FUNDS if short else RejectReason.UNSPECIFIED)


@contextmanager
def _changed(command: c.AmendOrder, placed: Placed) -> Iterator[None]:
    """The order as it would be, out of the book."""
    order, wait = placed.order, placed.wait
    before = order.price, order.quantity, None if wait is None else (wait.stop, wait.first)
    placed.market.book.take_out(order.number)
    _change(command, placed)
    yield
    order.price, order.quantity, stops = before
    if wait is not None and stops is not None:
        wait.stop, wait.first = stops


def _change(command: c.AmendOrder, placed: Placed) -> None:
    order, wait = placed.order, placed.wait
    order.price = Fraction(command.price, ATTO) if command.price else order.price
    order.quantity = Fraction(command.quantity, ATTO) if command.quantity else order.quantity
    if wait is not None and command.stop_price:
        wait.stop = wait.first = Fraction(command.stop_price, ATTO)


def _replace_refusal(venue: "NaiveVenue", command: c.ReplaceOrder, placed: Placed) -> tuple[str, str]:
    wanted, order = command.order, placed.order
    if (wanted.symbol, wanted.side) != (placed.market.definition.symbol, order.side):
        return "REPLACE_MISMATCHED", ""
    successor = _successor(venue, command, placed)
    if successor is None:
        return "", ""
    found = linking.stands_in(venue, placed)
    gone = found.members if found is not None and found.role == ListRole.OCO else [placed]
    rested = [other for other in gone if other.market.book.take_out(other.order.number)]
    for other in gone:
        other.order.end = "replaced"
    reason = checks.refusal(venue, successor)
    for other in gone:
        other.order.end = ""
    for other in rested:
        other.market.book.rest(other.order)
    return ("AMEND_REFUSED", reason.name) if reason else ("", "")


def _successor(venue: "NaiveVenue", command: c.ReplaceOrder, placed: Placed) -> Placed | None:
    left = Fraction(command.order.quantity, ATTO) - placed.order.filled
    if left <= 0:
        return None
    successor = venue.draft(command.order)
    successor.order.quantity = left
    display, whole, lot = (
        successor.order.display,
        Fraction(command.order.quantity, ATTO),
        placed.market.size("lot_size"),
    )
    # What is left is shown whole where it is less than was to be shown, unless more than all was.
    if display is not None and left <= display < whole and display % lot == 0:
        successor.order.display = None
    successor.parent = placed.order.number
    successor.root = placed.root or placed.order.number
    return successor


def amend(venue: "NaiveVenue", command: c.AmendOrder) -> None:
    """Change an order; nothing stands against it."""
    placed = venue.orders[command.number]
    order, stays = placed.order, _stays(command, placed)
    if placed.waits:
        assert placed.wait is not None
        before = placed.wait.stop
        _change(command, placed)
        if placed.wait.stop != before:
            waiting.begin(venue, placed)
        return
    if stays:
        _change(command, placed)
        order.shown = min(order.shown, order.remaining())
        return
    placed.market.book.take_out(order.number)
    _change(command, placed)
    venue.match(placed)


def replace(venue: "NaiveVenue", command: c.ReplaceOrder) -> None:
    """Cancel an order and place what is still wanted of the other; nothing stands against it."""
    placed = venue.orders[command.number]
    successor = _successor(venue, command, placed)
    if successor is None:
        venue.end(placed, "cancelled")
        return
    # Ended first: a reduce-only successor is cut to what may be reduced without it.
    venue.end(placed, "replaced")
    checks.refusal(venue, successor)
    venue.accept(successor)
