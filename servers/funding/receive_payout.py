"""What Stripe tells of payouts: how they ended, in whatever order that comes."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from db import alerts, withdrawals
from db.models.withdrawals import WithdrawalRow
from servers.domain.alerts import Alert, AlertKind
from servers.funding.payouts import NOT_PAID
from servers.funding.settle_withdrawal import note
from servers.funding.stripe_payments import from_minor_units
from servers.funding.stripe_payouts import payout_of

PAYOUTS: Final = "treasury.outbound_payment."
STRIPE: Final = "STRIPE"

log = structlog.get_logger()


async def find_payout(session: AsyncSession, withdrawal_id: str) -> WithdrawalRow | None:
    """The locked withdrawal of a payout at Stripe; None where there is none of ours."""
    row = await withdrawals.lock(session, withdrawal_id) if withdrawal_id else None
    return row if row is not None and row.provider == STRIPE else None


async def take_payout(session: AsyncSession, row: WithdrawalRow, about: Mapping[str, Any]) -> None:
    """Put down how a payout stands. Raises KeyError, ValueError where the event lacks it."""
    payout = payout_of(about)
    told = (str(about["currency"]).upper(), from_minor_units(int(about["amount"])))
    if told != (row.asset, row.amount) or (row.payout_id and row.payout_id != payout.payout_id):
        log.error("an event of another payout", withdrawal_id=row.withdrawal_id, payout_id=payout.payout_id)
    elif row.state == withdrawals.SUCCEEDED and payout.state == NOT_PAID:
        # The bank sent it back after it was posted: for people, who give it back by an adjustment.
        log.error("a payout came back", withdrawal_id=row.withdrawal_id, why=payout.why)
        subject, details = f"withdrawal/{row.withdrawal_id}", {"why": payout.why, "payout_id": payout.payout_id}
        what = "a payout that was posted came back"
        await alerts.put(session, Alert(AlertKind.PAYOUT_RETURNED, subject, what, row.user_id, details))
    else:
        await note(session, row, payout)
