"""The index prices as anybody sees them, and whether somebody still moves them."""

import time
from dataclasses import dataclass, field
from typing import Final

import grpc

from servers.transport.papers import Papers, open_channel
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.type.v1 import type_pb2

CALL_S: Final = 1.0
# An index that stands still for longer is not followed: its feed is gone, or its market closed.
ALIVE_S: Final = 60.0


@dataclass(slots=True)
class Moves:
    """What was seen last of each market's index, and when it moved last."""

    seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def take(self, symbol: str, price: str, now: float) -> None:
        """See an index price; empty: there is none."""
        if price and self.seen.get(symbol, ("", 0.0))[0] != price:
            self.seen[symbol] = price, now

    def alive(self, symbol: str, now: float) -> str | None:
        """The index price, None unless it moved of late."""
        price, moved = self.seen.get(symbol, ("", 0.0))
        return price if price and now < moved + ALIVE_S else None


class IndexReader:
    """Reads the demo markets' index prices from the public tickers. One that is away is no reason to stop quoting."""

    def __init__(self, address: str, papers: Papers | None) -> None:
        self._channel = open_channel(address, (), papers)
        self._stub = marketdata_pb2_grpc.MarketDataServiceStub(self._channel)
        self._moves = Moves()

    async def look(self) -> None:
        """See the prices of now."""
        request = marketdata_pb2.ListTickersRequest(environment=type_pb2.ENVIRONMENT_DEMO)
        try:
            answer = await self._stub.ListTickers(request, timeout=CALL_S)
        except grpc.aio.AioRpcError:
            return
        now = time.monotonic()
        for ticker in answer.tickers:
            self._moves.take(ticker.symbol, ticker.index_price, now)

    def price(self, symbol: str) -> str | None:
        """A market's index price while it is alive."""
        return self._moves.alive(symbol, time.monotonic())

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()
