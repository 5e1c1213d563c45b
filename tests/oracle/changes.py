"""What the naive venue does to an order that is amended or replaced, and why it would refuse to.

An amend that loses its place, and a replace, are tried by taking the order out; where the trial is refused it is put back.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

from servers.domain import commands as c
from servers.domain.terms import MarketState, RejectReason
from tests.oracle.lifecycle import state_reason

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue, Placed, SettledTrade

ATTO = 10**18


def refusal(venue: "NaiveVenue", command: c.AmendOrder | c.ReplaceOrder, version: int) -> tuple[str, str]:
    """(reason, reject reason) of the error that a command deserves, both empty if none; `version` is the order's own."""
    placed = venue.orders.get(command.number)
    account_id = command.account_id if isinstance(command, c.AmendOrder) else command.order.account_id
    mine = placed is not None and command.user_id in {"", placed.account.user_id}
    if placed is None or placed.order.end or not mine or account_id not in {"", placed.account.account_id}:
        return "ORDER_NOT_FOUND", ""
    if placed.market.state == MarketState.HALTED:
        return "MARKET_HALTED", ""
    if isinstance(command, c.ReplaceOrder):
        return _replace_refusal(venue, command, placed)
    if command.expected_version not in {0, version}:
        return "ORDER_CHANGED", ""
    price, quantity, stays = _amended(command, placed)
    if quantity <= placed.order.filled + placed.order.removed:
        return "AMEND_BELOW_FILLED", ""
    reason = _amend_reason(venue, placed, price, quantity, stays)
    return ("AMEND_REFUSED", reason.name) if reason else ("", "")


def _amended(command: c.AmendOrder, placed: "Placed") -> tuple[Fraction, Fraction, bool]:
    order = placed.order
    assert order.price is not None
    assert order.quantity is not None
    price = Fraction(command.price, ATTO) if command.price else Fraction(order.price)
    quantity = Fraction(command.quantity, ATTO) if command.quantity else Fraction(order.quantity)
    return price, quantity, price == order.price and quantity <= order.quantity


def _amend_reason(
    venue: "NaiveVenue", placed: "Placed", price: Fraction, quantity: Fraction, stays: bool
) -> RejectReason:
    market, order = placed.market, placed.order
    failures = [
        (RejectReason.ACCOUNT_NOT_ACTIVE, not stays and not placed.account.active),
        (state := state_reason(market.state, order), not stays and state != 0),
        (RejectReason.PRICE_OFF_TICK, price % market.size("tick_size") != 0),
        (RejectReason.PRICE_OUT_OF_RANGE, not 0 < price <= market.size("max_price")),
        (RejectReason.QUANTITY_OFF_LOT, quantity % market.size("lot_size") != 0),
        (RejectReason.QUANTITY_TOO_SMALL, quantity < market.size("min_quantity")),
        (RejectReason.QUANTITY_TOO_LARGE, quantity > market.size("max_quantity")),
        (RejectReason.QUANTITY_TOO_SMALL, order.display is not None and order.display * 100 < quantity),
    ]
    reason = next((reason for reason, failed in failures if failed), RejectReason.UNSPECIFIED)
    if reason or stays:
        return reason
    before = order.price, order.quantity
    market.book.cancel(order.number)
    order.price, order.quantity = price, quantity
    reason = venue.check_on_a_copy(placed)
    order.price, order.quantity = before
    order.end = ""
    market.book.rest(order)
    return reason


def _replace_refusal(venue: "NaiveVenue", command: c.ReplaceOrder, placed: "Placed") -> tuple[str, str]:
    wanted, order = command.order, placed.order
    if (wanted.symbol, wanted.side) != (placed.market.definition.symbol, order.side):
        return "REPLACE_MISMATCHED", ""
    successor = _successor(venue, command, placed)
    if successor is None:
        return "", ""
    placed.market.book.cancel(order.number)
    reason = venue.check(successor)
    order.end = ""
    placed.market.book.rest(order)
    return ("AMEND_REFUSED", reason.name) if reason else ("", "")


def _successor(venue: "NaiveVenue", command: c.ReplaceOrder, placed: "Placed") -> "Placed | None":
    left = Fraction(command.order.quantity, ATTO) - placed.order.filled
    if left <= 0:
        return None
    successor = venue.draft(command.order)
    successor.order.quantity = left
    if successor.order.display is not None and successor.order.display >= left:
        successor.order.display = None
    successor.parent = placed.order.number
    successor.root = placed.root or placed.order.number
    return successor


def amend(venue: "NaiveVenue", command: c.AmendOrder) -> "list[SettledTrade]":
    """Change an order; nothing stands against it."""
    placed = venue.orders[command.number]
    order = placed.order
    price, quantity, stays = _amended(command, placed)
    if stays:
        order.quantity = quantity
        order.shown = min(order.shown, order.remaining())
        return []
    placed.market.book.cancel(order.number, "")
    order.price, order.quantity = price, quantity
    return [venue.settle(trade) for trade in venue.match(placed)]


def replace(venue: "NaiveVenue", command: c.ReplaceOrder) -> "list[SettledTrade]":
    """Cancel an order and place what is still wanted of the other; nothing stands against it."""
    placed = venue.orders[command.number]
    successor = _successor(venue, command, placed)
    placed.market.book.cancel(placed.order.number, "cancelled" if successor is None else "replaced")
    return [] if successor is None else venue.accept(successor)
