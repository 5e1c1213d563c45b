"""The second factor of a user: enrolled by a code, asked for at log-in and at step-up, and removed.

That it was enrolled or removed its owner is told by mail (OWASP ASVS 6.3.7), which the same transaction stores.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import factors, outgoing, users
from db.audit import Action, Actor, Entry
from db.factors import Blocked, Verdict
from db.models.users import UserRow
from db.outgoing import Letter, Telling
from db.sealing import Place, Sealer
from servers.auth import totp
from servers.auth.errors import SecondFactorEnrolled, TotpInvalid, TotpRequired
from servers.domain.letters import Template
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.refusals import NotAuthenticated, RateLimited, SecondFactorMissing

BUCKET: Final = "TOTP"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the user needs to set up an authenticator; shown once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    recovery_codes: list[str] = field(repr=False)


class SecondFactor:
    def __init__(self, engine: AsyncEngine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    async def enroll(self, call: Call) -> Begun:
        """Raises SecondFactorEnrolled."""
        user = await self._user(call)
        secret, codes = totp.new_secret(), totp.new_recovery_codes()
        sealed = self._sealer.seal(_place(user.user_id), secret.encode())
        hashes = [totp.recovery_hash(code) for code in codes]
        if not await factors.begin(self._engine, user.user_id, sealed, hashes, _entry(call, Action.TOTP_ENROLL)):
            raise SecondFactorEnrolled
        return Begun(secret, totp.uri(secret, user.email), codes)

    async def confirm(self, call: Call, code: str) -> None:
        """Raises SecondFactorMissing where nothing was begun, SecondFactorEnrolled, TotpInvalid, RateLimited."""
        user = await self._user(call)
        check = partial(self._step_of, user.user_id, code)
        entry, tell = _entry(call, Action.TOTP_CONFIRM), self._telling(user, Template.TOTP_ENROLLED)
        verdict = await factors.confirm(self._engine, user.user_id, call.identity.session_id, check, entry, tell)
        if verdict is Verdict.ENROLLED:
            raise SecondFactorEnrolled
        _accept(verdict)

    async def disable(self, call: Call) -> None:
        """Raises SecondFactorMissing."""
        user = await self._user(call)
        entry, tell = _entry(call, Action.TOTP_DISABLE), self._telling(user, Template.TOTP_REMOVED)
        if not await factors.remove(self._engine, user.user_id, call.identity.session_id, entry, tell):
            raise SecondFactorMissing

    async def prove_at_login(self, user_id: str, code: str, actor: Actor) -> bool:
        """Whether the user has a second factor, by which he proved himself. Raises TotpRequired, TotpInvalid, RateLimited."""
        if not await factors.is_enrolled(self._engine, user_id):
            return False
        if not code:
            raise TotpRequired
        await self.prove(user_id, code, actor)
        return True

    async def shows(self, user_id: str, code: str) -> bool:
        """Whether it is a code that would be accepted now; it is not used up, and a wrong one is not counted."""
        found = await factors.look(self._engine, user_id) if code else None
        if found is None:
            return False
        step = self._step_of(user_id, code, found.secret, found.now_s)
        return step is not None and step > found.last_step

    async def prove(
        self, user_id: str, code: str, actor: Actor, session_id: str = "", stepping_up: Entry | None = None
    ) -> None:
        """Use a code, by which the session is authenticated anew. Raises SecondFactorMissing, TotpInvalid, RateLimited."""
        check = partial(self._step_of, user_id, code)
        entry = Entry(actor=actor, action=Action.RECOVERY_CODE_USE, object=f"user/{user_id}")
        hashed = totp.recovery_hash(code)
        verdict = await factors.prove(
            self._engine, user_id, check, hashed, entry, session_id=session_id, stepping_up=stepping_up
        )
        _accept(verdict)

    def _step_of(self, user_id: str, code: str, envelope: bytes, now_s: float) -> int | None:
        return totp.step_of(self._sealer.open(_place(user_id), envelope).decode(), code, now_s)

    def _telling(self, user: UserRow, template: Template) -> Telling:
        return outgoing.telling(self._sealer, Letter(user.email, template, {}, user.user_id))

    async def _user(self, call: Call) -> UserRow:
        user = await users.find_user(self._engine, call.user_id)
        if user is None:
            raise NotAuthenticated("unknown user")
        return user


def _entry(call: Call, action: Action) -> Entry:
    return Entry(actor=actor_of(call), action=action, object=f"user/{call.user_id}")


def _place(user_id: str) -> Place:
    return Place("totp_factors", "secret", user_id)


def _accept(verdict: Verdict | Blocked) -> None:
    """Raises what a verdict other than ACCEPTED means."""
    match verdict:
        case Blocked(wait_s=wait_s):
            raise RateLimited(BUCKET, wait_s)
        case Verdict.WRONG:
            raise TotpInvalid
        case Verdict.MISSING:
            raise SecondFactorMissing
