"""A user logs in: e-mail and password for tokens.

Unknown, frozen and unverified users and wrong passwords cost one hash each and get the same answer.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from db import user_sessions, users
from servers.auth.attempts import Attempts
from servers.auth.errors import CredentialsInvalid
from servers.auth.identifiers import new_id
from servers.auth.passwords import Passwords
from servers.auth.second_factor import SecondFactor
from servers.auth.tokens import AccessTokens, Grant, RefreshTokens, token_hash
from servers.domain.errors import Overloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody gives to log in, and the network address it comes from."""

    email: str
    password: str = field(repr=False)
    totp_code: str = field(repr=False)
    address: str


async def log_in(
    engine: AsyncEngine,
    passwords: Passwords,
    attempts: Attempts,
    factor: SecondFactor,
    access: AccessTokens,
    given: Given,
    *,
    requires_verified: bool,
    session_life_s: float,
) -> Grant:
    """Open a session.

    Raises CredentialsInvalid, TotpRequired, TotpInvalid, RateLimited, Overloaded.
    """
    place = (users.email_key(given.email), given.address)
    attempts.begin(place)
    user = await users.find_user_by_email(engine, given.email)
    try:
        matches = await passwords.matches(given.password, None if user is None else user.password_hash)
    except Overloaded:
        attempts.undo(place)
        raise
    if user is None or not matches or user.status != users.ACTIVE or (requires_verified and not user.email_verified):
        raise CredentialsInvalid
    attempts.succeed(place)
    proved = await factor.prove_at_login(user.user_id, given.totp_code)
    refresh_token = RefreshTokens.first()
    session = await user_sessions.open_session(
        engine,
        user,
        session_id=new_id("ses"),
        address=given.address,
        refresh_hash=token_hash(refresh_token),
        life_s=session_life_s,
        second_factor=proved,
    )
    if session is None:  # registered anew while the password was looked at
        raise CredentialsInvalid
    if passwords.is_outdated(user.password_hash):
        with suppress(Overloaded):  # the next log-in is as good
            renewed = await passwords.hash(given.password)
            await users.replace_password_hash(engine, user.user_id, user.password_hash, renewed)
    return access.grant(user, session, refresh_token)
