"""Whether the books balance: double entry over the whole partition, and the run's accounts to the last digit.

The engine's memory says what each account has; the tables, written by another process from the journal, say how it came.
"""

import time
from dataclasses import dataclass
from typing import Final

from db.session import Pool
from db.totals import AssetTotal, sum_ledger
from servers.domain.money import parse
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.replay.patience import query
from servers.replay.steps import Book
from servers.transport.caller import CallerError
from venue.engine.v1 import engine_pb2 as pb

PROJECTED_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """By asset: the sums over everybody, which must be zero. By account and asset: entries beside what the account has."""

    totals: list[AssetTotal]
    accounts: int
    differing: list[str]

    @property
    def holds(self) -> bool:
        return not self.differing and all(total.entries == total.balances == 0 for total in self.totals)


async def check_ledger(pool: Pool, engine: Engine, book: Book) -> LedgerCheck:
    """Waits until the tables have what the engine has. Raises CallerError where they do not get there, VenueError."""
    now = await query(engine, pb.QueryRequest(sequence=pb.SequenceQuery()))
    if not await Fence(pool).reach(engine.partition, now.sequence, time.monotonic() + PROJECTED_S):
        raise CallerError(
            f"the tables are not as new as the engine after {PROJECTED_S:.0f} s: see the log of `replica`"
        )
    accounts = [book.account_id(index) for index in range(book.accounts)]
    async with pool.connection() as connection:
        totals, by_account = await sum_ledger(connection, engine.partition, accounts)
    scales = {total.asset: total.scale for total in totals}
    entries = {(each.account_id, each.asset): each.entries for each in by_account}
    differing: list[str] = []
    for account_id in accounts:
        answer = await query(engine, pb.QueryRequest(balances=pb.BalancesQuery(account_id=account_id)))
        has = {(account_id, each.asset): parse(each.total, scales[each.asset]) for each in answer.balances}
        has |= {key: 0 for key in entries if key[0] == account_id and key not in has}
        differing += [
            f"{key[0]} {key[1]}: {value} units, entries {entries.get(key, 0)}"
            for key, value in has.items()
            if value != entries.get(key, 0)
        ]
    return LedgerCheck(totals, len(accounts), differing)
