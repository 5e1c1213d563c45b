"""Who somebody is, as submitted and as looked at. What a submission says is sealed.

All raise PartUnavailable where the database is away.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.kyc import KycSubmissionRow
from db.session import Pool
from db.transactions import NOW, transaction

PENDING: Final = "PENDING"
APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSubmission:
    """What is submitted; `details` is sealed."""

    kyc_submission_id: str
    user_id: str
    level: int
    details: bytes
    risk_score: int
    findings: list[str]
    request_id: str
    fingerprint: bytes


async def level_within(session: AsyncSession, user_id: str) -> int:
    """The level a user has: the highest that was approved."""
    mine = (KycSubmissionRow.user_id == user_id) & (KycSubmissionRow.state == APPROVED)
    return int(await session.scalar(select(func.coalesce(func.max(KycSubmissionRow.level), 0)).where(mine)) or 0)


async def level_of(engine: AsyncEngine, user_id: str) -> int:
    async with transaction(engine) as session:
        return await level_within(session, user_id)


async def level_at(pool: Pool, user_id: str) -> int:
    """The same over a pool of plain connections: what stands before every call that demands a level."""
    query = "SELECT coalesce(max(level), 0) FROM kyc_submissions WHERE user_id = %s AND state = 'APPROVED'"
    async with pool.connection() as connection:
        row = await (await connection.execute(query, [user_id])).fetchone()
        return int(row[0]) if row else 0


async def find_request(engine: AsyncEngine, user_id: str, request_id: str) -> KycSubmissionRow | None:
    """What a user submitted under a request_id."""
    same = (KycSubmissionRow.user_id == user_id) & (KycSubmissionRow.request_id == request_id)
    async with transaction(engine) as session:
        return await session.scalar(select(KycSubmissionRow).where(same, KycSubmissionRow.request_id != ""))


async def add(session: AsyncSession, new: NewSubmission) -> KycSubmissionRow | None:
    """Submit. None: another of the user's waits, or this request was made before."""
    put = insert(KycSubmissionRow).values(**asdict(new)).on_conflict_do_nothing().returning(KycSubmissionRow)
    return await session.scalar(put)


async def latest(engine: AsyncEngine, user_id: str) -> KycSubmissionRow | None:
    """The last one of a user."""
    mine = select(KycSubmissionRow).where(KycSubmissionRow.user_id == user_id)
    async with transaction(engine) as session:
        return await session.scalar(mine.order_by(KycSubmissionRow.create_time.desc()).limit(1))


async def approved(engine: AsyncEngine, user_id: str) -> KycSubmissionRow | None:
    """The last one of a user that was approved."""
    mine = select(KycSubmissionRow).where(KycSubmissionRow.user_id == user_id, KycSubmissionRow.state == APPROVED)
    async with transaction(engine) as session:
        return await session.scalar(mine.order_by(KycSubmissionRow.decide_time.desc()).limit(1))


async def find(engine: AsyncEngine, kyc_submission_id: str) -> KycSubmissionRow | None:
    async with transaction(engine) as session:
        return await session.get(KycSubmissionRow, kyc_submission_id)


async def lock(session: AsyncSession, kyc_submission_id: str) -> KycSubmissionRow | None:
    return await session.get(KycSubmissionRow, kyc_submission_id, with_for_update=True, populate_existing=True)


async def decide(session: AsyncSession, row: KycSubmissionRow, state: str, decider: str, reason: str) -> None:
    """Decide on a locked submission."""
    values: dict[str, Any] = {"state": state, "decider": decider, "decide_time": NOW, "decision_reason": reason}
    mine = update(KycSubmissionRow).where(KycSubmissionRow.kyc_submission_id == row.kyc_submission_id)
    await session.execute(mine.values(**values))
    await session.refresh(row)


async def queue(
    engine: AsyncEngine, *, state: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[KycSubmissionRow]:
    """Submissions, those that wait longest first; the next page begins `after` (create_time, id) of the last one."""
    place = (KycSubmissionRow.create_time, KycSubmissionRow.kyc_submission_id)
    query = select(KycSubmissionRow).order_by(*place).limit(limit)
    if state:
        query = query.where(KycSubmissionRow.state == state)
    if after is not None:
        query = query.where(tuple_(*place) > after)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()
