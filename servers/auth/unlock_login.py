"""While somebody guesses at a password, its owner proves by mail where to log in from."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, mailed_tokens, users
from servers.auth.attempts import network_of
from servers.auth.desk import Desk
from servers.auth.errors import MailedTokenInvalid
from servers.auth.tokens import token_hash
from servers.domain.errors import Overloaded, PartUnavailable
from servers.domain.letters import Template

# A flood asks the desk so often for one address; of the letters there is one an hour.
PAUSE_S: Final = 60.0
RUNG_MAX: Final = 10_000


class Alarm:
    """Tells owners that others guess at their passwords: by mail, at most once an hour."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock
        # When the desk was asked for an address, known or not; the oldest first.
        self._rung: OrderedDict[str, float] = OrderedDict()

    async def ring(self, email: str, actor: audit.Actor) -> None:
        """Whoever has the address of mail is told; the caller does not learn whether anybody has."""
        key, now = users.email_key(email), self._clock()
        if now - self._rung.get(key, float("-inf")) < PAUSE_S:
            return
        self._rung[key] = now
        self._rung.move_to_end(key)
        if len(self._rung) > RUNG_MAX:
            self._rung.popitem(last=False)
        try:
            await self._desk.ask(Template.LOGIN_GUESSED, email, actor)
        except (Overloaded, PartUnavailable):
            self._rung.pop(key, None)  # the next guess rings again


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
