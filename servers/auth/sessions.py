"""A user looks at the open sessions, and ends one."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, user_sessions
from db.models.users import SessionRow
from servers.auth.errors import SessionNotFound
from servers.transport.identity import Identity
from servers.transport.paging import PageTokens, page_size
from venue.auth.v1 import auth_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def list_sessions(
    engine: AsyncEngine, tokens: PageTokens, request: pb.ListSessionsRequest, identity: Identity
) -> pb.ListSessionsResponse:
    """Raises PageTokenInvalid."""
    scope = ("sessions", identity.user_id)
    cursor = tokens.read(scope, request.page_token)
    before = None if cursor is None else (_EPOCH + timedelta(microseconds=int(cursor[0])), str(cursor[1]))
    size = page_size(request.page_size)
    rows = await user_sessions.list_sessions(engine, identity.user_id, before=before, limit=size + 1)
    page = [session_of(row, identity.session_id) for row in rows[:size]]
    last = page[-1] if len(rows) > size else None
    token = "" if last is None else tokens.issue(scope, [last.create_time.ToMicroseconds(), last.session_id])
    return pb.ListSessionsResponse(sessions=page, next_page_token=token)


def session_of(row: SessionRow, current: str) -> pb.Session:
    session = pb.Session(
        session_id=row.session_id,
        user_agent=row.user_agent,
        address=row.address,
        current=row.session_id == current,
    )
    session.create_time.FromDatetime(row.create_time)
    session.last_used_time.FromDatetime(row.use_time)
    session.expire_time.FromDatetime(row.expire_time)
    return session


async def revoke_session(engine: AsyncEngine, *, actor: audit.Actor, session_id: str) -> None:
    """End a session of the actor. Raises SessionNotFound for an unknown one, or somebody else's."""
    entry = audit.Entry(actor=actor, action=audit.Action.SESSION_REVOKE, object=f"session/{session_id}")
    own = await user_sessions.revoke_own_session(engine, actor.name, session_id, user_sessions.REVOKED, entry=entry)
    if not own:
        raise SessionNotFound
