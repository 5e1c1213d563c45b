"""What an order would come to if it were placed now."""

import time

from servers.engine.client import Engine, Engines
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2


async def preview_order(
    engines: Engines[Engine], request: order_service_pb2.PreviewOrderRequest, call: Call
) -> order_service_pb2.PreviewOrderResponse:
    """Raises AccountNotFound, MarketNotFound."""
    query = pb.PreviewQuery(user_id=call.identity.user_id, order=request.order, time_us=time.time_ns() // 1000)
    response = await engines.for_account(request.order.account_id).query(pb.QueryRequest(preview=query))
    return response.preview
