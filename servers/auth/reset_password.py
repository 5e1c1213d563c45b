"""A user who lost the password sets a new one, with a token out of the mail.

The request is answered before anybody looks whether the address is known, so neither answer nor time tells it.
"""

from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, mailed_tokens, users
from db.outgoing import Letter
from servers.auth.attempts import network_of
from servers.auth.errors import MailedTokenInvalid
from servers.auth.outbox import Outbox
from servers.auth.passwords import Passwords, words_of
from servers.auth.tokens import RESET, new_token, token_hash
from servers.domain.letters import Template

RESET_S: Final = 1800.0
MESSAGE: Final = "Check your mail: it says how to go on."


async def request_password_reset(
    engine: AsyncEngine, outbox: Outbox, *, actor: audit.Actor, email: str, public_url: str
) -> None:
    """Mail a token to the user who has the address, if there is one. Raises Overloaded."""

    async def letter() -> Letter | None:
        user = await users.find_user_by_email(engine, email)
        if user is None:
            return None
        token = new_token(RESET)
        entry = audit.Entry(actor=actor, action=audit.Action.PASSWORD_RESET_REQUEST, object=f"user/{user.user_id}")
        purpose, hashed = mailed_tokens.RESET, token_hash(token)
        added = await mailed_tokens.add_mailed_token(engine, user.user_id, purpose, hashed, life_s=RESET_S, entry=entry)
        values = {"url": public_url, "token": token}
        return Letter(user.email, Template.PASSWORD_RESET, values, user.user_id) if added else None

    outbox.write(letter)


async def reset_password(
    engine: AsyncEngine, passwords: Passwords, outbox: Outbox, *, actor: audit.Actor, token: str, new: str
) -> None:
    """Raises MailedTokenInvalid, PasswordTooWeak, Overloaded."""
    hashed_token = token_hash(token)
    user = await mailed_tokens.find_owner(engine, mailed_tokens.RESET, hashed_token)
    if user is None:
        raise MailedTokenInvalid
    outbox.check_room()
    await passwords.refuse_weak(new, words_of(user.email, user.display_name), field="new_password")
    hashed = await passwords.hash(new)
    # Who has the token is the user.
    owner = replace(actor, kind=audit.ActorKind.USER, name=user.user_id)
    entry = audit.Entry(actor=owner, action=audit.Action.PASSWORD_RESET, object=f"user/{user.user_id}")
    place = network_of(actor.address)
    if await mailed_tokens.reset_password(engine, hashed_token, hashed, place, entry=entry) is None:
        raise MailedTokenInvalid
    outbox.post(Letter(user.email, Template.PASSWORD_WAS_RESET, {}, user.user_id))
