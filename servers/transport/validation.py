"""Requests against the constraints of the contract: bytes -> message -> violations."""

from collections.abc import Callable
from typing import Final, TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from servers.domain.errors import FieldViolation
from servers.transport.constraints import Sure, sure_check
from servers.transport.refusals import InvalidField, MalformedMessage

Kind = TypeVar("Kind", bound=Message)
Method = TypeVar("Method", bound=Callable[..., object])
SELF_VALIDATING = "validates_itself"

# What nobody has said has the number 0, which says nothing to who left it out.
UNSAID: Final = {"must not be in list [0]": "is required"}

_validator = protovalidate.Validator()
_sure: dict[type[Message], Sure | None] = {}


def parse(kind: type[Kind], raw: bytes) -> Kind:
    """Raises MalformedMessage."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise MalformedMessage(kind.DESCRIPTOR.full_name) from None


def check(message: Message) -> None:
    """Raises InvalidField with every constraint that the message breaks."""
    kind = type(message)
    if kind not in _sure:
        _sure[kind] = sure_check(kind.DESCRIPTOR)  # type: ignore[arg-type]
    sure = _sure[kind]
    if sure is not None and sure(message):
        return
    violations = _validator.collect_violations(message)
    if violations:
        raise InvalidField([_violation(violation.proto) for violation in violations])


def validates_itself(method: Method) -> Method:
    """Marks a servicer's method that reads a stream and answers a bad message in the stream instead of ending it."""
    setattr(method, SELF_VALIDATING, True)
    return method


def _violation(violation: protovalidate.ViolationPb) -> FieldViolation:
    path = ""
    for element in violation.field.elements if violation.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
    if not violation.rule:
        # A rule about a whole message has no field of its own; its id is `<field>.<rule>`.
        field = violation.rule_id.partition(".")[0]
        path = f"{path}.{field}" if path else field
    return FieldViolation(path, UNSAID.get(violation.message, violation.message), violation.rule_id)
