"""The audit log. Rows are appended by `db.audit` alone; the database gives them sequence, time and hash."""

from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import BigKey, Octets, Row, Time


class AuditEntryRow(Row):
    """One thing that somebody did or tried; see `db.audit.Entry`."""

    __tablename__ = "audit_entries"

    sequence: Mapped[BigKey]
    time: Mapped[Time]
    actor_kind: Mapped[str]
    actor: Mapped[str]
    credential: Mapped[str]
    address: Mapped[str]
    request_id: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    outcome: Mapped[str]
    hash: Mapped[Octets]
