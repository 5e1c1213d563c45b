"""The text forms of ids that carry a place: orders, trades, positions. Opaque to clients, read by the servers' routing."""

import re
from typing import Final, NamedTuple

from servers.domain.errors import PositionInvalid
from servers.domain.terms import Environment

VENUE_PAPER: Final = "venue:paper"
VENUE_EXTERNAL: Final = "venue:external"
VENUE_FEES: Final = "venue:fees"
# The house that conversions are made with.
VENUE_CONVERSIONS: Final = "venue:conversions"
# Behind it stands the partition that the funds are on their way to, or came from.
TRANSIT: Final = "transit:"
VENUE_ACCOUNTS: Final = (VENUE_PAPER, VENUE_EXTERNAL, VENUE_FEES, VENUE_CONVERSIONS)
_ORDER: Final = re.compile(r"([1-9][0-9]{0,3})-([1-9][0-9]{0,16})(?:\.([12]))?", re.ASCII)
# An order's number is the sequence of the command that placed it. A command may place up to three: those after the first are
# so much higher each, and written with a suffix: 1-7, 1-7.1, 1-7.2.
_MEMBER: Final = 10**17
_ACCOUNT: Final = re.compile(r"[a-z]+-([1-9][0-9]{0,3})-", re.ASCII)
_TRANSIT: Final = re.compile(rf"{TRANSIT}([1-9][0-9]{{0,3}})", re.ASCII)
_POSITION: Final = re.compile(r"([1-9][0-9]{0,3})\.([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


class Position(NamedTuple):
    """A place in a partition's journal. The epoch tells under which leader it was given."""

    partition: int
    epoch: int
    sequence: int


def order_id(partition: int, number: int) -> str:
    """The wire's id of an order: its partition and the sequence of the command that placed it, and which of its orders it is."""
    if number < _MEMBER:
        return f"{partition}-{number}"
    return f"{partition}-{number % _MEMBER}.{number // _MEMBER}"


def member_number(sequence: int, index: int) -> int:
    """The number of an order of a command that places several; index 0 is the first."""
    return index * _MEMBER + sequence


def placing_sequence(number: int) -> int:
    """The sequence of the command that placed an order."""
    return number % _MEMBER


def age(number: int) -> int:
    """Sorts the numbers of orders by when they were placed; the tables' indexes have the same expression."""
    return number % _MEMBER * 4 + number // _MEMBER


def list_id(partition: int, number: int) -> str:
    """The wire's id of a list of linked orders: that of its first order with a letter."""
    return f"{partition}-l{number}"


def trade_id(partition: int, number: int) -> str:
    """The wire's id of a trade: its partition and the partition's count of trades."""
    return f"{partition}-t{number}"


def find_order(text: str) -> tuple[int, int] | None:
    """Partition and number of an order id, or None if it is not one."""
    match = _ORDER.fullmatch(text)
    return None if match is None else (int(match[1]), member_number(int(match[2]), int(match[3] or 0)))


def position_text(partition: int, epoch: int, sequence: int) -> str:
    """A position as clients hold it."""
    return f"{partition}.{epoch}.{sequence}"


def positions(text: str, field: str = "min_position") -> list[Position]:
    """The places of a position, none for empty text. Raises PositionInvalid."""
    if not text:
        return []
    found = []
    for part in text.split("~"):
        match = _POSITION.fullmatch(part)
        if match is None:
            raise PositionInvalid(field)
        found.append(Position(int(match[1]), int(match[2]), int(match[3])))
    return found


def account_environment(account_id: str) -> Environment:
    """The environment an account id was given in; UNSPECIFIED if it is none of ours."""
    prefix = account_id.partition("-")[0]
    return {"live": Environment.LIVE, "demo": Environment.DEMO}.get(prefix, Environment.UNSPECIFIED)


def transit_account(partition: int) -> str:
    """The account that stands for another partition."""
    return f"{TRANSIT}{partition}"


def transit_partition(account_id: str) -> int:
    """The partition that an account stands for, 0 if it is none of these."""
    match = _TRANSIT.fullmatch(account_id)
    return 0 if match is None else int(match[1])


def account_partition(account_id: str) -> int:
    """The partition that an account id names, 0 where it names none: the first of its environment."""
    match = _ACCOUNT.match(account_id)
    return 0 if match is None else int(match[1])
