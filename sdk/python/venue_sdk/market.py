"""Rebuilds books and trades from a market data stream, checks every step, and says from where to go on on another stream.

Pure: it takes frames (venue.marketdata.v1.SubscribeResponse) and waits for nothing. Give it every message of a stream; when the
stream breaks, open another one with `resume_after=state.position` and give it the messages of that too:

    state = MarketState(depth=100)
    while True:
        request = SubscribeRequest(symbols=[...], channels=[...], depth=100, resume_after=state.position)
        try:
            async for message in stub.Subscribe(request):
                for change in state.take(message):
                    ...
        except grpc.aio.AioRpcError:
            await asyncio.sleep(random.random())
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

from venue.marketdata.v1 import marketdata_pb2 as pb
from venue_sdk.values import Level, read

# So many levels of each side are in a checksum.
CHECKED = 10


class StreamBrokenError(Exception):
    """Something was missed without a word, or a checksum is wrong: forget the state, and open a stream without a position."""


class Change(NamedTuple):
    """What a frame did to a market: its channel ("book", "trades", "ticker", "candle", "market"), and the trades that are new."""

    symbol: str
    channel: str
    trades: list[pb.Trade]


@dataclass
class Book:
    """The best levels of a market, by price. `sequence` is that of the last change."""

    bids: dict[Decimal, pb.BookLevel] = field(default_factory=dict)
    asks: dict[Decimal, pb.BookLevel] = field(default_factory=dict)
    sequence: int = 0

    def best_bids(self) -> list[pb.BookLevel]:
        return [self.bids[price] for price in sorted(self.bids, reverse=True)]

    def best_asks(self) -> list[pb.BookLevel]:
        return [self.asks[price] for price in sorted(self.asks)]

    def apply(self, bids: list[pb.BookLevel], asks: list[pb.BookLevel]) -> None:
        """Levels as they are now; quantity 0 means that there is none any more, also where none was known."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for level in levels:
                if level.quantity == "0":
                    side.pop(Decimal(level.price), None)
                else:
                    side[Decimal(level.price)] = level

    def levels(self, depth: int = 10) -> tuple[list[Level], list[Level]]:
        """(bids, asks), best first, in Decimal."""
        bids = [read(Level, level) for level in self.best_bids()[:depth]]
        return bids, [read(Level, level) for level in self.best_asks()[:depth]]

    def checksum(self) -> int:
        """CRC32 over the ten best levels, a bid and an ask in turns, each `price:quantity`, joined by `:`."""
        bids, asks = self.best_bids()[:CHECKED], self.best_asks()[:CHECKED]
        texts = []
        for at in range(CHECKED):
            texts += [f"{level.price}:{level.quantity}" for side in (bids, asks) for level in side[at : at + 1]]
        return crc32(":".join(texts).encode())


class MarketState:
    """All that streams have said, of any number of markets."""

    def __init__(self, depth: int) -> None:
        self.books: dict[str, Book] = {}
        self.tickers: dict[str, pb.Ticker] = {}
        self.candles: dict[str, pb.Candle] = {}
        self.markets: dict[str, pb.Market] = {}
        # Everything up to here is known: the next stream's resume_after.
        self.position = ""
        # Trades may be missing there: a snapshot came instead of what was between.
        self.gaps: list[pb.SubscribeResponse] = []
        self.depth = depth
        # A checksum is of ten levels: who has fewer cannot compare.
        self._checks = depth == 0 or depth >= CHECKED
        self._last: dict[tuple[str, str], int] = {}

    def take(self, message: pb.SubscribeResponse) -> Iterator[Change]:
        """Apply a message. Raises StreamBrokenError."""
        for frame in message.frames or [message]:
            kind = frame.WhichOneof("frame")
            change = None
            if kind == "snapshot":
                change = self._start(frame)
            elif kind == "event":
                change = self._go_on(frame)
            elif kind == "gap":
                self.gaps.append(frame)
            elif kind == "goodbye":
                self.position = frame.goodbye.resume_after or self.position
            self.position = frame.position or self.position
            if change is not None:
                yield change

    def _start(self, frame: pb.SubscribeResponse) -> Change:
        snapshot = frame.snapshot
        symbol, channel = snapshot.symbol, snapshot.WhichOneof("data") or ""
        known = self._last.get((symbol, channel), 0)
        self._last[symbol, channel] = frame.sequence
        if channel == "book":
            book = self.books[symbol] = Book(sequence=frame.sequence)
            book.apply(list(snapshot.book.bids), list(snapshot.book.asks))
            self._check(symbol, book, snapshot.book.checksum)
            return Change(symbol, channel, [])
        if channel == "trades":
            return Change(symbol, channel, [one for one in snapshot.trades.trades if one.sequence > known])
        self._keep(symbol, channel, snapshot)
        return Change(symbol, channel, [])

    def _go_on(self, frame: pb.SubscribeResponse) -> Change:
        event = frame.event
        symbol, channel = event.symbol, event.WhichOneof("data") or ""
        # A stream that was resumed may never have had a snapshot of this: then it begins here.
        known = self._last.setdefault((symbol, channel), frame.previous_sequence)
        repeated = channel == "trades" and frame.previous_sequence < known
        if frame.previous_sequence != known and not repeated:
            raise StreamBrokenError(
                f"{symbol} {channel}: {known} is known, {frame.previous_sequence} comes before this"
            )
        self._last[symbol, channel] = max(known, frame.sequence)
        if channel == "book":
            book = self.books[symbol]
            book.apply(list(event.book.bids), list(event.book.asks))
            book.sequence = frame.sequence
            self._check(symbol, book, event.book.checksum)
            return Change(symbol, channel, [])
        if channel == "trades":
            # After a resumption some may come twice: a sequence says which are known.
            trades = [one for one in event.trades.trades if not repeated or one.sequence > known]
            return Change(symbol, channel, trades)
        self._keep(symbol, channel, event)
        return Change(symbol, channel, [])

    def _keep(self, symbol: str, channel: str, said: pb.MarketSnapshot | pb.MarketEvent) -> None:
        if channel == "ticker":
            self.tickers[symbol] = said.ticker
        elif channel == "candle":
            self.candles[symbol] = said.candle
        elif channel == "market":
            self.markets[symbol] = said.market

    def _check(self, symbol: str, book: Book, checksum: int) -> None:
        if self._checks and book.checksum() != checksum:
            raise StreamBrokenError(f"{symbol}: the book's checksum at {book.sequence} is not the venue's")
