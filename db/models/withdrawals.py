"""Money that goes out. Amounts count units of 1e-18."""

from sqlalchemy import ARRAY, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Octets, Row, Small, TextKey, Time, Units


class BeneficiaryRow(Row):
    """Where a user withdraws to: `details` is sealed, `number_end` is shown."""

    __tablename__ = "beneficiaries"

    beneficiary_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    label: Mapped[str]
    number_end: Mapped[str]
    details: Mapped[Octets]
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    create_time: Mapped[Time]
    active_time: Mapped[Time]
    remove_time: Mapped[Time | None]


class WithdrawalRow(Row):
    """A withdrawal. `outcome` is the state that it is to end in, once that is decided and until the ledger has it.

    From `next_time` on somebody may claim it for its next step; `attempts` counts those of this step that failed.
    """

    __tablename__ = "withdrawals"

    withdrawal_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    account_id: Mapped[str]
    asset: Mapped[str]
    amount: Mapped[Units]
    value: Mapped[Units]
    beneficiary_id: Mapped[str] = mapped_column(ForeignKey("beneficiaries.beneficiary_id"))
    provider: Mapped[str]
    state: Mapped[str]
    outcome: Mapped[str]
    failure: Mapped[str]
    risk_score: Mapped[Small]
    findings: Mapped[list[str]] = mapped_column(ARRAY(Text))
    needs_approval: Mapped[bool]
    approved: Mapped[bool]
    payout_id: Mapped[str]
    transfer_id: Mapped[str]
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    create_time: Mapped[Time]
    update_time: Mapped[Time]
    next_time: Mapped[Time]
    attempts: Mapped[int]
