"""A withdrawal goes on, step by step, until it has ended: held, waited for, paid out, posted or released.

A step claims the withdrawal for a while, asks the engine or a company with no transaction open, and puts down what came of it.
What it asks has an id that was fixed before, so a step that a crash cut off is done again once the claim is over, and changes
nothing more; a step that failed waits longer each time.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import reversals, withdrawals
from db.crash_points import passing
from db.models.withdrawals import WithdrawalRow
from db.sealing import Sealer
from db.transactions import transaction
from db.withdrawals import ACCEPTED, CANCELLED, FAILED, PREPARED, PROCESSING, REJECTED, SUCCEEDED, UNDONE
from servers.domain.errors import PartUnavailable, TransferNotFound, VenueError
from servers.domain.letters import Template
from servers.domain.terms import EntryKind
from servers.funding.beneficiaries import opened
from servers.funding.errors import WithdrawalNotCancellable, WithdrawalNotFound
from servers.funding.letters import Letters
from servers.funding.movements import Movements, outside
from servers.funding.payouts import NOT_PAID, PAID, Payout, PayoutProvider
from servers.funding.screening import REFUSED

LETTERS: Mapping[str, Template] = {
    SUCCEEDED: Template.WITHDRAWAL_SENT,
    REJECTED: Template.WITHDRAWAL_REFUSED,
    FAILED: Template.WITHDRAWAL_REFUSED,
    CANCELLED: Template.WITHDRAWAL_CANCELLED,
}
# A company that has not answered by then has not answered; the gateway's patience is a little longer.
PAYOUT_S: Final = 8.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`claim` is longer than any step takes; what failed waits 1, 2, 4 ... `longest_s`, less up to half of it by chance."""

    claim: timedelta = timedelta(seconds=25)
    first_s: float = 1.0
    longest_s: float = 300.0
    waiting: timedelta = timedelta(seconds=5)

    def after(self, attempts: int) -> timedelta:
        longest = min(self.longest_s, self.first_s * 2 ** min(attempts - 1, 16))
        return timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311  # nosec B311  jitter, no secret


class Settling:
    """Goes on with withdrawals. `providers` are those that are set up, by name."""

    def __init__(
        self,
        engine: AsyncEngine,
        movements: Movements,
        providers: Mapping[str, PayoutProvider],
        sealer: Sealer,
        letters: Letters,
        pace: Pace = Pace(),
    ) -> None:
        self._engine = engine
        self._movements = movements
        self._providers = providers
        self._sealer = sealer
        self._letters = letters
        self._pace = pace
        self._going: set[asyncio.Task[None]] = set()

    async def go_on(self, withdrawal_id: str) -> None:
        """As far as it goes now. Raises PartUnavailable: the step is done again, later each time."""
        while (row := await withdrawals.claim(self._engine, withdrawal_id, self._pace.claim)) is not None:
            try:
                if not await self._step(row):
                    return
            except PartUnavailable:
                await withdrawals.put_off(self._engine, row, self._pace.after(row.attempts))
                raise

    async def see_to(self, withdrawal_id: str) -> None:
        """The same for somebody who waits for it, and to the end where he hangs up: what he cut off would wait until its claim is
        over. What is away is left to the sweeper.
        """

        async def go() -> None:
            try:
                await self.go_on(withdrawal_id)
            except PartUnavailable as error:
                log.warning("gone on with later", withdrawal_id=withdrawal_id, cause=str(error))

        going = asyncio.create_task(go())
        self._going.add(going)
        going.add_done_callback(self._going.discard)
        await asyncio.shield(going)

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
        await self.see_to(withdrawal_id)
        found = await withdrawals.find(self._engine, withdrawal_id)
        assert found is not None, "nothing is ever deleted"
        return found

    async def _step(self, row: WithdrawalRow) -> bool:
        """Do one step of a claimed withdrawal. Returns whether there may be another."""
        if row.state == PREPARED:
            return await self._hold(row)
        if row.outcome:
            return await self._end(row)
        if row.state == ACCEPTED:
            return await self._send_off(row)
        return await self._pay(row)

    async def _hold(self, row: WithdrawalRow) -> bool:
        """Hold the amount, also where it is cancelled by now: a hold that was on its way must not come later."""
        refused = ""
        try:
            await self._movements.pay(
                row.transfer_id,
                row.account_id,
                outside(row.account_id),
                row.asset,
                row.amount,
                EntryKind.WITHDRAWAL,
                pending=True,
            )
        except PartUnavailable:
            raise
        except VenueError as error:
            refused = error.reason
        passing("withdrawal-held")
        async with transaction(self._engine) as session, session.begin():
            now = await withdrawals.lock(session, row.withdrawal_id)
            if now is None or now.state != PREPARED:
                return True
            if refused:
                await withdrawals.change(session, now, outcome=now.outcome or REJECTED, failure=refused)
                await self._finish(session, now)
            elif not now.outcome and now.risk_score >= REFUSED:
                await withdrawals.change(session, now, state=ACCEPTED, outcome=REJECTED, failure="RISK")
            else:
                await withdrawals.change(session, now, state=ACCEPTED)
        passing("withdrawal-accepted")
        return not refused

    async def _send_off(self, row: WithdrawalRow) -> bool:
        """Put down that it goes out, before anybody is asked to pay.

        Not before people have approved what they have to; never to a frozen user, nor while he owes something.
        """
        async with transaction(self._engine) as session, session.begin():
            now = await withdrawals.lock(session, row.withdrawal_id)
            if now is None or now.state != ACCEPTED or now.outcome:
                return True
            may = not now.needs_approval or now.approved
            if (
                may
                and await withdrawals.is_active(session, now.user_id)
                and not await reversals.owes(session, now.user_id)
            ):
                await withdrawals.change(session, now, state=PROCESSING)
            else:
                await withdrawals.wait(session, now, self._pace.waiting)
                return False
        passing("withdrawal-processing")
        return True

    async def _pay(self, row: WithdrawalRow) -> bool:
        """Hand it to the company, or ask what has become of it. Raises PartUnavailable."""
        provider = self._providers.get(row.provider)
        found = await withdrawals.find_beneficiary(self._engine, row.beneficiary_id)
        if provider is None or found is None:
            raise PartUnavailable("the payout company")
        try:
            async with asyncio.timeout(PAYOUT_S):
                payout = await provider.pay(row, opened(self._sealer, found[0]))
        except TimeoutError:
            raise PartUnavailable("the payout company") from None
        passing("payout-made")
        async with transaction(self._engine) as session, session.begin():
            now = await withdrawals.lock(session, row.withdrawal_id)
            assert now is not None, "nothing is ever deleted"
            known = await note(session, now, payout)
            if not known:
                await withdrawals.wait(session, now, timedelta(seconds=provider.look_s))
            return known

    async def _end(self, row: WithdrawalRow) -> bool:
        if row.outcome == SUCCEEDED:
            await self._movements.post(row.transfer_id)
        else:
            try:
                await self._movements.void(row.transfer_id)
            except TransferNotFound:
                log.error("nothing was held", withdrawal_id=row.withdrawal_id)
                raise PartUnavailable("the ledger") from None
        passing("withdrawal-resolved")
        async with transaction(self._engine) as session, session.begin():
            now = await withdrawals.lock(session, row.withdrawal_id)
            if now is not None and now.state in UNDONE:
                await self._finish(session, now)
        passing("withdrawal-ended")
        return False

    async def _finish(self, session: AsyncSession, row: WithdrawalRow) -> None:
        """It has ended as it was to end: its user is told in the same transaction."""
        await withdrawals.change(session, row, state=row.outcome)
        await self._letters.of_withdrawal(session, row, LETTERS[row.state])


async def note(session: AsyncSession, row: WithdrawalRow, payout: Payout) -> bool:
    """Put down what has become of a locked withdrawal's payout, whoever said it. False: that is not known yet."""
    if row.state != PROCESSING or row.outcome:
        return True
    if payout.state == PAID:
        await withdrawals.change(session, row, outcome=SUCCEEDED, payout_id=payout.payout_id or row.payout_id)
    elif payout.state == NOT_PAID:
        await withdrawals.change(session, row, outcome=FAILED, failure=payout.why)
    elif payout.payout_id and payout.payout_id != row.payout_id:
        await withdrawals.change(session, row, payout_id=payout.payout_id)
    return bool(row.outcome)
