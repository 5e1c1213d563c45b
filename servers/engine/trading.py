"""What the order room asks of a partition beyond reading and submitting: ordered commands, and following an account.

The same interface where this process leads and where another one does; `RoutedEngine` chooses at every call.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from servers.domain.errors import NotLeader, VenueError
from servers.engine.archive import Author
from servers.engine.client import Engine
from servers.engine.feed import Follower
from servers.engine.ring import Ring
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2

Result = TypeVar("Result")


@dataclass(slots=True)
class Following:
    """An account's frames from a sequence on, and its open orders as of that sequence, which is durable.

    `ring` is what this process remembers of before.
    """

    follower: Follower
    ring: Ring
    sequence: int
    epoch: int
    account_sequence: int
    orders: list[order_pb2.Order]


class SessionMark(NamedTuple):
    """A trading session that is lost when its follower is gone: its id, and the sequence of the command that opened it."""

    session_id: str
    opened: int


class Pending(Protocol):
    """Commands that were enqueued, and how to learn what became of them."""

    def is_ready(self) -> bool:
        """True once `outcomes` does not wait for a commit any more."""
        ...

    async def ready(self) -> None:
        """Until `is_ready`."""
        ...

    async def outcomes(self) -> list[bytes | VenueError]:
        """Answers' wire bytes or refusals, in the order of the commands."""
        ...


class TradingEngine(Engine, Protocol):
    """One partition's machine, for the order room."""

    async def enqueue(self, commands: Sequence[pb.Command], refused: Mapping[int, VenueError]) -> Pending:
        """Like `submit`, without waiting for the commit; `refused` are outcomes known before, by index.

        Commands enqueued one after the other are executed in that order.
        """
        ...

    def nothing(self) -> Pending:
        """No commands at all, ready at once."""
        ...

    async def follow(
        self, account_id: str, user_id: str, *, snapshot: bool, session: SessionMark | None = None
    ) -> Following:
        """Follow an account's events from now on, with its open orders if asked; `unfollow` ends it.

        A `session` is the follower's own: should its process die, the leader's notes the loss. Raises AccountNotFound.
        """
        ...

    def unfollow(self, following: Following) -> None:
        """Stop following."""
        ...

    async def outcome(self, user_id: str, request_id: str) -> tuple[str, bytes] | None:
        """Kind of command and first answer (marked as replayed) of a user's request, durable; None: nothing is known."""
        ...

    async def journaled(self, sequence: int) -> tuple[str, bytes] | None:
        """Kind of command and answer (marked as replayed) of a committed sequence; None where the journal was let go of."""
        ...

    async def author(self, sequence: int) -> Author | None:
        """Whose command at a sequence made an order (accepted or not); None if it made none, or there is no such."""
        ...


class Seat(TradingEngine, Protocol):
    """The machine in this process, where it leads or waits to."""

    @property
    def is_leading(self) -> bool: ...


class RoutedEngine:
    """A partition's machine wherever it is led: here, or by another process at the address in its fence.

    What this process did not execute, since it leads no more, the other one is asked for (see patience.py).
    """

    def __init__(self, here: Seat | None, elsewhere: TradingEngine) -> None:
        self._here = here
        self._elsewhere = elsewhere

    @property
    def partition(self) -> int:
        return self._elsewhere.partition

    def _engine(self) -> TradingEngine:
        return self._here if self._here is not None and self._here.is_leading else self._elsewhere

    async def _ask(self, ask: Callable[[TradingEngine], Awaitable[Result]]) -> Result:
        if self._here is not None and self._here.is_leading:
            try:
                return await ask(self._here)
            except NotLeader:
                pass
        return await ask(self._elsewhere)

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        if self._here is None or not self._here.is_leading:
            return await self._elsewhere.submit(commands, timeout_s)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await self._here.submit(commands, timeout_s)
        except NotLeader:
            left_s = None if timeout_s is None else max(0.0, began + timeout_s - loop.time())
        for command in commands:
            # What was looked up here is the next one's to look up.
            command.ClearField("verdict")
        return await self._elsewhere.submit(commands, left_s)

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        return await self._ask(lambda engine: engine.query(request))

    def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        return self._engine().tail(after_sequence)

    def enqueue(
        self, commands: Sequence[pb.Command], refused: Mapping[int, VenueError]
    ) -> Coroutine[Any, Any, Pending]:
        return self._engine().enqueue(commands, refused)

    def nothing(self) -> Pending:
        return self._engine().nothing()

    async def follow(
        self, account_id: str, user_id: str, *, snapshot: bool, session: SessionMark | None = None
    ) -> Following:
        return await self._ask(lambda engine: engine.follow(account_id, user_id, snapshot=snapshot, session=session))

    def unfollow(self, following: Following) -> None:
        # Who leads may have changed since: the one that does not know it does nothing.
        if self._here is not None:
            self._here.unfollow(following)
        self._elsewhere.unfollow(following)

    async def outcome(self, user_id: str, request_id: str) -> tuple[str, bytes] | None:
        return await self._ask(lambda engine: engine.outcome(user_id, request_id))

    def journaled(self, sequence: int) -> Coroutine[Any, Any, tuple[str, bytes] | None]:
        return self._engine().journaled(sequence)

    def author(self, sequence: int) -> Coroutine[Any, Any, Author | None]:
        return self._engine().author(sequence)
