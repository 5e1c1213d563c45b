"""Orders that wait for a price and orders that are linked, over gRPC, in the session, and as the tables have them."""

import uuid
from typing import Any

import grpc

from tests.integration.order.conftest import Floor, User, order
from tests.integration.order.frames import Stream, updates
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import type_pb2

SELL = type_pb2.SIDE_SELL
WAITS, OPEN, FILLED, CANCELLED = (
    order_pb2.ORDER_STATUS_PENDING_TRIGGER,
    order_pb2.ORDER_STATUS_OPEN,
    order_pb2.ORDER_STATUS_FILLED,
    order_pb2.ORDER_STATUS_CANCELLED,
)
STOP: dict[str, Any] = {"type": order_pb2.ORDER_TYPE_STOP, "price": "", "side": SELL}


async def prints(floor: Floor, price: str) -> None:
    """A trade at a price that nothing in the book is nearer to."""
    await floor.ben.place(account_id=floor.ben.demo, price=price, quantity="0.001")
    await floor.ana.place(side=SELL, price=price, quantity="0.001")


async def now(user: User, order_id: str, position: str = "") -> order_pb2.Order:
    found: order_pb2.Order = (await user.call("GetOrder", order_id=order_id, min_position=position)).order
    return found


async def test_a_stop_waits_is_listed_and_triggers(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    unknown = await ana.place(**STOP, stop_price="49000")
    assert unknown.order.reject_reason == order_pb2.REJECT_REASON_TRIGGER_PRICE_UNKNOWN
    await prints(floor, "50000")
    placed = (await ana.place(**STOP, stop_price="49000", client_order_id="guard")).order
    assert (placed.status, placed.stop_price, placed.trigger_source) == (WAITS, "49000", 1)
    found = await ana.call("ListOrders", account_id=ana.demo, status=[WAITS])
    assert [one.order_id for one in found.orders] == [placed.order_id]
    moved = await ana.call("AmendOrder", account_id=ana.demo, client_order_id="guard", stop_price="49500")
    assert (moved.order.status, moved.order.stop_price) == (WAITS, "49500")
    await ben.place(account_id=ben.demo, price="49000", quantity="5")
    await prints(floor, "49500")
    final = await now(ana, placed.order_id)
    assert (final.status, final.average_price, final.HasField("trigger_time")) == (FILLED, "49000", True)


async def test_a_mark_price_triggers(floor: Floor) -> None:
    ana = floor.ana
    mark = pb.SetReferencePrices(symbol="BTC-USD", mark_price="50000")
    await floor.room.submit(pb.Command(set_reference_prices=mark))
    placed = (
        await ana.place(
            type=order_pb2.ORDER_TYPE_STOP_LIMIT, stop_price="51000", price="50500", trigger_source=2, quantity="1"
        )
    ).order
    assert placed.status == WAITS
    mark.mark_price = "51000.5"
    await floor.room.submit(pb.Command(set_reference_prices=mark))
    assert (await now(ana, placed.order_id)).status == OPEN


async def test_one_cancels_the_other(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await prints(floor, "50000")
    both = [order(ana.demo, side=SELL, price="51000", quantity="1"), order(ana.demo, **STOP, stop_price="49000")]
    both[1].quantity = "1"
    request: dict[str, Any] = {"orders": both, "request_id": str(uuid.uuid4())}
    placed = await ana.call("PlaceOco", **request)
    limit, stop = placed.orders
    assert [one.status for one in (limit, stop)] == [OPEN, WAITS]
    assert stop.order_id == f"{limit.order_id}.1"
    assert {placed.list_id} == {one.list_id for one in (limit, stop)}
    again = await ana.call("PlaceOco", **request)
    assert (again.replayed, list(again.orders)) == (True, [limit, stop])
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=request["request_id"])
    assert outcome.placed_oco.list_id == placed.list_id
    taken = await ben.place(account_id=ben.demo, price="51000", quantity="0.4")
    ended = await now(ana, stop.order_id, taken.position)
    assert (ended.status, ended.cancel_reason) == (CANCELLED, order_pb2.CANCEL_REASON_LINKED)
    refusal = await ana.refused("CancelOrder", order_id=stop.order_id)
    assert refusal.info.reason == "ORDER_CLOSED"
    both[1].side = type_pb2.SIDE_BUY
    refusal = await ana.refused("PlaceOco", orders=both)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIST_INVALID")
    both[1].account_id = ben.demo
    refusal = await ana.refused("PlaceOco", orders=both)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_a_bracket_lives_with_its_fills_and_survives_in_the_tables(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await prints(floor, "50000")
    exits = {
        "take_profit": wire.ExitOrder(stop_price="52000", client_order_id="up"),
        "stop_loss": wire.ExitOrder(stop_price="48000", price="47900", client_order_id="down"),
    }
    entry = (await ana.place(price="50000", quantity="2", **exits)).order
    assert entry.list_role == order_pb2.LIST_ROLE_ENTRY
    await ben.place(account_id=ben.demo, side=SELL, price="50000", quantity="0.5")
    position = (await ben.place(account_id=ben.demo, side=SELL, price="50000", quantity="0.3")).position
    found = await ana.call("ListOrders", account_id=ana.demo, status=[WAITS], min_position=position)
    assert [(one.client_order_id, one.quantity, one.list_role) for one in found.orders] == [
        ("down", "0.8", order_pb2.LIST_ROLE_STOP_LOSS),
        ("up", "0.8", order_pb2.LIST_ROLE_TAKE_PROFIT),
    ]
    assert {one.parent_order_id for one in found.orders} == {entry.order_id}
    named = await ana.call("GetOrder", account_id=ana.demo, client_order_id="down")
    assert named.order.order_id == f"{entry.order_id}.2"
    cancelled = await ana.call("CancelAllOrders", account_id=ana.demo)
    assert [one.order_id for one in cancelled.orders] == [entry.order_id, f"{entry.order_id}.1", f"{entry.order_id}.2"]


async def test_a_session_places_lists_and_replaces(floor: Floor) -> None:
    ana = floor.ana
    await prints(floor, "50000")
    desk = Stream(ana.stub.Trade(metadata=ana.metadata))
    start = wire.TradeStart(account_id=ana.demo)
    await desk.call.write(wire.TradeRequest(commands=[wire.TradeCommand(correlation_id="s", start=start)]))
    await desk.next("ready")
    both = [order(ana.demo, side=SELL, price="51000"), order(ana.demo, **STOP, stop_price="49000")]
    oco = wire.TradeCommand(correlation_id="oco", place_oco=wire.PlaceOcoRequest(orders=both))
    await desk.call.write(wire.TradeRequest(commands=[oco]))
    frames = [await desk.next("answers", "event") for _ in range(2)]
    answers = next(frame for frame in frames if frame.WhichOneof("frame") == "answers").answers.answers
    events = next(frame for frame in frames if frame.WhichOneof("frame") == "event")
    limit, stop = answers[0].placed_oco.orders
    assert sorted(updates(events)) == [(limit.order_id, OPEN), (stop.order_id, WAITS)]
    successor = order(ana.demo, **STOP, stop_price="48000")
    replace = wire.ReplaceOrderRequest(order_id=stop.order_id, order=successor)
    await desk.call.write(wire.TradeRequest(commands=[wire.TradeCommand(correlation_id="r", replace=replace)]))
    frames = [await desk.next("answers", "event") for _ in range(2)]
    answers = next(frame for frame in frames if frame.WhichOneof("frame") == "answers").answers.answers
    replaced = answers[0].replaced
    assert (replaced.cancelled.cancel_reason, replaced.order.status) == (order_pb2.CANCEL_REASON_REPLACED, WAITS)
    assert (await now(ana, limit.order_id)).cancel_reason == order_pb2.CANCEL_REASON_LINKED
    await desk.call.done_writing()


async def test_a_preview_says_that_an_order_would_wait(floor: Floor) -> None:
    ana = floor.ana
    await prints(floor, "50000")
    stop = order(ana.demo, **STOP, stop_price="49000")
    seen = await ana.call("PreviewOrder", order=stop)
    assert (seen.order.status, seen.hold, seen.hold_asset) == (WAITS, stop.quantity, "BTC")
    assert all(check.passed for check in seen.checks)
    seen = await ana.call("PreviewOrder", order=order(ana.demo, **STOP, stop_price="50000"))
    assert seen.order.cancel_reason == order_pb2.CANCEL_REASON_TRIGGER_REJECTED
    assert seen.order.reject_reason == order_pb2.REJECT_REASON_NO_LIQUIDITY
