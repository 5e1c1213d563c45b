"""What became of a request whose answer was lost."""

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import Message

from servers.domain.errors import RequestNotFound
from servers.domain.identifiers import placing_sequence
from servers.engine.delimited import field
from servers.engine.trading import TradingEngine
from servers.order.batches import Outcome, item_id, joined
from servers.order.history import History
from servers.order.rows import order_of_row
from servers.transport.call import Call
from venue.order.v1 import order_service_pb2 as pb

_FIELDS: Final = {
    "place_order": 1,
    "cancel_order": 2,
    "cancel_all_orders": 3,
    "open_account": 5,
    "amend_order": 6,
    "replace_order": 7,
    "place_oco": 8,
    "rename_account": 11,
    "close_account": 12,
}
# Of batches, by the kind of their items.
_BATCH_FIELDS: Final = {"place_order": 4, "amend_order": 9, "cancel_order": 10}
_BEGIN_BATCH: Final = "begin_batch"
_ITEMS_MAX: Final = 100


async def get_request_outcome(
    engine: TradingEngine, history: History, request: pb.GetRequestOutcomeRequest, call: Call
) -> bytes:
    """The serialized GetRequestOutcomeResponse. Raises AccountNotFound, RequestNotFound, PartUnavailable."""
    await history.owned(engine, request.account_id, call)
    told = await _outcome(engine, history, request, call)
    answer, bound = pb.GetRequestOutcomeResponse.FromString(told), call.identity.account_id
    if answer.HasField("opened_account") and not bound:
        # Whoever lost that answer does not know yet what the account is called.
        return told
    accounts = set(_accounts(answer))
    if accounts and (request.account_id not in accounts or (bound and accounts != {bound})):
        raise RequestNotFound(request.request_id or request.client_order_id)
    return told


def _accounts(message: Message) -> Iterator[str]:
    """The accounts that are named in an answer."""
    for described, value in message.ListFields():
        if described.message_type is not None:
            for each in value if described.is_repeated else (value,):
                yield from _accounts(each)
        elif described.name == "account_id":
            yield value


async def _outcome(engine: TradingEngine, history: History, request: pb.GetRequestOutcomeRequest, call: Call) -> bytes:
    if request.request_id:
        found = await engine.outcome(call.identity.user_id, request.request_id)
    else:
        row = await history.find(
            engine,
            call,
            order_id="",
            account_id=request.account_id,
            label=request.client_order_id,
        )
        found = None if row is None else await engine.journaled(placing_sequence(row.number))
        if row is not None and found is None:
            order = order_of_row(row, await history.market(row.partition, row.symbol))
            return field(_FIELDS["place_order"], pb.PlaceOrderResponse(order=order, replayed=True).SerializeToString())
    if request.request_id and (found is None or found[0] == _BEGIN_BATCH):
        found = None
        batch = await _batch(engine, request.request_id, call)
        if batch is not None:
            return batch
    if found is None:
        raise RequestNotFound(request.request_id or request.client_order_id)
    kind, answer = found
    return field(_FIELDS[kind], answer)


async def _batch(engine: TradingEngine, request_id: str, call: Call) -> bytes | None:
    """The serialized outcome that is a batch, as far as its last item that is known; None if none is."""
    outcomes: list[Outcome] = []
    known = 0
    kind = ""
    for index in range(_ITEMS_MAX):
        found = await engine.outcome(call.identity.user_id, item_id(request_id, index))
        outcomes.append(RequestNotFound(item_id(request_id, index)) if found is None else found[1])
        if found is not None:
            known = index + 1
            kind = found[0]
    return field(_BATCH_FIELDS[kind], joined(outcomes[:known])) if known else None
