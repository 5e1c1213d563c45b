"""Orders that stand in for each other: both of an OCO, and the exits of a bracket.

Invariant: `lists` has the open orders of which each may take the others' place, oldest first; the first of them holds for all,
the most that any of them needs (exits that buy: what the entry's sales brought, less fees). As soon as one trades or is
triggered it holds that alone, and the others end; but an exit that is triggered and cannot be placed leaves the position to the
other. What an exit covers is what its entry has filled since; the entry ends when an exit is triggered.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from servers.domain.commands import ExitTerms, PlaceOco, PlaceOrder
from servers.domain.errors import ListInvalid
from servers.domain.fees import buy_need
from servers.domain.identifiers import age, member_number
from servers.domain.model import Account, Market, Order
from servers.domain.terms import (
    CancelReason,
    ListRole,
    OrderStatus,
    OrderType,
    RejectReason,
    Side,
    TimeInForce,
    TriggerSource,
)

if TYPE_CHECKING:
    from servers.domain.placing import Floor

_BUY: Final = int(Side.BUY)
_GTC: Final = int(TimeInForce.GTC)
_AT_ONCE: Final = frozenset({int(TimeInForce.IOC), int(TimeInForce.FOK)})
_LAST: Final = int(TriggerSource.LAST)
_MARKET: Final = int(OrderType.MARKET)
_LIMIT: Final = int(OrderType.LIMIT)
_OPEN: Final = int(OrderStatus.OPEN)
_PENDING: Final = int(OrderStatus.PENDING_TRIGGER)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_REJECTED: Final = int(OrderStatus.REJECTED)
_LINKED: Final = int(CancelReason.LINKED)
_OCO: Final = int(ListRole.OCO)
_ENTRY: Final = int(ListRole.ENTRY)
# An exit by its place in its list: role, type without and with a limit.
_EXITS: Final = (
    (ListRole.TAKE_PROFIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT),
    (ListRole.STOP_LOSS, OrderType.STOP, OrderType.STOP_LIMIT),
)


def need(order: Order) -> int:
    """What an open order has to hold by itself."""
    rest = order.lots - order.filled_lots - order.removed_lots
    return buy_need(order, rest) if order.side == _BUY else rest * order.market.lot_units


def set_exits(order: Order, command: PlaceOrder) -> None:
    """Make a draft the entry of a bracket."""
    order.list_number, order.list_role = order.number, _ENTRY
    order.exits = "|".join(_text(terms) for terms in (command.take_profit, command.stop_loss))


def _text(terms: ExitTerms | None) -> str:
    if terms is None:
        return ""
    return f"{terms.stop_price} {terms.price} {terms.trigger_source or _LAST} {terms.client_order_id}"


def _exits(entry: Order) -> Iterator[tuple[int, ExitTerms]]:
    """The exits of an entry by their place in its list, from 1."""
    for index, text in enumerate(entry.exits.split("|"), 1):
        if text:
            stop_price, price, source, label = text.split(" ", 3)
            yield index, ExitTerms(int(stop_price), int(price), int(source), label)


class Links:
    """The lists of linked orders of a partition."""

    __slots__ = ("floor", "lists")

    def __init__(self, floor: "Floor") -> None:
        self.floor = floor
        self.lists: dict[int, list[Order]] = {}

    def load(self) -> None:
        """Find the lists among the open orders."""
        found: dict[int, list[Order]] = {}
        listed = [order for order in self.floor.orders.values() if order.list_number]
        for order in sorted(listed, key=lambda order: age(order.number)):
            if order.list_role == _OCO or (order.list_role > _ENTRY and order.status == _PENDING):
                found.setdefault(order.list_number, []).append(order)
        # The one that is left of an OCO stands for itself.
        self.lists = {
            number: members for number, members in found.items() if members[0].list_role != _OCO or members[1:]
        }

    def members(self, order: Order) -> list[Order]:
        """The orders that an order shares its hold with, itself included; none if it does not."""
        members = self.lists.get(order.list_number, [])
        return members if order.list_role != _ENTRY and order in members else []

    # Holds

    def wanted(self, members: list[Order]) -> int:
        """What orders that share a hold have to hold together."""
        if members[0].list_role > _ENTRY and members[0].side == _BUY:
            return sum(order.held for order in members)
        return max(map(need, members))

    def share(self, order: Order) -> bool:
        """Hold what the orders that share with this one need; False if none do."""
        members = self.members(order)
        if members:
            self._hold(members, self.wanted(members))
        return bool(members)

    def more(self, order: Order, needed: int) -> int:
        """What an order that needed so much would hold beyond what is held for it."""
        members = self.members(order)
        if not members:
            return needed - order.held
        if order.list_role > _ENTRY and order.side == _BUY:
            return 0
        others = [need(member) for member in members if member is not order]
        return max([needed, *others]) - sum(member.held for member in members)

    def gone_with(self, order: Order) -> tuple[Order, ...]:
        """The orders that end when an order does, itself first: the other of an OCO."""
        others = self.members(order) if order.list_role == _OCO else ()
        return (order, *(other for other in others if other is not order))

    def freed(self, order: Order) -> int:
        """What becomes available when an order ends."""
        members = self.members(order)
        if not members or order.list_role == _OCO:
            return sum(member.held for member in members) or order.held
        others = [member for member in members if member is not order]
        held = sum(member.held for member in members)
        if not others:
            return held
        return 0 if order.side == _BUY else held - self.wanted(others)

    def _hold(self, members: list[Order], wanted: int) -> None:
        """Let the first hold it all."""
        held = sum(order.held for order in members)
        first = members[0]
        if wanted != held:
            self.floor.ledger.hold(first.account, first.market.pays[first.side], wanted - held)
        for order in members:
            if order.held != (wanted if order is first else 0):
                order.held = wanted if order is first else 0
                self.floor.record.order(order)

    # What happens to them

    def held(self, order: Order) -> int:
        """What is held for an order: with those that share it, all of it."""
        return sum(member.held for member in self.members(order)) or order.held

    def triggered(self, order: Order) -> None:
        """The price of an order has come: the other of an OCO ends; of a bracket the entry does, the other exit waits on."""
        if order.list_role == _OCO:
            self.trading(order)
        elif self.members(order):
            self._end_entry(order)

    def trading(self, order: Order) -> None:
        """An order is placed or about to trade: it holds for itself, and what stands in for it ends."""
        members = self.members(order)
        if not members:
            return
        del self.lists[order.list_number]
        for other in members:
            if other is not order:
                order.held += other.held
                other.held = 0
                self.floor.end(other, _CANCELLED, _LINKED)
        if order.list_role > _ENTRY:
            self._end_entry(order)

    def _end_entry(self, exit_: Order) -> None:
        entry = self.floor.orders.get(exit_.list_number)
        if entry is not None:
            self.floor.end(entry, _CANCELLED, _LINKED)

    def ended(self, order: Order) -> None:
        """An order ends, and has not released what it holds: the other of an OCO ends too, the other exit holds it."""
        members = self.members(order)
        if not members:
            return
        others = [other for other in members if other is not order]
        if order.list_role == _OCO or not others:
            del self.lists[order.list_number]
        if order.list_role == _OCO:
            for other in others:
                self.floor.end(other, _CANCELLED, _LINKED)
            return
        if others:
            self.lists[order.list_number] = others
            others[0].held += order.held
            order.held = 0
            self.floor.record.order(others[0])
            self._hold(others, self.wanted(others))

    def filled(self, entry: Order, lots: int, brought: int) -> None:
        """An entry traded lots, and (a sale) brought so many quote units: its exits cover them, and live from the first on."""
        if not entry.exits:
            return
        if entry.filled_lots == lots:
            exits = [self._born(entry, index, terms) for index, terms in _exits(entry)]
            self.lists[entry.list_number] = exits
        else:
            exits = self.lists.get(entry.list_number, [])
        if not exits:
            return
        record = self.floor.record
        for order in exits:
            order.lots += lots
            order.quantity += lots * order.market.lot_size
            record.order(order)
            record.fold(order.number, order.lots)
        more = max(brought, 0) if exits[0].side == _BUY else 0
        self._hold(exits, self.wanted(exits) + more)
        for order in exits:
            if not order.status:
                self.floor.triggers.wait(order)

    def _born(self, entry: Order, index: int, terms: ExitTerms) -> Order:
        """An exit of an entry, of no size yet. A label that was taken meanwhile it does not get."""
        account, market, record = entry.account, entry.market, self.floor.record
        role, plain, limited = _EXITS[index - 1]
        label = terms.client_order_id
        order = Order(
            member_number(entry.number, index),
            account,
            market,
            3 - entry.side,
            int(limited if terms.price else plain),
            _GTC,
            terms.price,
            0,
            0,
            False,
            False,
            entry.self_trade_prevention,
            "" if label in account.labels else label,
            entry.request_id,
            0,
            record.time,
        )
        order.ticks = (terms.price or terms.stop_price) // market.tick_size
        order.maker_rate, order.taker_rate = entry.maker_rate, entry.taker_rate
        order.stop_price, order.trigger_source = terms.stop_price, terms.trigger_source
        order.parent_number, order.root_number = entry.number, entry.root_number or entry.number
        order.list_number, order.list_role = entry.list_number, int(role)
        order.tag, order.session_id, order.born = entry.tag, entry.session_id, record.sequence
        return order

    # One cancels the other

    def place_oco(self, command: PlaceOco, account: Account, market: Market) -> list[Order]:
        """Accept both orders, the limit order's trades first, or reject both for the first reason found."""
        floor, record = self.floor, self.floor.record
        (first, plan_of_first), (second, plan_of_second) = (
            floor.decide(order, account, market, None) for order in command.orders
        )
        second.number = member_number(first.number, 1)
        orders = [first, second]
        reason = first.reject_reason or second.reject_reason or self._together(first, second)
        for order in orders:
            record.order(order)
            order.held = 0
            order.status, order.reject_reason = (_REJECTED, reason) if reason else (_OPEN, 0)
            record.fold(order.number, reason)
        if reason:
            return orders
        for order in orders:
            order.list_number, order.list_role = first.number, _OCO
        self.lists[first.number] = orders
        self._hold(orders, self.wanted(orders))
        for order in orders:
            if order.trigger_source:
                floor.triggers.wait(order)
        for order, found in zip(orders, (plan_of_first, plan_of_second), strict=True):
            if not order.trigger_source:
                assert found is not None
                floor.match(order, found)
        return orders

    def _together(self, first: Order, second: Order) -> int:
        """Why two orders that could be accepted each cannot be both."""
        if second.client_order_id and second.client_order_id == first.client_order_id:
            return int(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
        account = first.account
        full = len(account.orders) + 2 > self.floor.limits.of(account, first.market).open_orders_max
        return int(RejectReason.TOO_MANY_OPEN_ORDERS) if full else 0


def check_oco(command: PlaceOco) -> None:
    """Raises ListInvalid: two orders that cannot stand in for each other."""
    first, second = command.orders
    for name in ("account_id", "symbol", "side"):
        if getattr(first, name) != getattr(second, name):
            raise ListInvalid(f"orders[1].{name}", "must be the first order's")
    for index, order in enumerate(command.orders):
        if order.type == _MARKET or order.quote_amount:
            raise ListInvalid(f"orders[{index}].type", "must be of an order that rests or waits, by quantity")
        if order.time_in_force in _AT_ONCE:
            raise ListInvalid(f"orders[{index}].time_in_force", "must be GTC, GTD or DAY")
        if order.take_profit or order.stop_loss:
            raise ListInvalid(f"orders[{index}].take_profit", "and stop_loss are not for orders of a list")
    if first.type == second.type == _LIMIT:
        raise ListInvalid("orders", "must have one at least that waits for a price")
