"""Placing orders, one or many: checked for what is served, sent to the account's partition, answered as committed."""

from collections.abc import Callable
from functools import partial

from servers.domain.errors import VenueError
from servers.engine.client import Engine, Engines
from servers.order.batches import Item, joined, submit_batch
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2


async def place_order(engines: Engines[Engine], request: order_service_pb2.PlaceOrderRequest, call: Call) -> bytes:
    """The serialized PlaceOrderResponse. Raises VenueError."""
    engine = engines.for_account(request.account_id)
    command = placement(call.identity.user_id, request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome


async def place_orders(engines: Engines[Engine], request: order_service_pb2.PlaceOrdersRequest, call: Call) -> bytes:
    """The serialized PlaceOrdersResponse: an outcome an item, in order. Raises VenueError where nothing was executed."""
    user_id = call.identity.user_id
    # Most orders of a batch are of one account.
    routes: dict[str, Callable[[], Engine]] = {}
    items: list[Item] = []
    for order in request.orders:
        account_id = order.account_id
        route = routes.get(account_id)
        if route is None:
            route = routes[account_id] = partial(engines.for_account, account_id)
        items.append((placement(user_id, order), order.request_id, route))
    return joined(await submit_batch(engines, request, request.request_id, items, call))


def placement(user_id: str, order: order_service_pb2.PlaceOrderRequest) -> pb.Command:
    """The command of a user to place an order."""
    command = pb.Command()
    command.user_id = user_id
    # Half the time of handing it to the constructor.
    command.place_order.CopyFrom(order)
    return command
