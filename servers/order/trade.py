"""The trading session: commands in, answers and the account's own events out, on one stream.

Commands are executed in the order they come. Answers that became durable together go out as one frame; an answer waits for
those before it, so they keep the order of the commands.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration

from servers.domain.errors import AccountNotFound, FieldViolation, OrderNotFound, VenueError
from servers.domain.identifiers import find_order, position_text
from servers.engine.client import Engines
from servers.engine.delimited import field
from servers.engine.messages import timestamp
from servers.engine.missed import GapError, Past
from servers.engine.trading import Following, Pending, TradingEngine
from servers.order.account_events import SlowConsumerError, backlog, live, resume_sequence
from servers.order.amend_orders import check_successor
from servers.order.cancel_orders import tell_closed
from servers.order.history import History
from servers.order.presence import Presence, Presences
from servers.transport import validation
from servers.transport.call import Call
from servers.transport.errors import to_status
from servers.transport.limits import Limits
from servers.transport.refusals import InvalidField
from servers.transport.returning import SLOW_CONSUMER, goodbye
from servers.transport.streaming import lively
from venue.engine.v1 import engine_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2 as pb
from venue.type.v1 import stream_pb2

# Commands that may wait for their answers before the session stops reading.
WAITING_MAX: Final = 2_000
# Commands of one message, as the contract says.
COMMANDS_MAX: Final = 100
# Answers in one frame, so that no client's own bound is met.
ANSWER_BYTES_MAX: Final = 256 * 1024
# Frames that may wait for a client that does not read.
OUTBOX_MAX: Final = 64
# How long after a half-close a session is not yet taken to have ended as planned.
BROKEN_S: Final = 0.1
# Fields of TradeAnswer by kind of command, and of the frames around it.
_ANSWER_FIELD: Final = {"place": 2, "cancel": 3, "cancel_all": 4, "amend": 5, "place_oco": 7, "replace": 8}
_ERROR_FIELD: Final = 6
_ANSWERS: Final = 1
_FRAME_ANSWERS: Final = 16
_FRAME_EVENT: Final = pb.TradeResponse.EVENT_FIELD_NUMBER
_COMMAND: Final = {
    "place": "place_order",
    "cancel": "cancel_order",
    "cancel_all": "cancel_all_orders",
    "amend": "amend_order",
    "place_oco": "place_oco",
    "replace": "replace_order",
}
# Commands whose answer says of an order that it is closed.
_NAMING: Final = frozenset({"cancel", "amend"})


class Mark(NamedTuple):
    """How a command is answered: the client's mark, the kind, and what names an order where the command may fail for that."""

    correlation_id: str
    kind: str
    named: pb.CancelOrderRequest | pb.AmendOrderRequest | None


class Session:
    """One Trade call."""

    def __init__(
        self,
        engines: Engines[TradingEngine],
        past: Past,
        history: History,
        limits: Limits,
        presences: Presences,
        silence_s: float,
    ) -> None:
        self._engines = engines
        self._past = past
        self._history = history
        self._presences = presences
        self._silence_s = silence_s
        # Commands of a session count as calls do.
        self._buckets = {
            "place": limits.bucket(access_pb2.BUCKET_ORDER),
            "amend": limits.bucket(access_pb2.BUCKET_ORDER),
            "place_oco": limits.bucket(access_pb2.BUCKET_ORDER),
            "replace": limits.bucket(access_pb2.BUCKET_ORDER),
            "cancel": limits.bucket(access_pb2.BUCKET_CANCEL),
            "cancel_all": limits.bucket(access_pb2.BUCKET_CANCEL),
        }
        self._stream_id = secrets.token_hex(16)
        self._account_id = ""
        # Where losing the session cancels its orders.
        self._presence: Presence | None = None
        self._epoch = 0
        # The last event that was handed out, and the last that waits to be.
        self._last = 0
        self._queued = 0
        self._waiting: deque[tuple[list[Mark], Pending]] = deque()
        self._unanswered = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._outbox: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._sent = asyncio.Event()

    async def frames(self, requests: AsyncIterator[pb.TradeRequest], call: Call) -> AsyncGenerator[bytes, None]:
        """Raises what a first message that is no start, or a start that is refused, deserves."""
        first = await anext(requests, None)
        if first is None:
            return
        start = self._start(first)
        engine = self._engines.for_account(start.account_id)
        presence = None
        if start.cancel_on_disconnect or start.session_id:
            self._stream_id = start.session_id or self._stream_id
            presence = Presence(engine, call.identity.user_id, start.account_id, self._stream_id)
            await presence.open()
        self._presence = presence
        try:
            async with aclosing(self._session(requests, call, engine, start)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            if presence is not None and not presence.ended:
                self._presences.lose(presence)

    async def _session(
        self, requests: AsyncIterator[pb.TradeRequest], call: Call, engine: TradingEngine, start: pb.TradeStart
    ) -> AsyncGenerator[bytes, None]:
        session = None if self._presence is None else self._presence.mark
        following = await engine.follow(start.account_id, call.identity.user_id, snapshot=False, session=session)
        try:
            self._account_id, self._epoch = start.account_id, following.epoch
            after = resume_sequence(engine.partition, start.resume_after, following)
            self._last = self._queued = following.sequence if after is None else after
            frames = lively(
                self._merged(requests, call, engine, following, after),
                call,
                heartbeat=lambda: self._frame(engine, self._last, heartbeat=stream_pb2.Heartbeat()),
                goodbye=lambda reason: self._goodbye(call, engine, reason, self._last),
                silence_s=self._silence_s,
                ahead=8,
            )
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        finally:
            engine.unfollow(following)

    @staticmethod
    def _start(first: pb.TradeRequest) -> pb.TradeStart:
        validation.check(first)
        if len(first.commands) != 1 or first.commands[0].WhichOneof("command") != "start":
            raise InvalidField([FieldViolation("commands", "the first message must be one start", "commands.start")])
        return first.commands[0].start

    async def _merged(
        self,
        requests: AsyncIterator[pb.TradeRequest],
        call: Call,
        engine: TradingEngine,
        following: Following,
        after: int | None,
    ) -> AsyncIterator[bytes]:
        silence = Duration(seconds=int(self._silence_s), nanos=int(self._silence_s % 1 * 1e9))
        yield self._frame(
            engine, self._last, ready=stream_pb2.Ready(heartbeat_interval=silence, resumed=after is not None)
        )
        work = asyncio.ensure_future(self._work(requests, call, engine, following, after))
        try:
            while (queued := await self._outbox.get()) is not None:
                frame, sequence = queued
                self._sent.set()
                # Only what was handed out counts as told: a goodbye names it as the place to resume.
                self._last = sequence or self._last
                yield frame
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def _work(
        self,
        requests: AsyncIterator[pb.TradeRequest],
        call: Call,
        engine: TradingEngine,
        following: Following,
        after: int | None,
    ) -> None:
        """Until every command of a half-closed stream is answered, or the events end; then nothing more goes out."""
        answering = asyncio.ensure_future(self._answer(call, engine))
        telling = asyncio.ensure_future(self._tell(call, engine, following, after))
        tasks = {answering, telling, asyncio.ensure_future(self._read(requests, call, engine))}
        try:
            while not (answering.done() or telling.done()):
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            self._outbox.put_nowait(None)
            # What reads the requests has let go of them then: who opened them may close them.
            if tasks:
                await asyncio.wait(tasks)

    async def _put(self, frame: bytes, sequence: int = 0) -> None:
        """Queue a frame (of an event with a sequence); waits while the client does not read."""
        while self._outbox.qsize() >= OUTBOX_MAX:
            self._sent.clear()
            await self._sent.wait()
        self._outbox.put_nowait((frame, sequence))

    # In

    async def _read(self, requests: AsyncIterator[pb.TradeRequest], call: Call, engine: TradingEngine) -> None:
        async for request in requests:
            if not 1 <= len(request.commands) <= COMMANDS_MAX:
                what = f"a message has 1 to {COMMANDS_MAX} commands"
                raise InvalidField([FieldViolation("commands", what, "commands.count")])
            while self._unanswered >= WAITING_MAX:
                self._room.clear()
                await self._room.wait()
            marks, commands, errors = self._commands(request, call, engine)
            pending = await engine.enqueue(commands, errors)
            self._unanswered += len(marks)
            self._waiting.append((marks, pending))
            self._arrived.set()
        self._waiting.append(([], engine.nothing()))
        self._arrived.set()

    def _commands(
        self, request: pb.TradeRequest, call: Call, engine: TradingEngine
    ) -> tuple[list[Mark], list[engine_pb2.Command], dict[int, VenueError]]:
        """The marks, the commands for the engine, and by index what is refused before it."""
        user_id, session_id = call.identity.user_id, "" if self._presence is None else self._stream_id
        marks: list[Mark] = []
        commands: list[engine_pb2.Command] = []
        errors: dict[int, VenueError] = {}
        for index, item in enumerate(request.commands):
            kind = item.WhichOneof("command") or ""
            command = engine_pb2.Command(user_id=user_id, session_id=session_id)
            named = None
            try:
                self._check(item, kind, call, engine.partition)
                if kind == "place":
                    # Nearly all; a field that is named is found twice as fast as one that is looked up.
                    command.place_order.CopyFrom(item.place)
                else:
                    getattr(command, _COMMAND[kind]).CopyFrom(getattr(item, kind))
                named = getattr(item, kind) if kind in _NAMING else None
                if named is not None:
                    command.account_id = named.account_id = self._account_id
            except VenueError as error:
                errors[index] = error
            marks.append(Mark(item.correlation_id, kind, named))
            commands.append(command)
        return marks, commands, errors

    def _check(self, item: pb.TradeCommand, kind: str, call: Call, partition: int) -> None:
        validation.check(item)
        if kind == "place" and item.place.account_id == self._account_id:
            # Nearly all: nothing of what follows is asked of a placement on the session's own account.
            self._take(kind, call)
            return
        if kind == "start":
            raise InvalidField([FieldViolation("start", "the session has started already", "start.once")])
        body = getattr(item, kind)
        orders = _placements(item, kind)
        for named in orders or (body,):
            if named.account_id and named.account_id != self._account_id:
                raise AccountNotFound(named.account_id)
        if kind == "replace":
            check_successor(body)
        if kind in {"cancel", "amend", "replace"} and body.order_id:
            found = find_order(body.order_id)
            if found is None or found[0] != partition:
                # The machine knows its orders by number alone.
                raise OrderNotFound(body.order_id)
        self._take(kind, call)

    def _take(self, kind: str, call: Call) -> None:
        """Count a command. Raises RateLimited."""
        bucket = self._buckets[kind]
        if bucket is not None:
            bucket.take(call.caller)

    # Out

    async def _answer(self, call: Call, engine: TradingEngine) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            await self._waiting[0][1].ready()
            parts: list[bytes] = []
            size = 0
            ended = False
            while self._waiting and self._waiting[0][1].is_ready() and size < ANSWER_BYTES_MAX:
                marks, pending = self._waiting.popleft()
                ended = not marks
                self._unanswered -= len(marks)
                for mark, outcome in zip(marks, await pending.outcomes(), strict=True):
                    told = outcome
                    if isinstance(outcome, OrderNotFound) and mark.named is not None:
                        (told,) = await tell_closed(self._engines, self._history, [mark.named], [outcome], call)
                    parts.append(field(_ANSWERS, _answer(mark, told)))
                    size += len(parts[-1])
            self._room.set()
            if parts:
                # Events that wait before this frame are told with it.
                await self._put(self._frame(engine, self._queued) + field(_FRAME_ANSWERS, b"".join(parts)))
            if ended:
                if self._presence is not None:
                    # A connection that broke looks half-closed first; what follows at once is that the call is cancelled.
                    await asyncio.sleep(BROKEN_S)
                    await self._presence.end()
                return

    async def _tell(self, call: Call, engine: TradingEngine, following: Following, after: int | None) -> None:
        if after is not None:
            try:
                async for frame in backlog(self._past, engine.partition, after, following):
                    event = pb.OrderEvent(updates=frame.record.orders).SerializeToString()
                    await self._event(engine, frame.sequence, frame.previous_sequence, event)
            except GapError as gap:
                self._queued = following.sequence
                lost = stream_pb2.Gap(from_sequence=gap.after, to_sequence=following.sequence, reason="NOT_KEPT")
                await self._put(self._frame(engine, self._queued, gap=lost), self._queued)
        try:
            async for frames in live(following):
                # What became durable together goes out as one frame: a write costs more than what it carries.
                # A live record has orders alone, in the field of an event's updates; records joined are an event.
                event = b"".join([frame.wire for frame in frames])
                await self._event(engine, frames[-1].sequence, frames[0].previous_sequence, event)
        except SlowConsumerError:
            await self._put(self._goodbye(call, engine, SLOW_CONSUMER, self._queued))
            return
        await self._put(self._goodbye(call, engine, "LEADER_CHANGED", self._queued))

    async def _event(self, engine: TradingEngine, sequence: int, previous: int, event: bytes) -> None:
        """A frame with a serialized OrderEvent."""
        self._queued = sequence
        frame = self._frame(engine, sequence, sequence=sequence, previous_sequence=previous)
        await self._put(frame + field(_FRAME_EVENT, event), sequence)

    def _goodbye(self, call: Call, engine: TradingEngine, reason: str, told: int) -> bytes:
        resume_after = position_text(engine.partition, self._epoch, told)
        return self._frame(engine, told, goodbye=goodbye(call, reason, resume_after))

    def _frame(self, engine: TradingEngine, told: int, /, **parts: object) -> bytes:
        """A frame whose position is the last event that was told with it."""
        return pb.TradeResponse(
            stream_id=self._stream_id,
            position=position_text(engine.partition, self._epoch, told),
            server_time=timestamp(time.time_ns() // 1000),
            **parts,  # type: ignore[arg-type]  # one of the envelope's frames, and its sequences
        ).SerializeToString()


def _placements(item: pb.TradeCommand, kind: str) -> Sequence[pb.PlaceOrderRequest]:
    """The placements that a command of a session holds."""
    if kind == "place":
        return (item.place,)
    if kind == "place_oco":
        return tuple(item.place_oco.orders)
    return (item.replace.order,) if kind == "replace" else ()


def _answer(mark: Mark, outcome: bytes | VenueError) -> bytes:
    head = field(1, mark.correlation_id.encode()) if mark.correlation_id else b""
    if isinstance(outcome, VenueError):
        return head + field(_ERROR_FIELD, to_status(outcome).SerializeToString())
    return head + field(_ANSWER_FIELD[mark.kind], outcome)
