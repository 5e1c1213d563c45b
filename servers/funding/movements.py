"""Transfers through the engine, each under an id that its cause gives it: however often it is asked for, it is made once."""

import uuid
from typing import Final

from db.session import Pool
from db.transfers import find_transfer
from servers.domain.errors import (
    PartUnavailable,
    TransferAlreadyPosted,
    TransferAlreadyVoided,
    TransferIdReused,
    TransferNotFound,
    VenueError,
)
from servers.domain.identifiers import VENUE_EXTERNAL, VENUE_PAPER, account_environment
from servers.domain.money import ATTO_SCALE, format_units
from servers.domain.terms import EntryKind, Environment, TransferState
from servers.engine.client import Engine, Engines
from venue.engine.v1 import engine_pb2

ENGINE_S: Final = 10.0
_NAMES: Final = uuid.UUID("c1b7a3a4-5f0e-4d53-9d5c-0f4b7f1f2a61")
# Outcomes that say nothing about what was done: ask again.
UNKNOWN: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "CANCELLED", "UNAUTHENTICATED"}
)


def outside(account_id: str) -> str:
    """The venue's account that stands for everything outside, in the world of an account."""
    return VENUE_EXTERNAL if account_environment(account_id) == Environment.LIVE else VENUE_PAPER


def transfer_id_of(partition: int, cause: str) -> str:
    """The one id of what a cause moves."""
    return f"{partition}-{uuid.uuid5(_NAMES, cause).hex}"


def partition_of(transfer_id: str) -> int:
    return int(transfer_id.partition("-")[0])


class Movements:
    """Asks the partitions' engines. Every refusal whose outcome is not known is raised as PartUnavailable."""

    def __init__(self, engines: Engines[Engine], pool: Pool) -> None:
        self._engines = engines
        self._pool = pool

    async def pay(
        self,
        transfer_id: str,
        debit: str,
        credit: str,
        asset: str,
        amount: int,
        kind: EntryKind,
        *,
        pending: bool = False,
    ) -> None:
        """Move an amount (in units of 1e-18), or hold it for that. Raises what the machine raises for a transfer."""
        body = engine_pb2.Transfer(
            transfer_id=transfer_id,
            debit_account_id=debit,
            credit_account_id=credit,
            asset=asset,
            amount=format_units(amount, ATTO_SCALE),
            kind=int(kind),  # type: ignore[arg-type]  # the domain's numbers are the wire's
            pending=pending,
        )
        try:
            await self._submit(transfer_id, engine_pb2.Command(transfer=body))
        except TransferIdReused:
            # The machine remembers ids for a month, and the tables for ever: the same transfer was made long ago.
            if await self._state(transfer_id, debit, credit, asset) is None:
                raise

    async def post(self, transfer_id: str) -> None:
        """Pay what is held. Raises TransferAlreadyVoided, TransferNotFound."""
        await self._resolve(transfer_id, void=False)

    async def void(self, transfer_id: str) -> None:
        """Release what is held. Raises TransferAlreadyPosted, TransferNotFound."""
        await self._resolve(transfer_id, void=True)

    async def _resolve(self, transfer_id: str, *, void: bool) -> None:
        body = engine_pb2.ResolveTransfer(transfer_id=transfer_id, void=void)
        wanted = TransferState.VOIDED if void else TransferState.POSTED
        try:
            await self._submit(transfer_id, engine_pb2.Command(resolve_transfer=body))
        except (TransferAlreadyPosted, TransferAlreadyVoided) as error:
            if isinstance(error, TransferAlreadyVoided) != void:
                raise
        except TransferNotFound:
            # Resolved so long ago that only the tables know.
            if await self._state(transfer_id) != wanted:
                raise

    async def _submit(self, transfer_id: str, command: engine_pb2.Command) -> None:
        engine = self._engines.for_partition(partition_of(transfer_id))
        outcome = (await engine.submit((command,), ENGINE_S))[0]
        if isinstance(outcome, VenueError):
            if outcome.code in UNKNOWN:
                raise PartUnavailable("the engine") from outcome
            raise outcome

    async def _state(self, transfer_id: str, debit: str = "", credit: str = "", asset: str = "") -> int | None:
        """The state of a transfer as the tables have it; None where there is none, or between others."""
        async with self._pool.connection() as connection:
            row = await find_transfer(connection, partition_of(transfer_id), transfer_id)
        if row is None or (
            debit and (row.debit_account_id, row.credit_account_id, row.asset) != (debit, credit, asset)
        ):
            return None
        return row.state
