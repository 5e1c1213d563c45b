"""NotificationService: what each RPC is done by."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing
from db.audit import Action, Entry, append
from db.transactions import transaction
from servers.domain.letters import Category
from servers.notify.errors import SecurityMailRequired
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from venue.notify.v1 import notify_pb2 as pb

_PREFIX = "CATEGORY_"


class NotificationServicer:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetPreferences(self, request: pb.GetPreferencesRequest, call: Call) -> pb.GetPreferencesResponse:
        told = await outgoing.list_preferences(self._engine, call.user_id)
        return pb.GetPreferencesResponse(preferences=to_preferences(told))

    async def UpdatePreferences(self, request: pb.UpdatePreferencesRequest, call: Call) -> pb.UpdatePreferencesResponse:
        for index, each in enumerate(request.preferences):
            if each.category == pb.CATEGORY_SECURITY and not each.mail:
                raise SecurityMailRequired(index)
        wanted = {
            Category(pb.Category.Name(each.category).removeprefix(_PREFIX)): each.mail for each in request.preferences
        }
        entry = Entry(
            actor=actor_of(call),
            action=Action.NOTIFICATION_PREFERENCES_SET,
            object=f"user/{call.user_id}",
            after={category.value: mail for category, mail in wanted.items()},
        )
        async with transaction(self._engine) as session, session.begin():
            await outgoing.set_preferences(session, call.user_id, wanted)
            await append(session, entry)
        told = await outgoing.list_preferences(self._engine, call.user_id)
        return pb.UpdatePreferencesResponse(preferences=to_preferences(told))


def to_preferences(told: Mapping[Category, bool]) -> list[pb.Preference]:
    return [
        pb.Preference(category=pb.Category.Value(f"{_PREFIX}{category.value}"), mail=mail)
        for category, mail in told.items()
    ]
