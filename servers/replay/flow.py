"""Recorded order flow, read row by row: what was placed and what was cancelled.

The files are CSV, plain or xz-compressed, with the columns of COLUMNS: an exchange's limit order events in the order they were
received. A row that creates places an order; one that deletes with volume left cancels it. The other rows (partial fills, and
deletions with nothing left) are what matching brings about by itself: they are counted, not played. Rows that name an order
before its creation, or one that is never created, are counted and skipped; a creation that comes late is placed.
"""

import csv
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from servers.domain.money import NotDecimal, format_units, parse
from servers.domain.terms import Side

COLUMNS: Final = ("id", "timestamp", "exchange.timestamp", "price", "volume", "action", "direction")
# Volumes count units of 1e-8 of the base asset.
VOLUME_SCALE: Final = 8
_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_SIDES: Final = {"bid": Side.BUY, "ask": Side.SELL}


class FlowInvalid(ValueError):
    """The file is not order flow; says the line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Create:
    """An order was placed. `number` is the recorded id, the price decimal text, the volume in units of 1e-8."""

    number: int
    time_ms: int
    side: Side
    price: str
    volume: int

    @property
    def quantity(self) -> str:
        """The volume as decimal text."""
        return format_units(self.volume, VOLUME_SCALE)


@dataclass(frozen=True, slots=True)
class Cancel:
    """An order was cancelled with volume left; it may have been filled here, where the recorded one was not."""

    number: int
    time_ms: int


Action = Create | Cancel


@dataclass(slots=True)
class Count:
    """How many rows were read, and what became of them; final once the flow is read to its end."""

    read: int = 0
    created: int = 0
    cancelled: int = 0
    # Left to matching: partial fills, and deletions with nothing left.
    changed: int = 0
    filled: int = 0
    # Skipped: the order is never created, or only later.
    unknown: int = 0
    early: int = 0
    # Rows so far by the order they name too early, if it is created at all.
    unseen: Counter[int] = field(default_factory=Counter, repr=False)


def read_flow(path: Path, count: Count) -> Iterator[Action]:
    """The actions of a file, in its order, counted into `count` on the way.

    Raises FlowInvalid: the first line that is not as documented. Raises OSError: the file cannot be opened.
    """
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="ascii", newline="") as file:
        reader = csv.reader(file, strict=True)
        created: set[int] = set()
        try:
            header = next(reader, None)
            if header is None or tuple(header) != COLUMNS:
                raise FlowInvalid(1, f"the columns must be {','.join(COLUMNS)}")
            for row in reader:
                action = _action(row, reader.line_num, created, count)
                if action is not None:
                    yield action
        except (csv.Error, lzma.LZMAError, EOFError, UnicodeDecodeError) as broken:
            raise FlowInvalid(reader.line_num + 1, "cannot be read: damaged, or not CSV") from broken


def _action(row: list[str], line: int, created: set[int], count: Count) -> Action | None:
    if len(row) != len(COLUMNS):
        raise FlowInvalid(line, f"has {len(row)} fields instead of {len(COLUMNS)}")
    number, time_ms, volume = (_whole(row[at], COLUMNS[at], line) for at in (0, 1, 4))
    action = row[5]
    count.read += 1
    if action == "created":
        return _create(Create(number, time_ms, _side(row[6], line), _price(row[3], line), volume), line, created, count)
    if action not in {"changed", "deleted"}:
        raise FlowInvalid(line, f"action {action!r} is not created, changed or deleted")
    if number not in created:
        count.unseen[number] += 1
        count.unknown += 1
        return None
    if action == "changed":
        count.changed += 1
        return None
    if not volume:
        count.filled += 1
        return None
    count.cancelled += 1
    return Cancel(number, time_ms)


def _create(create: Create, line: int, created: set[int], count: Count) -> Create:
    if create.number in created:
        raise FlowInvalid(line, f"order {create.number} is created twice")
    if not create.volume:
        raise FlowInvalid(line, "an order is created without volume")
    created.add(create.number)
    count.created += 1
    early = count.unseen.pop(create.number, 0)
    count.unknown -= early
    count.early += early
    return create


def _whole(text: str, column: str, line: int) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise FlowInvalid(line, f"{column} {text[:40]!r} is not a whole number")
    return int(text)


def _price(text: str, line: int) -> str:
    try:
        price = parse(text)
    except NotDecimal:
        raise FlowInvalid(line, f"price {text[:40]!r} is not a decimal") from None
    if price <= 0:
        raise FlowInvalid(line, f"price {text[:40]!r} is not above zero")
    return text


def _side(text: str, line: int) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise FlowInvalid(line, f"direction {text[:40]!r} is not bid or ask")
    return side
