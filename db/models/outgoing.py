"""Letters that are to leave, and what users want to be told by mail."""

from sqlalchemy.orm import Mapped

from db.models.row import Count, Octets, Row, TextKey, Time


class OutgoingRow(Row):
    """A letter that nobody else is answerable for yet, or that was given up. `content` is an envelope (db/sealing.py); of
    `unheard` of the `attempts` nobody knows whether it went out.
    """

    __tablename__ = "outgoing"

    message_id: Mapped[TextKey]
    user_id: Mapped[str]
    channel: Mapped[str]
    template: Mapped[str]
    content: Mapped[Octets]
    state: Mapped[str]
    attempts: Mapped[Count]
    unheard: Mapped[Count]
    next_time: Mapped[Time]
    last_error: Mapped[str]
    create_time: Mapped[Time]


class PhoneNumberRow(Row):
    """Where a user gets text messages. `number` is an envelope; `code_mark` what the code that was sent is known by."""

    __tablename__ = "phone_numbers"

    user_id: Mapped[TextKey]
    number: Mapped[Octets | None]
    number_end: Mapped[str]
    confirmed: Mapped[bool]
    code_mark: Mapped[Octets | None]
    code_until: Mapped[Time | None]
    tries: Mapped[Count]
    sent: Mapped[Count]
    sent_since: Mapped[Time]


class NotificationPreferenceRow(Row):
    """Whether a user wants mails and text messages of a category; of one without a row he wants mails alone."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[TextKey]
    category: Mapped[TextKey]
    mail: Mapped[bool]
    sms: Mapped[bool]
