"""Clients that users sign on to, and the authorization codes that were given to them.

Each function is one transaction; all raise PartUnavailable where the database is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, user_sessions
from db.audit import Action, Actor, Entry
from db.models.credentials import AuthorizationCodeRow, ClientRow
from db.models.users import RefreshTokenRow, SessionRow, UserRow
from db.transactions import NOW, transaction

CODE_REUSED: Final = "AUTHORIZATION_CODE_REUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody shows to exchange a code, and the session that would be opened."""

    code_hash: bytes = field(repr=False)
    client_id: str
    redirect_uri: str
    code_challenge: str
    session_id: str
    address: str
    user_agent: str
    refresh_hash: bytes = field(repr=False)
    life_s: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A code was good: the session that it gave."""

    user: UserRow
    session: SessionRow


@dataclass(frozen=True, slots=True)
class Reused:
    """A code was used again: the session that it gave has ended."""

    session_id: str


async def put_client(
    engine: AsyncEngine, client_id: str, actor: Actor, *, name: str, redirect_uris: Sequence[str], scopes: Sequence[str]
) -> None:
    """Register a client, or give the one with this id another name, redirect URIs and scopes."""
    fields = {"name": name, "redirect_uris": list(redirect_uris), "scopes": list(scopes)}
    put = insert(ClientRow).values(client_id=client_id, **fields)
    async with transaction(engine) as session, session.begin():
        before = await _locked(session, client_id)
        await session.execute(put.on_conflict_do_update(index_elements=["client_id"], set_=fields))
        await audit.append(session, _entry(actor, Action.CLIENT_PUT, client_id, before, fields))


async def remove_client(engine: AsyncEngine, client_id: str, actor: Actor) -> bool:
    """Take a client off the list; sessions that it was given end. False where there is none."""
    async with transaction(engine) as session, session.begin():
        before = await _locked(session, client_id)
        if before is None:
            return False
        await session.execute(delete(ClientRow).where(ClientRow.client_id == client_id))
        await user_sessions.end_client_within(session, client_id)
        await audit.append(session, _entry(actor, Action.CLIENT_REMOVE, client_id, before, None))
        return True


async def _locked(session: AsyncSession, client_id: str) -> dict[str, Any] | None:
    """What a client is now; nobody else changes it until the transaction ends."""
    row = await session.get(ClientRow, client_id, with_for_update=True)
    if row is None:
        return None
    return {"name": row.name, "redirect_uris": list(row.redirect_uris), "scopes": list(row.scopes)}


def _entry(
    actor: Actor, action: Action, client_id: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Entry:
    return Entry(actor=actor, action=action, object=f"client/{client_id}", before=before, after=after)


async def list_clients(engine: AsyncEngine) -> Sequence[ClientRow]:
    async with transaction(engine) as session:
        return (await session.scalars(select(ClientRow).order_by(ClientRow.client_id))).all()


async def find_client(engine: AsyncEngine, client_id: str) -> ClientRow | None:
    if "\0" in client_id:
        return None
    async with transaction(engine) as session:
        return await session.get(ClientRow, client_id)


async def add_code(
    engine: AsyncEngine,
    *,
    code_hash: bytes,
    client_id: str,
    session_id: str,
    redirect_uri: str,
    code_challenge: str,
    life_s: float,
    entry: audit.Entry,
) -> bool:
    """Store a code for what the session's user may give away. False for a session that was itself given to a client."""
    values = {
        "code_hash": code_hash,
        "client_id": client_id,
        "session_id": session_id,
        "redirect_uri": redirect_uri,
        "code_challenge": code_challenge,
    }
    async with transaction(engine) as session, session.begin():
        own = select(SessionRow.session_id).where(
            SessionRow.session_id == session_id, SessionRow.client_id.is_(None), SessionRow.revoke_time.is_(None)
        )
        if await session.scalar(own) is None:
            return False
        expires = NOW + timedelta(seconds=life_s)
        await session.execute(insert(AuthorizationCodeRow).values(**values, expire_time=expires))
        await audit.append(session, entry)
        return True


async def use_code(engine: AsyncEngine, asked: Asked, actor: audit.Actor) -> Opened | Reused | None:
    """Use a code. Of calls at once one opens a session; any other ends it. None for a code that is not good, or not for this."""
    async with transaction(engine) as session, session.begin():
        code = await session.get(AuthorizationCodeRow, asked.code_hash, with_for_update=True)
        if code is None:
            return None
        if code.given_session_id is not None:
            await user_sessions.end_one_within(session, code.given_session_id, CODE_REUSED)
            entry = audit.Entry(actor=actor, action=audit.Action.SIGN_ON_EXCHANGE, outcome=CODE_REUSED)
            await audit.append(session, entry)
            return Reused(code.given_session_id)
        same = (code.client_id, code.redirect_uri, code.code_challenge)
        if same != (asked.client_id, asked.redirect_uri, asked.code_challenge):
            return None
        found = await _living(session, code)
        if found is None:
            return None
        user, giver, client = found
        row = await _open(session, asked, user, giver, client)
        code.use_time, code.given_session_id = NOW, asked.session_id
        await session.flush()
        owner = audit.Actor(audit.ActorKind.USER, user.user_id, asked.session_id, actor.address, actor.request_id)
        what = {"client_id": client.client_id, "scopes": client.scopes}
        entry = audit.Entry(
            actor=owner, action=audit.Action.SIGN_ON_EXCHANGE, object=f"user/{user.user_id}", after=what
        )
        await audit.append(session, entry)
        return Opened(user, row)


async def _living(session: AsyncSession, code: AuthorizationCodeRow) -> tuple[UserRow, SessionRow, ClientRow] | None:
    """Who gave the code, by which session, and to whom: while the code, the session and the user are good."""
    found = (
        select(UserRow, SessionRow, ClientRow)
        .join(SessionRow, SessionRow.user_id == UserRow.user_id)
        .join(AuthorizationCodeRow, AuthorizationCodeRow.session_id == SessionRow.session_id)
        .join(ClientRow, ClientRow.client_id == AuthorizationCodeRow.client_id)
        .where(
            AuthorizationCodeRow.code_hash == code.code_hash,
            AuthorizationCodeRow.expire_time > NOW,
            SessionRow.revoke_time.is_(None),
            SessionRow.expire_time > NOW,
            UserRow.status == user_sessions.ACTIVE,
        )
        .with_for_update(read=True, of=(UserRow, SessionRow))
    )
    row = (await session.execute(found)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


async def _open(session: AsyncSession, asked: Asked, user: UserRow, giver: SessionRow, client: ClientRow) -> SessionRow:
    """A session of the client, authenticated as the one that gave the code was, and held to the client's scopes."""
    values = {
        "session_id": asked.session_id,
        "user_id": user.user_id,
        "address": asked.address,
        "user_agent": asked.user_agent,
        "expire_time": NOW + timedelta(seconds=asked.life_s),
        "auth_time": giver.auth_time,
        "second_factor": giver.second_factor,
        "client_id": client.client_id,
        "scopes": client.scopes,
    }
    row = (await session.scalars(insert(SessionRow).values(values).returning(SessionRow))).one()
    token = {"token_hash": asked.refresh_hash, "session_id": asked.session_id}
    await session.execute(insert(RefreshTokenRow).values(token))
    return row
