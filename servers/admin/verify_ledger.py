"""The proof of the ledger: the journal's hash chain, double entry, every balance as the sum of its entries, and every hold.

The chain is read row by row as it was committed; the books are one moment of the tables. Where the journal was pruned, the
chain is proved from the oldest row that is kept.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog
from psycopg import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import alerts, audit, proof
from db.audit import OK, Action, Actor, ActorKind, Entry
from db.journal import read_after
from db.proof import Books
from db.session import Pool
from db.snapshot import CHAIN_START
from db.transactions import transaction
from servers.admin.errors import PartitionNotFound
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import PartUnavailable
from servers.domain.money import format_units
from venue.admin.v1 import admin_pb2 as pb

ROWS: Final = 200
DIFFERING: Final = "DIFFERS"
NAMED_MAX: Final = 100
# Once a night, and soon again where the database was away.
NIGHTLY_S: Final = 86_400.0
RETRY_S: Final = 300.0
NIGHT: Final = Actor(ActorKind.SYSTEM, "nightly proof")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chain:
    """The journal as it was read: rows, the last sequence, and where it first breaks (0: nowhere)."""

    rows: int
    first_sequence: int
    last_sequence: int
    broken_sequence: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a partition."""

    partition: int
    chain: Chain
    books: Books

    @property
    def holds(self) -> bool:
        sums = all(total.entries == total.balances == 0 for total in self.books.totals)
        return sums and not (self.broken_sequence or self.books.differing or self.books.holding)

    @property
    def broken_sequence(self) -> int:
        """The first sequence that the journal does not have as it was; 0: it has all. The tables were looked at before it, so it
        reaches as far as they do, unless its end was cut off.
        """
        chain = self.chain
        is_cut = chain.rows > 0 and chain.last_sequence < self.books.sequence
        return chain.broken_sequence or (chain.last_sequence + 1 if is_cut else 0)


async def verify(pool: Pool, partition: int) -> Verdict:
    """Prove a partition. Reads all that is kept of it."""
    async with pool.connection() as connection:
        books = await proof.look(connection, partition, NAMED_MAX)
    return Verdict(partition, await walk(pool, partition), books)


async def walk(pool: Pool, partition: int) -> Chain:
    """Read the journal from its oldest row, and stop at the first that does not follow."""
    chain: bytes | None = None
    rows, first, last = 0, 0, 0
    while True:
        async with pool.connection() as connection:
            found = await read_after(connection, partition, last, ROWS)
        for row in found:
            if chain is None:
                first, last = row.first_sequence, row.first_sequence - 1
                chain = CHAIN_START if first == 1 else None
            follows = row.first_sequence == last + 1
            if not follows or (chain is not None and sha256(chain + row.commands).digest() != row.chain):
                return Chain(rows, first, last, row.first_sequence)
            chain, last, rows = row.chain, row.last_sequence, rows + 1
        if len(found) < ROWS:
            return Chain(rows, first, last, 0)


async def prove_all(pool: Pool, engine: AsyncEngine, partitions: list[int], actor: Actor) -> list[Verdict]:
    """Prove partitions, and leave an entry of the audit log that says how it ended. Raises PartUnavailable."""
    verdicts = [await verify(pool, partition) for partition in partitions]
    after = {
        str(each.partition): {
            "sequence": each.books.sequence,
            "journal_rows": each.chain.rows,
            "broken_sequence": each.broken_sequence,
            "differing": [f"{one.account_id} {one.asset}" for one in each.books.differing],
            "holding": [f"{one.account_id} {one.asset}" for one in each.books.holding],
        }
        for each in verdicts
    }
    outcome = OK if all(each.holds for each in verdicts) else DIFFERING
    if outcome != OK:
        log.critical("the ledger does not hold", partitions=[each.partition for each in verdicts if not each.holds])
    entry = Entry(actor=actor, action=Action.LEDGER_VERIFY, object="ledger", after=after, outcome=outcome)
    async with transaction(engine) as session, session.begin():
        await audit.append(session, entry)
        if outcome != OK:
            await alerts.put(session, Alert(AlertKind.LEDGER_DIFFERS, "ledger", "the ledger does not hold", "", after))
    return verdicts


class Prover:
    """Proves the partitions of the venue when it is asked to."""

    def __init__(self, pool: Pool, engine: AsyncEngine, partitions: Iterable[int]) -> None:
        self._pool = pool
        self._engine = engine
        self._partitions = sorted(partitions)

    async def prove(self, request: pb.VerifyLedgerRequest, actor: Actor) -> pb.VerifyLedgerResponse:
        """Raises PartitionNotFound."""
        if request.partition and request.partition not in self._partitions:
            raise PartitionNotFound(request.partition)
        wanted = [request.partition] if request.partition else self._partitions
        verdicts = await prove_all(self._pool, self._engine, wanted, actor)
        return pb.VerifyLedgerResponse(proofs=map(proof_message, verdicts))

    async def keep_proving(self, first_s: float, every_s: float = NIGHTLY_S) -> None:
        """Prove everything, for ever; sooner again where the database was away."""
        pause = first_s
        while True:
            await asyncio.sleep(pause)
            try:
                await prove_all(self._pool, self._engine, self._partitions, NIGHT)
                pause = every_s
            except (PartUnavailable, OperationalError) as error:
                log.warning("the ledger was not proved", cause=type(error).__name__)
                pause = RETRY_S


def proof_message(verdict: Verdict) -> pb.LedgerProof:
    chain, books = verdict.chain, verdict.books
    return pb.LedgerProof(
        partition=verdict.partition,
        holds=verdict.holds,
        journal_rows=chain.rows,
        first_sequence=chain.first_sequence,
        last_sequence=chain.last_sequence,
        broken_sequence=verdict.broken_sequence,
        sequence=books.sequence,
        balances=books.balances,
        differences=[
            pb.BalanceDifference(
                account_id=one.account_id,
                asset=one.asset,
                balance=format_units(one.balance, one.scale),
                entries=format_units(one.entries, one.scale),
            )
            for one in books.differing
        ],
        hold_differences=[
            pb.HoldDifference(
                account_id=one.account_id,
                asset=one.asset,
                held=format_units(one.held, one.scale),
                orders=format_units(one.orders, one.scale),
                transfers=format_units(one.transfers, one.scale),
            )
            for one in books.holding
        ],
        unbalanced_assets=[total.asset for total in books.totals if total.entries or total.balances],
    )
