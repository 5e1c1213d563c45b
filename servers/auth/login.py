"""A user logs in: e-mail and password for tokens.

Unknown, frozen and unverified users and wrong passwords cost one hash each and get the same answer.
"""

from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from db import user_sessions, users
from servers.auth.attempts import Attempts
from servers.auth.errors import CredentialsInvalid
from servers.auth.identifiers import new_id
from servers.auth.passwords import Passwords
from servers.auth.tokens import AccessTokens, Grant, RefreshTokens, token_hash
from servers.domain.errors import Overloaded


async def log_in(
    engine: AsyncEngine,
    passwords: Passwords,
    attempts: Attempts,
    access: AccessTokens,
    *,
    email: str,
    password: str,
    address: str,
    requires_verified: bool,
    session_life_s: float,
) -> Grant:
    """Open a session from the network address `address`. Raises CredentialsInvalid, RateLimited, Overloaded."""
    place = (users.email_key(email), address)
    attempts.begin(place)
    user = await users.find_user_by_email(engine, email)
    try:
        matches = await passwords.matches(password, None if user is None else user.password_hash)
    except Overloaded:
        attempts.undo(place)
        raise
    if user is None or not matches or user.status != users.ACTIVE or (requires_verified and not user.email_verified):
        raise CredentialsInvalid
    attempts.succeed(place)
    refresh_token = RefreshTokens.first()
    session = await user_sessions.open_session(
        engine,
        user,
        session_id=new_id("ses"),
        address=address,
        refresh_hash=token_hash(refresh_token),
        life_s=session_life_s,
    )
    if session is None:  # registered anew while the password was looked at
        raise CredentialsInvalid
    if passwords.is_outdated(user.password_hash):
        with suppress(Overloaded):  # the next log-in is as good
            renewed = await passwords.hash(password)
            await users.replace_password_hash(engine, user.user_id, user.password_hash, renewed)
    return access.grant(user, session, refresh_token)
