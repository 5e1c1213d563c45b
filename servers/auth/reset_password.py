"""A user who lost the password sets a new one, with a token out of the mail.

The request is answered before anybody looks whether the address is known (desk.py), so neither answer nor time tells it.
"""

from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, mailed_tokens, outgoing
from db.outgoing import Letter
from db.sealing import Sealer
from servers.auth.attempts import network_of
from servers.auth.desk import Desk
from servers.auth.errors import MailedTokenInvalid
from servers.auth.passwords import Passwords, words_of
from servers.auth.tokens import token_hash
from servers.domain.letters import Template

MESSAGE: Final = "Check your mail: it says how to go on."


async def request_password_reset(desk: Desk, *, actor: audit.Actor, email: str) -> None:
    """Mail a token to the user who has the address, if there is one. Raises Overloaded."""
    await desk.ask(Template.PASSWORD_RESET, email, actor)


async def reset_password(
    engine: AsyncEngine, passwords: Passwords, sealer: Sealer, *, actor: audit.Actor, token: str, new: str
) -> None:
    """Raises MailedTokenInvalid, PasswordTooWeak, Overloaded."""
    hashed_token = token_hash(token)
    user = await mailed_tokens.find_owner(engine, mailed_tokens.RESET, hashed_token)
    if user is None:
        raise MailedTokenInvalid
    await passwords.refuse_weak(new, words_of(user.email, user.display_name), field="new_password")
    hashed = await passwords.hash(new)
    # Who has the token is the user.
    owner = replace(actor, kind=audit.ActorKind.USER, name=user.user_id)
    entry = audit.Entry(actor=owner, action=audit.Action.PASSWORD_RESET, object=f"user/{user.user_id}")
    place = network_of(actor.address)
    tell = outgoing.telling(sealer, Letter(user.email, Template.PASSWORD_WAS_RESET, {}, user.user_id))
    if await mailed_tokens.reset_password(engine, hashed_token, hashed, place, entry=entry, tell=tell) is None:
        raise MailedTokenInvalid
