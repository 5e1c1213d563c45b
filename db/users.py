"""Users, sessions and tokens in PostgreSQL. Times are the database's own, so servers need not agree on the time.

Each function is one transaction and has committed when it returns. All raise PartUnavailable where the database is away.
"""

import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import OperationalError
from sqlalchemy import ColumnElement, Update, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.users import RefreshTokenRow, SessionRow, UserRow, VerificationTokenRow
from servers.domain.errors import PartUnavailable

ACTIVE: Final = "ACTIVE"
LOGOUT: Final = "LOGOUT"
REGISTERED_AGAIN: Final = "REGISTERED_AGAIN"
REUSE: Final = "REFRESH_TOKEN_REUSED"
NOW: Final[ColumnElement[datetime]] = func.clock_timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    user_id: str
    email: str
    password_hash: str
    display_name: str
    role: str
    email_verified: bool


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


def email_key(email: str) -> str:
    """What makes two addresses the same: letter case does not count, nor how accents are composed."""
    return unicodedata.normalize("NFC", email.lower())


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Raises PartUnavailable where the database is away, or has no connection left for us."""
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
    except NoConnectionFree as error:
        raise PartUnavailable("the database") from error
    except DBAPIError as error:
        if isinstance(error.orig, OperationalError):
            raise PartUnavailable("the database") from error
        raise


async def find_user_by_email(engine: AsyncEngine, email: str) -> UserRow | None:
    if "\0" in email:  # PostgreSQL refuses it in text, and so no user has it
        return None
    async with transaction(engine) as session:
        return await session.scalar(select(UserRow).where(UserRow.email_key == email_key(email)))


async def find_user(engine: AsyncEngine, user_id: str) -> UserRow | None:
    async with transaction(engine) as session:
        return await session.get(UserRow, user_id)


async def add_user(engine: AsyncEngine, user: NewUser, *, verification_hash: bytes, verification_s: float) -> UserRow:
    """Add a user unless one has this address of mail. Returns the user who has it.

    Whoever has yet to verify the address is registered anew: password and name become those given, sessions end, and only the
    verification token stored here is good. So nobody keeps a door to what the owner of the address verifies later.
    """
    key = email_key(user.email)
    given = insert(UserRow).values(**asdict(user), email_key=key)
    put = given.on_conflict_do_update(
        index_elements=["email_key"],
        set_={name: given.excluded[name] for name in ("password_hash", "display_name")},
        where=UserRow.email_verified.is_(False),
    )
    async with transaction(engine) as session, session.begin():
        await session.execute(put)
        row = (await session.scalars(select(UserRow).where(UserRow.email_key == key))).one()
        if not row.email_verified:
            await session.execute(_revoking(REGISTERED_AGAIN).where(SessionRow.user_id == row.user_id))
            tokens = VerificationTokenRow.user_id == row.user_id
            await session.execute(delete(VerificationTokenRow).where(tokens, VerificationTokenRow.use_time.is_(None)))
            token = {"token_hash": verification_hash, "user_id": row.user_id}
            expires = NOW + timedelta(seconds=verification_s)
            await session.execute(insert(VerificationTokenRow).values(**token, expire_time=expires))
        return row


async def put_user(engine: AsyncEngine, user: NewUser) -> UserRow:
    """Add a user, or give the one with this address of mail the password, name, role and verification of `user`."""
    key = email_key(user.email)
    given = insert(UserRow).values(**asdict(user), email_key=key)
    fields = {name: given.excluded[name] for name in ("password_hash", "display_name", "role", "email_verified")}
    put = given.on_conflict_do_update(index_elements=["email_key"], set_=fields).returning(UserRow)
    async with transaction(engine) as session, session.begin():
        return (await session.scalars(put)).one()


async def verify_email(engine: AsyncEngine, verification_hash: bytes) -> bool:
    """Use a verification token. Returns False where it is unknown, expired or used."""
    unused = (
        update(VerificationTokenRow)
        .where(
            VerificationTokenRow.token_hash == verification_hash,
            VerificationTokenRow.use_time.is_(None),
            VerificationTokenRow.expire_time > NOW,
        )
        .values(use_time=NOW)
        .returning(VerificationTokenRow.user_id)
    )
    # The user first, as a registration does: neither then waits for the other for ever.
    token = VerificationTokenRow.token_hash == verification_hash
    owner = select(UserRow.user_id).join(VerificationTokenRow, VerificationTokenRow.user_id == UserRow.user_id)
    async with transaction(engine) as session, session.begin():
        await session.execute(owner.where(token).with_for_update(of=UserRow))
        user_id = await session.scalar(unused)
        if user_id is None:
            return False
        await session.execute(update(UserRow).where(UserRow.user_id == user_id).values(email_verified=True))
        return True


async def replace_password_hash(engine: AsyncEngine, user_id: str, old: str, new: str) -> None:
    """Set it, unless it was changed in the meantime."""
    async with transaction(engine) as session, session.begin():
        await session.execute(
            update(UserRow).where(UserRow.user_id == user_id, UserRow.password_hash == old).values(password_hash=new)
        )


async def open_session(
    engine: AsyncEngine, user: UserRow, *, session_id: str, address: str, refresh_hash: bytes, life_s: float
) -> SessionRow | None:
    """Store a session and its first refresh token. None where the password is not that of `user` any more."""
    values = {"session_id": session_id, "user_id": user.user_id, "address": address}
    opened = insert(SessionRow).values(**values, expire_time=NOW + timedelta(seconds=life_s)).returning(SessionRow)
    same = select(UserRow.user_id).where(UserRow.user_id == user.user_id, UserRow.password_hash == user.password_hash)
    async with transaction(engine) as session, session.begin():
        if await session.scalar(same.with_for_update(read=True)) is None:
            return None
        row = (await session.scalars(opened)).one()
        await session.execute(insert(RefreshTokenRow).values(token_hash=refresh_hash, session_id=session_id))
        return row


async def use_refresh_token(
    engine: AsyncEngine, token_hash: bytes, *, nonce: bytes, successor_hash: bytes, grace_s: float
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
            # Before the successor is stored: a session has one unused token.
            await session.flush()
            await session.execute(
                insert(RefreshTokenRow).values(token_hash=successor_hash, session_id=family.session_id)
            )
        elif now - token.use_time > timedelta(seconds=grace_s):
            family.revoke_time, family.revoke_reason = now, REUSE
            return Reuse(family)
        assert token.successor_nonce is not None
        return Rotation(user, family, token.successor_nonce)


async def revoke_session(engine: AsyncEngine, session_id: str, reason: str) -> None:
    """End a session; one that has ended stays as it is."""
    async with transaction(engine) as session, session.begin():
        await session.execute(_revoking(reason).where(SessionRow.session_id == session_id))


def _revoking(reason: str) -> Update:
    return update(SessionRow).where(SessionRow.revoke_time.is_(None)).values(revoke_time=NOW, revoke_reason=reason)


async def forget_expired(engine: AsyncEngine, kept: timedelta = timedelta(days=1)) -> None:
    """Delete sessions and verification tokens that ended by themselves longer than `kept` ago. Once a day is enough."""
    before = NOW - kept
    async with transaction(engine) as session, session.begin():
        await session.execute(delete(SessionRow).where(SessionRow.expire_time < before))
        await session.execute(delete(VerificationTokenRow).where(VerificationTokenRow.expire_time < before))
