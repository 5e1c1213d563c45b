"""A person registers. The answer, and the time it takes, are the same whether the address is known or not: the mail tells.

The letter is stored by the transaction that stores the user, by the same statements and with the same values in every case.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, outgoing, users
from db.crash_points import passing
from db.models.users import UserRow
from db.outgoing import Letter
from db.sealing import Sealer
from servers.auth.identifiers import new_id
from servers.auth.passwords import Passwords, words_of
from servers.auth.tokens import VERIFICATION, new_token, token_hash
from servers.domain.letters import Template

VERIFICATION_S: Final = 48 * 3600.0
MESSAGE: Final = "Check your mail: it says how to go on."


async def register(
    engine: AsyncEngine,
    passwords: Passwords,
    sealer: Sealer,
    *,
    actor: audit.Actor,
    email: str,
    password: str,
    display_name: str,
    public_url: str,
) -> None:
    """Store the user and a letter with the verification token. Raises PasswordTooWeak, Overloaded."""
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
    # No word of what was typed into the form stands in the letter: it may have been typed by somebody else. That of a verified
    # user does not show the token, which is good for nothing.
    values = {"url": public_url, "token": token}

    async def tell(session: AsyncSession, user: UserRow) -> None:
        template = Template.ACCOUNT_EXISTS if user.email_verified else Template.VERIFY_EMAIL
        await outgoing.append(session, sealer, Letter(user.email, template, values, user.user_id))

    hashed = token_hash(token)
    await users.add_user(engine, new, verification_hash=hashed, verification_s=VERIFICATION_S, actor=actor, tell=tell)
    passing("user-registered")
