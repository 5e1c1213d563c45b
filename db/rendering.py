"""The rules' things as rows of tables: tuples for set-based statements, lines of text or rows of bytes for COPY.

Columns come from the model's own declaration, so a field that is stored cannot be forgotten here.
"""

from collections.abc import Callable, Hashable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from typing import Any, Final, cast

from servers.domain.events import Posted, Traded
from servers.domain.state import stored

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL counts its times from 2000 on.
_EPOCH_2000_US: Final = 946_684_800_000_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
TRADES: Final = (
    "partition, number, sequence, symbol, ticks, lots, notional, taker_side, maker_order, taker_order,"
    " maker_account_id, taker_account_id, maker_fee, taker_fee, time"
)
POSTINGS: Final = "partition, sequence, n, debit_account_id, credit_account_id, asset, amount, kind, reference, time"
ACCOUNT_EVENTS: Final = "partition, sequence, n, account_id, previous_sequence, type, payload, time"


@lru_cache(maxsize=8192)
def instant(time_us: int) -> str:
    """Microseconds since 1970 as PostgreSQL reads them. All that a command caused has one time, hence the memory."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()


@lru_cache(maxsize=8192)
def escape(text: str) -> str:
    """Text as COPY reads it."""
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


class Columns:
    """How things of a class of the model become rows: its stored fields, numbers first, then text, bytes and times."""

    def __init__(self, kind: type[Any]) -> None:
        types = {f.name: f.type for f in fields(kind)}
        numbers: list[tuple[str, str]] = []
        texts: list[tuple[str, str]] = []
        octets: list[tuple[str, str]] = []
        times: list[tuple[str, str]] = []
        for name, column in stored(cast("Hashable", kind)):
            entry = (name if name == column else f"{name}.{column}", column)
            if column.endswith("time"):
                times.append(entry)
            elif types[name] is bytes:
                octets.append(entry)
            else:
                (numbers if types[name] in {int, bool} else texts).append(entry)
        self.names = tuple(column for _, column in (*numbers, *texts, *octets, *times))
        self.types = ("numeric",) * len(numbers) + ("text",) * len(texts) + ("bytea",) * len(octets)
        self.types += ("timestamptz",) * len(times)
        self._numbers = _getter([path for path, _ in numbers])
        self._texts = _getter([path for path, _ in (*texts, *octets)])
        self._times = _getter([path for path, _ in times])
        self._line = "%d\t" + "%d\t" * len(numbers) + "\t".join(["%s"] * (len(texts) + len(octets) + len(times))) + "\n"

    def values(self, thing: object) -> tuple[Any, ...]:
        """The columns of a thing, times as text."""
        return (*self._numbers(thing), *self._texts(thing), *map(instant, self._times(thing)))

    def line(self, partition: int, thing: object) -> str:
        """The partition and the columns as a line for COPY; the class must have no bytes."""
        texts, times = map(escape, self._texts(thing)), map(instant, self._times(thing))
        line: str = self._line % (partition, *self._numbers(thing), *texts, *times)
        return line


def _getter(paths: list[str]) -> Callable[[object], tuple[Any, ...]]:
    if not paths:
        return lambda _: ()
    get = attrgetter(*paths)
    return (lambda thing: (get(thing),)) if len(paths) == 1 else get


def trade_line(partition: int, sequence: int, time_us: int, traded: Traded) -> str:
    """A row of trades for COPY, in the order of TRADES."""
    maker, taker = traded.maker, traded.taker
    return (
        f"{partition}\t{traded.number}\t{sequence}\t{traded.market.symbol}\t{traded.ticks}\t{traded.lots}\t"
        f"{traded.notional}\t{taker.side}\t{maker.number}\t{taker.number}\t{escape(maker.account.account_id)}\t"
        f"{escape(taker.account.account_id)}\t{traded.maker_fee}\t{traded.taker_fee}\t{instant(time_us)}\n"
    )


def posting_line(partition: int, sequence: int, n: int, time_us: int, posted: Posted) -> str:
    """A row of postings for COPY, in the order of POSTINGS."""
    return (
        f"{partition}\t{sequence}\t{n}\t{escape(posted.debit.account_id)}\t{escape(posted.credit.account_id)}\t"
        f"{posted.asset}\t{posted.amount}\t{posted.kind}\t{escape(posted.reference)}\t{instant(time_us)}\n"
    )


# What a row of account_events is made of around its two fields that have no fixed length: how many fields there are, and before
# each how long it is.
_EVENT_BEGINS: Final = Struct(">hiiiqiii")
_EVENT_GOES_ON: Final = Struct(">iqihi")
_EVENT_ENDS: Final = Struct(">iq")


@lru_cache(maxsize=8192)
def octets(text: str) -> bytes:
    """Text as the database keeps it. An account has many events, hence the memory."""
    return text.encode()


def event_row(
    partition: int, sequence: int, n: int, time_us: int, account_id: str, previous: int, kind: int, payload: bytes
) -> bytes:
    """A row of account_events for COPY in its binary form, in the order of ACCOUNT_EVENTS.

    Most of what the tables are sent is its payload, which as text were twice as long.
    """
    account = octets(account_id)
    return b"".join(
        (
            _EVENT_BEGINS.pack(8, 4, partition, 8, sequence, 4, n, len(account)),
            account,
            _EVENT_GOES_ON.pack(8, previous, 2, kind, len(payload)),
            payload,
            _EVENT_ENDS.pack(8, time_us - _EPOCH_2000_US),
        )
    )
