"""A user changes the password. Every other session ends, and the mail tells of it."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, outgoing, users
from db.crash_points import passing
from db.outgoing import Letter
from db.sealing import Sealer
from servers.auth.attempts import Attempts, network_of
from servers.auth.errors import PasswordWrong
from servers.auth.passwords import Passwords, words_of
from servers.domain.errors import Overloaded
from servers.domain.letters import Template
from servers.transport.refusals import NotAuthenticated


async def change_password(
    engine: AsyncEngine,
    passwords: Passwords,
    attempts: Attempts,
    sealer: Sealer,
    *,
    actor: audit.Actor,
    current: str,
    new: str,
) -> None:
    """Raises PasswordWrong, PasswordTooWeak, RateLimited, Overloaded."""
    user = await users.find_user(engine, actor.name)
    if user is None:
        raise NotAuthenticated("unknown user")
    # Whoever found an open session guesses no faster than at the door. The owner's own place counts by itself.
    attempt = await attempts.begin(user.email_key, network_of(actor.address), known=True)
    try:
        matches = await passwords.matches(current, user.password_hash)
    except Overloaded:
        await attempts.undo(attempt)
        raise
    entry = audit.Entry(actor=actor, action=audit.Action.PASSWORD_CHANGE, object=f"user/{user.user_id}")
    if not matches:
        await audit.record(engine, replace(entry, outcome=PasswordWrong.reason))
        raise PasswordWrong
    await attempts.succeed(attempt)
    await passwords.refuse_weak(new, words_of(user.email, user.display_name), field="new_password")
    hashed = await passwords.hash(new)
    kept = actor.credential
    tell = outgoing.telling(sealer, Letter(user.email, Template.PASSWORD_CHANGED, {}, user.user_id))
    if not await users.change_password(
        engine, user.user_id, user.password_hash, hashed, kept_session=kept, entry=entry, tell=tell
    ):
        raise PasswordWrong  # somebody else changed it meanwhile
    passing("password-changed")
