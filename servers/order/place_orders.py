"""Placing orders, one or many: checked for what is served, sent to the account's partition, answered as committed."""

import asyncio
from collections.abc import Sequence
from typing import Final

from servers.domain.errors import NotImplementedYet, VenueError
from servers.domain.terms import OrderType
from servers.engine.client import Engine, Engines
from servers.engine.codec import fingerprint
from servers.order.wire import field
from servers.transport.call import Call
from servers.transport.errors import to_status
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2

_SERVED: Final = {int(OrderType.MARKET), int(OrderType.LIMIT)}
_RESULTS: Final = 1
_PLACED: Final = 1
_ERROR: Final = 2


def check_served(request: order_service_pb2.PlaceOrderRequest) -> None:
    """Raises NotImplementedYet for what the contract declares and the rules do not have yet."""
    if request.type not in _SERVED:
        raise NotImplementedYet(order_pb2.OrderType.Name(request.type))
    if request.reduce_only:
        raise NotImplementedYet("reduce_only")
    if request.display_quantity:
        raise NotImplementedYet("display_quantity")
    if request.tag:
        raise NotImplementedYet("tag")
    if request.HasField("take_profit") or request.HasField("stop_loss"):
        raise NotImplementedYet("exits of a bracket")


async def place_order(engines: Engines[Engine], request: order_service_pb2.PlaceOrderRequest, call: Call) -> bytes:
    """The serialized PlaceOrderResponse. Raises VenueError."""
    check_served(request)
    engine = engines.for_account(request.account_id)
    command = pb.Command(user_id=call.identity.user_id, place_order=request)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome


async def place_orders(engines: Engines[Engine], request: order_service_pb2.PlaceOrdersRequest, call: Call) -> bytes:
    """The serialized PlaceOrdersResponse: an outcome an item, in order. Raises VenueError where nothing was executed."""
    outcomes: list[bytes | VenueError | None] = [None] * len(request.orders)
    by_partition: dict[int, list[int]] = {}
    commands: list[pb.Command] = []
    batch = fingerprint(request) if request.request_id else b""
    for index, item in enumerate(request.orders):
        command = pb.Command(user_id=call.identity.user_id, place_order=item)
        if request.request_id and not item.request_id:
            command.request_id = item_id(request.request_id, index)
            command.batch = batch
        commands.append(command)
        try:
            check_served(item)
            by_partition.setdefault(engines.for_account(item.account_id).partition, []).append(index)
        except VenueError as error:
            outcomes[index] = error

    async def submit(partition: int, indices: Sequence[int]) -> None:
        chosen = [commands[index] for index in indices]
        results: list[bytes | VenueError]
        try:
            results = await engines.for_partition(partition).submit(chosen, call.timeout_s)
        except VenueError as error:
            if len(by_partition) == 1:
                raise
            # What another partition did with its part of the batch stands.
            results = [error] * len(chosen)
        for index, outcome in zip(indices, results, strict=True):
            outcomes[index] = outcome

    if len(by_partition) == 1:
        await submit(*next(iter(by_partition.items())))
    else:
        await asyncio.gather(*(submit(partition, indices) for partition, indices in by_partition.items()))
    return joined(outcomes)


def item_id(request_id: str, index: int) -> str:
    """What an item of a batch is remembered under."""
    return f"{request_id.lower()}#{index}"


def joined(outcomes: Sequence[bytes | VenueError | None]) -> bytes:
    """The serialized PlaceOrdersResponse."""
    return b"".join(field(_RESULTS, _result(outcome)) for outcome in outcomes)


def _result(outcome: bytes | VenueError | None) -> bytes:
    assert outcome is not None
    if isinstance(outcome, VenueError):
        return field(_ERROR, to_status(outcome).SerializeToString())
    return field(_PLACED, outcome)
