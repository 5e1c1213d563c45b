"""What deposits were given back of, or are disputed: first held on the account, then taken or released."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.deposits import HELD, OPEN, PAID, SUCCEEDED
from db.models.deposits import DepositRow, ReversalRow
from db.transactions import NOW, transaction

REFUND: Final = "REFUND"
DISPUTE: Final = "DISPUTE"
TAKE: Final = "TAKE"
RELEASE: Final = "RELEASE"


async def refunded(session: AsyncSession, deposit_id: str) -> int:
    """How much of a deposit is known to be refunded."""
    mine = (ReversalRow.deposit_id == deposit_id) & (ReversalRow.kind == REFUND)
    return int(await session.scalar(select(func.coalesce(func.sum(ReversalRow.amount), 0)).where(mine)) or 0)


async def put(
    session: AsyncSession, reversal_id: str, deposit_id: str, kind: str, amount: int, decision: str, transfer_id: str
) -> None:
    """Write one down; of one that is known only a decision is new, and the first one stays."""
    values = {
        "reversal_id": reversal_id,
        "deposit_id": deposit_id,
        "kind": kind,
        "amount": amount,
        "decision": decision,
        "transfer_id": transfer_id,
    }
    given = insert(ReversalRow).values(**values)
    changed = given.on_conflict_do_update(
        index_elements=["reversal_id"],
        set_={"decision": given.excluded.decision, "try_time": NOW, "update_time": NOW},
        where=(ReversalRow.decision == "") & (given.excluded.decision != ""),
    )
    await session.execute(changed)


async def list_undone(engine: AsyncEngine, limit: int = 100) -> Sequence[str]:
    """Those of credited deposits on which something can be done now."""
    query = (
        select(ReversalRow.reversal_id)
        .join(DepositRow, DepositRow.deposit_id == ReversalRow.deposit_id)
        .where(DepositRow.state == SUCCEEDED, ReversalRow.try_time <= NOW)
        .where((ReversalRow.state == OPEN) | ((ReversalRow.state == HELD) & (ReversalRow.decision != "")))
        .order_by(ReversalRow.try_time)
        .limit(limit)
    )
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def lock(session: AsyncSession, reversal_id: str) -> tuple[ReversalRow, DepositRow] | None:
    """One with its deposit, unless somebody is at it."""
    query = (
        select(ReversalRow, DepositRow)
        .join(DepositRow, DepositRow.deposit_id == ReversalRow.deposit_id)
        .where(ReversalRow.reversal_id == reversal_id)
        .with_for_update(of=ReversalRow, skip_locked=True)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def finish(session: AsyncSession, row: ReversalRow, state: str) -> None:
    await session.execute(
        update(ReversalRow).where(ReversalRow.reversal_id == row.reversal_id).values(state=state, update_time=NOW)
    )


async def put_off(session: AsyncSession, row: ReversalRow, pause: timedelta) -> None:
    """What is not there now is looked for later."""
    mine = update(ReversalRow).where(ReversalRow.reversal_id == row.reversal_id)
    await session.execute(mine.values(try_time=NOW + pause))


async def disputed(session: AsyncSession, user_id: str) -> bool:
    """Whether somebody disputed a deposit of a user's, and has not lost."""
    query = (
        select(ReversalRow.reversal_id)
        .join(DepositRow, DepositRow.deposit_id == ReversalRow.deposit_id)
        .where(DepositRow.user_id == user_id, ReversalRow.kind == DISPUTE, ReversalRow.decision != RELEASE)
    )
    return await session.scalar(query.limit(1)) is not None


async def owes(session: AsyncSession, user_id: str) -> bool:
    """Whether a user owes something that was given back and could not be taken. Of what was never credited nothing is owed."""
    query = (
        select(func.count())
        .select_from(ReversalRow)
        .join(DepositRow, DepositRow.deposit_id == ReversalRow.deposit_id)
        .where(DepositRow.user_id == user_id, DepositRow.state.in_((PAID, SUCCEEDED)))
        .where(ReversalRow.state == OPEN, ReversalRow.decision != RELEASE)
    )
    return bool(await session.scalar(query))
