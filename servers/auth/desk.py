"""Letters that somebody asks for by an address of mail: a token for a new password, or one while others guess at the old one.

That it was asked for is stored before the answer, by the same one statement whether anybody has the address or not: nobody looks
by then, so neither answer nor time tells it. The desk looks afterwards, and stores the letter in the transaction that forgets the
asking: a crash neither loses nor doubles it, and what was asked in vain is gone.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, mailed_tokens, outgoing, users
from db.crash_points import passing
from db.outgoing import Letter, Taken
from db.sealing import SealBroken, Sealer
from db.transactions import transaction
from servers.auth.tokens import RESET, UNLOCK, new_token, token_hash
from servers.domain.errors import Overloaded, PartUnavailable
from servers.domain.letters import Channel, Template

# What a flood leaves is bounded; each is written within milliseconds.
WAITING_MAX: Final = 1_000
RETRY_AFTER_S: Final = 5.0
AT_ONCE: Final = 8
# Until what does not open is looked at again: a key that is gone may come back.
BROKEN_S: Final = 3600.0
# What this server was asked is looked at at once; what another one left behind after so long.
LOOK_S: Final = 5.0

log = structlog.get_logger()


class Errand(NamedTuple):
    """What belongs to a kind of letter: the kind of its token, how it is stored, how long it is good, and what is noted."""

    token: str
    purpose: str
    life_s: float
    action: audit.Action
    outcome: str


ERRANDS: Final = {
    Template.PASSWORD_RESET: Errand(RESET, mailed_tokens.RESET, 1800.0, audit.Action.PASSWORD_RESET_REQUEST, audit.OK),
    Template.LOGIN_GUESSED: Errand(UNLOCK, mailed_tokens.UNLOCK, 3600.0, audit.Action.LOGIN, "RATE_LIMITED"),
}


class Desk:
    """Takes on letters and writes them. Several may work at once: each letter is written by one. `public_url` stands in them."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, public_url: str) -> None:
        self._engine, self._sealer, self._public_url = engine, sealer, public_url
        self._asked = asyncio.Event()

    async def ask(self, template: Template, email: str, actor: audit.Actor) -> None:
        """A letter to whoever has an address, if anybody has. Raises Overloaded, PartUnavailable."""
        assert template in ERRANDS
        letter = Letter(email, template, _values(actor))
        if not await outgoing.ask(self._engine, self._sealer, letter, waiting_max=WAITING_MAX):
            raise Overloaded(RETRY_AFTER_S)
        passing("mail-asked")
        self._asked.set()

    async def run(self) -> None:
        """Write what was asked for, until cancelled."""
        while True:
            self._asked.clear()
            if not await self._look():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_S)

    async def _look(self) -> bool:
        """Write some; where that fails what was taken is anybody's again after a while. Returns whether there may be more."""
        try:
            return await self.write_some() == AT_ONCE
        except (PartUnavailable, SealBroken) as error:
            log.warning("letters not written yet", cause=str(error))
            return False

    async def write_some(self) -> int:
        """Write what is due, a few at most. Returns how many were looked at. Raises PartUnavailable, SealBroken."""
        taken = await outgoing.take(self._engine, self._sealer, AT_ONCE, Channel.ASKED)
        for each in taken:
            await self._write(each)
        return len(taken)

    async def _write(self, taken: Taken) -> None:
        asked = taken.letter
        if asked is None:
            log.error("letter does not open", message_id=taken.message_id, attempt=taken.attempts)
            await outgoing.put_off(self._engine, taken.message_id, "its seal is broken", BROKEN_S)
            return
        errand, token = ERRANDS[asked.template], new_token(ERRANDS[asked.template].token)
        async with transaction(self._engine) as session, session.begin():
            if not await outgoing.forget_within(session, taken.message_id):
                return  # somebody else wrote it
            user = await users.find_by_address(session, asked.address)
            if user is None or not await mailed_tokens.add_within(
                session, user.user_id, errand.purpose, token_hash(token), life_s=errand.life_s
            ):
                return
            values = {"url": self._public_url, "token": token}
            await outgoing.append(session, self._sealer, Letter(user.email, asked.template, values, user.user_id))
            actor, found = _actor(asked.values), f"user/{user.user_id}"
            await audit.append(
                session, audit.Entry(actor=actor, action=errand.action, object=found, outcome=errand.outcome)
            )
            passing("mail-writing")
        passing("mail-written")


def _values(actor: audit.Actor) -> dict[str, str]:
    named = {"kind": actor.kind.value, "name": actor.name, "credential": actor.credential}
    return named | {"address": actor.address, "request_id": actor.request_id}


def _actor(values: Mapping[str, str]) -> audit.Actor:
    kind, name, credential = audit.ActorKind(values["kind"]), values["name"], values["credential"]
    return audit.Actor(kind, name, credential, values["address"], values["request_id"])
