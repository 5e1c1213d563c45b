"""Commands of the rules as the messages that callers send: the way back of the engine's codec, by the names of fields."""

import re
from dataclasses import fields
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from servers.domain import commands as c
from servers.domain.money import ATTO_SCALE, RATE_SCALE, format_units
from venue.engine.v1 import engine_pb2 as pb

STAMP: Final = {f.name for f in fields(c.Command)}
BODIES: Final = {"make_transfer": "transfer"}
# Where the wire calls a field something else.
NAMES: Final = {
    "maker_rate": "maker_fee_rate",
    "taker_rate": "taker_fee_rate",
    "receives": "receive",
}


def encode(partition: int, command: c.Command) -> pb.Command:
    """The command's message, not stamped yet."""
    kind = body_of(type(command))
    message = pb.Command(user_id=command.user_id)
    body = getattr(message, kind)
    body.SetInParent()
    _fill(partition, body.market if isinstance(command, c.DefineMarket) else body, command)
    placed = command.order if isinstance(command, c.ReplaceOrder) else command
    if isinstance(placed, c.PlaceOrder):
        message.session_id = placed.session_id
    if command.request_id:
        if isinstance(command, c.MakeTransfer):
            body.transfer_id = command.request_id
        elif "request_id" in body.DESCRIPTOR.fields_by_name:
            body.request_id = command.request_id
    return message


def body_of(kind: type[c.Command]) -> str:
    """The name of a command in the union of bodies."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return BODIES.get(name, name)


def _fill(partition: int, body: Message, command: c.Command) -> None:
    for f in fields(command):
        value = getattr(command, f.name)
        if f.name in STAMP or (not value and not f.name.endswith("rate")):
            continue
        if f.name == "session_id" and isinstance(command, c.PlaceOrder):
            # Said of the command as a whole.
            continue
        if f.name == "number":
            body.order_id = f"{partition}-{value}"  # type: ignore[attr-defined]  # whoever has a number names an order
        elif isinstance(value, c.Command):
            _fill(partition, getattr(body, f.name), value)
        else:
            _set(body, NAMES.get(f.name, f.name), value)


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
        scale = RATE_SCALE if name.endswith("rate") else ATTO_SCALE
        setattr(body, name, format_units(value, scale))
    else:
        setattr(body, name, value)
