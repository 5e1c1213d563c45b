"""One stream: what it is subscribed to, and the frames that wait for its reader, in bounded memory.

A reader that falls behind loses the waiting frames of books, tickers, candles and states, and gets a gap and a snapshot once
it has caught up. Trades are not dropped: at the bound the stream ends with SLOW_CONSUMER.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration

from servers.domain.errors import VenueError
from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.series import Series, Source
from servers.marketdata.view import TRADES
from servers.transport.call import Call
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import stream_pb2

SUBSCRIPTIONS_MAX: Final = 50
SLOW_CONSUMER: Final = "SLOW_CONSUMER"
CONFLATED: Final = "CONFLATED"


class Bounds(NamedTuple):
    """How much may wait for a reader: from where on books are conflated, and where the stream ends."""

    conflate_frames: int = 1024
    conflate_bytes: int = 256 * 1024
    frames_max: int = 4096
    bytes_max: int = 1024 * 1024


class Waiting(NamedTuple):
    """A frame that waits, without the stream's id."""

    series: Series
    previous_sequence: int
    frame: bytes


class Subscriber:
    """A stream's side of the fan-out. Frames are `stream id field + shared bytes`."""

    def __init__(self, source: Source, depth: int, silence_s: float, bounds: Bounds) -> None:
        self.stream_id = secrets.token_hex(16)
        self.source = source
        self.depth = depth
        self.subscriptions: dict[Series, None] = {}
        self._prefix = pb.SubscribeResponse(stream_id=self.stream_id).SerializeToString()
        self._silence_s = silence_s
        self._bounds = bounds
        self._queue: deque[Waiting] = deque()
        self._queued_bytes = 0
        # Series whose snapshot is to be sent; with the sequence they stopped at and the reason where a gap goes before it.
        self._fresh: dict[Series, None] = {}
        self._lagging: dict[Series, tuple[int, str]] = {}
        self._awake = asyncio.Event()
        self._ended = ""
        self._failure: VenueError | None = None

    @property
    def ended(self) -> bool:
        """Cut off: only the goodbye is left to send."""
        return bool(self._ended)

    def change(self, add: Sequence[Series], remove: Sequence[Series]) -> None:
        """Unsubscribe, then subscribe. Raises TooManySubscriptions; then nothing is changed."""
        kept = {series: None for series in self.subscriptions if series not in remove}
        after = kept | dict.fromkeys(add)
        if len(after) > SUBSCRIPTIONS_MAX:
            raise TooManySubscriptions(SUBSCRIPTIONS_MAX)
        for series in remove:
            self._leave(series)
        for series in after:
            if series not in self.subscriptions:
                series.readers[self] = None
                self._fresh[series] = None
        self.subscriptions = after
        self._awake.set()

    def push(self, series: Series, previous_sequence: int, frame: bytes) -> None:
        """A frame of a subscribed series; drops it where a snapshot will make up for it."""
        if series in self._fresh or series in self._lagging:
            return
        bounds = self._bounds
        frames, size = len(self._queue) + 1, self._queued_bytes + len(frame)
        if frames > bounds.frames_max or size > bounds.bytes_max:
            self.end(SLOW_CONSUMER)
        elif series.channel != TRADES and (frames > bounds.conflate_frames or size > bounds.conflate_bytes):
            self.skip(series, previous_sequence, CONFLATED)
        else:
            self._queue.append(Waiting(series, previous_sequence, frame))
            self._queued_bytes = size
            self._awake.set()

    def skip(self, series: Series, previous_sequence: int, reason: str) -> None:
        """Drop what waits of a series, and come back to it with a gap and a snapshot."""
        if series in self._fresh or series in self._lagging:
            return
        dropped = self._drop(series)
        self._lagging[series] = dropped if dropped is not None else previous_sequence, reason
        self._awake.set()

    def end(self, reason: str) -> None:
        """Let go of everything; the reader gets a goodbye next."""
        self._ended = self._ended or reason
        for series in self.subscriptions:
            series.readers.pop(self, None)
        self._queue.clear()
        self._queued_bytes = 0
        self._fresh.clear()
        self._lagging.clear()
        self._awake.set()

    def fail(self, error: VenueError) -> None:
        """End the stream with an error."""
        self._failure = error
        self._awake.set()

    async def frames(self, call: Call) -> AsyncGenerator[bytes, None]:
        """Everything the stream says: ready at once, goodbye last. Raises what `fail` was given."""
        assert call.end is not None, "only the guard's streams end"
        call.end.add_done_callback(self._wake)
        try:
            silence = Duration()
            silence.FromNanoseconds(int(self._silence_s * 1e9))
            yield self._own(ready=stream_pb2.Ready(heartbeat_interval=silence))
            while True:
                if self._failure is not None:
                    raise self._failure
                if call.end.done() or self._ended:
                    yield self._own(goodbye=stream_pb2.Goodbye(reason=self._ended or call.end.result()))
                    return
                frame = self._next()
                if frame is not None:
                    yield self._prefix + frame
                elif not await self._wait():
                    yield self._own(heartbeat=stream_pb2.Heartbeat())
        finally:
            call.end.remove_done_callback(self._wake)
            self.end("")

    def _next(self) -> bytes | None:
        if self._fresh:
            series = next(iter(self._fresh))
            # What the snapshot holds must not be queued behind it: until it is made the series is one of the fresh.
            snapshot = series.snapshot(self.depth, time.monotonic())
            del self._fresh[series]
            return snapshot
        if self._queue:
            waiting = self._queue.popleft()
            self._queued_bytes -= len(waiting.frame)
            return waiting.frame
        if self._lagging:
            series, (stopped_at, reason) = next(iter(self._lagging.items()))
            snapshot = series.snapshot(self.depth, time.monotonic())
            del self._lagging[series]
            self._queue.append(Waiting(series, stopped_at, snapshot))
            self._queued_bytes += len(snapshot)
            return series.gap(stopped_at, reason)
        return None

    async def _wait(self) -> bool:
        """Until there is something to do; False after a silence."""
        self._awake.clear()
        try:
            async with asyncio.timeout(self._silence_s):
                await self._awake.wait()
        except TimeoutError:
            return False
        return True

    def _leave(self, series: Series) -> None:
        series.readers.pop(self, None)
        self.subscriptions.pop(series, None)
        self._fresh.pop(series, None)
        self._lagging.pop(series, None)
        self._drop(series)

    def _drop(self, series: Series) -> int | None:
        """Take a series' frames out of the queue. The sequence before the first of them, None if there was none."""
        dropped = [waiting for waiting in self._queue if waiting.series is series]
        if not dropped:
            return None
        self._queue = deque(waiting for waiting in self._queue if waiting.series is not series)
        self._queued_bytes -= sum(len(waiting.frame) for waiting in dropped)
        return dropped[0].previous_sequence

    def _own(self, **frame: object) -> bytes:
        return self._prefix + self.source.frame(**frame).SerializeToString()  # type: ignore[arg-type]

    def _wake(self, _end: object) -> None:
        self._awake.set()
