"""While somebody guesses at a password, its owner proves by mail where to log in from."""

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, mailed_tokens, users
from db.outgoing import Letter
from servers.auth.attempts import network_of
from servers.auth.errors import MailedTokenInvalid
from servers.auth.outbox import Outbox
from servers.auth.tokens import UNLOCK, new_token, token_hash
from servers.domain.errors import Overloaded
from servers.domain.letters import Template

UNLOCK_S: Final = 3600.0
ALARMED_MAX: Final = 10_000


class Alarm:
    """Tells owners that others guess at their passwords: by mail, at most once an hour."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, public_url: str) -> None:
        self._engine = engine
        self._outbox = outbox
        self._public_url = public_url
        # Addresses whose mail is being written: a flood asks once.
        self._writing: OrderedDict[str, None] = OrderedDict()

    def ring(self, email: str, actor: audit.Actor) -> None:
        """Whoever has the address of mail is told; the caller does not learn whether anybody has."""
        key = users.email_key(email)
        if key in self._writing or len(self._writing) >= ALARMED_MAX:
            return

        async def letter() -> Letter | None:
            try:
                return await self._letter(email, actor)
            finally:
                self._writing.pop(key, None)

        try:
            self._outbox.write(letter)
        except Overloaded:
            return  # the next guess rings again
        self._writing[key] = None

    async def _letter(self, email: str, actor: audit.Actor) -> Letter | None:
        user = await users.find_user_by_email(self._engine, email)
        if user is None:
            return None
        token = new_token(UNLOCK)
        entry = audit.Entry(
            actor=actor, action=audit.Action.LOGIN, object=f"user/{user.user_id}", outcome="RATE_LIMITED"
        )
        added = await mailed_tokens.add_mailed_token(
            self._engine, user.user_id, mailed_tokens.UNLOCK, token_hash(token), life_s=UNLOCK_S, entry=entry
        )
        if not added:
            return None
        values = {"url": self._public_url, "token": token}
        return Letter(user.email, Template.LOGIN_GUESSED, values, user.user_id)


async def unlock_login(engine: AsyncEngine, *, actor: audit.Actor, token: str) -> None:
    """The caller's place is one of its owner's from now on. Raises MailedTokenInvalid."""
    hashed = token_hash(token)
    user = await mailed_tokens.find_owner(engine, mailed_tokens.UNLOCK, hashed)
    if user is None:
        raise MailedTokenInvalid
    owner = replace(actor, kind=audit.ActorKind.USER, name=user.user_id)
    entry = audit.Entry(actor=owner, action=audit.Action.USER_UNLOCK, object=f"user/{user.user_id}")
    if await mailed_tokens.unlock(engine, hashed, network_of(actor.address), entry=entry) is None:
        raise MailedTokenInvalid
