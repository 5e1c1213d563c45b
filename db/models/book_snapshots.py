"""What books were."""

from sqlalchemy.orm import Mapped

from db.models.row import Big, CountKey, Octets, PartitionKey, Row, TextKey, TimeKey


class BookSnapshotRow(Row):
    """The best `depth` levels of a market's book at a time, as serialized for the wire."""

    __tablename__ = "book_snapshots"

    partition: Mapped[PartitionKey]
    symbol: Mapped[TextKey]
    depth: Mapped[CountKey]
    time: Mapped[TimeKey]
    sequence: Mapped[Big]
    book: Mapped[Octets]
