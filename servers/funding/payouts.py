"""How money goes out: companies that pay it, behind one interface."""

import secrets
from dataclasses import dataclass, field
from typing import Final, Protocol

from db.models.withdrawals import WithdrawalRow
from servers.domain.errors import PartUnavailable

SENT: Final = "SENT"
PAID: Final = "PAID"
NOT_PAID: Final = "NOT_PAID"


@dataclass(frozen=True, slots=True)
class Payout:
    """What has become of a payout: SENT, PAID or NOT_PAID, what the company calls it, and why it was not paid."""

    state: str
    payout_id: str = ""
    why: str = ""


class PayoutProvider(Protocol):
    """A way that money goes out."""

    @property
    def look_s(self) -> float:
        """How long after it was handed over it is asked what has become of a payout."""

    def refuses(self, asset: str, country: str) -> str:
        """Why nothing of an asset is paid into a country; empty where it is."""

    async def pay(self, withdrawal: WithdrawalRow, target: bytes) -> Payout:
        """Pay, once: asked again for the same withdrawal it says what has become of it. `target` is the beneficiary's details as
        JSON. Raises PartUnavailable: ask again.
        """


class BankPayouts:
    """People of the venue pay, and two of them say so (DecideWithdrawal)."""

    # They are not asked; what they say is heard at once.
    look_s: Final = 3600.0

    def refuses(self, asset: str, country: str) -> str:
        del asset, country
        return ""

    async def pay(self, withdrawal: WithdrawalRow, target: bytes) -> Payout:
        del target
        return Payout(SENT, f"bank-{withdrawal.withdrawal_id}")


@dataclass(slots=True)
class SandboxPayouts:
    """A company that pays at the second look. `away` and `closed` make it behave otherwise."""

    away: bool = False
    closed: bool = False
    # What it was asked for, by withdrawal: asked again it pays no second time.
    paid: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    look_s: float = 1.0

    def refuses(self, asset: str, country: str) -> str:
        del asset, country
        return ""

    async def pay(self, withdrawal: WithdrawalRow, target: bytes) -> Payout:
        del target
        self.calls += 1
        if self.away:
            raise PartUnavailable("the payout company")
        if self.closed:
            return Payout(NOT_PAID, why="ACCOUNT_CLOSED")
        known = self.paid.get(withdrawal.withdrawal_id)
        if known is not None or withdrawal.payout_id:
            return Payout(PAID, known or withdrawal.payout_id)
        self.paid[withdrawal.withdrawal_id] = f"po-{secrets.token_hex(8)}"
        return Payout(SENT, self.paid[withdrawal.withdrawal_id])
