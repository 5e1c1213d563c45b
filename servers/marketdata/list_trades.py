"""The trades of a market, from the tables, newest first, in signed pages."""

from db.session import Pool
from db.trades import list_trades as list_trade_rows
from servers.marketdata.past import trade_of_row
from servers.marketdata.tail import Tail
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb

_END = 2**63 - 1


async def list_trades(
    tail: Tail, pool: Pool, tokens: PageTokens, request: pb.ListTradesRequest
) -> pb.ListTradesResponse:
    """Raises MarketNotFound, PageTokenInvalid, PartUnavailable."""
    view, partition = tail.view(request.symbol), tail.engine.partition
    scope = ("market trades", partition, request.symbol)
    cursor = tokens.read(scope, request.page_token)
    size = page_size(request.page_size)
    async with pool.connection() as connection:
        rows = await list_trade_rows(
            connection, partition, request.symbol, before=int(cursor[0]) if cursor else _END, limit=size + 1
        )
    page = rows[:size]
    token = tokens.issue(scope, [page[-1].number]) if len(rows) > size else ""
    return pb.ListTradesResponse(trades=[trade_of_row(partition, view, row) for row in page], next_page_token=token)
