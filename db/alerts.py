"""Alerts in PostgreSQL: raised in the transaction of what they tell of, once for each subject while one of its kind is open."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.alerts import AlertRow
from db.transactions import NOW, transaction
from servers.domain.alerts import Alert, AlertKind

OPEN: Final = "OPEN"
ACKNOWLEDGED: Final = "ACKNOWLEDGED"
CLOSED: Final = "CLOSED"

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSearch:
    """What to look for; empty fields do not narrow it."""

    state: str = ""
    kind: str = ""
    severity: str = ""
    subject: str = ""
    user_id: str = ""


async def put(session: AsyncSession, alert: Alert) -> None:
    """Raise one in the caller's transaction; of one that is not closed yet it counts that it was raised again."""
    values = {
        "alert_id": f"alr-{uuid.uuid4()}",
        "kind": alert.kind.value,
        "severity": alert.severity.value,
        "subject": alert.subject,
        "user_id": alert.user_id,
        "message": alert.message,
        "details": dict(alert.details),
    }
    given = insert(AlertRow).values(**values)
    again = {"raised": AlertRow.raised + 1, "message": given.excluded.message, "details": given.excluded.details}
    await session.execute(
        given.on_conflict_do_update(
            index_elements=["kind", "subject"], index_where=AlertRow.state != CLOSED, set_={**again, "update_time": NOW}
        )
    )


async def put_alone(engine: AsyncEngine, alert: Alert) -> None:
    """The same in a transaction of its own. Raises PartUnavailable."""
    async with transaction(engine) as session, session.begin():
        await put(session, alert)


async def search(engine: AsyncEngine, wanted: AlertSearch, *, before: Place | None, limit: int) -> Sequence[AlertRow]:
    """The last raised first; the next page begins `before` (create_time, id) of the last one."""
    place = (AlertRow.create_time, AlertRow.alert_id)
    query = select(AlertRow).order_by(*(column.desc() for column in place)).limit(limit)
    for name, value in asdict(wanted).items():
        if value:
            query = query.where(getattr(AlertRow, name) == value)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def lock(session: AsyncSession, alert_id: str) -> AlertRow | None:
    """An alert that nobody else changes until the transaction ends."""
    return await session.get(AlertRow, alert_id, with_for_update=True, populate_existing=True)


async def change(session: AsyncSession, row: AlertRow, **values: Any) -> None:  # noqa: ANN401  columns
    """Change a locked alert."""
    mine = update(AlertRow).where(AlertRow.alert_id == row.alert_id)
    await session.execute(mine.values(update_time=NOW, **values))
    await session.refresh(row)


async def is_open(session: AsyncSession, user_id: str, kind: AlertKind) -> bool:
    """Whether an alert of a kind about something of a user's is not closed yet."""
    mine = (AlertRow.user_id == user_id) & (AlertRow.kind == kind.value) & (AlertRow.state != CLOSED)
    return await session.scalar(select(AlertRow.alert_id).where(mine).limit(1)) is not None
