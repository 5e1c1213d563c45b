"""A refresh token is exchanged for a new pair of tokens; a second use of it ends the session."""

from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, user_sessions
from servers.auth.errors import RefreshTokenInvalid
from servers.auth.tokens import AccessTokens, Grant, RefreshTokens, new_nonce, token_hash

# For a client whose answer was lost: it gets the same successor again.
GRACE_S: Final = 10.0

log = structlog.get_logger()


async def refresh(
    engine: AsyncEngine,
    access: AccessTokens,
    tokens: RefreshTokens,
    *,
    actor: audit.Actor,
    token: str,
    grace_s: float = GRACE_S,
) -> Grant:
    """Raises RefreshTokenInvalid."""
    nonce = new_nonce()
    used = await user_sessions.use_refresh_token(
        engine,
        token_hash(token),
        nonce=nonce,
        successor_hash=token_hash(tokens.successor(token, nonce)),
        grace_s=grace_s,
        actor=actor,
    )
    match used:
        case user_sessions.Rotation(user=user, session=session, nonce=first):
            return access.grant(user, session, tokens.successor(token, first))
        case user_sessions.Reuse(session=session):
            log.warning("refresh token used again", user_id=session.user_id, session_id=session.session_id)
    raise RefreshTokenInvalid
