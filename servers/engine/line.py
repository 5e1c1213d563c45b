"""A server's way to a leader in another process: one channel with one Submit stream on it, shared by all its callers.

A server that ends the stream by itself has answered all that it took: of what is then unanswered nothing was executed, nor will
be. Where the stream breaks, the outcome is unknown.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import grpc
import structlog

from servers.domain.errors import NotLeader, PartUnavailable, VenueError
from servers.transport.papers import Papers, open_channel
from venue.engine.v1 import engine_pb2 as pb
from venue.engine.v1 import engine_pb2_grpc

log = structlog.get_logger()
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
# What was sent on a line that takes no more is answered in less, or its outcome is unknown.
RETIRE_S: Final = 2.0
CHANNEL_OPTIONS: Final = (
    # A leader whose machine lost its power says nothing: notice within seconds. A ping that is not answered counts by its own
    # bound (60 s, unless it is set), whatever keepalive_timeout_ms says.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Line:
    """Requests out, in the order they are sent; responses in, matched by their marks. Broken once, it stays so."""

    def __init__(
        self, partition: int, address: str, metadata: tuple[tuple[str, str], ...], papers: Papers | None
    ) -> None:
        self._partition = partition
        self._channel = open_channel(address, CHANNEL_OPTIONS, papers)
        self.stub = engine_pb2_grpc.EngineServiceStub(self._channel)
        self.broken = False
        # When (on the loop's clock) the other end was heard last.
        self.heard = 0.0
        # Queries and streams under way, and when the last of them or a request ended.
        self._users = 0
        self._used = asyncio.get_running_loop().time()
        self._marks = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[pb.SubmitResponse]] = {}
        # None ends the stream: gRPC drops the one who waits here, unfinished, where the call ended before it was cancelled.
        self._outbox: asyncio.Queue[pb.SubmitRequest | None] = asyncio.Queue()
        self._call = self.stub.Submit(self._requests(), metadata=metadata)
        self._reader = asyncio.ensure_future(self._read())

    def send(self, request: pb.SubmitRequest) -> "asyncio.Future[pb.SubmitResponse]":
        """The response to come; it ends with NotLeader where it was not taken, with PartUnavailable where the line breaks.

        Raises NotLeader: the line is broken, and nothing was sent.
        """
        if self.broken:
            raise NotLeader(self._partition)
        self._used = asyncio.get_running_loop().time()
        mark = request.correlation_id = next(self._marks)
        future: asyncio.Future[pb.SubmitResponse] = asyncio.get_running_loop().create_future()
        self._waiting[mark] = future
        future.add_done_callback(lambda _: self._waiting.pop(mark, None))
        self._outbox.put_nowait(request)
        return future

    @property
    def idle_s(self) -> float:
        """For how long nobody has used it."""
        now = asyncio.get_running_loop().time()
        if self._users or self._waiting:
            self._used = now
        return now - self._used

    @contextmanager
    def used(self) -> Iterator[None]:
        """By a query, or for as long as a stream lasts."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._used = asyncio.get_running_loop().time()

    async def _requests(self) -> AsyncIterator[pb.SubmitRequest]:
        while (request := await self._outbox.get()) is not None:
            yield request

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        left: VenueError = PartUnavailable("the engine")
        try:
            async for response in self._call:
                self.heard = loop.time()
                if not response.correlation_id:
                    # The server leaves: it answers what it was sent before it hears that there is no more.
                    self._half_close()
                    continue
                future = self._waiting.get(response.correlation_id)
                if future is not None and not future.done():
                    future.set_result(response)
            left = NotLeader(self._partition)
        except grpc.aio.AioRpcError as error:
            log.info("engine line ended", code=error.code().name, waiting=len(self._waiting))
        finally:
            self.broken = True
            self._outbox.put_nowait(None)
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(left)
                    # Whoever asked may have gone; unasked, asyncio would complain.
                    future.exception()

    async def retire(self, within_s: float) -> None:
        """Send nothing more, and hang up once all that was sent is answered, or after a while."""
        self._half_close()
        await asyncio.wait((self._reader,), timeout=within_s)
        await self.close()

    def _half_close(self) -> None:
        self.broken = True
        self._outbox.put_nowait(None)

    async def close(self) -> None:
        """Hang up: everybody who waits is told that the outcome is unknown."""
        self.broken = True
        self._call.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._channel.close()
