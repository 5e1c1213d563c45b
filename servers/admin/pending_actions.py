"""Maker-checker: one person proposes, another approves or rejects, and what was approved is executed once."""

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import structlog
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, pending_actions
from db.audit import OK, Action, Actor, ActorKind, Entry
from db.models.pending_actions import PendingActionRow
from db.pending_actions import APPROVED, EXECUTED, EXPIRED, FAILED, PROPOSED, REJECTED, Proposal
from db.transactions import transaction
from servers.admin.errors import (
    PendingActionDecided,
    PendingActionExpired,
    PendingActionNotFound,
    SecondPersonNeeded,
)
from servers.admin.executors import Deed, Kind
from servers.domain.errors import PartUnavailable, RequestIdReused, VenueError

# Outcomes that say nothing about what was done: ask again.
UNKNOWN: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "CANCELLED", "UNAUTHENTICATED"}
)
SWEEP_S: Final = 5.0
SWEEPER: Final = Actor(ActorKind.SYSTEM, "sweeper")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody proposes. `subject` is the user whom it is about, or who profits."""

    kind: str
    payload: Mapping[str, Any]
    subject: str
    reason: str
    request_id: str
    # Tells one body of a request from another under the same request_id.
    fingerprint: bytes


def fingerprint(request: Message) -> bytes:
    """Of the body of a request, its request_id aside."""
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return sha256(request.DESCRIPTOR.full_name.encode() + plain.SerializeToString(deterministic=True)).digest()


class PendingActions:
    """Proposes, decides and executes. A proposal lives for `life`; for as long as `trust` nobody approves what those propose who
    gave him his role.
    """

    def __init__(
        self, engine: AsyncEngine, kinds: Mapping[str, Kind], *, life: timedelta, trust: timedelta = timedelta(days=7)
    ) -> None:
        self._engine = engine
        self._kinds = kinds
        self._life = life
        self._trust = trust

    async def find_replayed(self, actor: Actor, request_id: str, fingerprint: bytes) -> PendingActionRow | None:
        """What the same call made before. Raises RequestIdReused."""
        row = await pending_actions.find_request(self._engine, actor.name, request_id.lower()) if request_id else None
        if row is not None and row.fingerprint != fingerprint:
            raise RequestIdReused(request_id)
        return row

    async def propose(self, wish: Wish, actor: Actor) -> tuple[PendingActionRow, bool]:
        """Returns the action, and whether this repeats an earlier call. Raises RequestIdReused."""
        proposal = Proposal(
            pending_action_id=f"act-{uuid.uuid4()}",
            kind=wish.kind,
            payload=wish.payload,
            subject=wish.subject,
            proposer=actor.name,
            request_id=wish.request_id.lower(),
            fingerprint=wish.fingerprint,
            reason=wish.reason,
        )
        async with transaction(self._engine) as session, session.begin():
            row, is_new = await pending_actions.propose(session, proposal, self._life)
            if not is_new:
                if row.fingerprint != proposal.fingerprint:
                    raise RequestIdReused(wish.request_id)
                return row, True
            await self._append(session, actor, Action.PENDING_ACTION_PROPOSE, row, None)
            return row, False

    async def approve(self, pending_action_id: str, reason: str, actor: Actor) -> PendingActionRow:
        """Approve and execute. Of one's own approval a repetition answers the same.

        Raises PendingActionNotFound, PendingActionDecided, PendingActionExpired, SecondPersonNeeded.
        """
        async with transaction(self._engine) as session, session.begin():
            row = await self._lock(session, pending_action_id)
            if row.decider != actor.name or row.state not in {APPROVED, EXECUTED, FAILED}:
                await self._check_open(session, row)
                await self._check_second_person(session, row, actor.name)
                before = row.state
                await pending_actions.decide(session, row, APPROVED, actor.name, reason)
                await self._append(session, actor, Action.PENDING_ACTION_APPROVE, row, before)
        if row.state == APPROVED:
            with suppress(PartUnavailable):  # it is approved: what is away now is asked again by the sweeper
                await self.execute(pending_action_id, actor)
        found = await pending_actions.find(self._engine, pending_action_id)
        assert found is not None, "nothing is ever deleted"
        return found

    async def reject(self, pending_action_id: str, reason: str, actor: Actor) -> PendingActionRow:
        """Raises PendingActionNotFound, PendingActionDecided, PendingActionExpired."""
        async with transaction(self._engine) as session, session.begin():
            row = await self._lock(session, pending_action_id)
            if row.decider != actor.name or row.state != REJECTED:
                await self._check_open(session, row)
                before = row.state
                await pending_actions.decide(session, row, REJECTED, actor.name, reason)
                await self._append(session, actor, Action.PENDING_ACTION_REJECT, row, before)
            return row

    async def execute(self, pending_action_id: str, actor: Actor) -> None:
        """Execute an action that is approved, unless somebody is at it. Raises PartUnavailable: it stays approved."""
        async with transaction(self._engine) as session, session.begin():
            row = await pending_actions.lock_approved(session, pending_action_id)
            if row is None:
                return
            kind = self._kinds[row.kind]
            deed, outcome = Deed(None, {}), OK
            try:
                async with session.begin_nested():  # what is refused leaves nothing
                    deed = await kind.execute(session, row)
            except VenueError as error:
                if error.code in UNKNOWN:
                    log.warning("pending action not executed yet", id=pending_action_id, reason=error.reason)
                    raise PartUnavailable("the engine") from None
                outcome = error.reason
            if outcome == OK:
                await pending_actions.finish(session, row, EXECUTED)
            else:
                await pending_actions.finish(session, row, FAILED, outcome)
            who = {"pending_action": row.pending_action_id, "proposer": row.proposer, "approver": row.decider}
            entry = Entry(
                actor=actor,
                action=kind.action,
                object=kind.object(row.payload),
                before=deed.before,
                after={**deed.after, **who},
                outcome=outcome,
            )
            await audit.append(session, entry)

    async def sweep(self) -> None:
        """Execute what was left approved, and let expire what nobody decided. Raises PartUnavailable."""
        approved, expired = await pending_actions.list_undone(self._engine)
        for pending_action_id in approved:
            with suppress(PartUnavailable):
                await self._survive(self.execute(pending_action_id, SWEEPER), pending_action_id)
        for pending_action_id in expired:
            await self._survive(self._expire(pending_action_id), pending_action_id)

    @staticmethod
    async def _survive(deed: Awaitable[None], pending_action_id: str) -> None:
        """One action that the program is wrong about stays as it is, and does not stand in the way of the others."""
        (failed,) = await asyncio.gather(deed, return_exceptions=True)
        if isinstance(failed, PartUnavailable):
            raise failed
        if isinstance(failed, Exception):
            log.error("pending action not executed: a fault", id=pending_action_id, exc_info=failed)

    async def _expire(self, pending_action_id: str) -> None:
        async with transaction(self._engine) as session, session.begin():
            row = await self._lock(session, pending_action_id)
            if row.state == PROPOSED and await pending_actions.has_expired(session, row):
                await pending_actions.finish(session, row, EXPIRED)
                await self._append(session, SWEEPER, Action.PENDING_ACTION_EXPIRE, row, PROPOSED)

    async def keep_sweeping(self, every_s: float = SWEEP_S) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except PartUnavailable as error:
                log.warning("pending actions not swept", cause=str(error))
            await asyncio.sleep(every_s)

    @staticmethod
    async def _lock(session: AsyncSession, pending_action_id: str) -> PendingActionRow:
        row = await pending_actions.lock(session, pending_action_id)
        if row is None:
            raise PendingActionNotFound(pending_action_id)
        return row

    @staticmethod
    async def _check_open(session: AsyncSession, row: PendingActionRow) -> None:
        if row.state == EXPIRED:
            raise PendingActionExpired(row.pending_action_id)
        if row.state != PROPOSED:
            raise PendingActionDecided(row.pending_action_id, row.state)
        if await pending_actions.has_expired(session, row):
            raise PendingActionExpired(row.pending_action_id)

    async def _check_second_person(self, session: AsyncSession, row: PendingActionRow, checker: str) -> None:
        """Raises SecondPersonNeeded."""
        if checker == row.proposer:
            raise SecondPersonNeeded("PROPOSER")
        if checker == row.subject:
            raise SecondPersonNeeded("SUBJECT")
        if await pending_actions.gave_role(session, row.proposer, checker, self._trust):
            raise SecondPersonNeeded("PROMOTED")

    async def _append(
        self, session: AsyncSession, actor: Actor, action: Action, row: PendingActionRow, before: str | None
    ) -> None:
        after: dict[str, Any] = {"state": row.state, "kind": row.kind, "of": self._kinds[row.kind].object(row.payload)}
        if before is None:
            after |= {"payload": row.payload, "reason": row.reason}
        entry = Entry(
            actor=actor,
            action=action,
            object=f"pending_action/{row.pending_action_id}",
            before=None if before is None else {"state": before},
            after=after,
        )
        await audit.append(session, entry)
