"""One market and channel as a chain of frames: made and serialized once, whoever and however many read them.

A frame is bytes without the fields that differ by stream; protobuf takes fields in any order, so a stream puts its id before it.
"""

import time
from typing import Final, NamedTuple, Protocol

from servers.marketdata.band import Band
from servers.marketdata.frame_log import Log
from servers.marketdata.source import Sources
from servers.marketdata.view import BOOK, CANDLES, TICKER, TRADES, View
from servers.marketdata.watch import Watch
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import stream_pb2

# How often a channel is told at most, in seconds; the others have the stream's window.
PACE_S: Final = {TICKER: 0.25, CANDLES: 0.25}
SNAPSHOT_TRADES: Final = 50
# The reason of a gap that is nobody's slowness.
NOT_KEPT: Final = "NOT_KEPT"
# Many who come at once share a snapshot, and read on from where it was made.
SNAPSHOT_KEPT_S: Final = 1.0


class Bounds(NamedTuple):
    """How much of a series is kept for readers who fall behind: of trades, and of what a snapshot can make up for."""

    conflate_frames: int = 256
    conflate_bytes: int = 1024 * 1024
    frames_max: int = 4096
    bytes_max: int = 4 * 1024 * 1024


class Reader(Protocol):
    """Whoever is told when there is something to read."""

    def wake(self) -> None:
        """Never waits."""
        ...

    def lose(self, cursor: "Cursor") -> None:
        """The log has let go of what the reader has not taken. Never waits."""
        ...


class Snapshot(NamedTuple):
    """A first frame, and the place in the log to read on from."""

    place: int
    sequence: int
    position: str
    frame: bytes
    made: float


class Cursor:
    """Where a reader is in a series.

    `missing` is None while it reads on; else it needs a snapshot, and a gap before that where a reason is named.
    """

    __slots__ = ("missing", "place", "reader", "sequence", "series")

    def __init__(self, series: "Series", reader: Reader) -> None:
        self.series = series
        self.reader = reader
        self.place = series.log.end
        # Of the last frame that the reader was given.
        self.sequence = 0
        self.missing: str | None = ""

    @property
    def lost(self) -> bool:
        """The log does not have the next frame any more."""
        return self.missing is None and self.place < self.series.log.start

    @property
    def waits(self) -> bool:
        """There is something in the log that it was not given."""
        return self.missing is None and self.place < self.series.log.end


class Series:
    """The frames of one market and channel, each with the sequence of the one before.

    `detail` is the depth of a book, the interval of candles, 0 of all else.
    """

    def __init__(self, sources: Sources, view: View, channel: int, detail: int, bounds: Bounds) -> None:
        self.view = view
        self.channel = channel
        self.detail = detail
        self.cursors: dict[Cursor, None] = {}
        kept = bounds[2:] if channel == TRADES else bounds[:2]
        self.log = Log(*kept)
        # The monotonic time before which nothing is told.
        self.due = 0.0
        self.sequence = view.sequence(channel)
        self._sources = sources
        self._band = Band(view.levels, detail) if channel == BOOK else None
        self._snapshot: Snapshot | None = None

    def flush(self, watch: Watch, now: float, position: str) -> None:
        """Put what a watch has seen into the log, and wake the readers. `now` is monotonic."""
        self.due = now + PACE_S.get(self.channel, 0.0)
        events = self._draw(watch)
        if not events:
            return
        sequence = self.view.sequence(self.channel)
        for event in events:
            previous, self.sequence = self.sequence, sequence
            frame = self._sources.frame(sequence, previous, position=position, event=event)
            self.log.append(sequence, position, frame.SerializeToString())
        for cursor in self.cursors:
            cursor.reader.wake()

    def snapshot(self, now: float, position: str) -> Snapshot:
        """The first frame of a subscription: of now, or of a moment ago where what came since is in the log.

        Only while the watch has nothing of this channel, or where one of a moment ago is there (`has_snapshot`).
        """
        if not self.has_snapshot(now):
            frame = self._sources.frame(self.sequence, self.sequence, position=position, snapshot=self._state())
            raw = frame.SerializeToString()
            self._snapshot = Snapshot(self.log.end, self.sequence, position, raw, now)
        assert self._snapshot is not None
        return self._snapshot

    def has_snapshot(self, now: float) -> bool:
        """Whether one of a moment ago can still be read on from."""
        known = self._snapshot
        return known is not None and now - known.made <= SNAPSHOT_KEPT_S and known.place >= self.log.start

    def gap(self, cursor: Cursor, snapshot: Snapshot) -> bytes:
        """Says that frames after the reader's last one are lost; goes before the snapshot."""
        assert cursor.missing
        gap = stream_pb2.Gap(from_sequence=cursor.sequence, to_sequence=snapshot.sequence, reason=cursor.missing)
        frame = self._sources.frame(snapshot.sequence, cursor.sequence, position=snapshot.position, gap=gap)
        return frame.SerializeToString()

    def event(self, trades: list[pb.Trade], previous: int, sequence: int, position: str) -> bytes:
        """A frame with trades that were told before."""
        event = pb.MarketEvent(symbol=self.view.symbol, trades=pb.TradeList(trades=trades))
        return self._sources.frame(sequence, previous, position=position, event=event).SerializeToString()

    def restart(self) -> None:
        """What was told is not continued: every reader gets a gap and a snapshot."""
        self.sequence = self.view.sequence(self.channel)
        self._snapshot = None
        self.log.trim(self.log.end)
        for cursor in self.cursors:
            cursor.missing = cursor.missing or NOT_KEPT
            cursor.reader.wake()

    def trim(self) -> list[Cursor]:
        """Let go of what all have read. Returns those who have lost what they had not."""
        log = self.log
        if log.start < log.end:
            log.trim(min((one.place for one in self.cursors if one.missing is None and not one.lost), default=log.end))
        return [cursor for cursor in self.cursors if cursor.lost]

    def _draw(self, watch: Watch) -> list[pb.MarketEvent]:
        view, symbol = self.view, self.view.symbol
        if self._band is not None:
            delta = self._band.draw(watch)
            return [] if delta is None else [pb.MarketEvent(symbol=symbol, book=delta)]
        if self.channel == TRADES:
            trades = watch.trades
            return [pb.MarketEvent(symbol=symbol, trades=pb.TradeList(trades=trades))] if trades else []
        if self.channel == CANDLES:
            ended, newest = watch.take_candles(self.detail), view.candles.find(self.detail)
            candles = [view.candle(bucket, self.detail, closed=True) for bucket in ended]
            if newest is not None and (not ended or ended[-1] is not newest):
                candles.append(view.candle(newest, self.detail, closed=view.candles.is_closed(self.detail)))
            return [pb.MarketEvent(symbol=symbol, candle=candle) for candle in candles]
        if self.channel == TICKER:
            return [pb.MarketEvent(symbol=symbol, ticker=view.ticker(time.time_ns() // 1000))]
        return [pb.MarketEvent(symbol=symbol, market=view.market)]

    def _state(self) -> pb.MarketSnapshot:
        view = self.view
        snapshot = pb.MarketSnapshot(symbol=view.symbol)
        if self.channel == BOOK:
            snapshot.book.CopyFrom(view.book(self.detail))
        elif self.channel == TRADES:
            snapshot.trades.trades.extend(list(view.trades)[-SNAPSHOT_TRADES:])
        elif self.channel == TICKER:
            snapshot.ticker.CopyFrom(view.ticker(time.time_ns() // 1000))
        elif self.channel == CANDLES:
            # Where nothing ever traded an empty candle still says which channel this is.
            nothing = pb.Candle(symbol=view.symbol, interval=self.detail)  # type: ignore[arg-type]
            snapshot.candle.CopyFrom(view.newest_candle(self.detail) or nothing)
        else:
            snapshot.market.CopyFrom(view.market)
        return snapshot
