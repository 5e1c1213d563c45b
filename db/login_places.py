"""Network addresses that users have proved to be at, by a log-in or by a token out of their mail."""

from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.users import LoginPlaceRow
from db.transactions import NOW, transaction

REMEMBERED: Final = timedelta(days=30)


async def is_known(engine: AsyncEngine, user_id: str, address: str) -> bool:
    """Whether the user was at the address within 30 days. Raises PartUnavailable."""
    lately = select(LoginPlaceRow.user_id).where(
        LoginPlaceRow.user_id == user_id,
        LoginPlaceRow.address == address,
        LoginPlaceRow.use_time > NOW - REMEMBERED,
    )
    async with transaction(engine) as session:
        return await session.scalar(lately) is not None


async def remember_within(session: AsyncSession, user_id: str, address: str) -> None:
    """Note that the user is at the address, as part of a transaction. Older places of his are forgotten."""
    noted = insert(LoginPlaceRow).values(user_id=user_id, address=address, use_time=NOW)
    old = LoginPlaceRow.use_time < NOW - REMEMBERED
    await session.execute(delete(LoginPlaceRow).where(LoginPlaceRow.user_id == user_id, old))
    await session.execute(
        noted.on_conflict_do_update(index_elements=["user_id", "address"], set_={"use_time": noted.excluded.use_time})
    )


async def forget_within(session: AsyncSession, user_id: str) -> None:
    """Forget every place of a user, as part of a transaction."""
    await session.execute(delete(LoginPlaceRow).where(LoginPlaceRow.user_id == user_id))
