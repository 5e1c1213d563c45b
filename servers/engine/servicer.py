"""EngineService: the machine for other processes of the venue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Final, TypeVar

import structlog

from servers.domain.errors import PartUnavailable, VenueError
from servers.engine.local import LocalEngine, tail_message
from servers.transport.call import Call
from servers.transport.errors import to_status
from venue.engine.v1 import engine_pb2 as pb

# A message costs the two processes more than what it carries: rows that follow within so long go together.
TAIL_PAUSE_S: Final = 0.02
# How long the other end of a Submit may take to send nothing more, once it is asked to.
FAREWELL_S: Final = 1.0
log = structlog.get_logger()
Result = TypeVar("Result")


class EngineServicer:
    """Serves the partitions that this process leads."""

    def __init__(self, engines: Mapping[int, LocalEngine]) -> None:
        self._engines = engines
        # Ends of sessions that are being noted.
        self._ending: set[asyncio.Future[list[bytes | VenueError]]] = set()

    def _engine(self, partition: int) -> LocalEngine:
        engine = self._engines.get(partition)
        if engine is None:
            raise PartUnavailable(f"partition {partition}")
        return engine

    async def Query(self, request: pb.QueryRequest, call: Call) -> pb.QueryResponse:
        return await self._engine(request.partition).query(request)

    async def Tail(self, request: pb.TailRequest, call: Call) -> AsyncIterator[pb.TailResponse]:
        batches = self._engine(request.partition).batches(request.after_sequence)
        try:
            # A server that stops does not wait for a stream that has no end.
            while (rows := await unless_ended(anext(batches), call)) is not None:
                message = tail_message(rows[0])
                message.following.extend(map(tail_message, rows[1:]))
                yield message
                await asyncio.sleep(TAIL_PAUSE_S)
        finally:
            await batches.aclose()

    async def Submit(self, requests: AsyncIterator[pb.SubmitRequest], call: Call) -> AsyncIterator[pb.SubmitResponse]:
        """Results go out as they become durable; ordered requests are executed in the order they come."""
        turns = asyncio.Lock()
        outbox: asyncio.Queue[pb.SubmitResponse | None] = asyncio.Queue()
        under_way: set[asyncio.Task[None]] = set()

        async def answer(request: pb.SubmitRequest) -> None:
            outbox.put_nowait(await self._submit(request, turns))

        async def receive() -> None:
            async for request in requests:
                task = asyncio.ensure_future(answer(request))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

        async def finish() -> None:
            assert call.end is not None
            try:
                await asyncio.wait((receiver, call.end), return_when=asyncio.FIRST_COMPLETED)
                if not receiver.done():
                    # A stream that ends while a message is on its way to it may look broken at the other end.
                    outbox.put_nowait(pb.SubmitResponse())
                    await asyncio.wait((receiver,), timeout=FAREWELL_S)
                    receiver.cancel()
                # Whoever asks takes an end without an error as this: what was taken is answered, the rest never will be done.
                await asyncio.gather(*under_way)
            finally:
                outbox.put_nowait(None)

        receiver = asyncio.ensure_future(receive())
        finisher = asyncio.ensure_future(finish())
        try:
            while (response := await outbox.get()) is not None:
                yield response
            await finisher
            if receiver.done() and not receiver.cancelled():
                receiver.result()
        finally:
            for task in (receiver, finisher, *under_way):
                task.cancel()
            # It has let go of the requests then: who opened them may close them.
            await asyncio.wait((receiver,))

    async def Follow(self, request: pb.FollowRequest, call: Call) -> AsyncIterator[pb.FollowResponse]:
        engine = self._engine(request.partition)
        following = await engine.follow(request.account_id, request.user_id, snapshot=request.snapshot)
        try:
            start = pb.FollowStart(
                sequence=following.sequence,
                epoch=following.epoch,
                account_sequence=following.account_sequence,
                orders=following.orders,
            )
            yield pb.FollowResponse(start=start)
            follower = following.follower
            while not (follower.slow or follower.ended):
                taken = await unless_ended(follower.take(), call)
                if taken is None:
                    return
                frames = [
                    pb.FollowFrame(sequence=f.sequence, previous_sequence=f.previous_sequence, record=f.record)
                    for f in taken
                ]
                yield pb.FollowResponse(frames=frames, slow=follower.slow)
        finally:
            engine.unfollow(following)
            if request.session_id:
                self._lose(engine, request)

    def _lose(self, engine: LocalEngine, request: pb.FollowRequest) -> None:
        """Note the loss of a session whose server is gone; nothing happens where that server told of it, or of its end."""
        ending = pb.EndSession(
            session_id=request.session_id, account_id=request.account_id, opened=request.session_opened, lost=True
        )
        task = asyncio.ensure_future(engine.submit([pb.Command(user_id=request.user_id, end_session=ending)], None))
        self._ending.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: "asyncio.Future[list[bytes | VenueError]]") -> None:
        self._ending.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Nobody leads here any more: the next leader takes all sessions for lost.
            log.info("loss of a session not noted", cause=repr(task.exception()))

    async def _submit(self, request: pb.SubmitRequest, turns: asyncio.Lock) -> pb.SubmitResponse:
        response = pb.SubmitResponse(correlation_id=request.correlation_id)
        timeout_s = request.timeout_us / 1e6 if request.timeout_us else None
        try:
            engine = self._engine(request.partition)
            if request.ordered:
                # Whoever waits here is served in the order of coming, so a look-up does not let others go first.
                async with turns:
                    pending = await engine.enqueue(request.commands, {})
                outcomes = await pending.outcomes()
            else:
                outcomes = await engine.submit(request.commands, timeout_s)
        except VenueError as error:
            outcomes = [error] * len(request.commands)
        for outcome in outcomes:
            if isinstance(outcome, bytes):
                response.results.add(answer=outcome)
            else:
                response.results.add(error=to_status(outcome))
        return response


async def unless_ended(work: Awaitable[Result], call: Call) -> Result | None:
    """What the work comes to; None once the server ends the stream."""
    end = call.end
    assert end is not None
    coming = asyncio.ensure_future(work)

    # A callback costs a tenth of what asyncio.wait() does, and a row of the journal each time.
    def stop(_: "asyncio.Future[str]") -> None:
        coming.cancel()

    if end.done():
        coming.cancel()
    end.add_done_callback(stop)
    try:
        return await coming
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not end.done() or (task is not None and task.cancelling()):
            raise
        return None
    finally:
        end.remove_done_callback(stop)
