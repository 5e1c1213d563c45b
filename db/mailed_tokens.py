"""Tokens that are mailed to users for one purpose. A token of one purpose is not good for another.

Each function but `add_within` is one transaction and has committed when it returns. All those raise PartUnavailable where the
database is away.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, login_places, user_sessions
from db.models.users import MailedTokenRow, UserRow
from db.outgoing import Telling
from db.transactions import NOW, transaction

RESET: Final = "PASSWORD_RESET"
UNLOCK: Final = "UNLOCK"
# A mailbox is not filled by whoever knows its address.
HOURLY_MAX: Final = {RESET: 5, UNLOCK: 1}


async def add_within(session: AsyncSession, user_id: str, purpose: str, token_hash: bytes, *, life_s: float) -> bool:
    """Store a token in the caller's transaction. Returns False, and stores none, where the user is frozen or had all that
    he may have within an hour.
    """
    hour = MailedTokenRow.create_time > NOW - timedelta(hours=1)
    own = (MailedTokenRow.user_id == user_id) & (MailedTokenRow.purpose == purpose)
    active = select(UserRow.user_id).where(UserRow.user_id == user_id, UserRow.status == user_sessions.ACTIVE)
    values = {"token_hash": token_hash, "purpose": purpose, "user_id": user_id}
    if await session.scalar(active.with_for_update(key_share=True)) is None:
        return False
    lately = await session.scalar(select(func.count()).select_from(MailedTokenRow).where(own, hour))
    if (lately or 0) >= HOURLY_MAX[purpose]:
        return False
    await session.execute(insert(MailedTokenRow).values(**values, expire_time=NOW + timedelta(seconds=life_s)))
    return True


async def find_owner(engine: AsyncEngine, purpose: str, token_hash: bytes) -> UserRow | None:
    """The active user whom a token that is still good was mailed to."""
    query = (
        select(UserRow)
        .join(MailedTokenRow, MailedTokenRow.user_id == UserRow.user_id)
        .where(_good(purpose, token_hash), UserRow.status == user_sessions.ACTIVE)
    )
    async with transaction(engine) as session:
        return await session.scalar(query)


async def reset_password(
    engine: AsyncEngine, token_hash: bytes, password_hash: str, place: str, *, entry: audit.Entry, tell: Telling
) -> UserRow | None:
    """Use a token to set a password from `place`. Every session ends, other resets are not good any more, and only
    `place` is a known place; the address of mail is verified, since the token was read there. None for a token that is not
    good, or no longer.
    """
    async with transaction(engine) as session, session.begin():
        user = await _use(session, RESET, token_hash)
        if user is None:
            return None
        user.password_hash = password_hash
        user.email_verified = True
        await user_sessions.end_within(session, user.user_id, user_sessions.RESET)
        unused = (MailedTokenRow.user_id == user.user_id) & MailedTokenRow.use_time.is_(None)
        await session.execute(delete(MailedTokenRow).where(unused))
        await login_places.forget_within(session, user.user_id)
        await login_places.remember_within(session, user.user_id, place)
        await session.flush()
        await tell(session)
        await audit.append(session, entry)
        return user


async def unlock(engine: AsyncEngine, token_hash: bytes, place: str, *, entry: audit.Entry) -> UserRow | None:
    """Use a token to make `place` a known place of its user. None for a token that is not good, or no longer."""
    async with transaction(engine) as session, session.begin():
        user = await _use(session, UNLOCK, token_hash)
        if user is not None:
            await login_places.remember_within(session, user.user_id, place)
            await audit.append(session, entry)
        return user


async def _use(session: AsyncSession, purpose: str, token_hash: bytes) -> UserRow | None:
    # The user first, as whoever ends his sessions does: neither then waits for the other for ever.
    owner = select(UserRow).join(MailedTokenRow, MailedTokenRow.user_id == UserRow.user_id)
    user = await session.scalar(owner.where(_good(purpose, token_hash)).with_for_update(of=UserRow))
    if user is None or user.status != user_sessions.ACTIVE:
        return None
    used = update(MailedTokenRow).where(_good(purpose, token_hash)).values(use_time=NOW)
    return user if await session.scalar(used.returning(MailedTokenRow.user_id)) is not None else None


def _good(purpose: str, token_hash: bytes) -> ColumnElement[bool]:
    return (
        (MailedTokenRow.token_hash == token_hash)
        & (MailedTokenRow.purpose == purpose)
        & MailedTokenRow.use_time.is_(None)
        & (MailedTokenRow.expire_time > NOW)
    )
