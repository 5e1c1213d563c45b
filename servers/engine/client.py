"""How every room reaches the machine: the same interface in the leader's process and over gRPC."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar

import grpc
import psycopg
import structlog

from db import journal
from db.session import Pool
from servers.domain.errors import (
    AccountNotFound,
    MarketNotFound,
    NotLeader,
    OrderNotFound,
    PartUnavailable,
    VenueError,
)
from servers.domain.identifiers import account_environment, find_order
from servers.transport.call import INTERNAL_KEY
from servers.transport.errors import from_call, from_status
from venue.engine.v1 import engine_pb2 as pb
from venue.engine.v1 import engine_pb2_grpc

log = structlog.get_logger()
ADDRESS_RETRY_S: Final = 0.1
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
QUERY_S: Final = 10.0
_AWAY: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
CHANNEL_OPTIONS: Final = (
    # A leader whose machine lost its power says nothing: notice within seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Engine(Protocol):
    """One partition's machine."""

    @property
    def partition(self) -> int: ...

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        """Execute commands in order: answers' wire bytes or refusals, once durable.

        Raises Overloaded (nothing was executed), NotLeader and PartUnavailable (outcome unknown: repeat).
        """
        ...

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        """Read memory; the answer is durable. Raises VenueError."""
        ...

    def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        """Committed batches after a sequence, for ever. Raises NotLeader, PartUnavailable."""
        ...


EngineT_co = TypeVar("EngineT_co", bound=Engine, covariant=True)


class Engines(Generic[EngineT_co]):
    """The partitions, and which of them a thing belongs to."""

    def __init__(self, by_environment: Mapping[int, EngineT_co]) -> None:
        self._by_environment = dict(by_environment)
        self._by_partition = {engine.partition: engine for engine in by_environment.values()}

    @property
    def all(self) -> list[EngineT_co]:
        """Every partition's engine."""
        return list(self._by_partition.values())

    def for_environment(self, environment: int) -> EngineT_co:
        """Raises MarketNotFound: the deployment does not serve the environment."""
        engine = self._by_environment.get(environment)
        if engine is None:
            raise MarketNotFound("")
        return engine

    def for_partition(self, partition: int) -> EngineT_co:
        """Raises PartUnavailable."""
        engine = self._by_partition.get(partition)
        if engine is None:
            raise PartUnavailable(f"partition {partition}")
        return engine

    def for_account(self, account_id: str) -> EngineT_co:
        """Raises AccountNotFound."""
        engine = self._by_environment.get(account_environment(account_id))
        if engine is None:
            raise AccountNotFound(account_id)
        return engine

    def for_order(self, order_id: str) -> EngineT_co:
        """Raises OrderNotFound."""
        found = find_order(order_id)
        engine = self._by_partition.get(found[0]) if found else None
        if engine is None:
            raise OrderNotFound(order_id)
        return engine


class RemoteEngine:
    """A partition led by another process, found by the address in its fence."""

    def __init__(self, partition: int, pool: Pool, key: str = "") -> None:
        self._partition = partition
        self._pool = pool
        # What servers of the venue know each other by.
        self._metadata = ((INTERNAL_KEY, key),) if key else ()
        self._lock = asyncio.Lock()
        self._line: _Line | None = None

    @property
    def partition(self) -> int:
        return self._partition

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        line = await self._connected()
        timeout_us = 0 if timeout_s is None else max(1, int(timeout_s * 1e6))
        request = pb.SubmitRequest(partition=self._partition, commands=commands, timeout_us=timeout_us)
        try:
            async with asyncio.timeout(timeout_s):
                response = await line.submit(request)
        except TimeoutError:
            # Perhaps the other end is gone without a word: look its address up again.
            line.broken = True
            raise PartUnavailable("the engine") from None
        outcomes = [_outcome(result) for result in response.results]
        if any(isinstance(outcome, VenueError) and _moved(outcome) for outcome in outcomes):
            # The leader may have moved while its process lives on: look its address up again at the next call.
            line.broken = True
        return outcomes

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        request.partition = self._partition
        line = await self._connected()
        try:
            return await line.stub.Query(request, timeout=QUERY_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise await self._failed(error) from None

    async def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        line = await self._connected()
        try:
            async for row in line.stub.Tail(
                pb.TailRequest(partition=self._partition, after_sequence=after_sequence), metadata=self._metadata
            ):
                yield row
        except grpc.aio.AioRpcError as error:
            raise await self._failed(error) from None

    async def close(self) -> None:
        """Hang up."""
        await self._hang_up()

    async def _connected(self) -> "_Line":
        async with self._lock:
            line = self._line
            if line is not None and not line.broken:
                return line
            await self._hang_up()
            try:
                async with self._pool.connection() as connection:
                    state = await journal.find_partition(connection, self._partition)
            except psycopg.OperationalError as error:
                raise PartUnavailable("the database") from error
            if state is not None and state.address and state.lease_left_s > 0:
                self._line = _Line(state.address, self._metadata)
                return self._line
        await asyncio.sleep(ADDRESS_RETRY_S)
        raise PartUnavailable("the engine")

    async def _hang_up(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            await line.close()

    async def _failed(self, error: grpc.aio.AioRpcError) -> VenueError:
        if error.code() in _AWAY and self._line is not None:
            # The leader may have moved: look its address up again at the next call.
            self._line.broken = True
        return from_call(error)


class _Line:
    """A channel to a leader with one Submit stream on it, shared by all callers of this process."""

    def __init__(self, address: str, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self.stub = engine_pb2_grpc.EngineServiceStub(self._channel)
        self.broken = False
        self._marks = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[pb.SubmitResponse]] = {}
        # None ends the stream: gRPC drops the one who waits here, unfinished, where the call ended before it was cancelled.
        self._outbox: asyncio.Queue[pb.SubmitRequest | None] = asyncio.Queue()
        self._call = self.stub.Submit(self._requests(), metadata=metadata)
        self._reader = asyncio.ensure_future(self._read())

    async def submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        if self.broken:
            raise PartUnavailable("the engine")
        request.correlation_id = next(self._marks)
        future = self._waiting[request.correlation_id] = asyncio.get_running_loop().create_future()
        self._outbox.put_nowait(request)
        try:
            response: pb.SubmitResponse = await future
            return response
        finally:
            del self._waiting[request.correlation_id]

    async def _requests(self) -> AsyncIterator[pb.SubmitRequest]:
        while (request := await self._outbox.get()) is not None:
            yield request

    async def _read(self) -> None:
        try:
            async for response in self._call:
                future = self._waiting.get(response.correlation_id)
                if future is not None and not future.done():
                    future.set_result(response)
        except grpc.aio.AioRpcError as error:
            log.info("engine line ended", code=error.code().name)
        finally:
            self.broken = True
            self._outbox.put_nowait(None)
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(PartUnavailable("the engine"))

    async def close(self) -> None:
        self.broken = True
        self._call.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._channel.close()


def _moved(error: VenueError) -> bool:
    return isinstance(error, NotLeader) or (
        isinstance(error, PartUnavailable) and error.metadata["part"] == "the engine"
    )


def _outcome(result: pb.Result) -> bytes | VenueError:
    return result.answer if result.WhichOneof("outcome") == "answer" else from_status(result.error)
