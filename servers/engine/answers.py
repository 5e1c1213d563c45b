"""The answer to a command, as the bytes that its caller gets: built right after the command was executed."""

from collections.abc import Callable

from google.protobuf.message import Message

from servers.domain import commands as c
from servers.domain.events import Event, OrderChanged, Traded, TransferChanged
from servers.domain.exchange import Exchange
from servers.domain.identifiers import member_number, position_text
from servers.domain.model import Order
from servers.domain.terms import OrderStatus, TransferState
from servers.engine.messages import account_message, fill_message, order_message, timestamp
from servers.engine.previews import add_failed_check
from servers.engine.wire import Wires, field, tag
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2, order_service_pb2

_CANCELLED = int(OrderStatus.CANCELLED)
_REJECTED = int(OrderStatus.REJECTED)
_VOIDED = int(TransferState.VOIDED)
# Field 5 to 2, wire type varint, value 1: appended to a serialized answer it sets `replayed`, whatever else it holds.
_REPLAYED = {
    "place_order": b"\x20\x01",
    "cancel_order": b"\x18\x01",
    "cancel_all_orders": b"\x18\x01",
    "amend_order": b"\x20\x01",
    "replace_order": b"\x28\x01",
    "place_oco": b"\x28\x01",
}
_REPLAYED_ACCOUNT = b"\x18\x01"
_REPLAYED_AS_ACCOUNT = {"open_account", "rename_account", "close_account"}
_OF_ACCOUNTS: dict[type[c.Command], Callable[..., Message]] = {
    c.OpenAccount: account_pb2.CreateAccountResponse,
    c.RenameAccount: account_pb2.UpdateAccountResponse,
    c.CloseAccount: account_pb2.CloseAccountResponse,
}
_REPLAYED_DONE = b"\x10\x01"


_ORDER = tag(order_service_pb2.PlaceOrderResponse, "order")
_FILLS = tag(order_service_pb2.PlaceOrderResponse, "fills")
_POSITION = tag(order_service_pb2.PlaceOrderResponse, "position")


def placed(exchange: Exchange, command: c.Command, events: list[Event], wires: Wires) -> bytes | None:
    """What `answer` gives, made directly, for nearly every placement: one that was accepted, and took all that traded."""
    if type(command) is not c.PlaceOrder:
        return None
    number = command.sequence
    matched = None
    fills: list[str] = []
    for event in events:
        if type(event) is Traded:
            if event.taker.number != number:
                return None
            fills.append(field(_FILLS, wires.fill(event, event.taker)))
        elif type(event) is OrderChanged and event.order.number == number:
            matched = event.order
    if matched is None or matched.reject_reason:
        return None
    position = position_text(exchange.partition, exchange.clock.epoch, number)
    order = field(_ORDER, wires.order(matched))
    return f"{order}{''.join(fills)}{field(_POSITION, position)}".encode("latin-1")


def answer(exchange: Exchange, command: c.Command, events: list[Event]) -> bytes:
    """The serialized response by the kind of command; see venue.engine.v1.Result."""
    partition = exchange.partition
    position = position_text(partition, exchange.clock.epoch, command.sequence)
    if isinstance(command, c.PlaceOrder):
        order, fills = _matched(exchange, command.sequence, events)
        response = order_service_pb2.PlaceOrderResponse(order=order, fills=fills, position=position)
        if order is not None and order.status == _REJECTED:
            add_failed_check(exchange, command, response)
        return response.SerializeToString()
    if isinstance(command, c.PlaceOco):
        return _linked(exchange, command, events, position)
    if isinstance(command, c.CancelOrder):
        order = order_message(partition, _orders(events)[0])
        return order_service_pb2.CancelOrderResponse(order=order, position=position).SerializeToString()
    if isinstance(command, c.CancelAllOrders):
        orders = [order_message(partition, order) for order in _orders(events) if order.status == _CANCELLED]
        return order_service_pb2.CancelAllOrdersResponse(orders=orders, position=position).SerializeToString()
    if isinstance(command, c.AmendOrder):
        # The order itself is the first thing that an amend touches.
        order, fills = _matched(exchange, _orders(events)[0].number, events)
        return order_service_pb2.AmendOrderResponse(order=order, fills=fills, position=position).SerializeToString()
    if isinstance(command, c.ReplaceOrder):
        return _replaced(exchange, command, events, position)
    if isinstance(command, c.CancelAllAfter):
        lease_time = exchange.leases.time(exchange.ledger.accounts[command.account_id], command.tag)
        armed = order_service_pb2.CancelAllAfterResponse(position=position)
        if lease_time:
            armed.trigger_time.CopyFrom(timestamp(lease_time))
        return armed.SerializeToString()
    if isinstance(command, (c.OpenAccount, c.RenameAccount, c.CloseAccount)):
        account = account_message(exchange.ledger.accounts[command.account_id])
        return _OF_ACCOUNTS[type(command)](account=account, position=position).SerializeToString()
    refused = isinstance(command, c.MakeTransfer) and _is_voided(events)
    return engine_pb2.Done(position=position, refused=refused).SerializeToString()


def _is_voided(events: list[Event]) -> bool:
    return any(isinstance(event, TransferChanged) and event.transfer.state == _VOIDED for event in events)


def _orders(events: list[Event]) -> list[Order]:
    return [event.order for event in events if isinstance(event, OrderChanged)]


def _matched(
    exchange: Exchange, number: int, events: list[Event]
) -> tuple[order_pb2.Order | None, list[order_pb2.Fill]]:
    """The order that a command let into the book, None if it did not, and its fills, those by orders it triggered included."""
    partition, record = exchange.partition, exchange.record
    fills = []
    matched = None
    for event in events:
        if isinstance(event, Traded):
            if number in (event.taker.number, event.maker.number):
                order = event.taker if event.taker.number == number else event.maker
                fills.append(fill_message(partition, event, order, record.sequence, record.time))
        elif isinstance(event, OrderChanged) and event.order.number == number:
            matched = order_message(partition, event.order)
    return matched, fills


def _replaced(exchange: Exchange, command: c.ReplaceOrder, events: list[Event], position: str) -> bytes:
    old = order_message(exchange.partition, _orders(events)[0])
    order, fills = _matched(exchange, command.sequence, events)
    message = order_service_pb2.ReplaceOrderResponse(cancelled=old, order=order, fills=fills, position=position)
    return message.SerializeToString()


def _linked(exchange: Exchange, command: c.PlaceOco, events: list[Event], position: str) -> bytes:
    number = command.sequence
    told = [_matched(exchange, one, events) for one in (number, member_number(number, 1))]
    orders = [order for order, _ in told if order is not None]
    fills = [fill for _, some in told for fill in some]
    message = order_service_pb2.PlaceOcoResponse(orders=orders, fills=fills, position=position)
    message.list_id = message.orders[0].list_id
    return message.SerializeToString()


def replayed(kind: str, first: bytes) -> bytes:
    """The first answer of a command of this kind (the name of its body) with `replayed` set; byte-equal but for that."""
    if kind in _REPLAYED_AS_ACCOUNT:
        return first + _REPLAYED_ACCOUNT
    return first + _REPLAYED.get(kind, _REPLAYED_DONE)
