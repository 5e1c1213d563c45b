"""Letters that are to leave, and what users want to be told by mail."""

from sqlalchemy.orm import Mapped

from db.models.row import Count, Octets, Row, TextKey, Time


class OutgoingRow(Row):
    """A letter that nobody else is answerable for yet, or that was given up. `content` is an envelope (db/sealing.py)."""

    __tablename__ = "outgoing"

    message_id: Mapped[TextKey]
    user_id: Mapped[str]
    template: Mapped[str]
    content: Mapped[Octets]
    state: Mapped[str]
    attempts: Mapped[Count]
    next_time: Mapped[Time]
    last_error: Mapped[str]
    create_time: Mapped[Time]


class NotificationPreferenceRow(Row):
    """Whether a user wants mails of a category; of one without a row he does."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[TextKey]
    category: Mapped[TextKey]
    mail: Mapped[bool]
