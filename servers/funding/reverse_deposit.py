"""What a payer gets back is taken from the account, and what he disputes is held until that is decided.

What is not there is owed: it is tried again every minute, and meanwhile nothing of the user's goes out.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import alerts, reversals
from db.crash_points import passing
from db.deposits import HELD, OPEN, RELEASED, TAKEN
from db.models.deposits import DepositRow, ReversalRow
from db.reversals import RELEASE
from db.transactions import transaction
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import PartUnavailable, TransferNotFound, VenueError
from servers.domain.letters import Template
from servers.domain.terms import EntryKind
from servers.funding.letters import Letters
from servers.funding.messages import text
from servers.funding.movements import Movements, outside

AGAIN: Final = timedelta(minutes=1)
LETTERS: Final[Mapping[str, Template]] = {
    HELD: Template.DEPOSIT_HELD,
    TAKEN: Template.DEPOSIT_REVERSED,
    RELEASED: Template.DEPOSIT_RELEASED,
}

log = structlog.get_logger()


class Reversing:
    """Takes back what was given back. One at a time: whoever is at a reversal has its row locked."""

    def __init__(self, engine: AsyncEngine, movements: Movements, letters: Letters) -> None:
        self._engine = engine
        self._movements = movements
        self._letters = letters

    async def go_on(self, reversal_id: str) -> None:
        """Do what can be done now. Raises PartUnavailable: nothing is changed, and the next try does the same."""
        async with transaction(self._engine) as session, session.begin():
            found = await reversals.lock(session, reversal_id)
            if found is None:
                return
            row, deposit = found
            state = row.state
            if state == OPEN and row.decision != RELEASE:
                if not await self._hold(row, deposit):
                    await reversals.put_off(session, row, AGAIN)
                    about = f"deposit/{deposit.deposit_id}"
                    owed = {"amount": text(row.amount), "asset": deposit.asset}
                    alert = Alert(AlertKind.FUNDS_OWED, about, "what was given back is owed", deposit.user_id, owed)
                    await alerts.put(session, alert)
                    return
                passing("reversal-held")
                state = HELD
            if row.decision and state in {OPEN, HELD}:
                state = await self._resolve(row)
                passing("reversal-resolved")
            if state != row.state:
                # Of what was never held nobody hears that it is free again.
                if (row.state, state) != (OPEN, RELEASED):
                    await self._letters.of_reversal(session, row, deposit, LETTERS[state])
                await reversals.finish(session, row, state)

    async def _hold(self, row: ReversalRow, deposit: DepositRow) -> bool:
        """False: it is not there."""
        credit = outside(deposit.account_id)
        try:
            await self._movements.pay(
                row.transfer_id, deposit.account_id, credit, deposit.asset, row.amount, EntryKind.DEPOSIT, pending=True
            )
        except PartUnavailable:
            raise
        except VenueError as error:
            log.error("a reversal is owed", reversal_id=row.reversal_id, reason=error.reason)
            return False
        return True

    async def _resolve(self, row: ReversalRow) -> str:
        """The state that it ends in."""
        if row.decision != RELEASE:
            await self._movements.post(row.transfer_id)
            return TAKEN
        try:
            await self._movements.void(row.transfer_id)
        except TransferNotFound:
            assert row.state == OPEN, "what is held can be found"
        return RELEASED
