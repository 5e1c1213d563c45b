"""Sessions of users, and their refresh tokens.

Each function is one transaction and has committed when it returns, but for `end_within`, which is part of one. All raise
PartUnavailable where the database is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Update, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit
from db.login_places import remember_within
from db.models.credentials import AuthorizationCodeRow, TotpRow
from db.models.users import MailedTokenRow, RefreshTokenRow, SessionRow, UserRow, VerificationTokenRow
from db.transactions import NOW, transaction

ACTIVE: Final = "ACTIVE"
# Why a session ended.
LOGOUT: Final = "LOGOUT"
REVOKED: Final = "REVOKED"
REGISTERED_AGAIN: Final = "REGISTERED_AGAIN"
REUSE: Final = "REFRESH_TOKEN_REUSED"
CHANGED: Final = "PASSWORD_CHANGED"
RESET: Final = "PASSWORD_RESET"
FROZEN: Final = "FROZEN"
FACTOR_CHANGED: Final = "SECOND_FACTOR_CHANGED"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of using a refresh token. `nonce` is that of its first use."""

    user: UserRow
    session: SessionRow
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Reuse:
    """A refresh token was used again after the grace: its session is revoked now."""

    session: SessionRow


async def open_session(
    engine: AsyncEngine,
    user: UserRow,
    *,
    session_id: str,
    address: str,
    place: str,
    user_agent: str = "",
    refresh_hash: bytes,
    life_s: float,
    second_factor: bool = False,
    entry: audit.Entry,
) -> SessionRow | None:
    """Store a session, its first refresh token, and that the user was at `place`.

    `second_factor`: whether it was authenticated by two factors. None where the user is not as `user` says any more: another
    password, frozen, another role, or a second factor that the session lacks.
    """
    values = {"session_id": session_id, "user_id": user.user_id, "address": address, "user_agent": user_agent}
    expires = NOW + timedelta(seconds=life_s)
    opened = insert(SessionRow).values(**values, second_factor=second_factor, expire_time=expires).returning(SessionRow)
    same = select(UserRow.user_id).where(
        UserRow.user_id == user.user_id,
        UserRow.password_hash == user.password_hash,
        UserRow.access_version == user.access_version,
        UserRow.status == ACTIVE,
    )
    async with transaction(engine) as session, session.begin():
        if await session.scalar(same.with_for_update(read=True)) is None:
            return None
        enrolled = select(TotpRow.user_id).where(TotpRow.user_id == user.user_id, TotpRow.confirm_time.is_not(None))
        if not second_factor and await session.scalar(enrolled) is not None:
            return None
        row = (await session.scalars(opened)).one()
        await session.execute(insert(RefreshTokenRow).values(token_hash=refresh_hash, session_id=session_id))
        await remember_within(session, user.user_id, place)
        await audit.append(session, entry)
        return row


async def use_refresh_token(
    engine: AsyncEngine, token_hash: bytes, *, nonce: bytes, successor_hash: bytes, grace_s: float, actor: audit.Actor
) -> Rotation | Reuse | None:
    """Use a refresh token. Of calls at once the first stores `successor_hash`; the others, and those within `grace_s` of
    it, get the nonce of the first. A later one revokes the session. None for a token that is not good.
    """
    found = (
        select(RefreshTokenRow, SessionRow, UserRow, NOW)
        .join(SessionRow, RefreshTokenRow.session_id == SessionRow.session_id)
        .join(UserRow, SessionRow.user_id == UserRow.user_id)
        .where(RefreshTokenRow.token_hash == token_hash)
        .with_for_update(of=RefreshTokenRow)
    )
    async with transaction(engine) as session, session.begin():
        row = (await session.execute(found)).one_or_none()
        if row is None:
            return None
        token, family, user, now = row
        if family.revoke_time is not None or family.expire_time <= now or user.status != ACTIVE:
            return None
        if token.use_time is None:
            token.use_time, token.successor_nonce = now, nonce
            family.use_time = now
            # Before the successor is stored: a session has one unused token.
            await session.flush()
            await session.execute(
                insert(RefreshTokenRow).values(token_hash=successor_hash, session_id=family.session_id)
            )
        elif now - token.use_time > timedelta(seconds=grace_s):
            family.revoke_time, family.revoke_reason = now, REUSE
            await session.flush()
            await audit.append(
                session,
                audit.Entry(
                    actor=actor, action=audit.Action.REFRESH_TOKEN_REUSE, object=f"session/{family.session_id}"
                ),
            )
            return Reuse(family)
        assert token.successor_nonce is not None
        return Rotation(user, family, token.successor_nonce)


async def list_sessions(
    engine: AsyncEngine, user_id: str, *, before: tuple[datetime, str] | None = None, limit: int
) -> Sequence[SessionRow]:
    """A user's open sessions, the last opened first; the next page begins `before` (create_time, id) of the last one."""
    query = select(SessionRow).where(
        SessionRow.user_id == user_id, SessionRow.revoke_time.is_(None), SessionRow.expire_time > NOW
    )
    if before is not None:
        query = query.where(tuple_(SessionRow.create_time, SessionRow.session_id) < before)
    query = query.order_by(SessionRow.create_time.desc(), SessionRow.session_id.desc()).limit(limit)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def revoke_session(engine: AsyncEngine, session_id: str, reason: str, *, entry: audit.Entry) -> None:
    """End a session; one that has ended stays as it is."""
    async with transaction(engine) as session, session.begin():
        await session.execute(_revoking(reason).where(SessionRow.session_id == session_id))
        await audit.append(session, entry)


async def revoke_own_session(
    engine: AsyncEngine, user_id: str, session_id: str, reason: str, *, entry: audit.Entry
) -> bool:
    """End a session of a user; one that has ended stays as it is. Returns False where it is not the user's."""
    own = (SessionRow.session_id == session_id) & (SessionRow.user_id == user_id)
    async with transaction(engine) as session, session.begin():
        if await session.scalar(select(SessionRow.session_id).where(own)) is None:
            return False
        await session.execute(_revoking(reason).where(own))
        await audit.append(session, entry)
        return True


async def end_sessions(engine: AsyncEngine, user_id: str, reason: str, *, kept: str = "") -> int:
    """End every open session of a user but `kept`: refresh tokens at once, access tokens and streams on every server within
    5 s. Returns how many ended.
    """
    async with transaction(engine) as session, session.begin():
        return await end_within(session, user_id, reason, kept=kept)


async def end_within(session: AsyncSession, user_id: str, reason: str, *, kept: str = "") -> int:
    """As `end_sessions`, as part of a transaction."""
    ended = _revoking(reason).where(SessionRow.user_id == user_id, SessionRow.session_id != kept)
    return len((await session.scalars(ended.returning(SessionRow.session_id))).all())


async def end_one_within(session: AsyncSession, session_id: str, reason: str) -> None:
    """End a session, as part of a transaction; one that has ended stays as it is."""
    await session.execute(_revoking(reason).where(SessionRow.session_id == session_id))


async def end_client_within(session: AsyncSession, client_id: str) -> None:
    """End the sessions that were given to a client, as part of a transaction."""
    await session.execute(_revoking(REVOKED).where(SessionRow.client_id == client_id))


def _revoking(reason: str) -> Update:
    return update(SessionRow).where(SessionRow.revoke_time.is_(None)).values(revoke_time=NOW, revoke_reason=reason)


async def forget_expired(engine: AsyncEngine, kept: timedelta = timedelta(days=1)) -> None:
    """Delete sessions, mailed tokens and codes that ended by themselves longer than `kept` ago. Once a day is enough."""
    before = NOW - kept
    async with transaction(engine) as session, session.begin():
        await session.execute(delete(SessionRow).where(SessionRow.expire_time < before))
        await session.execute(delete(VerificationTokenRow).where(VerificationTokenRow.expire_time < before))
        await session.execute(delete(MailedTokenRow).where(MailedTokenRow.expire_time < before))
        await session.execute(delete(AuthorizationCodeRow).where(AuthorizationCodeRow.expire_time < before))
