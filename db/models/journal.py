"""The fence, the journal behind it, and how far its readers are."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Big, BigKey, Count, Digest, Octets, PartitionKey, Row, Small, TextKey, Time


class PartitionRow(Row):
    """A partition and its fence: who may append, until when, after which sequence."""

    __tablename__ = "partitions"

    partition: Mapped[PartitionKey]
    environment: Mapped[Small]
    epoch: Mapped[Big]
    last_sequence: Mapped[Big]
    holder: Mapped[str]
    address: Mapped[str]
    lease_until: Mapped[Time | None]
    rules_version: Mapped[Count]
    halted_reason: Mapped[str | None]


class JournalBatchRow(Row):
    """A committed batch of commands. Never changed; a trigger refuses it."""

    __tablename__ = "journal"

    partition: Mapped[PartitionKey]
    first_sequence: Mapped[BigKey]
    last_sequence: Mapped[Big]
    epoch: Mapped[Big]
    rules_version: Mapped[Count]
    commands: Mapped[Octets]
    answers: Mapped[Octets]
    digest: Mapped[Digest]
    chain: Mapped[Octets]
    create_time: Mapped[Time]


class ProjectionRow(Row):
    """How far a reader of the journal ('tables', 'bus') is."""

    __tablename__ = "projections"

    partition: Mapped[int] = mapped_column(ForeignKey("partitions.partition"), primary_key=True, autoincrement=False)
    reader: Mapped[TextKey]
    sequence: Mapped[Big]
    epoch: Mapped[Big]
    digest: Mapped[Digest]
    chain: Mapped[Octets]


class MachineRow(Row):
    """The machine's scalars as of the projected sequence."""

    __tablename__ = "machine"

    partition: Mapped[int] = mapped_column(ForeignKey("partitions.partition"), primary_key=True, autoincrement=False)
    sequence: Mapped[Big]
    time: Mapped[Time]
    epoch: Mapped[Big]
    rules_version: Mapped[Count]
    trade_number: Mapped[Big]
    digest: Mapped[Digest]
    forgotten_time: Mapped[Time]
    place: Mapped[Big]


class RequestRow(Row):
    """A request_id that was used, for ever."""

    __tablename__ = "requests"

    partition: Mapped[PartitionKey]
    scope: Mapped[TextKey]
    request_id: Mapped[TextKey]
    fingerprint: Mapped[Octets]
    sequence: Mapped[Big]
    time: Mapped[Time]
