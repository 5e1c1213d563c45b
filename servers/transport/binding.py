"""Holds a request to one account: what an API key that is bound to one may ask about.

Every `account_id` in the request, however deep, must be that account or empty, and is it afterwards. So an order that is named by
its own id is looked for in that account alone. Fields that name two sides, as `from_account_id`, must be it where they are given.
"""

from functools import cache
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from servers.domain.errors import AccountNotFound

NAME: Final = "account_id"


@cache
def _parts(kind: Descriptor) -> tuple[tuple[str, ...], tuple[FieldDescriptor, ...]]:
    """Of a message: the fields that name accounts, and the messages inside it that have such."""
    names = tuple(field.name for field in kind.fields if field.name.endswith(NAME) and field.type == field.TYPE_STRING)
    inner = (field for field in kind.fields if field.message_type is not None and field.message_type is not kind)
    return names, tuple(field for field in inner if names_account(field.message_type))


@cache
def names_account(kind: Descriptor) -> bool:
    """Whether a message has a field that names an account, or one inside it has."""
    names, inner = _parts(kind)
    return bool(names or inner)


def bind(message: Message, account_id: str) -> None:
    """Raises AccountNotFound where another account is named."""
    names, inner = _parts(message.DESCRIPTOR)
    for name in names:
        given = getattr(message, name)
        if given and given != account_id:
            raise AccountNotFound(given)
        if name == NAME:
            setattr(message, name, account_id)
    for field in inner:
        if field.is_repeated:
            for each in getattr(message, field.name):
                bind(each, account_id)
        elif message.HasField(field.name):
            bind(getattr(message, field.name), account_id)
