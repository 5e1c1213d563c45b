"""Webhooks: who is told, with what secrets, what was told, and how far the record of events was read."""

from sqlalchemy import ARRAY, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Big, Count, Octets, PartitionKey, Row, TextKey, Time


class WebhookEndpointRow(Row):
    """An address that is told what happens to its user's accounts, or to one of them; `event_types` as messages name them."""

    __tablename__ = "webhook_endpoints"

    endpoint_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    account_id: Mapped[str | None]
    url: Mapped[str]
    description: Mapped[str]
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    state: Mapped[str]
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    create_time: Mapped[Time]
    update_time: Mapped[Time]


class WebhookSecretRow(Row):
    """A secret that signs, until it expires. `secret` is an envelope (db/sealing.py)."""

    __tablename__ = "webhook_secrets"

    secret_id: Mapped[TextKey]
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.endpoint_id"))
    secret: Mapped[Octets]
    create_time: Mapped[Time]
    expire_time: Mapped[Time | None]


class WebhookCursorRow(Row):
    """Up to which sequence the messages of a partition are made."""

    __tablename__ = "webhook_cursors"

    partition: Mapped[PartitionKey]
    sequence: Mapped[Big]


class WebhookReplayRow(Row):
    """What of an account is made into messages again: the events after a sequence."""

    __tablename__ = "webhook_replays"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.endpoint_id"), primary_key=True)
    account_id: Mapped[TextKey]
    partition: Mapped[Count]
    after_sequence: Mapped[Big]


class WebhookDeliveryRow(Row):
    """A message to an endpoint. Of one event there may be several, told apart by `part`; a test has sequence 0."""

    __tablename__ = "webhook_deliveries"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.endpoint_id"), primary_key=True)
    message_id: Mapped[TextKey]
    event_type: Mapped[str]
    account_id: Mapped[str]
    sequence: Mapped[Big]
    part: Mapped[Count]
    body: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[Count]
    next_time: Mapped[Time]
    since: Mapped[Time]
    last_time: Mapped[Time | None]
    last_status: Mapped[Count]
    last_error: Mapped[str]
    create_time: Mapped[Time]
