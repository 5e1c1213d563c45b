"""The rules' things as rows of tables: tuples for set-based statements, lines of text for COPY.

Columns come from the model's own declaration, so a field that is stored cannot be forgotten here.
"""

from collections.abc import Callable, Hashable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

from servers.domain.state import stored

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
