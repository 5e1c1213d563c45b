"""Pending actions: proposed by one person, decided by another, executed once.

A row that was approved is executed in the transaction that says so, behind a lock on the row: of an approval and a sweep at once
one executes, and after a crash the row is still APPROVED and executed again, with the same ids. All functions but the lists
are part of a caller's transaction (db.transactions.transaction, which raises PartUnavailable).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.pending_actions import PendingActionRow
from db.transactions import NOW, transaction

PROPOSED: Final = "PROPOSED"
APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"
EXPIRED: Final = "EXPIRED"
EXECUTED: Final = "EXECUTED"
FAILED: Final = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be stored. `fingerprint` tells one body from another under the same request_id."""

    pending_action_id: str
    kind: str
    payload: Mapping[str, Any]
    subject: str
    proposer: str
    request_id: str
    fingerprint: bytes
    reason: str


async def propose(session: AsyncSession, proposal: Proposal, life: timedelta) -> tuple[PendingActionRow, bool]:
    """Store a proposal; that of the same person's request_id stays. Returns the row, and whether it is new."""
    put = (
        insert(PendingActionRow)
        .values(**asdict(proposal), expire_time=NOW + life)
        .on_conflict_do_nothing(
            index_elements=["proposer", "request_id"], index_where=PendingActionRow.request_id != ""
        )
        .returning(PendingActionRow)
    )
    row = (await session.scalars(put)).one_or_none()
    if row is not None:
        return row, True
    same = (PendingActionRow.proposer == proposal.proposer) & (PendingActionRow.request_id == proposal.request_id)
    return (await session.scalars(select(PendingActionRow).where(same))).one(), False


async def lock(session: AsyncSession, pending_action_id: str) -> PendingActionRow | None:
    """An action that nobody else changes until the transaction ends; None where there is none."""
    return await session.get(PendingActionRow, pending_action_id, with_for_update=True, populate_existing=True)


async def lock_approved(session: AsyncSession, pending_action_id: str) -> PendingActionRow | None:
    """An action that is to be executed; None where it is not, or somebody is at it."""
    query = select(PendingActionRow).where(
        PendingActionRow.pending_action_id == pending_action_id, PendingActionRow.state == APPROVED
    )
    return await session.scalar(query.with_for_update(skip_locked=True))


async def has_expired(session: AsyncSession, row: PendingActionRow) -> bool:
    """By the database's clock."""
    return bool(await session.scalar(select(row.expire_time <= NOW)))


async def decide(session: AsyncSession, row: PendingActionRow, state: str, decider: str, reason: str) -> None:
    """Approve or reject a locked action."""
    values = {"state": state, "decider": decider, "decide_time": NOW, "decision_reason": reason}
    await _change(session, row, values)


async def finish(session: AsyncSession, row: PendingActionRow, state: str, failure: str = "") -> None:
    """Say how a locked action ended."""
    await _change(session, row, {"state": state, "finish_time": NOW, "failure": failure})


async def _change(session: AsyncSession, row: PendingActionRow, values: Mapping[str, Any]) -> None:
    mine = PendingActionRow.pending_action_id == row.pending_action_id
    await session.execute(update(PendingActionRow).where(mine).values(**values))
    await session.refresh(row)


async def gave_role(session: AsyncSession, giver: str, user_id: str, within: timedelta) -> bool:
    """Whether one person had a hand in the role that another was given lately, by proposing or approving it."""
    given = select(func.count()).where(
        PendingActionRow.kind == "SET_USER_ROLE",
        PendingActionRow.state == EXECUTED,
        PendingActionRow.subject == user_id,
        PendingActionRow.finish_time > NOW - within,
        (PendingActionRow.proposer == giver) | (PendingActionRow.decider == giver),
    )
    return bool(await session.scalar(given))


async def list_undone(engine: AsyncEngine, limit: int = 100) -> tuple[Sequence[str], Sequence[str]]:
    """Ids of actions that are approved and not executed, and of those that nobody decided in time."""
    ids = select(PendingActionRow.pending_action_id).limit(limit)
    approved = ids.where(PendingActionRow.state == APPROVED).order_by(PendingActionRow.decide_time)
    expired = ids.where(PendingActionRow.state == PROPOSED, PendingActionRow.expire_time <= NOW)
    async with transaction(engine) as session:
        return (await session.scalars(approved)).all(), (await session.scalars(expired)).all()


async def find_request(engine: AsyncEngine, proposer: str, request_id: str) -> PendingActionRow | None:
    """What a person proposed under a request_id."""
    same = (PendingActionRow.proposer == proposer) & (PendingActionRow.request_id == request_id)
    async with transaction(engine) as session:
        return await session.scalar(select(PendingActionRow).where(same))


async def find(engine: AsyncEngine, pending_action_id: str) -> PendingActionRow | None:
    async with transaction(engine) as session:
        return await session.get(PendingActionRow, pending_action_id)


async def list_actions(
    engine: AsyncEngine, *, state: str, kind: str, before: tuple[datetime, str] | None, limit: int
) -> Sequence[PendingActionRow]:
    """The last proposed first; the next page begins `before` (create_time, id) of the last one."""
    place = (PendingActionRow.create_time, PendingActionRow.pending_action_id)
    query = select(PendingActionRow).order_by(*(column.desc() for column in place)).limit(limit)
    if state:
        query = query.where(PendingActionRow.state == state)
    if kind:
        query = query.where(PendingActionRow.kind == kind)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def count_undone(engine: AsyncEngine) -> dict[str, int]:
    """How many are proposed and approved, by state."""
    query = (
        select(PendingActionRow.state, func.count())
        .where(PendingActionRow.state.in_((PROPOSED, APPROVED)))
        .group_by(PendingActionRow.state)
    )
    async with transaction(engine) as session:
        return {row[0]: row[1] for row in await session.execute(query)}
