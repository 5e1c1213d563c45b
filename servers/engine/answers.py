"""The answer to a command, as the bytes that its caller gets: built right after the command was executed."""

from servers.domain import commands as c
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.identifiers import position_text
from servers.domain.model import Order
from servers.engine.messages import account_message, fill_message, order_message
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2

# Field 4, 3 or 2, wire type varint, value 1: appended to a serialized answer it sets `replayed`, whatever else it holds.
_REPLAYED = {"place_order": b"\x20\x01", "cancel_order": b"\x18\x01", "cancel_all_orders": b"\x18\x01"}
_REPLAYED_OPEN_ACCOUNT = b"\x18\x01"
_REPLAYED_DONE = b"\x10\x01"


def answer(exchange: Exchange, command: c.Command, events: list[Event]) -> bytes:
    """The serialized response by the kind of command; see venue.engine.v1.Result."""
    partition = exchange.partition
    position = position_text(partition, exchange.clock.epoch, command.sequence)
    if isinstance(command, c.PlaceOrder):
        return _placed(exchange, command, events, position)
    if isinstance(command, c.CancelOrder):
        order = order_message(partition, _orders(events)[0])
        return order_service_pb2.CancelOrderResponse(order=order, position=position).SerializeToString()
    if isinstance(command, c.CancelAllOrders):
        orders = [order_message(partition, order) for order in _orders(events)]
        return order_service_pb2.CancelAllOrdersResponse(orders=orders, position=position).SerializeToString()
    if isinstance(command, c.OpenAccount):
        account = account_message(exchange.ledger.accounts[command.account_id])
        return account_pb2.CreateAccountResponse(account=account, position=position).SerializeToString()
    return engine_pb2.Done(position=position).SerializeToString()


def _orders(events: list[Event]) -> list[Order]:
    return [event.order for event in events if isinstance(event, OrderChanged)]


def _placed(exchange: Exchange, command: c.PlaceOrder, events: list[Event], position: str) -> bytes:
    partition = exchange.partition
    fills = []
    placed = None
    for event in events:
        if isinstance(event, Traded):
            fills.append(fill_message(partition, event, event.taker, command.sequence, command.time))
        elif isinstance(event, OrderChanged) and event.order.number == command.sequence:
            placed = event.order
    assert placed is not None
    message = order_service_pb2.PlaceOrderResponse(
        order=order_message(partition, placed), fills=fills, position=position
    )
    return message.SerializeToString()


def replayed(kind: str, first: bytes) -> bytes:
    """The first answer of a command of this kind (the name of its body) with `replayed` set; byte-equal but for that."""
    if kind == "open_account":
        return first + _REPLAYED_OPEN_ACCOUNT
    return first + _REPLAYED.get(kind, _REPLAYED_DONE)
