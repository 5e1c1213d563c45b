"""A session ends: its refresh tokens at once, its access tokens as soon as every server has asked for ended sessions."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, user_sessions


async def log_out(engine: AsyncEngine, actor: audit.Actor) -> None:
    session_id = actor.credential
    entry = audit.Entry(actor=actor, action=audit.Action.LOGOUT, object=f"session/{session_id}")
    await user_sessions.revoke_session(engine, session_id, user_sessions.LOGOUT, entry=entry)
