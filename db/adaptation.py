"""How numbers cross between PostgreSQL and the rules: NUMERIC is an int, TIMESTAMPTZ an int of microseconds since 1970.

All our NUMERIC columns have scale 0; a fraction raises ValueError rather than being rounded. In a binary COPY whose
types are set (`copy.set_types(["bigint", "numeric", "timestamptz"])`) plain ints are taken for all three. As a
parameter of a statement a time is `Micros(time_us)`.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.postgres import types
from psycopg.pq import Format
from psycopg.types.numeric import IntNumeric, IntNumericBinaryDumper, IntNumericDumper

# PostgreSQL counts microseconds from 2000-01-01.
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INT8: Final = struct.Struct("!q")
_HEAD: Final = struct.Struct("!HhHH")
_NEGATIVE: Final = 0x4000
_TIMESTAMPTZ: Final = types["timestamptz"].oid


class Micros(int):
    """Microseconds since 1970 UTC, as a TIMESTAMPTZ parameter."""

    __slots__ = ()


class MicrosDumper(Dumper):
    oid = _TIMESTAMPTZ

    def dump(self, obj: int) -> Buffer:
        return (_EPOCH + timedelta(microseconds=obj)).isoformat().encode()


class MicrosBinaryDumper(Dumper):
    format = Format.BINARY
    oid = _TIMESTAMPTZ

    def dump(self, obj: int) -> Buffer:
        return _INT8.pack(obj - _POSTGRES_EPOCH_US)


class MicrosLoader(Loader):
    """Reads what a session with TimeZone=UTC writes."""

    def load(self, data: Buffer) -> int:
        return (datetime.fromisoformat(bytes(data).decode()) - _EPOCH) // _MICROSECOND


class MicrosBinaryLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        micros: int = _INT8.unpack(data)[0]
        return micros + _POSTGRES_EPOCH_US


class WholeLoader(Loader):
    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class WholeBinaryLoader(Loader):
    """Digits of base 10000, the first weighing 10000**weight; trailing zeros are left out."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        count, weight, sign, _scale = _HEAD.unpack_from(data)
        if count > weight + 1 or sign not in (0, _NEGATIVE):
            raise ValueError("a NUMERIC that is not a whole number")
        value = 0
        for digit in struct.unpack_from(f"!{count}H", data, _HEAD.size):
            value = value * 10_000 + digit
        for _ in range(weight + 1 - count):
            value *= 10_000
        return -value if sign else value


async def adapt(connection: AsyncConnection[Any]) -> None:
    """Make a connection speak the rules' numbers. A coroutine because that is what a pool calls."""
    adapters = connection.adapters
    for number in (WholeLoader, WholeBinaryLoader):
        adapters.register_loader("numeric", number)
    for instant in (MicrosLoader, MicrosBinaryLoader):
        adapters.register_loader("timestamptz", instant)
    # What is registered last for a type is what COPY dumps it with.
    for whole in (IntNumericDumper, IntNumericBinaryDumper):
        adapters.register_dumper(IntNumeric, whole)
    for micros in (MicrosDumper, MicrosBinaryDumper):
        adapters.register_dumper(Micros, micros)
