"""Changing an open order, in place or by another; what the machine does not know as open may be final, for the precise error."""

from servers.domain.errors import FieldViolation, OrderNotFound, VenueError
from servers.engine.client import Engines
from servers.engine.trading import TradingEngine
from servers.order.batches import Item, joined, submit_batch
from servers.order.cancel_orders import route_to, submit_named, tell_closed
from servers.order.history import History
from servers.transport.call import Call
from servers.transport.refusals import InvalidField
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2


async def amend_order(
    engines: Engines[TradingEngine], history: History, request: order_service_pb2.AmendOrderRequest, call: Call
) -> bytes:
    """The serialized AmendOrderResponse.

    Raises OrderNotFound, OrderClosed, MarketHalted, OrderHasChanged, AmendBelowFilled, AmendRefused, RequestIdReused.
    """
    return await submit_named(
        engines, history, request, pb.Command(user_id=call.identity.user_id, amend_order=request), call
    )


async def amend_orders(
    engines: Engines[TradingEngine], history: History, request: order_service_pb2.AmendOrdersRequest, call: Call
) -> bytes:
    """The serialized AmendOrdersResponse: an outcome an item, in order. Raises VenueError where nothing was executed."""
    items: list[Item] = [
        (pb.Command(user_id=call.identity.user_id, amend_order=change), change.request_id, route_to(engines, change))
        for change in request.amendments
    ]
    outcomes = await submit_batch(engines, request, request.request_id, items, call)
    return joined(await tell_closed(engines, history, request.amendments, outcomes, call))


def check_successor(request: order_service_pb2.ReplaceOrderRequest) -> None:
    """Raises InvalidField."""
    if request.order.quote_amount:
        what = "must be empty: what takes an order's place gives its quantity"
        raise InvalidField([FieldViolation("order.quote_amount", what, "order.quantity")])


async def replace_order(
    engines: Engines[TradingEngine], history: History, request: order_service_pb2.ReplaceOrderRequest, call: Call
) -> bytes:
    """The serialized ReplaceOrderResponse.

    Raises InvalidField, OrderNotFound, OrderClosed, MarketHalted, ReplaceMismatched, AmendRefused, RequestIdReused.
    """
    check_successor(request)
    engine = engines.for_order(request.order_id)
    command = pb.Command(user_id=call.identity.user_id, replace_order=request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, OrderNotFound):
        await history.check_closed(
            engine, call, order_id=request.order_id, account_id=request.order.account_id, label=""
        )
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome
