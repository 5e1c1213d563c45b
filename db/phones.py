"""Phone numbers that text messages go to: sealed, and confirmed by a code that was sent there."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.outgoing import PhoneNumberRow
from db.sealing import Place, Sealer
from db.transactions import NOW, transaction

TABLE: Final = "phone_numbers"
CODE_LIFE: Final = timedelta(minutes=10)
TRIES_MAX: Final = 5
# Codes that are sent to numbers of a user within an hour.
SENT_MAX: Final = 5
WINDOW: Final = timedelta(hours=1)


def seal(sealer: Sealer, user_id: str, number: str) -> bytes:
    return sealer.seal(Place(TABLE, "number", user_id), number.encode())


def mark(sealer: Sealer, user_id: str, code: str) -> bytes:
    """What a code is known by: nobody guesses it from that without the key."""
    return sealer.blind_index(TABLE, "code", f"{user_id}/{code}")


async def find(engine: AsyncEngine, user_id: str) -> PhoneNumberRow | None:
    async with transaction(engine) as session:
        return await session.get(PhoneNumberRow, user_id)


async def find_number(session: AsyncSession, sealer: Sealer, user_id: str) -> str | None:
    """A user's number, if it is confirmed. Raises SealBroken."""
    confirmed = (PhoneNumberRow.user_id == user_id) & PhoneNumberRow.confirmed
    envelope = await session.scalar(select(PhoneNumberRow.number).where(confirmed))
    return None if envelope is None else sealer.open(Place(TABLE, "number", user_id), envelope).decode()


async def set_number(session: AsyncSession, user_id: str, number: bytes, number_end: str, code_mark: bytes) -> float:
    """Take a number that has yet to be confirmed. Returns 0, or, where too many codes were sent, the seconds until one may be."""
    await session.execute(insert(PhoneNumberRow).values(user_id=user_id, number_end="").on_conflict_do_nothing())
    mine = PhoneNumberRow.user_id == user_id
    row = (await session.scalars(select(PhoneNumberRow).where(mine).with_for_update())).one()
    now = await session.scalar(select(NOW))
    assert now is not None
    is_over = now >= row.sent_since + WINDOW
    if row.sent >= SENT_MAX and not is_over:
        return float((row.sent_since + WINDOW - now).total_seconds())
    counted = {"sent": 1, "sent_since": NOW} if is_over or not row.sent else {"sent": row.sent + 1}
    values: dict[str, Any] = {"number": number, "number_end": number_end, "code_mark": code_mark, "confirmed": False}
    await session.execute(
        update(PhoneNumberRow).where(mine).values(**values, **counted, code_until=NOW + CODE_LIFE, tries=0)
    )
    return 0.0


async def confirm(session: AsyncSession, user_id: str, code_mark: bytes) -> bool:
    """Try a code; a wrong one is counted, and to be committed. Returns whether it was right."""
    mine = PhoneNumberRow.user_id == user_id
    good = PhoneNumberRow.number.is_not(None) & (PhoneNumberRow.code_until > NOW) & (PhoneNumberRow.tries < TRIES_MAX)
    tried = update(PhoneNumberRow).where(mine, good).values(tries=PhoneNumberRow.tries + 1)
    known = await session.scalar(tried.returning(PhoneNumberRow.code_mark))
    if known is None or bytes(known) != code_mark:
        return False
    await session.execute(update(PhoneNumberRow).where(mine).values(confirmed=True, code_mark=None, code_until=None))
    return True


async def forget(session: AsyncSession, user_id: str) -> bool:
    """Whether there was a number."""
    gone: dict[str, Any] = {"number": None, "number_end": "", "confirmed": False, "code_mark": None, "code_until": None}
    mine = update(PhoneNumberRow).where(PhoneNumberRow.user_id == user_id, PhoneNumberRow.number.is_not(None))
    return await session.scalar(mine.values(**gone).returning(PhoneNumberRow.user_id)) is not None
