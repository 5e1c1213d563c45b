"""What people of the venue have to look at: a name for each kind of alert, and how grave it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class AlertKind(StrEnum):
    """What has happened."""

    # Monitoring thinks a deposit odd; withdrawals of its user wait for people while it is open.
    DEPOSIT_FLAGGED = "DEPOSIT_FLAGGED"
    # Monitoring thinks a withdrawal odd, or refuses it.
    WITHDRAWAL_FLAGGED = "WITHDRAWAL_FLAGGED"
    # So much came in or goes out at once.
    LARGE_MOVE = "LARGE_MOVE"
    # Money came that the ledger does not take.
    DEPOSIT_NOT_CREDITED = "DEPOSIT_NOT_CREDITED"
    # Another amount or currency was paid than was asked for.
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    # What was given back of a deposit is not there any more.
    FUNDS_OWED = "FUNDS_OWED"
    # A bank sent a payout back that was posted.
    PAYOUT_RETURNED = "PAYOUT_RETURNED"
    # Screening found somebody who says who he is.
    SCREENING_HIT = "SCREENING_HIT"
    # The proof of the ledger differs.
    LEDGER_DIFFERS = "LEDGER_DIFFERS"
    # What was taken from an account for a payer did not reach him.
    REFUND_FAILED = "REFUND_FAILED"


class Severity(StrEnum):
    """How grave it is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


SEVERITIES: Final[Mapping[AlertKind, Severity]] = {
    AlertKind.DEPOSIT_FLAGGED: Severity.WARNING,
    AlertKind.WITHDRAWAL_FLAGGED: Severity.WARNING,
    AlertKind.LARGE_MOVE: Severity.INFO,
    AlertKind.DEPOSIT_NOT_CREDITED: Severity.CRITICAL,
    AlertKind.AMOUNT_MISMATCH: Severity.WARNING,
    AlertKind.FUNDS_OWED: Severity.WARNING,
    AlertKind.PAYOUT_RETURNED: Severity.CRITICAL,
    AlertKind.SCREENING_HIT: Severity.WARNING,
    AlertKind.LEDGER_DIFFERS: Severity.CRITICAL,
    AlertKind.REFUND_FAILED: Severity.CRITICAL,
}


@dataclass(slots=True)
class Alert:
    """Something that people have to look at. `subject` says what it is about, as `deposit/ID`; `user_id` whose it is."""

    kind: AlertKind
    subject: str
    message: str
    user_id: str = ""
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self.kind]
