"""What an event of an account is told as: none, one or several messages, always the same ones with the same ids.

An id is made of the event's place in the record and the message's place among those of the event, so an event that is read twice
is told under the ids it was told under before.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import MessageToDict

from db.webhook_work import Happened
from servers.domain.identifiers import find_order, placing_sequence
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2
from venue.webhook.v1 import webhook_pb2 as pb

_PREFIX: Final = "EVENT_TYPE_"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ENDED: Final[Mapping[int, int]] = {
    order_pb2.ORDER_STATUS_CANCELLED: pb.EVENT_TYPE_ORDER_CANCELLED,
    order_pb2.ORDER_STATUS_REJECTED: pb.EVENT_TYPE_ORDER_REJECTED,
    order_pb2.ORDER_STATUS_EXPIRED: pb.EVENT_TYPE_ORDER_EXPIRED,
}


class Told(NamedTuple):
    """A message before it is addressed."""

    message_id: str
    event_type: str
    part: int
    body: str


def type_name(event_type: int) -> str:
    """What a message names its type: order_filled."""
    return pb.EventType.Name(event_type).removeprefix(_PREFIX).lower()  # type: ignore[arg-type]  # checked at the edge


def type_number(name: str) -> pb.EventType.ValueType:
    return pb.EventType.Value(_PREFIX + name.upper())


def time_text(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def body_of(event_type: str, timestamp: str, data: Mapping[str, Any]) -> str:
    """The body of a message, as it is signed."""
    return json.dumps({"type": event_type, "timestamp": timestamp, "data": data}, separators=(",", ":"))


def tell(partition: int, happened: Happened) -> Iterator[Told]:
    """The messages of an event, in the order in which they are sent."""
    record = engine_pb2.AccountRecord.FromString(happened.payload)
    timestamp = time_text(happened.time)
    common = {
        "accountId": happened.account_id,
        "sequence": str(happened.sequence),
        "previousSequence": str(happened.previous_sequence),
        "timestamp": timestamp,
    }
    for part, (event_type, data) in enumerate(_parts(record)):
        name = type_name(event_type)
        message_id = f"msg_{partition}-{happened.sequence}-{happened.n}-{part}"
        yield Told(message_id, name, part, body_of(name, timestamp, {**data, **common}))


def _parts(record: engine_pb2.AccountRecord) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for update in record.orders:
        data = _order(update)
        for event_type in _order_types(update):
            yield event_type, data
    if record.balances:
        yield pb.EVENT_TYPE_BALANCE_CHANGED, {"balances": [_whole(balance) for balance in record.balances]}
    if record.positions:
        yield pb.EVENT_TYPE_POSITION_CHANGED, {"positions": [_whole(position) for position in record.positions]}


def _order_types(update: order_pb2.OrderUpdate) -> Iterator[int]:
    """Opened, then traded, then ended: what of this is true. Of an order that is open as before: changed."""
    order, is_open = update.order, update.order.status not in {order_pb2.ORDER_STATUS_FILLED, *ENDED}
    found = find_order(order.order_id)
    is_new = found is not None and placing_sequence(found[1]) == order.sequence
    if is_open and is_new:
        yield pb.EVENT_TYPE_ORDER_OPENED
    if update.fills:
        is_whole = order.status == order_pb2.ORDER_STATUS_FILLED
        yield pb.EVENT_TYPE_ORDER_FILLED if is_whole else pb.EVENT_TYPE_ORDER_PARTIALLY_FILLED
    elif is_open and not is_new:
        yield pb.EVENT_TYPE_ORDER_CHANGED
    if order.status in ENDED:
        yield ENDED[order.status]


def _order(update: order_pb2.OrderUpdate) -> Mapping[str, Any]:
    order = update.order
    data = {
        "orderId": order.order_id,
        "clientOrderId": order.client_order_id,
        "symbol": order.symbol,
        "side": type_pb2.Side.Name(order.side),
        "orderType": order_pb2.OrderType.Name(order.type),
        "status": order_pb2.OrderStatus.Name(order.status),
        "quantity": order.quantity,
        "price": order.price,
        "filledQty": order.filled_quantity,
        "remainingQty": order.remaining_quantity,
        "avgPrice": order.average_price,
        "fee": order.fee,
        "feeAsset": order.fee_asset,
        "tag": order.tag,
    }
    if order.status == order_pb2.ORDER_STATUS_REJECTED:
        data["rejectReason"] = order_pb2.RejectReason.Name(order.reject_reason)
    if order.status == order_pb2.ORDER_STATUS_CANCELLED:
        data["cancelReason"] = order_pb2.CancelReason.Name(order.cancel_reason)
    fills = [
        {
            "tradeId": fill.trade_id,
            "price": fill.price,
            "quantity": fill.quantity,
            "fee": fill.fee,
            "liquidity": order_pb2.Liquidity.Name(fill.liquidity),
        }
        for fill in update.fills
    ]
    return {**data, "fills": fills} if fills else data


def _whole(message: Any) -> Mapping[str, Any]:  # noqa: ANN401  any message
    return MessageToDict(message, always_print_fields_with_no_presence=True)
