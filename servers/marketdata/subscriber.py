"""One stream: what it is subscribed to, and its place in each series. It keeps no frames of its own.

A reader that falls behind loses the frames that the log lets go of: of books, tickers, candles and states it gets a gap and a
snapshot once it has caught up. Trades are not dropped: where the log ends the stream ends, with SLOW_CONSUMER.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from google.protobuf.duration_pb2 import Duration

from servers.domain.errors import VenueError
from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.frame_log import FRAMES_TAG, Entry, sized
from servers.marketdata.open_candles import MINUTE
from servers.marketdata.rhythm import Rhythm
from servers.marketdata.series import Cursor
from servers.marketdata.view import BOOK, CANDLES, TRADES, View
from servers.transport.call import Call
from servers.transport.returning import SLOW_CONSUMER, goodbye
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import stream_pb2

SUBSCRIPTIONS_MAX: Final = 50
CONFLATED: Final = "CONFLATED"
JOINED_BYTES_MAX: Final = 512 * 1024


Key: TypeAlias = tuple[str, int, int]


class Wanted(NamedTuple):
    """A market and channel, the depth where it is a book, and the interval where it is of candles."""

    view: View
    channel: int
    depth: int = 0
    interval: int = 0

    @property
    def key(self) -> Key:
        """What a stream has once: market, channel and interval."""
        return key_of(self.view.symbol, self.channel, self.interval)


def key_of(symbol: str, channel: int, interval: int) -> Key:
    """A subscription's key. Candles of no interval in particular are those of a minute."""
    return symbol, channel, (interval or MINUTE) if channel == CANDLES else 0


class Subscriber:
    """A stream's side of the fan-out. Messages are `stream id field + shared bytes`.

    There are ten thousand of them, most of which wait: what each one has is small, and made when it is needed.
    """

    __slots__ = (
        "_ended", "_failure", "_joined", "_own", "_prefix", "_silence_s", "_waiter", "cursors", "depth", "position",
        "resumed", "rhythm", "stream_id",
    )  # fmt: skip

    def __init__(self, rhythm: Rhythm, depth: int, silence_s: float, *, joined: bool) -> None:
        self.stream_id = secrets.token_hex(16)
        self.rhythm = rhythm
        self.depth = depth
        self.cursors: dict[Key, Cursor] = {}
        # True once whatever came after the place that was asked for is sure to follow.
        self.resumed = False
        # Everything up to here was sent; the reader goes on after it elsewhere.
        self.position = ""
        self._prefix = pb.SubscribeResponse(stream_id=self.stream_id).SerializeToString()
        self._silence_s = silence_s
        self._joined = joined
        # Made for this reader alone: what he missed before, or a gap and its snapshot.
        self._own: deque[bytes] | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._ended = ""
        self._failure: VenueError | None = None

    @property
    def ended(self) -> bool:
        """Cut off: only the goodbye is left to send."""
        return bool(self._ended)

    @property
    def subscriptions(self) -> list[pb.Subscription]:
        return [
            pb.Subscription(
                symbol=symbol,
                channel=channel,  # type: ignore[arg-type]  # the wire's own number
                depth=cursor.series.detail if channel == BOOK else 0,
                interval=interval,  # type: ignore[arg-type]
            )
            for (symbol, channel, interval), cursor in self.cursors.items()
        ]

    def change(self, add: Sequence[Wanted], remove: Iterable[Key]) -> list[Cursor]:
        """Unsubscribe, then subscribe. Returns the new ones. Raises TooManySubscriptions; then nothing is changed."""
        gone = set(remove)
        wanted = {one.key: one for one in add}
        if len((self.cursors.keys() - gone) | wanted.keys()) > SUBSCRIPTIONS_MAX:
            raise TooManySubscriptions(SUBSCRIPTIONS_MAX)
        for key in gone & self.cursors.keys():
            self.rhythm.leave(self.cursors.pop(key))
        new = []
        for key, one in wanted.items():
            detail = (one.depth or self.depth) if one.channel == BOOK else key[2]
            known = self.cursors.get(key)
            if known is not None and known.series.detail == detail:
                continue
            cursor = self.cursors[key] = self.rhythm.join(one.view, one.channel, detail, self)
            new.append(cursor)
            if known is not None:
                self.rhythm.leave(known)
        self.wake()
        return new

    def give(self, frames: Iterable[bytes]) -> None:
        """Frames for this reader alone, which go before all others."""
        self._own = deque([*(self._own or ()), *frames])

    def wake(self) -> None:
        """There may be something to read."""
        if self._waiter is not None:
            _answer(self._waiter, woken=True)

    def lose(self, cursor: Cursor) -> None:
        """Go on with a snapshot, or not at all."""
        if cursor.series.channel == TRADES:
            self.end(SLOW_CONSUMER)
        else:
            cursor.missing = CONFLATED
            self.wake()

    def interrupt(self) -> None:
        """Yield an empty message next, for whoever has something of his own to say in between."""
        self.give([b""])
        self.wake()

    def end(self, reason: str) -> None:
        """Let go of everything; the reader gets a goodbye next."""
        self._ended = self._ended or reason
        for cursor in self.cursors.values():
            self.rhythm.leave(cursor)
        self.cursors = {}
        self._own = None
        self.wake()

    def fail(self, error: VenueError) -> None:
        """End the stream with an error."""
        self._failure = error
        self.wake()

    async def frames(self, call: Call) -> AsyncGenerator[bytes, None]:
        """Everything the stream says: ready at once, goodbye last. Raises what `fail` was given."""
        assert call.end is not None, "only the guard's streams end"
        call.end.add_done_callback(self._wake)
        try:
            silence = Duration()
            silence.FromNanoseconds(int(self._silence_s * 1e9))
            yield self._said(ready=stream_pb2.Ready(heartbeat_interval=silence, resumed=self.resumed))
            while True:
                if self._failure is not None:
                    raise self._failure
                if call.end.done() or self._ended:
                    reason = self._ended or call.end.result()
                    yield self._said(goodbye=goodbye(call, reason, self.position))
                    return
                message = self._next()
                if message is not None:
                    yield message
                elif not (self.ended or await self._wait()):
                    yield self._said(heartbeat=stream_pb2.Heartbeat())
        finally:
            call.end.remove_done_callback(self._wake)
            self.end("")

    def _next(self) -> bytes | None:
        """The next message, None where there is none yet. Snapshots wait until all that was told is sent."""
        if self._own:
            own = self._own.popleft()
            self._own = self._own or None
            return self._prefix + own if own else b""
        waiting = []
        fresh = None
        for cursor in self.cursors.values():
            if cursor.lost:
                self.lose(cursor)
                if self._ended:
                    return None
            if cursor.missing is not None:
                fresh = fresh or cursor
            elif cursor.waits:
                waiting.append(cursor)
        if waiting:
            return self._prefix + (self._join(waiting) if self._joined else self._take(waiting).frame)
        if fresh is not None:
            return self._prefix + self._begin(fresh)
        # Nothing is left to send: whatever was told is known to the reader.
        self.position = self.rhythm.told
        return None

    def _take(self, waiting: list[Cursor]) -> Entry:
        """The oldest entry, whatever series it is of."""
        cursor = waiting[0]
        if len(waiting) > 1:
            cursor = min(waiting, key=lambda one: one.series.log[one.place].order)
        entry = cursor.series.log[cursor.place]
        cursor.place += 1
        cursor.sequence = entry.sequence
        self.position = entry.position
        return entry

    def _join(self, waiting: list[Cursor]) -> bytes:
        """Everything there is as one message's field, or the oldest entries where that would be too much."""
        if sum(cursor.series.log.size(cursor.place) for cursor in waiting) > JOINED_BYTES_MAX:
            return self._join_some(waiting)
        parts, newest = [], waiting[0].series.log.last
        for cursor in waiting:
            log = cursor.series.log
            parts.append(log.joined(cursor.place))
            cursor.place, cursor.sequence = log.end, log.last.sequence
            newest = max(newest, log.last)
        self.position = newest.position
        return b"".join(parts)

    def _join_some(self, waiting: list[Cursor]) -> bytes:
        parts, size = [], 0
        while waiting and size < JOINED_BYTES_MAX:
            parts.append(sized(FRAMES_TAG, self._take(waiting).frame))
            size += len(parts[-1])
            waiting = [cursor for cursor in waiting if cursor.waits]
        return b"".join(parts)

    def _begin(self, cursor: Cursor) -> bytes:
        """A snapshot, or a gap that the snapshot follows."""
        snapshot = self.rhythm.snapshot(cursor)
        gap = cursor.series.gap(cursor, snapshot) if cursor.missing else None
        cursor.missing, cursor.place, cursor.sequence = None, snapshot.place, snapshot.sequence
        self.position = snapshot.position
        if gap is None:
            return snapshot.frame
        self.give([snapshot.frame])
        return gap

    async def _wait(self) -> bool:
        """Until there is something to do; False after a silence."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        silence = loop.call_later(self._silence_s, _answer, waiter)
        try:
            woken: bool = await waiter
            return woken
        finally:
            silence.cancel()
            self._waiter = None

    def _said(self, **frame: object) -> bytes:
        told = self.rhythm.sources.frame(position=self.position, **frame)  # type: ignore[arg-type]
        return self._prefix + told.SerializeToString()

    def _wake(self, _end: object) -> None:
        self.wake()


def _answer(waiter: "asyncio.Future[bool]", *, woken: bool = False) -> None:
    if not waiter.done():
        waiter.set_result(woken)
