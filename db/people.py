"""Users and their sessions as those see them who look after the venue: searched, listed, and looked at together.

Functions that take an engine are one transaction; all raise PartUnavailable where the database is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.accounts import AccountRow
from db.models.users import SessionRow, UserRow
from db.transactions import NOW, transaction
from db.users import ACTIVE

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class UserSearch:
    """What to look for; empty fields do not narrow it. `text` is a part of the address, the id or the name."""

    text: str = ""
    role: str = ""
    status: str = ""


async def list_users(
    engine: AsyncEngine, search: UserSearch, *, before: Place | None = None, limit: int
) -> Sequence[UserRow]:
    """The last registered first; the next page begins `before` (create_time, id) of the last one."""
    query = select(UserRow).order_by(UserRow.create_time.desc(), UserRow.user_id.desc()).limit(limit)
    if search.text:
        # Not LIKE: what is looked for has no pattern in it.
        columns = (UserRow.email_key, UserRow.user_id, func.lower(UserRow.display_name))
        query = query.where(or_(*(func.strpos(column, search.text.lower()) > 0 for column in columns)))
    if search.role:
        query = query.where(UserRow.role == search.role)
    if search.status:
        query = query.where(UserRow.status == search.status)
    if before is not None:
        query = query.where(tuple_(UserRow.create_time, UserRow.user_id) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def list_all_sessions(
    engine: AsyncEngine, user_id: str, *, before: Place | None = None, limit: int
) -> Sequence[SessionRow]:
    """A user's sessions, ended ones too, the last opened first."""
    query = select(SessionRow).where(SessionRow.user_id == user_id)
    if before is not None:
        query = query.where(tuple_(SessionRow.create_time, SessionRow.session_id) < before)
    query = query.order_by(SessionRow.create_time.desc(), SessionRow.session_id.desc()).limit(limit)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def list_accounts(engine: AsyncEngine, user_id: str) -> Sequence[AccountRow]:
    """A user's accounts in every partition, by id, as far as the tables are."""
    async with transaction(engine) as session:
        query = select(AccountRow).where(AccountRow.user_id == user_id, AccountRow.user_id != "")
        return (await session.scalars(query.order_by(AccountRow.account_id))).all()


async def find_owner(engine: AsyncEngine, partition: int, account_id: str) -> str | None:
    """The user whose account it is, as far as the tables are."""
    async with transaction(engine) as session:
        row = await session.get(AccountRow, (partition, account_id))
        return None if row is None else row.user_id


async def find_living(engine: AsyncEngine, user_id: str, session_id: str) -> tuple[UserRow, SessionRow] | None:
    """A user who may come in, with one of his sessions that has not ended."""
    found = (
        select(UserRow, SessionRow)
        .join(SessionRow, SessionRow.user_id == UserRow.user_id)
        .where(UserRow.user_id == user_id, UserRow.status == ACTIVE, SessionRow.session_id == session_id)
        .where(SessionRow.revoke_time.is_(None), SessionRow.expire_time > NOW)
    )
    async with transaction(engine) as session:
        row = (await session.execute(found)).one_or_none()
        return None if row is None else (row[0], row[1])


async def end_some_within(session: AsyncSession, user_id: str, session_ids: Sequence[str], reason: str) -> list[str]:
    """End those of a user's sessions that are named and have not ended, as part of a transaction. Returns which."""
    ended = (
        update(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.session_id.in_(session_ids), SessionRow.revoke_time.is_(None))
        .values(revoke_time=NOW, revoke_reason=reason)
        .returning(SessionRow.session_id)
    )
    return sorted((await session.scalars(ended)).all())
