"""What people of the venue have to look at."""

from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Count, Row, TextKey, Time


class AlertRow(Row):
    """An alert. `raised` counts how often it was while it was not closed; `note` is what was said when it was."""

    __tablename__ = "alerts"

    alert_id: Mapped[TextKey]
    kind: Mapped[str]
    severity: Mapped[str]
    subject: Mapped[str]
    user_id: Mapped[str]
    message: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]
    raised: Mapped[Count]
    acknowledger: Mapped[str | None]
    closer: Mapped[str | None]
    note: Mapped[str]
    create_time: Mapped[Time]
    update_time: Mapped[Time]
