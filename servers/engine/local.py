"""The machine in its leader's process: look-ups before, waiting for the commit after."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from db import projections
from db.journal import JournalRow
from db.requests import find_request
from db.session import Pool
from db.transfers import find_transfer
from servers.domain.commands import Command
from servers.domain.errors import NotLeader, PartUnavailable, RequestIdReused, TransferIdReused, VenueError
from servers.domain.exchange import TRANSFER_SCOPE, Exchange, scope_of
from servers.engine.answers import replayed
from servers.engine.archive import Archive, Author
from servers.engine.batch import Outcome, Replay, Ticket
from servers.engine.codec import decode
from servers.engine.feed import Follower
from servers.engine.messages import order_message
from servers.engine.pace import Pace
from servers.engine.queries import read
from servers.engine.requests import needs_look_up
from servers.engine.sequencer import Sequencer
from servers.engine.trading import Following, SessionMark
from servers.transport.limits import Use
from venue.engine.v1 import engine_pb2 as pb

TAIL_ROWS: Final = 64
Seen = TypeVar("Seen")


class LocalPending:
    """Pending (see trading.py) of commands in this process's queue."""

    __slots__ = ("_count", "_engine", "_error", "_ticket")

    def __init__(self, engine: "LocalEngine", count: int, ticket: Ticket | None, error: VenueError | None) -> None:
        self._engine = engine
        self._count = count
        self._ticket = ticket
        self._error = error

    def is_ready(self) -> bool:
        return self._ticket is None or self._ticket.done.done()

    async def ready(self) -> None:
        if self._ticket is not None and not self._ticket.done.done():
            await asyncio.wait([self._ticket.done])

    async def outcomes(self) -> list[bytes | VenueError]:
        if self._ticket is None:
            return [] if self._error is None else [self._error] * self._count
        try:
            await self._ticket.done
            return await self._engine.tell(self._ticket.results)
        except VenueError as error:
            return [error] * self._count


def tail_message(row: JournalRow) -> pb.TailResponse:
    """A row of the journal as followers get it."""
    return pb.TailResponse(
        first_sequence=row.first_sequence,
        last_sequence=row.last_sequence,
        epoch=row.epoch,
        rules_version=row.rules_version,
        commands=row.commands,
        digest=row.digest,
        chain=row.chain,
    )


class LocalEngine:
    """TradingEngine (see trading.py) of a partition that this process leads or waits to lead."""

    def __init__(self, partition: int, pool: Pool, pace: Pace | None = None) -> None:
        self._partition = partition
        self._pace = pace
        self._archive = Archive(partition, pool)
        # Set while this process leads, and the event with it.
        self.sequencer: Sequencer | None = None
        self.leads = asyncio.Event()

    @property
    def partition(self) -> int:
        return self._partition

    @property
    def is_leading(self) -> bool:
        return self.sequencer is not None

    @property
    def queued(self) -> int:
        """How many commands wait; 0 where another process leads."""
        return 0 if self.sequencer is None else self.sequencer.queued

    def _leading(self) -> Sequencer:
        if self.sequencer is None:
            raise NotLeader(self._partition)
        return self.sequencer

    def uses(self, user_id: str, account_id: str) -> Iterator[tuple[int, str, Use]]:
        """What is left to a user's accounts, or to the one named, of what they may send; nothing where another process leads."""
        if self.sequencer is not None and self._pace is not None:
            yield from self._pace.uses(self.sequencer.exchange, user_id, account_id)

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        sequencer = self._leading()
        known = await self._look_up(sequencer, commands) if sequencer.exchange.clock.forgotten_time else {}
        if self._pace is not None:
            self._pace.turn_away(sequencer.exchange, commands, known)
        ticket = sequencer.enqueue(commands, timeout_s, known)
        await ticket.done
        return await self.tell(ticket.results)

    async def enqueue(self, commands: Sequence[pb.Command], refused: Mapping[int, VenueError]) -> LocalPending:
        try:
            sequencer = self._leading()
            known = await self._look_up(sequencer, commands) if sequencer.exchange.clock.forgotten_time else {}
            known.update(refused)
            if self._pace is not None:
                self._pace.turn_away(sequencer.exchange, commands, known)
            return LocalPending(self, len(commands), sequencer.enqueue(commands, None, known, streamed=True), None)
        except VenueError as error:
            return LocalPending(self, len(commands), None, error)

    def nothing(self) -> LocalPending:
        return LocalPending(self, 0, None, None)

    async def tell(self, outcomes: Sequence[Outcome]) -> list[bytes | VenueError]:
        """Outcomes as callers get them; the first answers of old requests are read from the journal."""
        return [await self._replayed(outcome) if isinstance(outcome, Replay) else outcome for outcome in outcomes]

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        sequencer = self._leading()
        await sequencer.settled(request.min_sequence)

        def look(exchange: Exchange) -> pb.QueryResponse:
            return read(exchange, request, sequencer.tail.sequence)

        return await self._seen(sequencer, look, lambda seen: seen.sequence)

    async def tail(self, after_sequence: int) -> AsyncGenerator[pb.TailResponse, None]:
        async with aclosing(self.batches(after_sequence)) as batches:
            async for rows in batches:
                for row in rows:
                    yield tail_message(row)

    async def batches(self, after_sequence: int) -> AsyncGenerator[list[JournalRow], None]:
        """As `tail`: as many rows at once as there are, but for a bound."""
        sequencer = self._leading()
        while sequencer.ended is None:
            rows = sequencer.tail.after(after_sequence, TAIL_ROWS)
            if rows is None:
                rows = await self._archive.rows(after_sequence, TAIL_ROWS)
            if rows:
                yield rows
                after_sequence = rows[-1].last_sequence
            elif sequencer.ended is None:
                await sequencer.tail.wait()
        raise sequencer.ended

    async def follow(
        self, account_id: str, user_id: str, *, snapshot: bool, session: SessionMark | None = None
    ) -> Following:
        # Should this process die, the next leader takes all sessions for lost.
        del session
        sequencer = self._leading()
        followers: list[Follower] = []

        def begin(exchange: Exchange) -> Following:
            account = exchange.ledger.account(account_id, user_id)
            resting = account.orders.values() if snapshot else ()
            orders = [order_message(self._partition, order) for order in resting]
            clock = exchange.clock
            followers.append(sequencer.feed.follow(account_id, clock.sequence))
            last = account.last_event_sequence
            return Following(followers[-1], sequencer.feed.ring, clock.sequence, clock.epoch, last, orders)

        following = None
        try:
            following = await self._seen(sequencer, begin)
        finally:
            for follower in followers:
                if following is None or follower is not following.follower:
                    sequencer.feed.leave(follower)
        return following

    def unfollow(self, following: Following) -> None:
        if self.sequencer is not None:
            self.sequencer.feed.leave(following.follower)

    async def _seen(
        self,
        sequencer: Sequencer,
        look: Callable[[Exchange], Seen],
        changed: Callable[[Seen], int] | None = None,
    ) -> Seen:
        """What memory says, or that it refuses, once that is durable; asked again where a fault took it back meanwhile.

        `changed` gives the sequence that made what was seen as it is, if that may be an older one than the last.
        """
        while True:
            exchange = await sequencer.sound()
            if not sequencer.appender.leads:
                # The lease may be another's by now: our memory is not the truth any more.
                raise NotLeader(self._partition)
            seen: Seen | VenueError
            try:
                seen = look(exchange)
            except VenueError as refusal:
                seen = refusal
            sequence = exchange.clock.sequence
            if changed is not None and not isinstance(seen, VenueError):
                sequence = changed(seen)
            await sequencer.settled(sequence)
            if sequencer.exchange is not exchange:
                continue
            if isinstance(seen, VenueError):
                raise seen
            return seen

    async def outcome(self, user_id: str, request_id: str) -> tuple[str, bytes] | None:
        key = (user_id, request_id.lower())
        request = await self._seen(self._leading(), lambda exchange: exchange.requests.get(key))
        return await self._archive.outcome(user_id, request_id, 0 if request is None else request.sequence)

    async def journaled(self, sequence: int) -> tuple[str, bytes] | None:
        return await self._archive.journaled(sequence)

    async def author(self, sequence: int) -> Author | None:
        return await self._archive.author(sequence)

    async def _replayed(self, repeat: Replay) -> bytes:
        first = repeat.answer
        if first is None:
            first = await self._archive.answer(repeat.sequence)
        return replayed(repeat.kind, first)

    async def _look_up(self, sequencer: Sequencer, commands: Sequence[pb.Command]) -> dict[int, Outcome]:
        """Outcomes of request ids that the machine may have forgotten, by index."""
        known: dict[int, Outcome] = {}
        for index, message in enumerate(commands):
            try:
                command = decode(message)
            except (VenueError, ValueError):
                # The sequencer says what is wrong with it.
                continue
            exchange = sequencer.exchange
            if (
                command.request_id
                and needs_look_up(command.request_id, exchange.clock.forgotten_time)
                and (scope_of(command), command.request_id) not in exchange.requests
            ):
                outcome = await self._find(sequencer, command, message)
                if outcome is None:
                    message.verdict = pb.VERDICT_NEW
                else:
                    known[index] = outcome
        return known

    async def _find(self, sequencer: Sequencer, command: Command, message: pb.Command) -> Outcome | None:
        scope = scope_of(command)
        oldest = next(iter(sequencer.exchange.requests.values())).sequence
        async with self._archive.tables() as connection:
            projected = await projections.find_projection(connection, self._partition, projections.TABLES)
            if projected is None or projected.sequence < oldest:
                raise PartUnavailable("the record of requests")
            found = await find_request(connection, self._partition, scope, command.request_id)
            if found is None and scope == TRANSFER_SCOPE:
                # What it was asked with is forgotten after a month; that it was made never is.
                made = await find_transfer(connection, self._partition, command.request_id)
                return None if made is None else TransferIdReused(command.request_id)
        if found is None:
            return None
        if found.fingerprint != command.fingerprint:
            reused = TransferIdReused if scope == TRANSFER_SCOPE else RequestIdReused
            return reused(command.request_id)
        return Replay(found.sequence, message.WhichOneof("body") or "", None)
