"""A market data server beside a leader and its projector, and a client that checks every frame it gets."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from db.session import Connection
from servers.domain.checksum import book_checksum
from servers.domain.errors import PartUnavailable, VenueError
from servers.domain.money import parse
from servers.engine.messages import book_message
from servers.engine.queries import read
from servers.marketdata.market_data import MarketData
from tests.integration.replica.leader import MARKETS, PARTITION, Leader
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2_grpc
from venue.type.v1 import stream_pb2

ALL = (pb.CHANNEL_TRADES, pb.CHANNEL_BOOK, pb.CHANNEL_TICKER, pb.CHANNEL_CANDLES, pb.CHANNEL_STATUS)
PATIENCE_S = 20.0
POLL_S = 0.01


class WitnessedLeader(Leader):
    """Remembers the checksum of every book after every command."""

    def __init__(self, connection: Connection, seed: int) -> None:
        super().__init__(connection, seed)
        self.checksums: dict[tuple[str, int], int] = {}

    def execute(self, message: engine_pb2.Command) -> bool:
        taken = super().execute(message)
        for symbol in self.exchange.floor.markets:
            checksum = book_message(self.exchange, symbol, 10).checksum
            self.checksums[symbol, self.exchange.clock.sequence] = checksum
        return taken

    def book(self, symbol: str, depth: int = 0) -> pb.GetOrderBookResponse:
        return book_message(self.exchange, symbol, depth)


class LeaderEngine:
    """The leader's memory as other processes ask it: everything in it is committed. `away` is a leader that is gone."""

    def __init__(self, leader: Leader) -> None:
        self.leader = leader
        self.away = False
        self.queries: list[str] = []
        # Cleared: every query waits, and nobody is told why.
        self.answering = asyncio.Event()
        self.answering.set()

    @property
    def partition(self) -> int:
        return PARTITION

    async def submit(self, commands: Sequence[engine_pb2.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        raise PartUnavailable("the engine")

    async def query(self, request: engine_pb2.QueryRequest) -> engine_pb2.QueryResponse:
        self.queries.append(request.WhichOneof("query") or "")
        await self.answering.wait()
        await until(lambda: self.away or self.leader.exchange.clock.sequence >= request.min_sequence)
        if self.away:
            raise PartUnavailable("the engine")
        return read(self.leader.exchange, request, self.leader.exchange.clock.sequence)

    def tail(self, after_sequence: int) -> AsyncIterator[engine_pb2.TailResponse]:
        raise PartUnavailable("the engine")


@dataclass
class Stand:
    """What a test of market data has at hand."""

    leader: WitnessedLeader
    engine: LeaderEngine
    data: MarketData
    stub: "marketdata_pb2_grpc.MarketDataServiceAsyncStub"
    address: str


@dataclass
class Reader:
    """A client of a stream: applies what it is told, and fails where a chain breaks or a checksum is wrong."""

    leader: WitnessedLeader | None = None
    stream_id: str = ""
    frames: list[str] = field(default_factory=list)
    last: dict[tuple[str, str], int] = field(default_factory=dict)
    books: dict[str, tuple[dict[int, pb.BookLevel], dict[int, pb.BookLevel]]] = field(default_factory=dict)
    trades: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tickers: dict[str, pb.Ticker] = field(default_factory=dict)
    markets: dict[str, pb.Market] = field(default_factory=dict)
    checked: int = 0
    gaps: list[stream_pb2.Gap] = field(default_factory=list)

    async def read(self, call: AsyncIterable[pb.SubscribeResponse]) -> None:
        async for frame in call:
            self.take(frame)

    def take(self, frame: pb.SubscribeResponse) -> None:
        kind = frame.WhichOneof("frame") or ""
        self.frames.append(kind)
        assert frame.HasField("server_time")
        assert frame.environment == 2
        self.stream_id = self.stream_id or frame.stream_id
        assert frame.stream_id == self.stream_id
        if kind == "snapshot":
            assert frame.position.startswith(f"{PARTITION}.")
            self.start(frame)
        elif kind == "gap":
            self.gaps.append(frame.gap)
        elif kind == "event":
            self.go_on(frame)

    def start(self, frame: pb.SubscribeResponse) -> None:
        snapshot = frame.snapshot
        channel = snapshot.WhichOneof("data") or ""
        self.last[snapshot.symbol, channel] = frame.sequence
        if channel == "book":
            book = self.books[snapshot.symbol] = {}, {}
            for side, levels in zip(book, (snapshot.book.bids, snapshot.book.asks), strict=True):
                side.update({parse(level.price): level for level in levels})
            self.check(snapshot.symbol, snapshot.book.checksum, snapshot.book.sequence)
        elif channel == "trades":
            self.trades[snapshot.symbol] = [trade.trade_id for trade in snapshot.trades.trades]
        elif channel == "ticker":
            self.tickers[snapshot.symbol] = snapshot.ticker
        elif channel == "market":
            self.markets[snapshot.symbol] = snapshot.market

    def go_on(self, frame: pb.SubscribeResponse) -> None:
        event = frame.event
        channel = event.WhichOneof("data") or ""
        assert frame.previous_sequence == self.last[event.symbol, channel], (channel, frame)
        self.last[event.symbol, channel] = frame.sequence
        if channel == "book":
            for side, levels in zip(self.books[event.symbol], (event.book.bids, event.book.asks), strict=True):
                for level in levels:
                    if level.quantity == "0":
                        side.pop(parse(level.price), None)
                    else:
                        side[parse(level.price)] = level
            self.check(event.symbol, event.book.checksum, frame.sequence)
        elif channel == "trades":
            self.trades[event.symbol] += [trade.trade_id for trade in event.trades.trades]
        elif channel == "ticker":
            self.tickers[event.symbol] = event.ticker
        elif channel == "market":
            self.markets[event.symbol] = event.market

    def sides(self, symbol: str) -> tuple[list[pb.BookLevel], list[pb.BookLevel]]:
        bids, asks = self.books[symbol]
        return [bids[price] for price in sorted(bids, reverse=True)], [asks[price] for price in sorted(asks)]

    def check(self, symbol: str, checksum: int, sequence: int) -> None:
        bids, asks = self.sides(symbol)
        texts = [[(level.price, level.quantity) for level in side] for side in (bids, asks)]
        assert book_checksum(*texts) == checksum
        if self.leader is not None and sequence:
            assert self.leader.checksums[symbol, sequence] == checksum, (symbol, sequence)
        self.checked += 1

    def agrees(self, leader: WitnessedLeader) -> bool:
        """Whether every book is the engine's."""
        return all(self.sides(symbol) == sides_of(leader.book(symbol)) for symbol in self.books)


def sides_of(book: pb.GetOrderBookResponse) -> tuple[list[pb.BookLevel], list[pb.BookLevel]]:
    return list(book.bids), list(book.asks)


async def until(true: Callable[[], bool]) -> None:
    """Raises AssertionError where it does not come true in time."""
    for _ in range(int(PATIENCE_S / POLL_S)):
        if true():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError("it did not come true")


async def next_frame(call: grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.SubscribeResponse]) -> pb.SubscribeResponse:
    """The next frame of a stream. Raises grpc.aio.AioRpcError."""
    frame = await call.read()
    assert isinstance(frame, pb.SubscribeResponse)
    return frame


async def next_of_session(
    call: grpc.aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse],
) -> pb.SubscribeResponse:
    """The next frame of a session. Raises grpc.aio.AioRpcError."""
    response = await call.read()
    assert isinstance(response, pb.SessionResponse)
    return response.frame


def everything(depth: int = 5000, symbols: Sequence[str] = MARKETS) -> pb.SubscribeRequest:
    return pb.SubscribeRequest(symbols=symbols, channels=ALL, depth=depth)
