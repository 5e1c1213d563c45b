"""Second factors and recovery codes. Each function is one transaction; all raise PartUnavailable where the database is away.

A code is checked with the user's row locked, so of calls at once one is looked at after the other, and counted before the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import any_, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, user_sessions
from db.models.credentials import ApiKeyRow, RecoveryCodeRow, TotpRow
from db.models.users import SessionRow, UserRow
from db.outgoing import Telling
from db.transactions import NOW, transaction

# After so many wrong codes in a row each next try waits, twice as long each time up to the longest wait.
FREE: Final = 5
FIRST_WAIT_S: Final = 30.0
LAST_WAIT_S: Final = 900.0

StepOf = Callable[[bytes, float], int | None]
"""The time step that a code is of, given the sealed secret and the seconds since 1970; None: of none."""


class Verdict(StrEnum):
    """What became of a code."""

    ACCEPTED = "ACCEPTED"
    WRONG = "WRONG"
    MISSING = "MISSING"
    ENROLLED = "ENROLLED"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Too many wrong codes: the next one is looked at in `wait_s` seconds."""

    wait_s: float


async def is_enrolled(engine: AsyncEngine, user_id: str) -> bool:
    async with transaction(engine) as session:
        row = await session.get(TotpRow, user_id)
        return row is not None and row.confirm_time is not None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A confirmed factor as stored: the sealed secret, the last step that was used, and the database's time since 1970."""

    secret: bytes
    last_step: int
    now_s: float


async def look(engine: AsyncEngine, user_id: str) -> Enrolled | None:
    query = select(TotpRow.secret, TotpRow.last_step, func.extract("epoch", NOW))
    async with transaction(engine) as session:
        enrolled = query.where(TotpRow.user_id == user_id, TotpRow.confirm_time.is_not(None))
        row = (await session.execute(enrolled)).one_or_none()
        return None if row is None else Enrolled(row[0], row[1], float(row[2]))


async def begin(
    engine: AsyncEngine, user_id: str, secret: bytes, recovery_hashes: Sequence[bytes], entry: audit.Entry
) -> bool:
    """Store a factor that is to be confirmed, in place of one that never was. False where one is enrolled."""
    given = insert(TotpRow).values(user_id=user_id, secret=secret)
    put = given.on_conflict_do_update(
        index_elements=["user_id"],
        set_={"secret": secret, "create_time": NOW, "last_step": 0, "failures": 0, "blocked_until": None},
        where=TotpRow.confirm_time.is_(None),
    ).returning(TotpRow.user_id)
    async with transaction(engine) as session, session.begin():
        if await session.scalar(put) is None:
            return False
        await session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        codes = [{"code_hash": each, "user_id": user_id} for each in recovery_hashes]
        await session.execute(insert(RecoveryCodeRow).values(codes))
        await audit.append(session, entry)
        return True


async def confirm(
    engine: AsyncEngine, user_id: str, session_id: str, step_of: StepOf, entry: audit.Entry, tell: Telling
) -> Verdict | Blocked:
    """Enroll what was begun by a code of it. The session counts as authenticated by it; the user's other sessions end."""
    async with transaction(engine) as session, session.begin():
        # The user first, as a log-in does: a session that is opened at once is then either ended here or opened with the factor.
        await session.execute(select(UserRow.user_id).where(UserRow.user_id == user_id).with_for_update())
        row, now = await _locked(session, user_id)
        if row is None:
            return Verdict.MISSING
        if row.confirm_time is not None:
            return Verdict.ENROLLED
        verdict = await _look(session, row, now, step_of)
        if verdict is Verdict.ACCEPTED:
            row.confirm_time = NOW
            await _authenticated(session, session_id)
            await user_sessions.end_within(session, user_id, user_sessions.FACTOR_CHANGED, kept=session_id)
            await tell(session)
            await audit.append(session, entry)
        return verdict


async def prove(
    engine: AsyncEngine,
    user_id: str,
    step_of: StepOf,
    recovery_hash: bytes,
    entry: audit.Entry,
    *,
    session_id: str = "",
    stepping_up: audit.Entry | None = None,
) -> Verdict | Blocked:
    """Use a code, or else a recovery code, which `entry` tells of; MISSING where none is enrolled. `session_id` is then
    authenticated by it, which `stepping_up` tells of.
    """
    async with transaction(engine) as session, session.begin():
        row, now = await _locked(session, user_id)
        if row is None or row.confirm_time is None:
            return Verdict.MISSING
        spent = update(RecoveryCodeRow).values(use_time=NOW)
        mine = (RecoveryCodeRow.code_hash == recovery_hash, RecoveryCodeRow.user_id == user_id)
        used = spent.where(*mine, RecoveryCodeRow.use_time.is_(None)).returning(RecoveryCodeRow.user_id)
        # Never blocked: nobody guesses 120 bits, and so a thief of the password cannot shut the owner out.
        if await session.scalar(used) is not None:
            await audit.append(session, entry)
            await _step_up(session, session_id, stepping_up)
            return Verdict.ACCEPTED
        verdict = await _look(session, row, now, step_of)
        if verdict is Verdict.ACCEPTED:
            await _step_up(session, session_id, stepping_up)
        return verdict


async def remove(engine: AsyncEngine, user_id: str, session_id: str, entry: audit.Entry, tell: Telling) -> bool:
    """Remove the factor; the user's other sessions end, the keys that may withdraw are revoked. False where none is enrolled."""
    async with transaction(engine) as session, session.begin():
        gone = delete(TotpRow).where(TotpRow.user_id == user_id, TotpRow.confirm_time.is_not(None))
        if await session.scalar(gone.returning(TotpRow.user_id)) is None:
            return False
        await user_sessions.end_within(session, user_id, user_sessions.FACTOR_CHANGED, kept=session_id)
        await session.execute(
            update(SessionRow).where(SessionRow.session_id == session_id).values(second_factor=False, auth_time=NOW)
        )
        withdrawing = literal("withdraw") == any_(ApiKeyRow.scopes)
        revoked = update(ApiKeyRow).where(ApiKeyRow.user_id == user_id, withdrawing, ApiKeyRow.revoke_time.is_(None))
        await session.execute(revoked.values(revoke_time=NOW))
        await tell(session)
        await audit.append(session, entry)
        return True


async def authenticate(engine: AsyncEngine, user_id: str, session_id: str, entry: audit.Entry) -> bool:
    """The session was authenticated by the password alone. False where the user has a second factor by now."""
    async with transaction(engine) as session, session.begin():
        await session.execute(select(UserRow.user_id).where(UserRow.user_id == user_id).with_for_update(read=True))
        row = await session.get(TotpRow, user_id)
        if row is not None and row.confirm_time is not None:
            return False
        await session.execute(update(SessionRow).where(SessionRow.session_id == session_id).values(auth_time=NOW))
        await audit.append(session, entry)
        return True


async def find_session(engine: AsyncEngine, session_id: str) -> tuple[SessionRow, UserRow] | None:
    """A session that is not over, and its user."""
    found = select(SessionRow, UserRow).join(UserRow, SessionRow.user_id == UserRow.user_id)
    living = (SessionRow.revoke_time.is_(None), SessionRow.expire_time > NOW, UserRow.status == user_sessions.ACTIVE)
    async with transaction(engine) as session:
        row = (await session.execute(found.where(SessionRow.session_id == session_id, *living))).one_or_none()
        return None if row is None else (row[0], row[1])


async def _locked(session: AsyncSession, user_id: str) -> tuple[TotpRow | None, float]:
    row = await session.scalar(select(TotpRow).where(TotpRow.user_id == user_id).with_for_update())
    now = await session.scalar(select(func.extract("epoch", NOW)))
    return row, float(now or 0)


async def _look(session: AsyncSession, row: TotpRow, now: float, step_of: StepOf) -> Verdict | Blocked:
    wait_s = 0.0 if row.blocked_until is None else row.blocked_until.timestamp() - now
    if wait_s > 0:
        return Blocked(wait_s)
    step = step_of(row.secret, now)
    if step is not None:
        # RFC 6238, 5.2: a code is good once, and none before it is good any more.
        newer = update(TotpRow).where(TotpRow.user_id == row.user_id, TotpRow.last_step < step)
        put = newer.values(last_step=step, failures=0, blocked_until=None).returning(TotpRow.user_id)
        if await session.scalar(put) is not None:
            return Verdict.ACCEPTED
    over = row.failures + 1 - FREE
    row.failures += 1
    if over >= 0:
        row.blocked_until = NOW + timedelta(seconds=min(LAST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 10)))
    return Verdict.WRONG


async def _step_up(session: AsyncSession, session_id: str, entry: audit.Entry | None) -> None:
    if session_id:
        await _authenticated(session, session_id)
    if entry is not None:
        await audit.append(session, entry)


async def _authenticated(session: AsyncSession, session_id: str) -> None:
    await session.execute(
        update(SessionRow).where(SessionRow.session_id == session_id).values(auth_time=NOW, second_factor=True)
    )
