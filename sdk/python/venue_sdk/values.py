"""Messages as values: decimals as Decimal, times as datetime, enums as their names without prefix.

Each class has a field for the fields of its message that a program reads most; `message` is all of it. An empty decimal is None.
"""

import re
from dataclasses import Field, dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from venue.order.v1 import order_pb2, order_service_pb2
from venue_sdk.errors import OrderRejected

# The contract's decimals: at most 18 digits before the point and 18 behind it.
DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)


def text(number: Decimal | int | str) -> str:
    """A number as the contract writes it: no exponent, no zeros at the end. Raises ValueError; floats are a TypeError."""
    if isinstance(number, bool) or not isinstance(number, Decimal | int | str):
        raise TypeError(f"a Decimal, an int or decimal text, not {type(number).__name__}: a float is not exact")
    written = number if isinstance(number, str) else format(Decimal(number), "f")
    if isinstance(number, Decimal) and "." in written:
        # Zeros at the end do not count against the scale.
        written = written.rstrip("0").rstrip(".")
    if DECIMAL.fullmatch(written) is None:
        raise ValueError(f"{number!r} is no decimal of at most 18 and 18 digits")
    whole, _, fraction = written.partition(".")
    fraction = fraction.rstrip("0")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    digits = digits.lstrip("0") or "0"
    sign = "" if digits == "0" and not fraction else sign
    return f"{sign}{digits}.{fraction}" if fraction else f"{sign}{digits}"


def value(written: str) -> Decimal | None:
    """Decimal text of the contract; None where it is empty."""
    return Decimal(written) if written else None


@dataclass(frozen=True, slots=True)
class Order:
    """See venue.order.v1.Order."""

    order_id: str
    client_order_id: str
    account_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    status: str
    reject_reason: str
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    filled_quantity: Decimal
    remaining_quantity: Decimal
    average_price: Decimal | None
    fee: Decimal
    fee_asset: str
    create_time: datetime | None
    sequence: int
    message: order_pb2.Order

    @property
    def is_open(self) -> bool:
        return self.status in {"PENDING_TRIGGER", "OPEN", "PARTIALLY_FILLED"}


@dataclass(frozen=True, slots=True)
class Fill:
    """See venue.order.v1.Fill."""

    trade_id: str
    order_id: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: str
    trade_time: datetime | None
    message: Message


@dataclass(frozen=True, slots=True)
class Balance:
    """See venue.account.v1.Balance."""

    asset: str
    available: Decimal
    held: Decimal
    total: Decimal
    message: Message


@dataclass(frozen=True, slots=True)
class Market:
    """See venue.marketdata.v1.Market."""

    symbol: str
    state: str
    base_asset: str
    quote_asset: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    mark_price: Decimal | None
    index_price: Decimal | None
    message: Message


@dataclass(frozen=True, slots=True)
class Level:
    """See venue.marketdata.v1.BookLevel."""

    price: Decimal
    quantity: Decimal
    order_count: int


@dataclass(frozen=True, slots=True)
class Candle:
    """See venue.marketdata.v1.Candle."""

    symbol: str
    interval: str
    open_time: datetime | None
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a placement."""

    order: Order
    fills: tuple[Fill, ...]
    position: str
    replayed: bool

    def accepted(self) -> Order:
        """The order. Raises OrderRejected."""
        if self.order.status == "REJECTED":
            raise OrderRejected(self.order.reject_reason, self.order.order_id)
        return self.order


Read = TypeVar("Read", Order, Fill, Balance, Market, Level, Candle)


@cache
def prefix(enum: EnumDescriptor) -> str:
    """What the names of an enum begin with: ORDER_STATUS_."""
    names = [each.name for each in enum.values]
    return next(name for name in names if name.endswith("_UNSPECIFIED")).removesuffix("UNSPECIFIED")


def name_of(enum: EnumDescriptor, number: int) -> str:
    """FILLED of ORDER_STATUS_FILLED; empty where nothing is said, and the number of a value that this contract does not know."""
    named = enum.values_by_number.get(number)
    if named is None:
        return str(number)
    return named.name.removeprefix(prefix(enum)) if number else ""


def is_decimal(field: Field[Any]) -> bool:
    return field.type in {Decimal, Decimal | None}


def read(kind: type[Read], message: Message) -> Read:
    """The message as a value of that class."""
    found: dict[str, Any] = {}
    for each in fields(kind):
        if each.name == "message":
            found["message"] = message
            continue
        raw = getattr(message, each.name)
        enum: Any = message.DESCRIPTOR.fields_by_name[each.name].enum_type
        if is_decimal(each):
            found[each.name] = value(raw)
        elif isinstance(raw, Timestamp):
            found[each.name] = raw.ToDatetime(UTC) if message.HasField(each.name) else None
        elif enum is not None:
            found[each.name] = name_of(enum, raw)
        else:
            found[each.name] = raw
    return kind(**found)


def placed(answer: order_service_pb2.PlaceOrderResponse) -> Placed:
    fills = tuple(read(Fill, fill) for fill in answer.fills)
    return Placed(read(Order, answer.order), fills, answer.position, answer.replayed)
