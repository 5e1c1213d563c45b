"""A session ends: its refresh tokens at once, its access tokens as soon as every server has asked for ended sessions."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db import user_sessions


async def log_out(engine: AsyncEngine, session_id: str) -> None:
    await user_sessions.revoke_session(engine, session_id, user_sessions.LOGOUT)
