"""What monitoring looks at when a deposit is credited.

Money that came is credited all the same; people look at it, and until they have, withdrawals of its user wait for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from db import alerts, deposits, reversals
from db.models.deposits import DepositRow
from servers.domain.alerts import Alert, AlertKind
from servers.domain.money import ATTO
from servers.funding.messages import text

# Deposits of a day that lie so near below what is large, in percent of it, and how many of them are odd.
NEAR_PERCENT: Final = 80
NEAR_COUNT: Final = 3
# So many deposits of a day are odd however small they are.
MANY: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """From how much on a move is large, in units of 1e-18 US dollars; `rates` say what a unit of an asset counts as."""

    large: int
    rates: Mapping[str, int]

    def value(self, asset: str, amount: int) -> int:
        """In units of 1e-18 US dollars; 0 for an asset that has no rate."""
        return amount * self.rates.get(asset, 0) // ATTO

    async def look(self, session: AsyncSession, row: DepositRow) -> None:
        """Raise alerts about a deposit that is being credited, in the transaction that calls it so."""
        value = self.value(row.asset, row.amount)
        if value >= self.large:
            await alerts.put(session, large_move(f"deposit/{row.deposit_id}", row.user_id, row.asset, row.amount))
        findings = []
        day = [self.value(asset, amount) for asset, amount in await deposits.of_a_day(session, row.user_id)]
        if sum(NEAR_PERCENT * self.large <= each * 100 < 100 * self.large for each in day) >= NEAR_COUNT:
            findings.append("several just below what is large within a day")
        if len(day) >= MANY:
            findings.append(f"{MANY} or more within a day")
        if await reversals.disputed(session, row.user_id):
            findings.append("an earlier deposit was disputed")
        if findings:
            details = {"findings": findings, "amount": text(row.amount), "asset": row.asset, "provider": row.provider}
            about = f"deposit/{row.deposit_id}"
            alert = Alert(AlertKind.DEPOSIT_FLAGGED, about, "a deposit looks odd", row.user_id, details)
            await alerts.put(session, alert)


def large_move(subject: str, user_id: str, asset: str, amount: int) -> Alert:
    details = {"amount": text(amount), "asset": asset}
    return Alert(AlertKind.LARGE_MOVE, subject, f"{text(amount)} {asset} at once", user_id, details)
