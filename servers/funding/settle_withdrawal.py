"""A withdrawal goes on, step by step, until it has ended: held, waited for, paid out, posted or released.

Each step is one transaction on the locked row, so of several processes one is at it; what it asks of the engine or a company has
an id that was fixed before, so a step that a crash cut off is done again and changes nothing more.
"""

from collections.abc import Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import reversals, withdrawals
from db.crash_points import passing
from db.models.withdrawals import BeneficiaryRow, WithdrawalRow
from db.sealing import Sealer
from db.transactions import transaction
from db.withdrawals import ACCEPTED, CANCELLED, FAILED, PREPARED, PROCESSING, REJECTED, SUCCEEDED, UNDONE
from servers.domain.errors import PartUnavailable, TransferNotFound, VenueError
from servers.domain.letters import Template
from servers.domain.terms import EntryKind
from servers.funding.beneficiaries import opened
from servers.funding.credit_deposit import Tell
from servers.funding.errors import WithdrawalNotCancellable, WithdrawalNotFound
from servers.funding.messages import text
from servers.funding.movements import Movements, outside
from servers.funding.payouts import NOT_PAID, PAID, PayoutProvider
from servers.funding.screening import REFUSED

LETTERS: Mapping[str, Template] = {
    SUCCEEDED: Template.WITHDRAWAL_SENT,
    REJECTED: Template.WITHDRAWAL_REFUSED,
    FAILED: Template.WITHDRAWAL_REFUSED,
    CANCELLED: Template.WITHDRAWAL_CANCELLED,
}

log = structlog.get_logger()


class Settling:
    """Goes on with withdrawals. `providers` are those that are set up, by name."""

    def __init__(
        self,
        engine: AsyncEngine,
        movements: Movements,
        providers: Mapping[str, PayoutProvider],
        sealer: Sealer,
        tell: Tell,
    ) -> None:
        self._engine = engine
        self._movements = movements
        self._providers = providers
        self._sealer = sealer
        self._tell = tell

    async def go_on(self, withdrawal_id: str) -> None:
        """As far as it goes now. Raises PartUnavailable: the step is done again."""
        while await self._step(withdrawal_id):
            pass

    async def cancel(self, withdrawal_id: str, user_id: str) -> WithdrawalRow:
        """Raises WithdrawalNotFound, WithdrawalNotCancellable."""
        async with transaction(self._engine) as session, session.begin():
            row = await withdrawals.lock(session, withdrawal_id)
            if row is None or row.user_id != user_id:
                raise WithdrawalNotFound(withdrawal_id)
            if CANCELLED not in {row.state, row.outcome}:
                if row.state not in {PREPARED, ACCEPTED} or row.outcome:
                    raise WithdrawalNotCancellable(withdrawal_id, row.outcome or row.state)
                await withdrawals.change(session, row, outcome=CANCELLED)
        try:
            await self.go_on(withdrawal_id)
        except PartUnavailable as error:
            log.warning("released later", withdrawal_id=withdrawal_id, cause=str(error))
        found = await withdrawals.find(self._engine, withdrawal_id)
        assert found is not None, "nothing is ever deleted"
        return found

    async def _step(self, withdrawal_id: str) -> bool:
        """Do one step. Returns whether there may be another."""
        async with transaction(self._engine) as session, session.begin():
            row = await withdrawals.lock(session, withdrawal_id, skip=True)
            if row is None or row.state not in UNDONE:
                return False
            if row.state == PREPARED:
                await self._hold(session, row)
            elif row.outcome:
                await self._end(session, row)
            elif row.state == ACCEPTED:
                if not await self._may_go_out(session, row):
                    return False
                await withdrawals.change(session, row, state=PROCESSING)
            elif not await self._pay(session, row):
                return False
            ended = row.state not in UNDONE
            paid_to = await session.get(BeneficiaryRow, row.beneficiary_id) if ended else None
            destination = f"the account that ends in {paid_to.number_end}" if paid_to is not None else ""
        passing(f"withdrawal-{row.state.lower()}")
        if ended:
            values = {
                "amount": text(row.amount),
                "asset": row.asset,
                "account_id": row.account_id,
                "destination": destination,
                "reason": row.failure,
                "reference": row.withdrawal_id,
            }
            await self._tell(row.user_id, LETTERS[row.state], values)
        return not ended

    async def _hold(self, session: AsyncSession, row: WithdrawalRow) -> None:
        """Hold the amount, also where it is cancelled by now: a hold that was on its way must not come later."""
        credit = outside(row.account_id)
        kind = EntryKind.WITHDRAWAL
        try:
            await self._movements.pay(
                row.transfer_id, row.account_id, credit, row.asset, row.amount, kind, pending=True
            )
        except PartUnavailable:
            raise
        except VenueError as error:
            state = row.outcome or REJECTED
            await withdrawals.change(session, row, state=state, outcome=state, failure=error.reason)
            return
        passing("withdrawal-held")
        if not row.outcome and row.risk_score >= REFUSED:
            await withdrawals.change(session, row, state=ACCEPTED, outcome=REJECTED, failure="RISK")
        else:
            await withdrawals.change(session, row, state=ACCEPTED)

    @staticmethod
    async def _may_go_out(session: AsyncSession, row: WithdrawalRow) -> bool:
        """Not before people have approved what they have to; never to a frozen user, nor while he owes something."""
        if row.needs_approval and not row.approved:
            return False
        return await withdrawals.is_active(session, row.user_id) and not await reversals.owes(session, row.user_id)

    async def _pay(self, session: AsyncSession, row: WithdrawalRow) -> bool:
        """Hand it to the company, or ask what has become of it. Returns whether that is known."""
        provider = self._providers.get(row.provider)
        found = await withdrawals.find_beneficiary(self._engine, row.beneficiary_id)
        if provider is None or found is None:
            raise PartUnavailable("the payout company")
        payout = await provider.pay(row, opened(self._sealer, found[0]))
        passing("payout-made")
        if payout.state == PAID:
            await withdrawals.change(session, row, outcome=SUCCEEDED, payout_id=payout.payout_id)
        elif payout.state == NOT_PAID:
            await withdrawals.change(session, row, outcome=FAILED, failure=payout.why)
        elif payout.payout_id != row.payout_id:
            await withdrawals.change(session, row, payout_id=payout.payout_id)
        return bool(row.outcome)

    async def _end(self, session: AsyncSession, row: WithdrawalRow) -> None:
        if row.outcome == SUCCEEDED:
            await self._movements.post(row.transfer_id)
        else:
            try:
                await self._movements.void(row.transfer_id)
            except TransferNotFound:
                log.error("nothing was held", withdrawal_id=row.withdrawal_id)
                raise PartUnavailable("the ledger") from None
        passing("withdrawal-resolved")
        await withdrawals.change(session, row, state=row.outcome)
