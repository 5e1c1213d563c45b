"""Messages to endpoints of webhooks, as their users see them and have them delivered again.

Each function is one transaction; all raise PartUnavailable where the database is away. What delivers is db/webhook_work.py.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from db.models.webhooks import WebhookDeliveryRow, WebhookReplayRow
from db.transactions import NOW, transaction

PENDING: Final = "PENDING"
SUCCEEDED: Final = "SUCCEEDED"
DEAD: Final = "DEAD"


async def list_deliveries(
    engine: AsyncEngine, endpoint_id: str, *, state: str, before: tuple[datetime, str] | None, limit: int
) -> Sequence[WebhookDeliveryRow]:
    """An endpoint's messages, newest first; the next page begins `before` (create_time, id) of the last one."""
    place = (WebhookDeliveryRow.create_time, WebhookDeliveryRow.message_id)
    query = select(WebhookDeliveryRow).where(WebhookDeliveryRow.endpoint_id == endpoint_id)
    if state:
        query = query.where(WebhookDeliveryRow.state == state)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query.order_by(*(column.desc() for column in place)).limit(limit))).all()


async def redeliver_message(engine: AsyncEngine, endpoint_id: str, message_id: str) -> bool:
    """Have a message attempted as if it were new. False where there is none."""
    if "\0" in message_id:
        return False
    of_it = (WebhookDeliveryRow.endpoint_id == endpoint_id, WebhookDeliveryRow.message_id == message_id)
    anew = update(WebhookDeliveryRow).where(*of_it).values(state=PENDING, attempts=0, next_time=NOW, since=NOW)
    async with transaction(engine) as session, session.begin():
        return await session.scalar(anew.returning(WebhookDeliveryRow.message_id)) is not None


async def redeliver_after(
    engine: AsyncEngine, endpoint_id: str, partition: int, account_id: str, after_sequence: int
) -> None:
    """Have the events of an account after a sequence made into messages again; what was asked before and is not done yet is
    asked anew.
    """
    values = {"endpoint_id": endpoint_id, "account_id": account_id, "partition": partition}
    put = insert(WebhookReplayRow).values(**values, after_sequence=after_sequence)
    put = put.on_conflict_do_update(
        index_elements=["endpoint_id", "account_id"], set_={"after_sequence": after_sequence}
    )
    async with transaction(engine) as session, session.begin():
        await session.execute(put)


async def add_test(engine: AsyncEngine, endpoint_id: str, message_id: str, body: str) -> None:
    """Store a message of no event."""
    values = {"endpoint_id": endpoint_id, "message_id": message_id, "event_type": "test", "body": body}
    async with transaction(engine) as session, session.begin():
        await session.execute(insert(WebhookDeliveryRow).values(**values, account_id="", sequence=0, part=0))
