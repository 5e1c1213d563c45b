"""An exact book: follows a market's stream and, every so often, proves its copy equal to the venue's book; needs no log-in.

    python -m examples.python.exact_book localhost:8080 ETH-USD 100

The client opens a stream that ends again, after its last position; a chain that breaks or a checksum that differs starts it over.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from venue.marketdata.v1.marketdata_pb2 import GetOrderBookRequest, GetOrderBookResponse
from venue_sdk import Client, MarketState

# How often: each proof asks for the venue's whole book to the depth that is followed.
PROVE_EVERY_S: Final = 1.0


class ExactBook:
    """A copy of one market's book, and the books of the venue that it is to meet."""

    def __init__(self, client: Client, symbol: str, depth: int, every_s: float = PROVE_EVERY_S) -> None:
        self.state = MarketState(depth=depth)
        self._client = client
        self._symbol = symbol
        self._request = GetOrderBookRequest(symbol=symbol, depth=depth)
        self._every_s = every_s

    async def proofs(self) -> AsyncGenerator[int, None]:
        """The sequences at which both were equal, level by level. Raises ValueError where they were not."""
        venues: GetOrderBookResponse | None = None
        loop, due = asyncio.get_running_loop(), 0.0
        async with aclosing(self._client.market_changes([self._symbol], ["BOOK"], self.state)) as stream:
            async for _ in stream:
                mine = self.state.books[self._symbol]
                # Changes are told together: the venue's book may have been between two frames, then another is asked for.
                if (venues is None and loop.time() >= due) or (venues is not None and venues.sequence < mine.sequence):
                    venues = await self._client.marketdata.GetOrderBook(self._request)
                if venues is not None and venues.sequence == mine.sequence:
                    if (mine.best_bids(), mine.best_asks()) != (list(venues.bids), list(venues.asks)):
                        raise ValueError(f"{self._symbol}: another book than the venue's at {mine.sequence}")
                    venues, due = None, loop.time() + self._every_s
                    yield mine.sequence


async def main(target: str, symbol: str, depth: str) -> None:
    async with Client(target) as client:
        book = ExactBook(client, symbol, int(depth))
        async with aclosing(book.proofs()) as proofs:
            async for sequence in proofs:
                bids, asks = book.state.books[symbol].levels(1)
                best = " / ".join(str(level.price) for level in (*bids, *asks))
                print(f"{sequence}: equal to the venue's book, {best}, {len(book.state.gaps)} gaps")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
