"""A person registers. The answer, and the time it takes, are the same whether the address is known or not: the mail tells."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, users
from servers.auth.identifiers import new_id
from servers.auth.mail import Mail
from servers.auth.outbox import Outbox
from servers.auth.passwords import Passwords, words_of
from servers.auth.tokens import VERIFICATION, new_token, token_hash

VERIFICATION_S: Final = 48 * 3600.0
MESSAGE: Final = "Check your mail: it says how to go on."
# No word of what was typed into the form stands in a mail: it may have been typed by somebody else.
VERIFY: Final = """\
Somebody, hopefully you, registered this address at venue.

To verify it, send the token below within 48 hours to VerifyEmail:

    curl {url}/v1/auth/verify-email -d '{{"token": "{token}"}}'

or open

    {url}/#/verify?token={token}

Until then you can log in and trade on demo accounts. If it was not you, do nothing.

Token: {token}
"""
KNOWN: Final = """\
Somebody, hopefully you, registered this address at venue. It has an account already: log in with its password.

If it was not you, do nothing: nothing was changed.
"""


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
        outbox.post(Mail(user.email, "You have an account already", KNOWN))
    else:
        outbox.post(Mail(user.email, "Verify your address", VERIFY.format(url=public_url, token=token)))
