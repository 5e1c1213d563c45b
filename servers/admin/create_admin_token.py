"""An access token is exchanged for one that is good on the port of administration alone."""

from collections.abc import Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, people
from db.audit import Action, Entry
from db.models.users import SessionRow, UserRow
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.refusals import NotAuthenticated, NotPermitted
from venue.admin.v1 import admin_pb2 as pb

BEARER: Final = "Bearer"
ROLES: Final = frozenset({"ADMIN", "COMPLIANCE", "SUPPORT"})
Issue = Callable[[UserRow, SessionRow], tuple[str, int]]
"""Signs an admin token of a session; says in how many seconds it expires."""


class AdminTokens:
    """Gives admin tokens to those whose role, as it is stored now, is one for administration."""

    def __init__(self, engine: AsyncEngine, issue: Issue) -> None:
        self._engine = engine
        self._issue = issue

    async def create(self, call: Call) -> pb.CreateAdminTokenResponse:
        """Raises NotAuthenticated: the session has ended; NotPermitted: the role was taken away."""
        identity = call.identity
        found = await people.find_living(self._engine, identity.user_id, identity.session_id)
        if found is None:
            raise NotAuthenticated("session ended")
        user, session = found
        if user.role not in ROLES:
            raise NotPermitted(role=user.role.lower())
        entry = Entry(actor=actor_of(call), action=Action.ADMIN_SIGN_IN, object=f"session/{session.session_id}")
        await audit.record(self._engine, entry)
        token, expires_in = self._issue(user, session)
        return pb.CreateAdminTokenResponse(access_token=token, token_type=BEARER, expires_in=expires_in)
