"""A session is authenticated anew, for what demands a fresh authentication."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from db import factors
from db.audit import Action, Entry, record
from db.models.users import UserRow
from servers.auth.attempts import Attempts
from servers.auth.errors import CredentialsInvalid, TotpInvalid, TotpRequired
from servers.auth.passwords import Passwords
from servers.auth.second_factor import SecondFactor
from servers.auth.tokens import AccessTokens, Grant
from servers.domain.errors import Overloaded
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.refusals import NotAuthenticated


async def step_up(
    engine: AsyncEngine,
    passwords: Passwords,
    attempts: Attempts,
    factor: SecondFactor,
    access: AccessTokens,
    *,
    call: Call,
    password: str,
    totp_code: str,
) -> Grant:
    """A new access token of the session. Its refresh token is empty: the old one stays.

    Raises CredentialsInvalid, TotpRequired, TotpInvalid, SecondFactorMissing, RateLimited, Overloaded.
    """
    identity = call.identity
    found = await factors.find_session(engine, identity.session_id)
    if found is None:
        raise NotAuthenticated("session over")
    _, user = found
    entry = Entry(actor=actor_of(call), action=Action.STEP_UP, object=f"session/{identity.session_id}")
    try:
        if totp_code:
            await factor.prove(user.user_id, totp_code, entry.actor, identity.session_id, entry)
        else:
            await _by_password(engine, passwords, attempts, user, password, entry)
    except (CredentialsInvalid, TotpInvalid) as refused:
        await record(engine, replace(entry, outcome=refused.reason))
        raise
    fresh = await factors.find_session(engine, identity.session_id)
    if fresh is None:
        raise NotAuthenticated("session over")
    session, user = fresh
    return access.grant(user, session, "")


async def _by_password(
    engine: AsyncEngine, passwords: Passwords, attempts: Attempts, user: UserRow, password: str, entry: Entry
) -> None:
    """Raises CredentialsInvalid, TotpRequired, RateLimited, Overloaded."""
    session_id = entry.actor.credential
    # By session: a thief of one has no more tries than its user.
    attempt = await attempts.begin(user.email_key, f"step-up {session_id}", known=True)
    try:
        matches = await passwords.matches(password, user.password_hash)
    except Overloaded:
        await attempts.undo(attempt)
        raise
    if not matches:
        raise CredentialsInvalid
    await attempts.succeed(attempt)
    if not await factors.authenticate(engine, user.user_id, session_id, entry):
        raise TotpRequired
