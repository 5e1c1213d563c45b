"""A deposit that is paid becomes money on its account, once, whoever tells how often that it was paid.

The transfer's id was written down with the deposit before anybody was asked for money, so crediting again after a crash is a
replay. A user's first deposit of real money may bring a bonus, which is promised in the transaction that calls the deposit
credited, and paid under an id of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import alerts, deposits
from db.crash_points import passing
from db.models.deposits import DepositRow
from db.transactions import transaction
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import PartUnavailable, VenueError
from servers.domain.identifiers import VENUE_FEES
from servers.domain.letters import Template
from servers.domain.terms import EntryKind
from servers.funding.letters import Letters
from servers.funding.messages import text
from servers.funding.monitor_deposits import Watch
from servers.funding.movements import Movements, outside, partition_of, transfer_id_of

SANDBOX: Final = "SANDBOX"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bonus:
    """What the first deposit of an asset brings, from how much on; in units of 1e-18."""

    minimum: int
    amount: int


class Crediting:
    """Credits deposits. `bonuses` are by asset."""

    def __init__(
        self, engine: AsyncEngine, movements: Movements, bonuses: Mapping[str, Bonus], letters: Letters, watch: Watch
    ) -> None:
        self._engine = engine
        self._movements = movements
        self._bonuses = bonuses
        self._letters = letters
        self._watch = watch

    async def credit(self, deposit_id: str) -> None:
        """Raises PartUnavailable: it stays paid, and is credited later."""
        row = await deposits.find(self._engine, deposit_id)
        if row is None or row.state != deposits.PAID:
            return
        source = outside(row.account_id)
        try:
            await self._movements.pay(row.transfer_id, source, row.account_id, row.asset, row.amount, EntryKind.DEPOSIT)
        except VenueError as error:
            if isinstance(error, PartUnavailable):
                raise
            # The money has come and the ledger does not take it: for people to see, and never to be forgotten.
            log.error("a paid deposit is not credited", deposit_id=deposit_id, reason=error.reason)
            about, details = f"deposit/{deposit_id}", {"reason": error.reason}
            alert = Alert(AlertKind.DEPOSIT_NOT_CREDITED, about, "a paid deposit is not credited", row.user_id, details)
            await alerts.put_alone(self._engine, alert)
            return
        passing("deposit-transferred")
        if await self._finish(row):
            passing("deposit-credited")
        await self.pay_bonus(row.user_id)

    async def _finish(self, row: DepositRow) -> bool:
        """Put down that a deposit is credited, promise the bonus of a first one, and tell. False: somebody else had."""
        async with transaction(self._engine) as session, session.begin():
            locked = await deposits.lock(session, row.deposit_id)
            if locked is None or not await deposits.move(session, locked, deposits.SUCCEEDED):
                return False
            await self._letters.of_deposit(session, row, Template.DEPOSIT_CREDITED)
            if row.provider != SANDBOX:
                await self._watch.look(session, row)
            bonus = self._bonuses.get(row.asset)
            if bonus is None or row.provider == SANDBOX or row.amount < bonus.minimum:
                return True
            if await deposits.count_credited(session, row.user_id) == 1:
                transfer_id = transfer_id_of(partition_of(row.transfer_id), f"bonus/{row.user_id}")
                await deposits.promise_bonus(session, row, bonus.amount, transfer_id)
            return True

    async def pay_bonus(self, user_id: str) -> None:
        """Pay what was promised, if anything. Raises PartUnavailable."""
        bonus = await deposits.find_bonus(self._engine, user_id)
        if bonus is None or bonus.state != "PAYING":
            return
        row = await deposits.find(self._engine, bonus.deposit_id)
        assert row is not None, "a bonus is of a deposit"
        # From what the venue earned, not from outside: nothing came in for it.
        await self._movements.pay(
            bonus.transfer_id, VENUE_FEES, row.account_id, bonus.asset, bonus.amount, EntryKind.BONUS
        )
        passing("bonus-transferred")
        async with transaction(self._engine) as session, session.begin():
            if await deposits.finish_bonus(session, user_id):
                values = {"amount": text(bonus.amount), "asset": bonus.asset, "account_id": row.account_id}
                await self._letters.write(session, user_id, Template.BONUS_CREDITED, values)
