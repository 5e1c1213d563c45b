"""Commands of the rules as the messages that callers send: the way back of the engine's codec, by the names of fields."""

import re
from dataclasses import fields
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from servers.domain import commands as c
from servers.domain.identifiers import order_id
from servers.domain.model import Limits
from servers.domain.money import ATTO_SCALE, RATE_SCALE, format_units
from venue.engine.v1 import engine_pb2 as pb

STAMP: Final = {f.name for f in fields(c.Command)}
BODIES: Final = {"make_transfer": "transfer"}
# What a request id is called in bodies that move funds.
IDS: Final[dict[type[c.Command], str]] = {c.MakeTransfer: "transfer_id", c.Convert: "conversion_id"}
# Where the wire calls a field something else.
NAMES: Final = {
    "maker_rate": "maker_fee_rate",
    "taker_rate": "taker_fee_rate",
    "receives": "receive",
    "price_band": "price_band_percent",
}
# Decimals that count something else than 1e-18.
SCALES: Final = {
    "maker_fee_rate": RATE_SCALE,
    "taker_fee_rate": RATE_SCALE,
    "trailing_percent": 2,
    "price_band_percent": RATE_SCALE - 2,
}


def encode(partition: int, command: c.Command) -> pb.Command:
    """The command's message, not stamped yet."""
    kind = body_of(type(command))
    message = pb.Command(user_id=command.user_id)
    body = getattr(message, kind)
    body.SetInParent()
    _fill(partition, body.market if isinstance(command, c.DefineMarket) else body, command)
    placed = command.order if isinstance(command, c.ReplaceOrder) else command
    placed = command.orders[0] if isinstance(command, c.PlaceOco) else placed
    if isinstance(placed, c.PlaceOrder):
        message.session_id = placed.session_id
    if command.request_id:
        if type(command) in IDS:
            setattr(body, IDS[type(command)], command.request_id)
        elif "request_id" in body.DESCRIPTOR.fields_by_name:
            body.request_id = command.request_id
    return message


def body_of(kind: type[c.Command]) -> str:
    """The name of a command in the union of bodies."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return BODIES.get(name, name)


def _fill(partition: int, body: Message, command: c.Command | c.ExitTerms) -> None:
    for f in fields(command):
        value = getattr(command, f.name)
        if f.name in STAMP or (not value and not f.name.endswith("rate")):
            continue
        if f.name == "session_id" and isinstance(command, c.PlaceOrder):
            # Said of the command as a whole.
            continue
        if f.name == "number":
            body.order_id = order_id(partition, value)  # type: ignore[attr-defined]  # whoever has a number names an order
        elif isinstance(value, c.Command | c.ExitTerms):
            _fill(partition, getattr(body, f.name), value)
        elif f.name == "orders":
            for order in value:
                _fill(partition, body.orders.add(), order)  # type: ignore[attr-defined]  # a list of two
        elif isinstance(value, Limits):
            _limit(body, value)
        else:
            _set(body, NAMES.get(f.name, f.name), value)


def _limit(body: Any, limits: Limits) -> None:
    """-1 is what is not said."""
    body.account_id, body.tier, body.symbol = limits.account_id, limits.tier, limits.symbol
    body.limits.SetInParent()
    body.limits.symbols_allowed.extend(limits.symbols_allowed.split())
    for f in fields(limits):
        value = getattr(limits, f.name)
        if isinstance(value, int) and value >= 0:
            _set(body.limits, NAMES.get(f.name, f.name), value)


def _set(body: Message, name: str, value: Any) -> None:
    descriptor = body.DESCRIPTOR.fields_by_name[name]
    if descriptor.message_type is not None:
        field = getattr(body, name)
        match descriptor.message_type.name:
            case "Timestamp" | "Duration":
                field.FromMicroseconds(value)
            case "Amount":
                for asset, amount in value:
                    field.add(asset=asset, amount=format_units(amount, ATTO_SCALE))
            case "TradingHours":
                for hours in value:
                    field.add(**hours._asdict())
            case other:
                raise NotImplementedError(f"how {other} {name} is written")
    elif descriptor.type == FieldDescriptor.TYPE_STRING and isinstance(value, int):
        setattr(body, name, format_units(value, SCALES.get(name, ATTO_SCALE)))
    else:
        setattr(body, name, value)
