"""Users in PostgreSQL: who may log in, with what password, as what.

Each function is one transaction and has committed when it returns. All raise PartUnavailable where the database is away.
"""

import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, user_sessions
from db.models.credentials import ApiKeyRow, TotpRow
from db.models.users import UserRow, VerificationTokenRow
from db.outgoing import Telling
from db.transactions import NOW, transaction

ACTIVE: Final = "ACTIVE"
FROZEN: Final = "FROZEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    user_id: str
    email: str
    password_hash: str
    display_name: str
    role: str
    email_verified: bool


def email_key(email: str) -> str:
    """What makes two addresses the same: letter case does not count, nor how accents are composed."""
    return unicodedata.normalize("NFC", email.lower())


async def find_user_by_email(engine: AsyncEngine, email: str) -> UserRow | None:
    async with transaction(engine) as session:
        return await find_by_address(session, email)


async def find_by_address(session: AsyncSession, email: str) -> UserRow | None:
    """Who has an address of mail, as the caller's transaction sees it."""
    if "\0" in email:  # PostgreSQL refuses it in text, and so no user has it
        return None
    return await session.scalar(select(UserRow).where(UserRow.email_key == email_key(email)))


async def find_user(engine: AsyncEngine, user_id: str) -> UserRow | None:
    async with transaction(engine) as session:
        return await session.get(UserRow, user_id)


async def find_address(session: AsyncSession, user_id: str) -> str | None:
    """A user's address of mail, as the caller's transaction sees it."""
    return await session.scalar(select(UserRow.email).where(UserRow.user_id == user_id))


async def add_user(
    engine: AsyncEngine,
    user: NewUser,
    *,
    verification_hash: bytes,
    verification_s: float,
    actor: audit.Actor,
    tell: Callable[[AsyncSession, UserRow], Awaitable[object]],
) -> UserRow:
    """Add a user unless one has this address of mail. Returns the user who has it; `tell` stores the letter to him.

    Whoever has yet to verify the address is registered anew: password and name become those given, sessions, second factor and
    API keys end, and only the verification token stored here is good. So nobody keeps a door to what the owner of the address
    verifies later.
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
        # Of a verified user nothing is touched, by the same statements: they take as long, and so nobody learns which it was.
        touched = "" if row.email_verified else row.user_id
        await user_sessions.end_within(session, touched, user_sessions.REGISTERED_AGAIN)
        tokens = VerificationTokenRow.user_id == touched
        await session.execute(delete(VerificationTokenRow).where(tokens, VerificationTokenRow.use_time.is_(None)))
        await session.execute(delete(TotpRow).where(TotpRow.user_id == touched))
        keys = update(ApiKeyRow).where(ApiKeyRow.user_id == touched, ApiKeyRow.revoke_time.is_(None))
        await session.execute(keys.values(revoke_time=NOW))
        token = {"token_hash": verification_hash, "user_id": row.user_id}
        # The token of a verified user has expired when it is made, and is mailed to nobody.
        expires = NOW + timedelta(seconds=0.0 if row.email_verified else verification_s)
        await session.execute(insert(VerificationTokenRow).values(**token, expire_time=expires))
        await tell(session, row)
        outcome = "KNOWN" if row.email_verified else audit.OK
        await audit.append(
            session,
            audit.Entry(actor=actor, action=audit.Action.REGISTER, object=f"user/{row.user_id}", outcome=outcome),
        )
        return row


async def put_user(engine: AsyncEngine, user: NewUser) -> UserRow:
    """Add a user, or give the one with this address of mail the password, name, role and verification of `user`."""
    key = email_key(user.email)
    given = insert(UserRow).values(**asdict(user), email_key=key)
    fields = {name: given.excluded[name] for name in ("password_hash", "display_name", "role", "email_verified")}
    put = given.on_conflict_do_update(index_elements=["email_key"], set_=fields).returning(UserRow)
    async with transaction(engine) as session, session.begin():
        return (await session.scalars(put)).one()


async def verify_email(engine: AsyncEngine, verification_hash: bytes, *, actor: audit.Actor) -> bool:
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
        owner_of = replace(actor, kind=audit.ActorKind.USER, name=user_id)
        await audit.append(
            session, audit.Entry(actor=owner_of, action=audit.Action.EMAIL_VERIFY, object=f"user/{user_id}")
        )
        return True


async def replace_password_hash(engine: AsyncEngine, user_id: str, old: str, new: str) -> None:
    """Set it, unless it was changed in the meantime: the same password, hashed anew."""
    async with transaction(engine) as session, session.begin():
        await session.execute(
            update(UserRow).where(UserRow.user_id == user_id, UserRow.password_hash == old).values(password_hash=new)
        )


async def change_password(
    engine: AsyncEngine, user_id: str, old: str, new: str, *, kept_session: str, entry: audit.Entry, tell: Telling
) -> bool:
    """Set the hash of another password and end the user's sessions but `kept_session`.

    Returns False, and changes nothing, where the hash is not `old` any more.
    """
    changed = update(UserRow).where(UserRow.user_id == user_id, UserRow.password_hash == old)
    async with transaction(engine) as session, session.begin():
        found = await session.scalar(changed.values(password_hash=new).returning(UserRow.user_id))
        if found is None:
            return False
        await user_sessions.end_within(session, user_id, user_sessions.CHANGED, kept=kept_session)
        await tell(session)
        await audit.append(session, entry)
        return True


async def set_role(engine: AsyncEngine, user_id: str, role: str) -> UserRow | None:
    """Give a user another role: `USER`, `MARKET_MAKER`, `SUPPORT`, `COMPLIANCE` or `ADMIN`.

    Sessions go on; access tokens that say the old role, and streams opened with them, end on every server within 5 s, and a
    refresh gives the new one. Returns the user as he was before, None where there is none.
    """
    async with transaction(engine) as session, session.begin():
        return await change_access_within(session, user_id, role=role)


async def set_status(engine: AsyncEngine, user_id: str, status: str) -> UserRow | None:
    """Freeze a user (`FROZEN`) or let him in again (`ACTIVE`).

    A frozen user cannot log in or refresh; his sessions end, and with them access tokens and streams on every server within
    5 s. Returns the user as he was before, None where there is none.
    """
    async with transaction(engine) as session, session.begin():
        before = await change_access_within(session, user_id, status=status)
        if before is not None and status != ACTIVE:
            await user_sessions.end_within(session, user_id, user_sessions.FROZEN)
        return before


async def change_access_within(session: AsyncSession, user_id: str, **changes: str) -> UserRow | None:
    """Change what a user's access tokens say, as part of a transaction: those signed before are not good any more.

    Returns the user as he was before, None where there is none. Nothing is written where nothing would change.
    """
    before = await session.get(UserRow, user_id, with_for_update=True, populate_existing=True)
    if before is None:
        return None
    session.expunge(before)
    if any(getattr(before, name) != value for name, value in changes.items()):
        values = {**changes, "access_version": UserRow.access_version + 1, "access_change_time": NOW}
        await session.execute(update(UserRow).where(UserRow.user_id == user_id).values(values))
    return before
