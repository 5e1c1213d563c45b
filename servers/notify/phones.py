"""A user's phone number: set, confirmed by a code that was sent there, and forgotten."""

import secrets

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import outgoing, phones, users
from db.audit import Action, Entry, append
from db.models.outgoing import PhoneNumberRow
from db.outgoing import Letter
from db.sealing import Sealer
from db.transactions import transaction
from servers.domain.letters import Channel, Template
from servers.notify.errors import PhoneCodeLimit, PhoneCodeWrong, SmsUnavailable
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from venue.notify.v1 import notify_pb2 as pb

DIGITS_SHOWN = 3


class Phones:
    """Phone numbers. `sends`: whether anybody is set up who takes text messages."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, *, sends: bool) -> None:
        self._engine = engine
        self._sealer = sealer
        self._sends = sends

    async def find(self, user_id: str) -> pb.PhoneNumber:
        return phone_message(await phones.find(self._engine, user_id))

    async def set(self, number: str, call: Call) -> pb.PhoneNumber:
        """Raises SmsUnavailable, PhoneCodeLimit."""
        if not self._sends:
            raise SmsUnavailable
        user_id, code = call.user_id, f"{secrets.randbelow(10**6):06d}"
        sealed, code_mark = phones.seal(self._sealer, user_id, number), phones.mark(self._sealer, user_id, code)
        async with transaction(self._engine) as session, session.begin():
            wait_s = await phones.set_number(session, user_id, sealed, number[-DIGITS_SHOWN:], code_mark)
            if wait_s:
                raise PhoneCodeLimit(wait_s)
            letter = Letter(number, Template.PHONE_CODE, {"token": code}, user_id, Channel.SMS)
            await outgoing.append(session, self._sealer, letter)
            what = f"Text messages are to go to the number that ends in {number[-DIGITS_SHOWN:]}, once it is confirmed."
            await self._tell(session, call, Action.PHONE_NUMBER_SET, what)
        return await self.find(user_id)

    async def confirm(self, code: str, call: Call) -> pb.PhoneNumber:
        """Raises PhoneCodeWrong."""
        async with transaction(self._engine) as session, session.begin():
            is_right = await phones.confirm(session, call.user_id, phones.mark(self._sealer, call.user_id, code))
            if is_right:
                await append(session, entry_of(call, Action.PHONE_NUMBER_CONFIRM))
        if not is_right:
            raise PhoneCodeWrong
        return await self.find(call.user_id)

    async def forget(self, call: Call) -> None:
        async with transaction(self._engine) as session, session.begin():
            if await phones.forget(session, call.user_id):
                await self._tell(
                    session, call, Action.PHONE_NUMBER_DELETE, "No text messages go to your number any more."
                )

    async def _tell(self, session: AsyncSession, call: Call, action: Action, what: str) -> None:
        """By mail and in the audit log."""
        await append(session, entry_of(call, action))
        address = await users.find_address(session, call.user_id)
        if address is not None:
            words = {
                "subject": "Your phone number was changed",
                "text": f"{what}\nIf it was not you, change your password at once.",
            }
            await outgoing.append(session, self._sealer, Letter(address, Template.NOTICE, words, call.user_id))


def entry_of(call: Call, action: Action) -> Entry:
    return Entry(actor=actor_of(call), action=action, object=f"user/{call.user_id}")


def phone_message(row: PhoneNumberRow | None) -> pb.PhoneNumber:
    return pb.PhoneNumber() if row is None else pb.PhoneNumber(number_end=row.number_end, confirmed=row.confirmed)
