"""API keys as the auth server keeps them; servers look them up in db/key_lookups.py.

Each function is one transaction; all raise PartUnavailable where the database is away.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit
from db.models.credentials import ApiKeyRow, TotpRow
from db.models.users import UserRow
from db.outgoing import Telling
from db.transactions import NOW, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that is to be stored; `scopes`, `networks`, and what proves it, as in ApiKeyRow."""

    api_key_id: str
    user_id: str
    name: str
    signing: str
    secret_hash: bytes | None = field(repr=False)
    secret: bytes | None = field(repr=False)
    public_key: bytes | None
    scopes: Sequence[str]
    account_id: str | None
    networks: Sequence[str]
    expire_time: datetime | None


class Refusal(StrEnum):
    """Why a key was not stored."""

    TOO_MANY = "TOO_MANY"
    FACTOR_MISSING = "FACTOR_MISSING"


async def add_key(
    engine: AsyncEngine, key: NewKey, *, keys_max: int, entry: audit.Entry, tell: Telling
) -> ApiKeyRow | Refusal:
    """Store a key, and that it was made. One that may withdraw needs an enrolled second factor."""
    mine = (ApiKeyRow.user_id == key.user_id, ApiKeyRow.revoke_time.is_(None))
    living = or_(ApiKeyRow.expire_time.is_(None), ApiKeyRow.expire_time > NOW)
    async with transaction(engine) as session, session.begin():
        # One at a time: a burst of calls must not all be counted before any of them is stored.
        await session.execute(select(UserRow.user_id).where(UserRow.user_id == key.user_id).with_for_update())
        if (await session.scalar(select(func.count()).select_from(ApiKeyRow).where(*mine, living)) or 0) >= keys_max:
            return Refusal.TOO_MANY
        if "withdraw" in key.scopes:
            factor = await session.get(TotpRow, key.user_id)
            if factor is None or factor.confirm_time is None:
                return Refusal.FACTOR_MISSING
        row = (await session.scalars(insert(ApiKeyRow).values(**asdict(key)).returning(ApiKeyRow))).one()
        await tell(session)
        await audit.append(session, entry)
        return row


async def list_keys(
    engine: AsyncEngine, user_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[ApiKeyRow]:
    """A user's keys that are not revoked, newest first; the next page begins `before` (create_time, id) of the last one."""
    query = select(ApiKeyRow).where(ApiKeyRow.user_id == user_id, ApiKeyRow.revoke_time.is_(None))
    if before is not None:
        query = query.where(tuple_(ApiKeyRow.create_time, ApiKeyRow.api_key_id) < before)
    query = query.order_by(ApiKeyRow.create_time.desc(), ApiKeyRow.api_key_id.desc()).limit(limit)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def revoke_key(engine: AsyncEngine, user_id: str, api_key_id: str, entry: audit.Entry) -> bool:
    """Revoke a user's key; one that is revoked stays as it is. False where the user has no such key."""
    if "\0" in api_key_id:
        return False
    mine = (ApiKeyRow.api_key_id == api_key_id, ApiKeyRow.user_id == user_id)
    revoked = update(ApiKeyRow).where(*mine, ApiKeyRow.revoke_time.is_(None)).values(revoke_time=NOW)
    async with transaction(engine) as session, session.begin():
        if await session.scalar(select(ApiKeyRow.api_key_id).where(*mine)) is None:
            return False
        if await session.scalar(revoked.returning(ApiKeyRow.api_key_id)) is not None:
            await audit.append(session, entry)
        return True
