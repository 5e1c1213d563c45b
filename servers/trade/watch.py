"""A book in the terminal, as it changes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import grpc
from rich.console import Console
from rich.live import Live

from servers.trade.customer import is_lost
from servers.trade.ladder import BookBroken, Ladder
from servers.trade.tables import book_table
from venue.marketdata.v1 import marketdata_pb2 as pb

if TYPE_CHECKING:
    from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceAsyncStub

# Changes come for every level, so the snapshot has to have them all.
SNAPSHOT_DEPTH: Final = 5_000
DRAWN_A_SECOND: Final = 10
RETRY_S: Final = 0.5


async def books(stub: "MarketDataServiceAsyncStub", symbol: str) -> AsyncGenerator[Ladder, None]:
    """The book, again after each change, for as long as the stream lasts. Raises AioRpcError, BookBroken."""
    request = pb.SubscribeRequest(symbols=[symbol], channels=[pb.CHANNEL_BOOK], depth=SNAPSHOT_DEPTH)
    ladder = Ladder()
    async for frame in stub.Subscribe(request):
        kind = frame.WhichOneof("frame")
        if kind == "snapshot":
            ladder.begin(frame.snapshot.book, frame.sequence)
        elif kind == "event":
            ladder.change(frame.event.book, frame.previous_sequence, frame.sequence)
        elif kind == "goodbye":
            return
        else:
            continue
        yield ladder


async def watch(stub: "MarketDataServiceAsyncStub", symbol: str, depth: int, console: Console) -> None:
    """Until interrupted; a stream that ends is opened again. Raises AioRpcError: it was refused."""
    with Live(console=console, refresh_per_second=DRAWN_A_SECOND) as live:
        while True:
            try:
                async with aclosing(books(stub, symbol)) as found:
                    async for ladder in found:
                        live.update(book_table(symbol, ladder.bids(depth), ladder.asks(depth), depth))
            except BookBroken:
                continue
            except grpc.aio.AioRpcError as error:
                if not is_lost(error):
                    raise
                live.console.print("the venue is away; trying again", style="yellow")
            await asyncio.sleep(RETRY_S)
