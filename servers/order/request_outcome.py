"""What became of a request whose answer was lost."""

from typing import Final

from servers.domain.errors import RequestNotFound
from servers.engine.local import LocalEngine
from servers.order.history import History
from servers.order.wire import field
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2 as pb

_FIELDS: Final = {"place_order": 1, "cancel_order": 2, "cancel_all_orders": 3}


async def get_request_outcome(
    engine: LocalEngine, history: History, request: pb.GetRequestOutcomeRequest, call: Call
) -> bytes:
    """The serialized GetRequestOutcomeResponse. Raises AccountNotFound, RequestNotFound, PartUnavailable."""
    await history.owned(engine, request.account_id, call)
    if request.request_id:
        found = await engine.outcome(call.identity.user_id, request.request_id)
    else:
        # That nothing is known must be true, not only true of tables that are behind: the caller may place the order again.
        now = await engine.query(engine_pb2.QueryRequest(sequence=engine_pb2.SequenceQuery()))
        row = await history.find(
            engine,
            call,
            order_id="",
            account_id=request.account_id,
            label=request.client_order_id,
            min_position=now.position,
        )
        found = None if row is None else await engine.journaled(row.number)
    if found is None or found[0] not in _FIELDS:
        raise RequestNotFound(request.request_id or request.client_order_id)
    kind, answer = found
    return field(_FIELDS[kind], answer)
