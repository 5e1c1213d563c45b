"""A partition's machine in another process, reached over gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc
import psycopg
import structlog

from db import journal
from db.session import Pool
from servers.domain.errors import NotLeader, PartUnavailable, VenueError
from servers.engine.archive import Archive, Author
from servers.engine.feed import Follower
from servers.engine.line import RETIRE_S, Line
from servers.engine.patience import away, not_executed, until_led
from servers.engine.ring import AccountFrame, Ring
from servers.engine.trading import Following, SessionMark
from servers.transport.call import INTERNAL_KEY
from servers.transport.errors import from_call, from_status
from servers.transport.papers import Papers
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
ADDRESS_RETRY_S: Final = 0.1
QUERY_S: Final = 10.0
# A line on which nothing is heard for this long, while somebody waits, may have no other end any more.
SILENCE_S: Final = 1.0
# How often it is looked whether the line's leader still leads, and what it told before it was replaced may take to arrive.
LOOK_S: Final = 0.5
LAST_WORDS_S: Final = 0.25
_AWAY: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


class RemotePending:
    """Pending (see trading.py) of commands that were sent to another process."""

    __slots__ = ("_count", "_known", "_line", "_response")

    def __init__(
        self,
        count: int,
        known: Mapping[int, VenueError],
        line: Line | None,
        response: "asyncio.Future[pb.SubmitResponse] | None",
    ) -> None:
        self._count = count
        # Refused before they were sent, by index.
        self._known = known
        self._line = line
        self._response = response

    def is_ready(self) -> bool:
        return self._response is None or self._response.done()

    async def ready(self) -> None:
        if self._response is not None and not self._response.done():
            await asyncio.wait([self._response])

    async def outcomes(self) -> list[bytes | VenueError]:
        told: list[bytes | VenueError] = []
        if self._response is not None and self._line is not None:
            try:
                told = outcomes_of(await self._response, self._line)
            except VenueError as error:
                told = [error] * (self._count - len(self._known))
        coming = iter(told)
        return [self._known[index] if index in self._known else next(coming) for index in range(self._count)]


class RemoteEngine:
    """TradingEngine (see trading.py) of a partition led by another process, found by the address in its fence."""

    def __init__(
        self, partition: int, pool: Pool, key: str = "", papers: Papers | None = None, idle_s: float | None = None
    ) -> None:
        self._partition = partition
        self._pool = pool
        # What servers of the venue know each other by.
        self._metadata = ((INTERNAL_KEY, key),) if key else ()
        self._papers = papers
        # A line that nobody has used for so long is left.
        self._idle_s = idle_s
        self._lock = asyncio.Lock()
        self._line: Line | None = None
        # Who looks whether the line's leader still leads, and lines that are left once what was sent on them is answered.
        self._tasks: set[asyncio.Task[None]] = set()
        self._archive = Archive(partition, pool)
        self._pumps: dict[Follower, asyncio.Task[None]] = {}

    @property
    def partition(self) -> int:
        return self._partition

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        """As any engine does; commands that nobody executed are sent again to the one who leads next, if he comes soon."""
        return await until_led(lambda left_s: self._submit(commands, left_s), not_executed, timeout_s)

    async def _submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        line = await self._connected()
        timeout_us = 0 if timeout_s is None else max(1, int(timeout_s * 1e6))
        request = pb.SubmitRequest(partition=self._partition, commands=commands, timeout_us=timeout_us)
        sent = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                response = await line.send(request)
        except TimeoutError:
            if asyncio.get_running_loop().time() - max(sent, line.heard) > SILENCE_S:
                # Perhaps the other end is gone without a word: look its address up again.
                await line.close()
            raise PartUnavailable("the engine") from None
        outcomes = outcomes_of(response, line)
        if outcomes and isinstance(outcomes[0], NotLeader):
            # The leader executes all commands of a request, or none.
            raise outcomes[0]
        return outcomes

    async def enqueue(self, commands: Sequence[pb.Command], refused: Mapping[int, VenueError]) -> "RemotePending":
        sent = [command for index, command in enumerate(commands) if index not in refused]
        if not sent:
            return RemotePending(len(commands), refused, None, None)
        request = pb.SubmitRequest(partition=self._partition, commands=sent, ordered=True)
        try:
            line = await self._connected()
            return RemotePending(len(commands), refused, line, line.send(request))
        except VenueError as error:
            missing = {index: refused.get(index, error) for index in range(len(commands))}
            return RemotePending(len(commands), missing, None, None)

    def nothing(self) -> "RemotePending":
        return RemotePending(0, {}, None, None)

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        request.partition = self._partition
        return await until_led(lambda _: self._query(request), away)

    async def _query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        line = await self._connected()
        with self._reaching(line):
            return await line.stub.Query(request, timeout=QUERY_S, metadata=self._metadata)

    async def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        line = await self._connected()
        request = pb.TailRequest(partition=self._partition, after_sequence=after_sequence)
        with self._reaching(line):
            async for row in line.stub.Tail(request, metadata=self._metadata):
                yield row

    async def follow(
        self, account_id: str, user_id: str, *, snapshot: bool, session: SessionMark | None = None
    ) -> Following:
        request = pb.FollowRequest(partition=self._partition, account_id=account_id, user_id=user_id, snapshot=snapshot)
        if session is not None:
            request.session_id, request.session_opened = session
        return await until_led(lambda _: self._follow(request), away)

    async def _follow(self, request: pb.FollowRequest) -> Following:
        line = await self._connected()
        call = line.stub.Follow(request, metadata=self._metadata)
        follower = None
        try:
            with self._reaching(line):
                async with asyncio.timeout(QUERY_S):
                    first = await call.read()
            if not isinstance(first, pb.FollowResponse):
                # It ended at once.
                raise PartUnavailable("the engine")
            start = first.start
            follower = Follower(request.account_id, start.sequence)
        except TimeoutError:
            raise PartUnavailable("the engine") from None
        finally:
            if follower is None:
                call.cancel()
        self._pumps[follower] = asyncio.ensure_future(_pump(call, follower, line))
        ring = Ring(time.monotonic)
        return Following(follower, ring, start.sequence, start.epoch, start.account_sequence, list(start.orders))

    def unfollow(self, following: Following) -> None:
        pump = self._pumps.pop(following.follower, None)
        if pump is not None:
            pump.cancel()

    async def outcome(self, user_id: str, request_id: str) -> tuple[str, bytes] | None:
        query = pb.RequestQuery(user_id=user_id, request_id=request_id)
        found = await self.query(pb.QueryRequest(request=query))
        return await self._archive.outcome(user_id, request_id, found.request_sequence)

    async def journaled(self, sequence: int) -> tuple[str, bytes] | None:
        return await self._archive.journaled(sequence)

    async def author(self, sequence: int) -> Author | None:
        return await self._archive.author(sequence)

    async def close(self) -> None:
        """Hang up."""
        pumps = list(self._pumps.values())
        self._pumps.clear()
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)
        for task in self._tasks:
            task.cancel()
        line, self._line = self._line, None
        if line is not None:
            await line.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self) -> Line:
        async with self._lock:
            line = self._line
            if line is not None and not line.broken:
                return line
            self._leave()
            try:
                state = await self._fence()
            except psycopg.OperationalError as error:
                raise PartUnavailable("the database") from error
            if state is not None and state.address and state.lease_left_s > 0:
                line = self._line = Line(self._partition, state.address, self._metadata, self._papers)
                self._keep(self._watch(line, state.holder))
                return line
        await asyncio.sleep(ADDRESS_RETRY_S)
        raise NotLeader(self._partition)

    async def _fence(self) -> journal.PartitionState | None:
        async with self._pool.connection() as connection:
            return await journal.find_partition(connection, self._partition)

    async def _watch(self, line: Line, holder: str) -> None:
        """Leave the line once the fence names another leader than its own, be it this process, or nobody uses it.

        A leader that is frozen says nothing and ends nothing, while its kernel keeps the connection: whoever waits on the line,
        or follows, would go on doing so.
        """
        while self._line is line:
            await asyncio.sleep(LOOK_S)
            if self._idle_s is not None and line.idle_s > self._idle_s and self._line is line:
                self._leave(LAST_WORDS_S)
                return
            with suppress(psycopg.OperationalError):
                state = await self._fence()
                if state is not None and state.holder not in {"", holder} and self._line is line:
                    log.info("engine line left: another process leads", partition=self._partition)
                    self._leave(LAST_WORDS_S)

    def _leave(self, within_s: float = RETIRE_S) -> None:
        """Others may still wait for what they sent on a line that takes no more."""
        if self._line is not None:
            self._keep(self._line.retire(within_s))
            self._line = None

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextmanager
    def _reaching(self, line: Line) -> Iterator[None]:
        """Raises what a call on the line came to as a VenueError."""
        try:
            with line.used():
                yield
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                # The leader may have moved: look its address up again at the next call.
                line.broken = True
            raise from_call(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not we were cancelled but the call: somebody hung up.
            raise PartUnavailable("the engine") from None


async def _pump(call: Any, follower: Follower, line: Line) -> None:  # noqa: ANN401  gRPC's own type is not public
    """Frames of a Follow into a follower, until either ends."""
    try:
        with line.used():
            while isinstance(response := await call.read(), pb.FollowResponse):
                for f in response.frames:
                    follower.push(
                        AccountFrame(follower.account_id, f.sequence, f.previous_sequence, f.record.SerializeToString())
                    )
                if response.slow:
                    follower.cut()
    except grpc.aio.AioRpcError:
        # Whoever follows is told that the leader changed, and comes back to the one there is then.
        pass
    finally:
        call.cancel()
        follower.end()


def outcomes_of(response: pb.SubmitResponse, line: Line) -> list[bytes | VenueError]:
    """Answers and refusals of a response. Where the leader has moved, though its process lives on, the line counts as broken."""
    outcomes = [_outcome(result) for result in response.results]
    if any(isinstance(outcome, VenueError) and _moved(outcome) for outcome in outcomes):
        line.broken = True
    return outcomes


def _moved(error: VenueError) -> bool:
    return isinstance(error, NotLeader) or (
        isinstance(error, PartUnavailable) and error.metadata["part"] == "the engine"
    )


def _outcome(result: pb.Result) -> bytes | VenueError:
    return result.answer if result.WhichOneof("outcome") == "answer" else from_status(result.error)
