"""NotificationService: what each RPC is done by."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing
from db.audit import Action, Entry, append
from db.transactions import transaction
from servers.domain.letters import Category
from servers.notify.errors import PhoneNumberUnconfirmed, SecurityMailRequired
from servers.notify.phones import Phones
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from venue.notify.v1 import notify_pb2 as pb

_PREFIX = "CATEGORY_"


class NotificationServicer:
    def __init__(self, engine: AsyncEngine, phones: Phones) -> None:
        self._engine = engine
        self._phones = phones

    async def GetPreferences(self, request: pb.GetPreferencesRequest, call: Call) -> pb.GetPreferencesResponse:
        told = await outgoing.list_preferences(self._engine, call.user_id)
        return pb.GetPreferencesResponse(preferences=to_preferences(told))

    async def UpdatePreferences(self, request: pb.UpdatePreferencesRequest, call: Call) -> pb.UpdatePreferencesResponse:
        for index, each in enumerate(request.preferences):
            if each.category == pb.CATEGORY_SECURITY and not each.mail:
                raise SecurityMailRequired(index)
        wanted = {
            Category(pb.Category.Name(each.category).removeprefix(_PREFIX)): (each.mail, each.sms)
            for each in request.preferences
        }
        if any(sms for _, sms in wanted.values()) and not (await self._phones.find(call.user_id)).confirmed:
            raise PhoneNumberUnconfirmed
        entry = Entry(
            actor=actor_of(call),
            action=Action.NOTIFICATION_PREFERENCES_SET,
            object=f"user/{call.user_id}",
            after={category.value: {"mail": mail, "sms": sms} for category, (mail, sms) in wanted.items()},
        )
        async with transaction(self._engine) as session, session.begin():
            await outgoing.set_preferences(session, call.user_id, wanted)
            await append(session, entry)
        told = await outgoing.list_preferences(self._engine, call.user_id)
        return pb.UpdatePreferencesResponse(preferences=to_preferences(told))

    async def GetPhoneNumber(self, request: pb.GetPhoneNumberRequest, call: Call) -> pb.GetPhoneNumberResponse:
        return pb.GetPhoneNumberResponse(phone=await self._phones.find(call.user_id))

    async def SetPhoneNumber(self, request: pb.SetPhoneNumberRequest, call: Call) -> pb.SetPhoneNumberResponse:
        return pb.SetPhoneNumberResponse(phone=await self._phones.set(request.phone_number, call))

    async def ConfirmPhoneNumber(
        self, request: pb.ConfirmPhoneNumberRequest, call: Call
    ) -> pb.ConfirmPhoneNumberResponse:
        return pb.ConfirmPhoneNumberResponse(phone=await self._phones.confirm(request.code, call))

    async def DeletePhoneNumber(self, request: pb.DeletePhoneNumberRequest, call: Call) -> pb.DeletePhoneNumberResponse:
        await self._phones.forget(call)
        return pb.DeletePhoneNumberResponse()


def to_preferences(told: Mapping[Category, tuple[bool, bool]]) -> list[pb.Preference]:
    return [
        pb.Preference(category=pb.Category.Value(f"{_PREFIX}{category.value}"), mail=mail, sms=sms)
        for category, (mail, sms) in told.items()
    ]
