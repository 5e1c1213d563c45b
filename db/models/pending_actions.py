"""Deeds that two people must want."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Octets, Row, TextKey, Time


class PendingActionRow(Row):
    """Something that was proposed. `payload` is what its kind needs, `subject` the user whom it is about or who profits."""

    __tablename__ = "pending_actions"

    pending_action_id: Mapped[TextKey]
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    subject: Mapped[str]
    proposer: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    reason: Mapped[str]
    state: Mapped[str]
    create_time: Mapped[Time]
    expire_time: Mapped[Time]
    decider: Mapped[str | None] = mapped_column(ForeignKey("users.user_id"))
    decide_time: Mapped[Time | None]
    decision_reason: Mapped[str]
    finish_time: Mapped[Time | None]
    failure: Mapped[str]
