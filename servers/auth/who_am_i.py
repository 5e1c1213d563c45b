"""Who the caller is, as stored now."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db import users
from db.models.users import UserRow
from servers.transport.refusals import NotAuthenticated


async def who_am_i(engine: AsyncEngine, user_id: str) -> UserRow:
    """Raises NotAuthenticated for a token of a user who is not there."""
    user = await users.find_user(engine, user_id)
    if user is None:
        raise NotAuthenticated("unknown user")
    return user
