"""Letters that are to leave: stored in the transaction of the deed that they tell of, taken out by whoever sends them.

What a letter says may be secret (a token), so it lies sealed, and is gone once somebody else is answerable for the letter.
"""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import LargeBinary, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import phones
from db.models.outgoing import NotificationPreferenceRow, OutgoingRow
from db.sealing import Place, SealBroken, Sealer
from db.transactions import NOW, transaction
from servers.domain.letters import MAIL_ALONE, Category, Channel, Template, category_of

PENDING: Final = "PENDING"
FAILED: Final = "FAILED"
# Whoever takes a letter has so long to send it; then it is anybody's again.
TAKEN_S: Final = 90
FAILED_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to one address, or number. The values may hold a token, so they are never printed."""

    address: str = field(repr=False)
    template: Template
    values: Mapping[str, str] = field(repr=False)
    user_id: str = ""
    channel: Channel = Channel.MAIL


@dataclass(frozen=True, slots=True)
class Taken:
    """A letter that is to be sent, for the so-manieth time; of `unheard` of these, the present one included, nobody knows yet
    whether it went out. None in place of one whose seal is broken.
    """

    message_id: str
    letter: Letter | None
    attempts: int
    unheard: int


Telling = Callable[[AsyncSession], Awaitable[object]]
"""Stores a letter in the transaction that it is given: whoever does the deed calls it before the end. May raise SealBroken."""


def _place(message_id: str) -> Place:
    return Place("outgoing", "content", message_id)


async def append(session: AsyncSession, sealer: Sealer, letter: Letter) -> bool:
    """Store a letter in the caller's transaction, and beside a mail the text message that its user wants of its kind, too.

    False, and no mail is stored, where he wants none. Raises SealBroken.
    """
    if letter.channel is Channel.SMS or not letter.user_id:
        await _store(session, sealer, letter)
        return True
    category = category_of(letter.template)
    chosen = select(NotificationPreferenceRow.mail, NotificationPreferenceRow.sms).where(
        NotificationPreferenceRow.user_id == letter.user_id, NotificationPreferenceRow.category == category
    )
    mail, sms = (await session.execute(chosen)).one_or_none() or (True, False)
    if sms and letter.template not in MAIL_ALONE:
        number = await phones.find_number(session, sealer, letter.user_id)
        if number is not None:
            await _store(session, sealer, replace(letter, address=number, channel=Channel.SMS))
    if mail:
        await _store(session, sealer, letter)
    return bool(mail)


async def _store(session: AsyncSession, sealer: Sealer, letter: Letter) -> None:
    await session.execute(insert(OutgoingRow).values(_row(sealer, letter)))


def _row(sealer: Sealer, letter: Letter) -> dict[str, str | bytes]:
    message_id = f"ltr-{uuid.uuid4()}"
    content = json.dumps({"address": letter.address, "values": dict(letter.values)}).encode()
    sealed = sealer.seal(_place(message_id), content)
    row: dict[str, str | bytes] = {"message_id": message_id, "user_id": letter.user_id, "content": sealed}
    return row | {"template": letter.template.value, "channel": letter.channel.value}


def telling(sealer: Sealer, letter: Letter) -> Telling:
    """For a deed that is done elsewhere: its letter."""

    async def tell(session: AsyncSession) -> None:
        await append(session, sealer, letter)

    return tell


async def ask(engine: AsyncEngine, sealer: Sealer, letter: Letter, *, waiting_max: int) -> bool:
    """Store that a letter was asked for, by one statement, whoever has the address. False where too many wait to be written.

    Raises PartUnavailable.
    """
    row = _row(sealer, replace(letter, channel=Channel.ASKED))
    waits = (OutgoingRow.channel == Channel.ASKED.value) & (OutgoingRow.state == PENDING)
    some = select(OutgoingRow.message_id).where(waits).limit(waiting_max).subquery()
    given = [literal(value, LargeBinary) if isinstance(value, bytes) else literal(value) for value in row.values()]
    counted = select(func.count()).select_from(some).scalar_subquery()
    put = insert(OutgoingRow).from_select(
        list(row), select(*given).where(counted < waiting_max), include_defaults=False
    )
    async with transaction(engine) as session, session.begin():
        return await session.scalar(put.returning(OutgoingRow.message_id)) is not None


async def add(engine: AsyncEngine, sealer: Sealer, letter: Letter) -> None:
    """Store a letter by itself. Raises PartUnavailable."""
    async with transaction(engine) as session, session.begin():
        await append(session, sealer, letter)


async def take(engine: AsyncEngine, sealer: Sealer, limit: int, channel: Channel = Channel.MAIL) -> Sequence[Taken]:
    """Letters that are due, which nobody else takes for a while. Raises PartUnavailable."""
    due = select(OutgoingRow.message_id).where(
        OutgoingRow.channel == channel.value, OutgoingRow.state == PENDING, OutgoingRow.next_time <= NOW
    )
    due = due.order_by(OutgoingRow.next_time).limit(limit).with_for_update(skip_locked=True)
    taken = update(OutgoingRow).where(OutgoingRow.message_id.in_(due.scalar_subquery()))
    taken = taken.values(
        attempts=OutgoingRow.attempts + 1,
        unheard=OutgoingRow.unheard + 1,
        next_time=NOW + func.make_interval(0, 0, 0, 0, 0, 0, TAKEN_S),
    )
    async with transaction(engine) as session, session.begin():
        rows = (await session.scalars(taken.returning(OutgoingRow))).all()
    return [Taken(row.message_id, _opened(sealer, row), row.attempts, row.unheard) for row in rows]


def _opened(sealer: Sealer, row: OutgoingRow) -> Letter | None:
    """None: its seal is broken, or its key is gone."""
    try:
        content = json.loads(sealer.open(_place(row.message_id), row.content))
    except SealBroken:
        return None
    return Letter(content["address"], Template(row.template), content["values"], row.user_id, Channel(row.channel))


async def forget(engine: AsyncEngine, message_id: str) -> None:
    """It was sent."""
    async with transaction(engine) as session, session.begin():
        await forget_within(session, message_id)


async def forget_within(session: AsyncSession, message_id: str) -> bool:
    """Forget it in the caller's transaction. False where somebody else did."""
    gone = delete(OutgoingRow).where(OutgoingRow.message_id == message_id)
    return await session.scalar(gone.returning(OutgoingRow.message_id)) is not None


async def put_off(
    engine: AsyncEngine, message_id: str, error: str, wait_s: float | None, *, unheard: bool = False
) -> None:
    """It was not sent, or nobody heard whether it was: to be tried again after a while, or, where that is None, never."""
    values: dict[str, object] = {"last_error": error}
    if not unheard:
        values["unheard"] = OutgoingRow.unheard - 1
    if wait_s is None:
        values["state"] = FAILED
    else:
        values["next_time"] = NOW + func.make_interval(0, 0, 0, 0, 0, 0, wait_s)
    async with transaction(engine) as session, session.begin():
        await session.execute(update(OutgoingRow).where(OutgoingRow.message_id == message_id).values(**values))


async def forget_failed(engine: AsyncEngine) -> None:
    """Let go of letters that were given up long ago."""
    old = OutgoingRow.create_time < NOW - func.make_interval(0, 0, 0, FAILED_DAYS)
    async with transaction(engine) as session, session.begin():
        await session.execute(delete(OutgoingRow).where(OutgoingRow.state == FAILED, old))


async def list_preferences(engine: AsyncEngine, user_id: str) -> Mapping[Category, tuple[bool, bool]]:
    """What a user wants mails and text messages about; by default mails about everything."""
    query = select(NotificationPreferenceRow).where(NotificationPreferenceRow.user_id == user_id)
    async with transaction(engine) as session:
        told = {row.category: (row.mail, row.sms) for row in (await session.scalars(query)).all()}
    return {category: told.get(category, (True, False)) for category in Category}


async def set_preferences(session: AsyncSession, user_id: str, wanted: Mapping[Category, tuple[bool, bool]]) -> None:
    """Set some of them, in the caller's transaction."""
    for category, (mail, sms) in wanted.items():
        put = upsert(NotificationPreferenceRow).values(user_id=user_id, category=category.value, mail=mail, sms=sms)
        put = put.on_conflict_do_update(index_elements=["user_id", "category"], set_={"mail": mail, "sms": sms})
        await session.execute(put)
