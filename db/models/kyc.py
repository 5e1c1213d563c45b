"""Who somebody is."""

from sqlalchemy import ARRAY, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Octets, Row, Small, TextKey, Time


class KycSubmissionRow(Row):
    """What somebody submitted about himself: `details` is sealed; `risk_score` and `findings` are what screening found."""

    __tablename__ = "kyc_submissions"

    kyc_submission_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    level: Mapped[Small]
    details: Mapped[Octets]
    risk_score: Mapped[Small]
    findings: Mapped[list[str]] = mapped_column(ARRAY(Text))
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    state: Mapped[str]
    create_time: Mapped[Time]
    decider: Mapped[str | None] = mapped_column(ForeignKey("users.user_id"))
    decide_time: Mapped[Time | None]
    decision_reason: Mapped[str]
