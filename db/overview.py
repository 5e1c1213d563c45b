"""How the venue is, as its tables say: who leads each partition, and how far the readers of its journal are."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from db.models.audit import AuditEntryRow
from db.models.journal import PartitionRow, ProjectionRow
from db.transactions import NOW, transaction


@dataclass(frozen=True, slots=True)
class PartitionOverview:
    """A partition; `led` while the lease of its leader holds by the database's clock; the sequence of each reader by its name."""

    row: PartitionRow
    led: bool
    readers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Overview:
    partitions: list[PartitionOverview]
    audit_sequence: int


async def look(engine: AsyncEngine) -> Overview:
    """Raises PartUnavailable where the database is away."""
    led = func.coalesce(PartitionRow.lease_until > NOW, False)
    async with transaction(engine) as session:
        partitions = (await session.execute(select(PartitionRow, led).order_by(PartitionRow.partition))).all()
        readers = (await session.scalars(select(ProjectionRow).order_by(ProjectionRow.reader))).all()
        last = await session.scalar(select(func.max(AuditEntryRow.sequence)))
    found = [
        PartitionOverview(
            row, held, {each.reader: each.sequence for each in readers if each.partition == row.partition}
        )
        for row, held in partitions
    ]
    return Overview(found, last or 0)
