"""Endpoints of webhooks and their secrets, as their users see and change them.

Each function is one transaction; all raise PartUnavailable where the database is away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit
from db.models.users import UserRow
from db.models.webhooks import WebhookEndpointRow, WebhookSecretRow
from db.sealing import Place
from db.transactions import NOW, transaction

ENABLED: Final = "ENABLED"
DISABLED: Final = "DISABLED"
GONE: Final = "GONE"
SECRETS_MAX: Final = 3

Audited = Callable[[WebhookEndpointRow], audit.Entry]
"""The entry of the audit log for a change of an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint that is to be stored. `fingerprint` tells one body from another under the same request_id."""

    endpoint_id: str
    user_id: str
    account_id: str | None
    url: str
    description: str
    event_types: Sequence[str]
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that is to be stored, sealed for its place."""

    secret_id: str
    envelope: bytes


def secret_place(secret_id: str) -> Place:
    """Where a secret stands, for its envelope."""
    return Place("webhook_secrets", "secret", secret_id)


async def add_endpoint(
    engine: AsyncEngine, new: NewEndpoint, secret: NewSecret, *, endpoints_max: int, entry: audit.Entry
) -> tuple[WebhookEndpointRow, bool] | None:
    """Store an endpoint with its secret, unless its request_id has one already. Returns it, and whether it is new; None where
    the user has all that one may have.
    """
    mine = WebhookEndpointRow.user_id == new.user_id
    async with transaction(engine) as session, session.begin():
        # One at a time: a burst of calls must not all be counted before any of them is stored.
        await session.execute(select(UserRow.user_id).where(UserRow.user_id == new.user_id).with_for_update())
        if new.request_id:
            same = select(WebhookEndpointRow).where(mine, WebhookEndpointRow.request_id == new.request_id)
            found = await session.scalar(same)
            if found is not None:
                return found, False
        if (
            await session.scalar(select(func.count()).select_from(WebhookEndpointRow).where(mine)) or 0
        ) >= endpoints_max:
            return None
        put = insert(WebhookEndpointRow).values(**asdict(new)).returning(WebhookEndpointRow)
        row = (await session.scalars(put)).one()
        await _put_secret(session, new.endpoint_id, secret)
        await audit.append(session, entry)
        return row, True


async def _put_secret(session: AsyncSession, endpoint_id: str, secret: NewSecret) -> None:
    values = {"secret_id": secret.secret_id, "endpoint_id": endpoint_id, "secret": secret.envelope}
    await session.execute(insert(WebhookSecretRow).values(**values))


async def find_endpoint(engine: AsyncEngine, user_id: str, endpoint_id: str) -> WebhookEndpointRow | None:
    """A user's endpoint; None where the user has no such one."""
    if "\0" in endpoint_id:
        return None
    async with transaction(engine) as session:
        return await session.scalar(_own(user_id, endpoint_id))


async def list_endpoints(
    engine: AsyncEngine, user_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[WebhookEndpointRow]:
    """A user's endpoints, newest first; the next page begins `before` (create_time, id) of the last one."""
    place = (WebhookEndpointRow.create_time, WebhookEndpointRow.endpoint_id)
    query = select(WebhookEndpointRow).where(WebhookEndpointRow.user_id == user_id)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query.order_by(*(column.desc() for column in place)).limit(limit))).all()


async def change_endpoint(
    engine: AsyncEngine, user_id: str, endpoint_id: str, values: Mapping[str, Any], audited: Audited
) -> WebhookEndpointRow | None:
    """Set columns of a user's endpoint. None where the user has no such one."""
    async with transaction(engine) as session, session.begin():
        row = await session.scalar(_own(user_id, endpoint_id).with_for_update())
        if row is None:
            return None
        mine = WebhookEndpointRow.endpoint_id == endpoint_id
        await session.execute(update(WebhookEndpointRow).where(mine).values(**values, update_time=NOW))
        await session.refresh(row)
        await audit.append(session, audited(row))
        return row


async def delete_endpoint(engine: AsyncEngine, user_id: str, endpoint_id: str, audited: Audited) -> bool:
    """Remove a user's endpoint with secrets and deliveries. False where the user has no such one."""
    async with transaction(engine) as session, session.begin():
        row = await session.scalar(_own(user_id, endpoint_id).with_for_update())
        if row is None:
            return False
        await session.execute(delete(WebhookEndpointRow).where(WebhookEndpointRow.endpoint_id == endpoint_id))
        await audit.append(session, audited(row))
        return True


async def rotate_secret(
    engine: AsyncEngine, user_id: str, endpoint_id: str, secret: NewSecret, overlap: timedelta, audited: Audited
) -> datetime | None:
    """Put a secret in the place of a user's endpoint's. Those before it end after `overlap` at the latest, the oldest at once
    where there would be more than three. Returns when; None where the user has no such endpoint.
    """
    of_it = WebhookSecretRow.endpoint_id == endpoint_id
    async with transaction(engine) as session, session.begin():
        row = await session.scalar(_own(user_id, endpoint_id).with_for_update())
        if row is None:
            return None
        end: datetime | None = await session.scalar(select(NOW + overlap))
        assert end is not None
        sooner = func.least(func.coalesce(WebhookSecretRow.expire_time, end), end)
        await session.execute(update(WebhookSecretRow).where(of_it).values(expire_time=sooner))
        kept = select(WebhookSecretRow.secret_id).where(of_it, WebhookSecretRow.expire_time > NOW)
        kept = kept.order_by(WebhookSecretRow.create_time.desc()).limit(SECRETS_MAX - 1)
        await session.execute(delete(WebhookSecretRow).where(of_it, WebhookSecretRow.secret_id.not_in(kept)))
        await _put_secret(session, endpoint_id, secret)
        await audit.append(session, audited(row))
        return end


async def current_secret(engine: AsyncEngine, endpoint_id: str) -> WebhookSecretRow:
    """The secret that a user is shown."""
    current = (WebhookSecretRow.endpoint_id == endpoint_id, WebhookSecretRow.expire_time.is_(None))
    async with transaction(engine) as session:
        return (await session.scalars(select(WebhookSecretRow).where(*current))).one()


def _own(user_id: str, endpoint_id: str) -> "Select[WebhookEndpointRow]":
    return select(WebhookEndpointRow).where(
        WebhookEndpointRow.endpoint_id == endpoint_id, WebhookEndpointRow.user_id == user_id
    )


async def disable_gone(session: AsyncSession, endpoint_id: str, url: str) -> str | None:
    """An endpoint said that it is no more. Returns whose it was; None where it is disabled or elsewhere already."""
    mine = (WebhookEndpointRow.endpoint_id == endpoint_id) & (WebhookEndpointRow.url == url)
    gone = update(WebhookEndpointRow).where(mine, WebhookEndpointRow.state == "ENABLED")
    return await session.scalar(gone.values(state="GONE", update_time=NOW).returning(WebhookEndpointRow.user_id))
