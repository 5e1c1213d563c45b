"""Lists of orders and fills, newest first, in signed pages."""

from db.orders import list_orders as list_order_rows
from db.trades import list_fills as list_fill_rows
from servers.domain.errors import OrderNotFound
from servers.domain.identifiers import age, find_order
from servers.engine.client import Engine
from servers.order.history import History
from servers.order.rows import fill_of_row, order_of_row
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.order.v1 import order_service_pb2 as pb

_END = 2**63 - 1


async def list_orders(
    engine: Engine, history: History, tokens: PageTokens, request: pb.ListOrdersRequest, call: Call
) -> pb.ListOrdersResponse:
    """Raises AccountNotFound, PageTokenInvalid, PositionInvalid."""
    scope = ("orders", call.identity.user_id, request.account_id, sorted(request.status), request.symbol)
    cursor = tokens.read(scope, request.page_token)
    await history.owned(engine, request.account_id, call)
    await history.fence.pass_through(engine, request.min_position, call.timeout_s)
    size = page_size(request.page_size)
    async with history.pool.connection() as connection:
        rows = await list_order_rows(
            connection,
            engine.partition,
            request.account_id,
            statuses=list(request.status),
            symbol=request.symbol,
            before=int(cursor[0]) if cursor else _END,
            limit=size + 1,
        )
    page = rows[:size]
    orders = [order_of_row(row, await history.market(engine.partition, row.symbol)) for row in page]
    token = tokens.issue(scope, [age(page[-1].number)]) if len(rows) > size else ""
    return pb.ListOrdersResponse(orders=orders, next_page_token=token)


async def list_fills(
    engine: Engine, history: History, tokens: PageTokens, request: pb.ListFillsRequest, call: Call
) -> pb.ListFillsResponse:
    """Raises AccountNotFound, OrderNotFound (not an order's id), PageTokenInvalid, PositionInvalid."""
    scope = ("fills", call.identity.user_id, request.account_id, request.order_id, request.symbol)
    cursor = tokens.read(scope, request.page_token)
    await history.owned(engine, request.account_id, call)
    number = None
    if request.order_id:
        parsed = find_order(request.order_id)
        if parsed is None or parsed[0] != engine.partition:
            raise OrderNotFound(request.order_id)
        number = parsed[1]
    await history.fence.pass_through(engine, request.min_position, call.timeout_s)
    size = page_size(request.page_size)
    async with history.pool.connection() as connection:
        rows = await list_fill_rows(
            connection,
            engine.partition,
            request.account_id,
            order=number,
            symbol=request.symbol,
            before=int(cursor[0]) if cursor else _END,
            limit=size + 1,
        )
    page = rows[:size]
    fills = [fill_of_row(engine.partition, row, await history.market(engine.partition, row.symbol)) for row in page]
    token = tokens.issue(scope, [page[-1].number]) if len(rows) > size else ""
    return pb.ListFillsResponse(fills=fills, next_page_token=token)
