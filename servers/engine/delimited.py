"""Messages joined from parts that are serialized already: answers travel as the bytes they were committed as."""

from collections.abc import Iterable
from functools import cache
from typing import Final

_LENGTH_DELIMITED: Final = 2


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS: Final = tuple([varint(length) for length in range(2_048)])


@cache
def _tag(number: int) -> bytes:
    return varint(number << 3 | _LENGTH_DELIMITED)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: a message, a string or bytes."""
    length = len(payload)
    return _tag(number) + (_LENGTHS[length] if length < len(_LENGTHS) else varint(length)) + payload


def repeated(number: int, payloads: Iterable[bytes]) -> bytes:
    """A repeated field of messages, strings or bytes."""
    tag = _tag(number)
    parts: list[bytes] = []
    for payload in payloads:
        length = len(payload)
        parts += (tag, _LENGTHS[length] if length < len(_LENGTHS) else varint(length), payload)
    return b"".join(parts)
