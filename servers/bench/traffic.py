"""What is sent: the same order again and again, buys on one side and sells on the other, in three forms.

Both sides name one price, so every order trades with one of the other side, and no book grows beyond what one side is ahead.
"""

import struct
from pathlib import Path
from typing import Final

from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

SYMBOL: Final = "BTC-USD"
PRICE: Final = "65000.00"
QUANTITY: Final = "0.00100"
BATCH: Final = 50
# A session is opened anew after so many orders, which is rare enough to cost nothing.
SESSION_ORDERS: Final = 10_000
PEER_SYMBOL: Final = "BTC-USDT"
_PREFIX: Final = struct.Struct(">BI")


def framed(message: bytes) -> bytes:
    """A message as gRPC puts it into a body: not compressed, its length, its bytes."""
    return _PREFIX.pack(0, len(message)) + message


def order(account_id: str, side: "type_pb2.Side.ValueType") -> order_service_pb2.PlaceOrderRequest:
    return order_service_pb2.PlaceOrderRequest(
        account_id=account_id,
        symbol=SYMBOL,
        side=side,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity=QUANTITY,
        price=PRICE,
    )


def unary_body(account_id: str, side: "type_pb2.Side.ValueType") -> bytes:
    return framed(order(account_id, side).SerializeToString())


def batch_body(account_id: str, side: "type_pb2.Side.ValueType") -> bytes:
    request = order_service_pb2.PlaceOrdersRequest(orders=[order(account_id, side)] * BATCH)
    return framed(request.SerializeToString())


def session_body(account_id: str, side: "type_pb2.Side.ValueType") -> bytes:
    """A start, and then one order a message."""
    begin = order_service_pb2.TradeCommand(start=order_service_pb2.TradeStart(account_id=account_id))
    parts = [framed(order_service_pb2.TradeRequest(commands=[begin]).SerializeToString())]
    placed = order(account_id, side)
    for number in range(SESSION_ORDERS):
        item = order_service_pb2.TradeCommand(correlation_id=str(number), place=placed)
        parts.append(framed(order_service_pb2.TradeRequest(commands=[item]).SerializeToString()))
    return b"".join(parts)


def peer_body(account: int, side: str) -> bytes:
    """The same order as the peer's HTTP API takes it."""
    return (
        f'{{"account": {account}, "side": "{side}", "price": "{PRICE}", "quantity": "{QUANTITY}", "type": "limit"}}'
    ).encode()


def write(folder: Path, name: str, body: bytes) -> Path:
    path = folder / f"{name}.body"
    path.write_bytes(body)
    return path
