"""A person registers. The answer, and the time it takes, are the same whether the address is known or not: the mail tells."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, users
from db.outgoing import Letter
from servers.auth.identifiers import new_id
from servers.auth.outbox import Outbox
from servers.auth.passwords import Passwords, words_of
from servers.auth.tokens import VERIFICATION, new_token, token_hash
from servers.domain.letters import Template

VERIFICATION_S: Final = 48 * 3600.0
MESSAGE: Final = "Check your mail: it says how to go on."


async def register(
    engine: AsyncEngine,
    passwords: Passwords,
    outbox: Outbox,
    *,
    actor: audit.Actor,
    email: str,
    password: str,
    display_name: str,
    public_url: str,
) -> None:
    """Store the user and mail the verification token. Raises PasswordTooWeak, Overloaded."""
    outbox.check_room()
    await passwords.refuse_weak(password, words_of(email, display_name))
    password_hash = await passwords.hash(password)
    new = users.NewUser(
        user_id=new_id("usr"),
        email=email,
        password_hash=password_hash,
        display_name=display_name,
        role="USER",
        email_verified=False,
    )
    token = new_token(VERIFICATION)
    hashed = token_hash(token)
    user = await users.add_user(engine, new, verification_hash=hashed, verification_s=VERIFICATION_S, actor=actor)
    if user.email_verified:
        outbox.post(Letter(user.email, Template.ACCOUNT_EXISTS, {}, user.user_id))
    else:
        # No word of what was typed into the form stands in the letter: it may have been typed by somebody else.
        values = {"url": public_url, "token": token}
        outbox.post(Letter(user.email, Template.VERIFY_EMAIL, values, user.user_id))
