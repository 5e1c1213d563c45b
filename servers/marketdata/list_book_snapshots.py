"""What a market's book was, from the tables, newest first, in signed pages."""

from typing import Final

from db.book_snapshots import list_book_snapshots as list_rows
from db.candles import FAR_US
from db.session import Pool
from servers.engine.messages import micros, timestamp
from servers.marketdata.tail import Tail
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb

# The depths that are kept, and how many levels of both sides a page may have.
DEPTHS: Final = (10, 100, 1000)
LEVELS_MAX: Final = 20_000


async def list_book_snapshots(
    tail: Tail, pool: Pool, tokens: PageTokens, request: pb.ListBookSnapshotsRequest
) -> pb.ListBookSnapshotsResponse:
    """Raises MarketNotFound, PageTokenInvalid, PartUnavailable."""
    view, partition = tail.view(request.symbol), tail.engine.partition
    depth = min(request.depth or DEPTHS[0], DEPTHS[-1])
    kept = next(known for known in DEPTHS if known >= depth)
    start = micros(request.start_time) if request.HasField("start_time") else 0
    end = micros(request.end_time) if request.HasField("end_time") else FAR_US
    scope = ("book snapshots", partition, view.symbol, depth, start, end)
    cursor = tokens.read(scope, request.page_token)
    before = int(cursor[0]) if cursor else end
    size = min(page_size(request.page_size), LEVELS_MAX // (2 * kept))
    async with pool.connection() as connection:
        rows = await list_rows(connection, partition, view.symbol, kept, start=start, before=before, limit=size + 1)
    page = rows[:size]
    snapshots = []
    for row in page:
        book = pb.GetOrderBookResponse.FromString(row.book)
        del book.bids[depth:], book.asks[depth:]
        snapshots.append(pb.BookSnapshot(snapshot_time=timestamp(row.time), book=book))
    token = tokens.issue(scope, [page[-1].time]) if len(rows) > size else ""
    return pb.ListBookSnapshotsResponse(snapshots=snapshots, next_page_token=token)
