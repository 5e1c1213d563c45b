"""A book for one who asks once: from memory, or from the engine where memory is not new enough."""

from typing import Final

from servers.domain.identifiers import positions
from servers.marketdata.tail import Tail
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb

DEPTH: Final = 50
DEPTH_MAX: Final = 5000
PATIENCE_S: Final = 2.0


def book_depth(asked: int) -> int:
    """0 means 50, and more than 5000 means 5000."""
    return min(asked, DEPTH_MAX) or DEPTH


async def get_order_book(tail: Tail, request: pb.GetOrderBookRequest, call: Call) -> pb.GetOrderBookResponse:
    """Raises MarketNotFound, PositionInvalid, PartUnavailable."""
    view, depth = tail.view(request.symbol), book_depth(request.depth)
    needed = [
        position.sequence for position in positions(request.min_position) if position.partition == tail.engine.partition
    ]
    if needed:
        timeout_s = PATIENCE_S if call.timeout_s is None else min(PATIENCE_S, call.timeout_s / 2)
        if not await tail.reach(view, max(needed), timeout_s):
            query = engine_pb2.BookQuery(symbol=request.symbol, depth=depth)
            response = await tail.engine.query(engine_pb2.QueryRequest(book=query, min_sequence=max(needed)))
            return response.book
    return view.book(depth)
