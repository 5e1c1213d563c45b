"""An address is verified with the token that was mailed to it."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, users
from servers.auth.errors import VerificationTokenInvalid
from servers.auth.tokens import token_hash


async def verify_email(engine: AsyncEngine, *, actor: audit.Actor, token: str) -> None:
    """Raises VerificationTokenInvalid."""
    if not await users.verify_email(engine, token_hash(token), actor=actor):
        raise VerificationTokenInvalid
