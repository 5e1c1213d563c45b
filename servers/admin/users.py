"""Users are looked at, frozen and let in again, given roles, and their sessions ended."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, people, user_sessions, users
from db.audit import Action, Actor, Entry
from db.models.users import UserRow
from db.people import Place, UserSearch
from db.transactions import transaction
from servers.admin.errors import NothingToChange, UserNotFound
from servers.admin.executors import ENGINE_S, SET_USER_ROLE, UNFREEZE_USER
from servers.admin.messages import account_message, session_message, user_message
from servers.admin.pending_actions import Wish, fingerprint
from servers.domain.errors import VenueError
from servers.engine.client import Engine, Engines
from servers.transport.paging import PageTokens, page_size
from venue.admin.v1 import admin_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2

REVOKED: Final = "ADMINISTRATION"
SESSIONS_SHOWN: Final = 50
Unlock = Callable[[str], Awaitable[None]]
"""Forgets the guesses at an address of mail (its key). Raises PartUnavailable."""


class Users:
    """What administration does about users."""

    def __init__(self, engine: AsyncEngine, engines: Engines[Engine], tokens: PageTokens, unlock: Unlock) -> None:
        self._engine = engine
        self._engines = engines
        self._tokens = tokens
        self._unlock = unlock

    async def get(self, user_id: str) -> UserRow:
        """Raises UserNotFound."""
        user = await users.find_user(self._engine, user_id) if "\0" not in user_id else None
        if user is None:
            raise UserNotFound(user_id)
        return user

    async def search(self, request: pb.ListUsersRequest, caller: str) -> pb.ListUsersResponse:
        """Raises PageTokenInvalid."""
        search = UserSearch(
            text=request.query.replace("\0", ""),
            role=access_pb2.Role.Name(request.role).removeprefix("ROLE_") if request.role else "",
            status=pb.UserStatus.Name(request.status).removeprefix("USER_STATUS_") if request.status else "",
        )
        scope = ("admin users", caller, search)
        before, size = self._before(scope, request.page_token), page_size(request.page_size)
        found = await people.list_users(self._engine, search, before=before, limit=size + 1)
        token = self._next(scope, [(row.create_time, row.user_id) for row in found], size)
        return pb.ListUsersResponse(users=map(user_message, found[:size]), next_page_token=token)

    async def show(self, user_id: str) -> pb.GetUserResponse:
        """Raises UserNotFound."""
        user = await self.get(user_id)
        sessions = await user_sessions.list_sessions(self._engine, user_id, limit=SESSIONS_SHOWN)
        accounts = await people.list_accounts(self._engine, user_id)
        return pb.GetUserResponse(
            user=user_message(user),
            accounts=map(account_message, accounts),
            sessions=map(session_message, sessions),
        )

    async def list_sessions(self, request: pb.ListUserSessionsRequest, caller: str) -> pb.ListUserSessionsResponse:
        """Raises UserNotFound, PageTokenInvalid."""
        scope = ("admin sessions", caller, request.user_id)
        before, size = self._before(scope, request.page_token), page_size(request.page_size)
        user = await self.get(request.user_id)
        found = await people.list_all_sessions(self._engine, user.user_id, before=before, limit=size + 1)
        token = self._next(scope, [(row.create_time, row.session_id) for row in found], size)
        return pb.ListUserSessionsResponse(sessions=map(session_message, found[:size]), next_page_token=token)

    def _before(self, scope: tuple[object, ...], token: str) -> Place | None:
        cursor = self._tokens.read(scope, token)
        return (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None

    def _next(self, scope: tuple[object, ...], places: list[Place], size: int) -> str:
        if len(places) <= size:
            return ""
        moment, name = places[size - 1]
        return self._tokens.issue(scope, [moment.isoformat(), name])

    async def wish_for_role(self, request: pb.SetUserRoleRequest) -> Wish:
        """Raises UserNotFound, NothingToChange."""
        user = await self.get(request.user_id)
        role = access_pb2.Role.Name(request.role).removeprefix("ROLE_")
        if user.role == role:
            raise NothingToChange("role")
        payload = {"user_id": user.user_id, "role": role, "previous_role": user.role}
        return Wish(
            kind=SET_USER_ROLE,
            payload=payload,
            subject=user.user_id,
            reason=request.reason,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )

    async def wish_for_unfreezing(self, request: pb.UnfreezeUserRequest) -> Wish:
        """Raises UserNotFound, NothingToChange."""
        user = await self.get(request.user_id)
        if user.status == users.ACTIVE:
            raise NothingToChange("status")
        return Wish(
            kind=UNFREEZE_USER,
            payload={"user_id": user.user_id},
            subject=user.user_id,
            reason=request.reason,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )

    async def freeze(self, request: pb.FreezeUserRequest, actor: Actor) -> pb.FreezeUserResponse:
        """Raises UserNotFound; PartUnavailable where orders were to be cancelled and are not: the user is frozen."""
        user = await self.get(request.user_id)
        async with transaction(self._engine) as session, session.begin():
            before = await users.change_access_within(session, user.user_id, status=users.FROZEN)
            assert before is not None, "users are never deleted"
            ended = await user_sessions.end_within(session, user.user_id, user_sessions.FROZEN)
            after = {"status": users.FROZEN, "sessions_ended": ended, "reason": request.reason}
            entry = Entry(
                actor=actor,
                action=Action.USER_FREEZE,
                object=f"user/{user.user_id}",
                before={"status": before.status},
                after=after,
            )
            await audit.append(session, entry)
        cancelled = await self._cancel_orders(user.user_id, actor) if request.cancel_orders else 0
        return pb.FreezeUserResponse(
            user=user_message(await self.get(user.user_id)), sessions_ended=ended, accounts_cancelled=cancelled
        )

    async def _cancel_orders(self, user_id: str, actor: Actor) -> int:
        """Cancel all orders of a user in every partition; returns of how many accounts. Raises PartUnavailable."""
        query = engine_pb2.AccountsQuery(user_id=user_id)
        ask = [engine.query(engine_pb2.QueryRequest(accounts=query)) for engine in self._engines.all]
        accounts: dict[int, list[str]] = {}
        for engine, answer in zip(self._engines.all, await asyncio.gather(*ask), strict=True):
            accounts[engine.partition] = [account.account_id for account in answer.accounts]
        for partition, account_ids in accounts.items():
            requests = [order_service_pb2.CancelAllOrdersRequest(account_id=account_id) for account_id in account_ids]
            commands = [engine_pb2.Command(cancel_all_orders=each) for each in requests]
            if commands:
                for outcome in await self._engines.for_partition(partition).submit(commands, ENGINE_S):
                    if isinstance(outcome, VenueError):
                        raise outcome
        found = sorted(account_id for account_ids in accounts.values() for account_id in account_ids)
        entry = Entry(
            actor=actor, action=Action.USER_ORDERS_CANCEL, object=f"user/{user_id}", after={"accounts": found}
        )
        await audit.record(self._engine, entry)
        return len(found)

    async def unlock(self, request: pb.UnlockUserRequest, actor: Actor) -> pb.UnlockUserResponse:
        """Raises UserNotFound, PartUnavailable."""
        user = await self.get(request.user_id)
        await self._unlock(user.email_key)
        entry = Entry(
            actor=actor,
            action=Action.USER_UNLOCK,
            object=f"user/{user.user_id}",
            after={"reason": request.reason},
        )
        await audit.record(self._engine, entry)
        return pb.UnlockUserResponse(user=user_message(user))

    async def revoke_sessions(
        self, request: pb.RevokeUserSessionsRequest, actor: Actor
    ) -> pb.RevokeUserSessionsResponse:
        """Raises UserNotFound."""
        user = await self.get(request.user_id)
        async with transaction(self._engine) as session, session.begin():
            named = [session_id.replace("\0", "") for session_id in request.session_ids]
            if named:
                ended = len(await people.end_some_within(session, user.user_id, named, REVOKED))
            else:
                ended = await user_sessions.end_within(session, user.user_id, REVOKED)
            entry = Entry(
                actor=actor,
                action=Action.USER_SESSIONS_REVOKE,
                object=f"user/{user.user_id}",
                before={"sessions": named or "all"},
                after={"sessions_ended": ended, "reason": request.reason},
            )
            await audit.append(session, entry)
        return pb.RevokeUserSessionsResponse(sessions_ended=ended)
