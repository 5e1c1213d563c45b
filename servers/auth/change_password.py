"""A user changes the password. Every other session ends, and the mail tells of it."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, users
from db.outgoing import Letter
from servers.auth.attempts import Attempts, network_of
from servers.auth.errors import PasswordWrong
from servers.auth.outbox import Outbox
from servers.auth.passwords import Passwords, words_of
from servers.domain.errors import Overloaded
from servers.domain.letters import Template
from servers.transport.refusals import NotAuthenticated


async def change_password(
    engine: AsyncEngine,
    passwords: Passwords,
    attempts: Attempts,
    outbox: Outbox,
    *,
    actor: audit.Actor,
    current: str,
    new: str,
) -> None:
    """Raises PasswordWrong, PasswordTooWeak, RateLimited, Overloaded."""
    user = await users.find_user(engine, actor.name)
    if user is None:
        raise NotAuthenticated("unknown user")
    outbox.check_room()
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
    if not await users.change_password(
        engine, user.user_id, user.password_hash, hashed, kept_session=kept, entry=entry
    ):
        raise PasswordWrong  # somebody else changed it meanwhile
    outbox.post(Letter(user.email, Template.PASSWORD_CHANGED, {}, user.user_id))
