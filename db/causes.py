"""Why entries are in the ledger: the trade, deposit, withdrawal or transfer that each of them is of.

An entry's reference names a trade, or what moved the funds; the tables of those who moved them say why they did.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg.rows import args_row

from db.adaptation import Micros
from db.entries import EntryRecord
from db.session import Connection

_TRADE: Final = re.compile(r"[0-9]+-t([0-9]+)", re.ASCII)
TRADE_KINDS: Final = (4, 5)


class TradeCause(NamedTuple):
    """A trade as one of its accounts sees it; side 1: it bought. Ticks and lots are of the market."""

    number: int
    symbol: str
    ticks: int
    lots: int
    order_number: int
    side: int


class FundingCause(NamedTuple):
    """A deposit (also one that is given back, or has brought a bonus) or a withdrawal behind a transfer."""

    transfer_id: str
    deposit_id: str
    withdrawal_id: str


class Causes(NamedTuple):
    """By trade number, and by the id of the transfer."""

    trades: dict[int, TradeCause]
    funding: dict[str, FundingCause]


# The time is said so that only its month is looked at.
_TRADES: Final = """
SELECT number, symbol, ticks, lots,
       CASE WHEN maker_account_id = %(account)s THEN maker_order ELSE taker_order END,
       CASE WHEN maker_account_id = %(account)s THEN 3 - taker_side ELSE taker_side END
FROM trades WHERE partition = %(partition)s AND number = ANY(%(numbers)s) AND time BETWEEN %(first)s AND %(last)s
    AND %(account)s IN (maker_account_id, taker_account_id)
"""
_FUNDING: Final = """
SELECT transfer_id, deposit_id, '' FROM deposits WHERE transfer_id = ANY(%(ids)s)
UNION ALL SELECT transfer_id, deposit_id, '' FROM reversals WHERE transfer_id = ANY(%(ids)s)
UNION ALL SELECT transfer_id, deposit_id, '' FROM signup_bonuses WHERE transfer_id = ANY(%(ids)s)
UNION ALL SELECT transfer_id, '', withdrawal_id FROM withdrawals WHERE transfer_id = ANY(%(ids)s)
"""


def trade_number(entry: EntryRecord) -> int:
    """The trade that an entry or fee is of; 0: of none."""
    found = _TRADE.fullmatch(entry.reference) if entry.kind in TRADE_KINDS else None
    return 0 if found is None else int(found[1])


async def find_causes(
    connection: Connection, partition: int, account_id: str, entries: Sequence[EntryRecord]
) -> Causes:
    """What caused some entries of an account."""
    numbers = sorted({number for entry in entries if (number := trade_number(entry))})
    ids = sorted({entry.reference for entry in entries if entry.kind not in TRADE_KINDS})
    trades: list[TradeCause] = []
    funding: list[FundingCause] = []
    if numbers:
        times = [entry.time for entry in entries]
        async with connection.cursor(row_factory=args_row(TradeCause)) as cursor:
            window = {"first": Micros(min(times)), "last": Micros(max(times))}
            await cursor.execute(_TRADES, {"partition": partition, "account": account_id, "numbers": numbers, **window})
            trades = await cursor.fetchall()
    if ids:
        async with connection.cursor(row_factory=args_row(FundingCause)) as cursor:
            await cursor.execute(_FUNDING, {"ids": ids})
            funding = await cursor.fetchall()
    return Causes({each.number: each for each in trades}, {each.transfer_id: each for each in funding})
