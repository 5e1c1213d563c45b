"""Placing two orders of which one cancels the other."""

from servers.domain.errors import VenueError
from servers.engine.client import Engine, Engines
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2


async def place_oco(engines: Engines[Engine], request: order_service_pb2.PlaceOcoRequest, call: Call) -> bytes:
    """The serialized PlaceOcoResponse. Raises AccountNotFound, MarketNotFound, ListInvalid, RequestIdReused."""
    engine, _ = (engines.for_account(order.account_id) for order in request.orders)
    command = pb.Command(user_id=call.identity.user_id, place_oco=request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome
