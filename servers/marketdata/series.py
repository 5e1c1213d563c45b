"""One market and channel as a chain of frames: made and serialized once, whoever and however many read them.

A frame is bytes without the fields that differ by stream; protobuf takes fields in any order, so a stream puts its id before it.
"""

import time
from typing import Final, Protocol

from servers.domain.identifiers import position_text
from servers.engine.messages import timestamp
from servers.marketdata.view import BOOK, CANDLES, STATUS, TICKER, TRADES, View
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import stream_pb2

# How often a channel is told at most, in seconds; books and trades have the window of the settings.
PACE_S: Final = {TICKER: 0.25, CANDLES: 0.25, STATUS: 0.0}
SNAPSHOT_TRADES: Final = 50
# The reason of a gap that is nobody's slowness.
NOT_KEPT: Final = "NOT_KEPT"
# Many who come at once share a snapshot.
SNAPSHOT_KEPT_S: Final = 1.0


class Reader(Protocol):
    """Whoever gets the frames of series."""

    def push(self, series: "Series", previous_sequence: int, frame: bytes) -> None:
        """The next frame. Never waits."""
        ...

    def skip(self, series: "Series", previous_sequence: int, reason: str) -> None:
        """Frames after a sequence are lost: announce it, then ask for a snapshot."""
        ...


class Source:
    """What frames say of the partition they are of."""

    __slots__ = ("environment", "epoch", "partition")

    def __init__(self, partition: int, environment: int) -> None:
        self.partition = partition
        self.environment = environment
        self.epoch = 0

    def frame(
        self, sequence: int = 0, previous_sequence: int = 0, *, position: int = 0, **frame: object
    ) -> pb.SubscribeResponse:
        """An envelope without stream id, sent now."""
        return pb.SubscribeResponse(
            sequence=sequence,
            previous_sequence=previous_sequence,
            position=position_text(self.partition, self.epoch, position) if position else "",
            server_time=timestamp(time.time_ns() // 1000),
            environment=self.environment,  # type: ignore[arg-type]  # the domain's numbers are the wire's
            **frame,  # type: ignore[arg-type]  # one of the envelope's frames
        )


class Series:
    """The frames of one market and channel, each with the sequence of the one before."""

    def __init__(self, source: Source, view: View, channel: int, pace_s: float) -> None:
        self.view = view
        self.channel = channel
        self.readers: dict[Reader, None] = {}
        # The monotonic time before which nothing is told.
        self.due = 0.0
        self.sequence = 0
        self._source = source
        self._pace_s = PACE_S.get(channel, pace_s)
        # By depth: the monotonic time it was made, and the frame.
        self._snapshots: dict[int, tuple[float, bytes]] = {}

    def flush(self, now: float) -> None:
        """Tell every reader what changed since the last time. `now` is monotonic."""
        self.due = now + self._pace_s
        self._snapshots.clear()
        events = self._draw()
        sequence = self.view.sequence(self.channel)
        if not self.readers or not events:
            # Nobody holds an older frame, or there is nothing to tell.
            self.sequence = self.sequence if self.readers else sequence
            return
        for event in events:
            previous, self.sequence = self.sequence, sequence
            frame = self._source.frame(sequence, previous, position=self.view.position, event=event)
            raw = frame.SerializeToString()
            for reader in list(self.readers):
                reader.push(self, previous, raw)

    def snapshot(self, depth: int, now: float) -> bytes:
        """The first frame of a subscription; what comes after it goes on from its sequence."""
        if self.channel in self.view.changed:
            self.view.changed.discard(self.channel)
            self.flush(now)
        depth = depth if self.channel == BOOK else 0
        made, kept = self._snapshots.get(depth, (0.0, b""))
        if now - made > SNAPSHOT_KEPT_S:
            frame = self._source.frame(
                self.sequence, self.sequence, position=self.view.position, snapshot=self._state(depth)
            )
            kept = frame.SerializeToString()
            self._snapshots[depth] = now, kept
        return kept

    def gap(self, from_sequence: int, reason: str) -> bytes:
        """Says that frames after a sequence are lost; made after the snapshot that it goes before."""
        gap = stream_pb2.Gap(from_sequence=from_sequence, to_sequence=self.sequence, reason=reason)
        frame = self._source.frame(self.sequence, from_sequence, position=self.view.position, gap=gap)
        return frame.SerializeToString()

    def restart(self) -> None:
        """What was told is not continued: every reader gets a gap and a snapshot."""
        self._snapshots.clear()
        before, self.sequence = self.sequence, self.view.sequence(self.channel)
        for reader in list(self.readers):
            reader.skip(self, before, NOT_KEPT)

    def _draw(self) -> list[pb.MarketEvent]:
        view, symbol = self.view, self.view.symbol
        if self.channel == BOOK:
            delta = view.levels.draw()
            return [] if delta is None else [pb.MarketEvent(symbol=symbol, book=delta)]
        if self.channel == TRADES:
            trades = view.draw_trades()
            return [pb.MarketEvent(symbol=symbol, trades=pb.TradeList(trades=trades))] if trades else []
        if self.channel == CANDLES:
            return [pb.MarketEvent(symbol=symbol, candle=candle) for candle in view.draw_candles()]
        if self.channel == TICKER:
            return [pb.MarketEvent(symbol=symbol, ticker=view.ticker(time.time_ns() // 1000))]
        return [pb.MarketEvent(symbol=symbol, market=view.market)]

    def _state(self, depth: int) -> pb.MarketSnapshot:
        view = self.view
        snapshot = pb.MarketSnapshot(symbol=view.symbol)
        if self.channel == BOOK:
            snapshot.book.CopyFrom(view.book(depth))
        elif self.channel == TRADES:
            snapshot.trades.trades.extend(list(view.trades)[-SNAPSHOT_TRADES:])
        elif self.channel == TICKER:
            snapshot.ticker.CopyFrom(view.ticker(time.time_ns() // 1000))
        elif self.channel == CANDLES and view.minute is not None:
            snapshot.candle.CopyFrom(view.candle(view.minute, closed=view.minute_closed))
        elif self.channel == CANDLES:
            # Nothing ever traded; an empty candle still says which channel this is.
            snapshot.candle.symbol = view.symbol
        else:
            snapshot.market.CopyFrom(view.market)
        return snapshot
