"""A trading session's presence in the machine: while it lasts its orders rest; where it is lost the machine cancels them in time.

The machine counts from the loss. What cannot be told to it, because no one leads, it assumes by itself: a leader that starts
takes every session for lost.
"""

import asyncio
from typing import Final

import structlog

from servers.domain.errors import VenueError
from servers.domain.identifiers import positions
from servers.engine.trading import SessionMark, TradingEngine
from venue.engine.v1 import engine_pb2

log = structlog.get_logger()
# How often the loss of a session is told until it is heard, and how long between.
TRIES: Final = 5
RETRY_S: Final = 0.5


class Presences:
    """Sessions whose loss is being told."""

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[None]] = set()

    def lose(self, presence: "Presence") -> None:
        """Tell the machine that a session is lost, when the call that had it is over already."""
        task = asyncio.ensure_future(presence.lose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class Presence:
    """One call's hold on a session."""

    def __init__(self, engine: TradingEngine, user_id: str, account_id: str, session_id: str) -> None:
        self._engine = engine
        self._user_id = user_id
        self._account_id = account_id
        self._session_id = session_id
        self._opened = 0
        self.ended = False

    @property
    def mark(self) -> SessionMark:
        """What a follower of the account says of its session."""
        return SessionMark(self._session_id, self._opened)

    async def open(self) -> None:
        """Begin the session, or take it up again. Raises AccountNotFound, PartUnavailable, Overloaded."""
        body = engine_pb2.OpenSession(session_id=self._session_id, account_id=self._account_id)
        done = await self._submit(engine_pb2.Command(user_id=self._user_id, open_session=body))
        self._opened = positions(engine_pb2.Done.FromString(done).position)[0].sequence

    async def end(self) -> None:
        """End it as planned: its orders stay. Raises PartUnavailable: it counts as lost, then."""
        await self._submit(self._ending(lost=False))
        self.ended = True

    async def lose(self) -> None:
        """Say that it is lost, a few times if need be."""
        for _ in range(TRIES):
            try:
                await self._submit(self._ending(lost=True))
            except VenueError as error:
                log.warning("session lost, not yet told", session_id=self._session_id, cause=error.reason)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _ending(self, *, lost: bool) -> engine_pb2.Command:
        body = engine_pb2.EndSession(
            session_id=self._session_id, account_id=self._account_id, opened=self._opened, lost=lost
        )
        return engine_pb2.Command(user_id=self._user_id, end_session=body)

    async def _submit(self, command: engine_pb2.Command) -> bytes:
        (outcome,) = await self._engine.submit([command], None)
        if isinstance(outcome, VenueError):
            raise outcome
        return outcome
