"""Cancelling: what the machine does not know as open is looked for among the final orders, for the precise error."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from servers.domain.errors import FieldViolation, OrderNotFound, VenueError
from servers.engine.client import Engines
from servers.engine.trading import TradingEngine
from servers.order.batches import Item, Outcome, joined, submit_batch
from servers.order.history import History
from servers.transport.call import Call
from servers.transport.refusals import InvalidField
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2

TIMEOUT_MAX_S: Final = 86_400
NANOS: Final = 1_000_000_000
Named = order_service_pb2.AmendOrderRequest | order_service_pb2.CancelOrderRequest


async def cancel_order(
    engines: Engines[TradingEngine], history: History, request: order_service_pb2.CancelOrderRequest, call: Call
) -> bytes:
    """The serialized CancelOrderResponse. Raises OrderNotFound, OrderClosed, MarketHalted, RequestIdReused."""
    return await submit_named(
        engines, history, request, pb.Command(user_id=call.identity.user_id, cancel_order=request), call
    )


async def submit_named(
    engines: Engines[TradingEngine], history: History, request: Named, command: pb.Command, call: Call
) -> bytes:
    """The answer to a command about one order. Raises OrderClosed where it was one, and what the command is refused for."""
    engine = engines.for_order(request.order_id) if request.order_id else engines.for_account(request.account_id)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, OrderNotFound):
        await history.check_closed(
            engine, call, order_id=request.order_id, account_id=request.account_id, label=request.client_order_id
        )
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome


async def cancel_orders(
    engines: Engines[TradingEngine], history: History, request: order_service_pb2.CancelOrdersRequest, call: Call
) -> bytes:
    """The serialized CancelOrdersResponse: an outcome an item, in order. Raises VenueError where nothing was executed."""
    items: list[Item] = [
        (pb.Command(user_id=call.identity.user_id, cancel_order=named), named.request_id, route_to(engines, named))
        for named in request.cancels
    ]
    outcomes = await submit_batch(engines, request, request.request_id, items, call)
    return joined(await tell_closed(engines, history, request.cancels, outcomes, call))


def route_to(engines: Engines[TradingEngine], named: Named) -> Callable[[], TradingEngine]:
    """How to find the partition of an order that is named by its id, or by account and label."""
    if named.order_id:
        return partial(engines.for_order, named.order_id)
    return partial(engines.for_account, named.account_id)


async def tell_closed(
    engines: Engines[TradingEngine], history: History, named: Iterable[Named], outcomes: Iterable[Outcome], call: Call
) -> list[Outcome]:
    """The outcomes, with the precise error where the machine knows no such open order."""
    told: list[Outcome] = []
    for one, outcome in zip(named, outcomes, strict=True):
        precise = outcome
        if isinstance(outcome, OrderNotFound):
            try:
                engine = route_to(engines, one)()
                await history.check_closed(
                    engine, call, order_id=one.order_id, account_id=one.account_id, label=one.client_order_id
                )
            except VenueError as error:
                precise = error
        told.append(precise)
    return told


async def cancel_all_orders(
    engines: Engines[TradingEngine], request: order_service_pb2.CancelAllOrdersRequest, call: Call
) -> bytes:
    """The serialized CancelAllOrdersResponse. Raises AccountNotFound, MarketNotFound, RequestIdReused."""
    engine = engines.for_account(request.account_id)
    command = pb.Command(user_id=call.identity.user_id, cancel_all_orders=request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome


async def cancel_all_after(
    engines: Engines[TradingEngine], request: order_service_pb2.CancelAllAfterRequest, call: Call
) -> bytes:
    """The serialized CancelAllAfterResponse. Raises InvalidField, AccountNotFound."""
    timeout = request.timeout
    whole = 0 <= timeout.nanos < NANOS and (timeout.seconds, timeout.nanos) <= (TIMEOUT_MAX_S, 0)
    if not whole or (timeout.seconds < 1 and (timeout.seconds, timeout.nanos) != (0, 0)):
        raise InvalidField([FieldViolation("timeout", "must be 0, or 1 s to 24 h", "timeout.range")])
    engine = engines.for_account(request.account_id)
    command = pb.Command(user_id=call.identity.user_id, cancel_all_after=request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome
