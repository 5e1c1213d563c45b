"""Batches of changes and cancels, and tags, over gRPC."""

import uuid
from typing import Any

import grpc

from tests.integration.order.conftest import Floor, User, order
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as pb
from venue.type.v1 import type_pb2

REUSED = (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
CANCELLED, OPEN = order_pb2.ORDER_STATUS_CANCELLED, order_pb2.ORDER_STATUS_OPEN


async def test_a_batch_of_changes_has_an_outcome_for_each_item(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    demo = (await ana.place(price="40000", client_order_id="mine")).order
    live = (await ana.place(account_id=ana.live, price="40000")).order
    theirs = (await ben.place(account_id=ben.demo, price="40000")).order
    closed = (await ana.place(price="40000")).order
    await ana.cancel(closed.order_id)
    changes = [
        pb.AmendOrderRequest(order_id=demo.order_id, price="40001"),
        pb.AmendOrderRequest(order_id=live.order_id, quantity="0.005"),
        pb.AmendOrderRequest(order_id=theirs.order_id, price="40001"),
        pb.AmendOrderRequest(order_id=closed.order_id, price="40001"),
        pb.AmendOrderRequest(order_id="9-1", price="40001"),
        pb.AmendOrderRequest(account_id=ana.demo, client_order_id="mine", price="0.001"),
        pb.AmendOrderRequest(order_id=demo.order_id, price="40002", request_id=str(uuid.uuid4())),
    ]
    batch = str(uuid.uuid4())
    answer = await ana.call("AmendOrders", amendments=changes, request_id=batch)
    assert [(result.error.code, result.amended.order.price) for result in answer.results] == [
        (0, "40001"),
        (0, "40000"),
        (5, ""),
        (9, ""),
        (5, ""),
        (9, ""),
        (0, "40002"),
    ]
    again = await ana.call("AmendOrders", amendments=changes, request_id=batch)
    assert [result.amended.replayed for result in again.results] == [True, True, False, False, False, False, True]
    assert [result.amended.order for result in again.results] == [result.amended.order for result in answer.results]
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=batch)
    assert outcome.amended_batch.results[0].amended.order == answer.results[0].amended.order
    refusal = await ana.refused("AmendOrders", amendments=changes[:1], request_id=batch)
    assert (refusal.code, refusal.info.reason) == REUSED


async def test_a_batch_of_cancels_has_an_outcome_for_each_item(floor: Floor) -> None:
    ana = floor.ana
    demo = (await ana.place(price="40000", client_order_id="mine")).order
    live = (await ana.place(account_id=ana.live, price="40000")).order
    cancels = [
        pb.CancelOrderRequest(account_id=ana.demo, client_order_id="mine"),
        pb.CancelOrderRequest(order_id=demo.order_id),
        pb.CancelOrderRequest(order_id=live.order_id),
        pb.CancelOrderRequest(order_id="nonsense"),
    ]
    batch = str(uuid.uuid4())
    answer = await ana.call("CancelOrders", cancels=cancels, request_id=batch)
    told = [(result.error.code, result.cancelled.order.status) for result in answer.results]
    assert told == [(0, CANCELLED), (9, 0), (0, CANCELLED), (5, 0)]
    again = await ana.call("CancelOrders", cancels=cancels, request_id=batch)
    assert [result.cancelled.replayed for result in again.results] == [True, False, True, False]
    assert again.results[0].cancelled.order == answer.results[0].cancelled.order
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=batch)
    assert outcome.cancelled_batch.results[0].cancelled.order == answer.results[0].cancelled.order


async def open_orders(user: User) -> set[str]:
    listed = await user.call("ListOrders", account_id=user.demo, status=[OPEN], page_size=200)
    return {found.order_id for found in listed.orders}


async def refused_as_reused(user: User, method: str, **fields: Any) -> None:
    refusal = await user.refused(method, **fields)
    assert (refusal.code, refusal.info.reason, refusal.fields) == (*REUSED, ["request_id"])


async def test_the_id_of_a_batch_is_taken_for_every_other_request(floor: Floor) -> None:
    ana, batch, single = floor.ana, str(uuid.uuid4()), str(uuid.uuid4())
    one = order(ana.demo, price="40000")
    placed = (await ana.call("PlaceOrders", orders=[one], request_id=batch)).results[0].placed.order
    await refused_as_reused(ana, "PlaceOrder", **fields_of(one) | {"request_id": batch})
    await refused_as_reused(ana, "PlaceOrders", orders=[one, one], request_id=batch)
    await refused_as_reused(ana, "PlaceOrders", orders=[order(ana.demo, price="41000")] * 2, request_id=batch.upper())
    await refused_as_reused(ana, "CancelOrders", cancels=[{"order_id": placed.order_id}] * 2, request_id=batch)
    other = (await ana.place(price="40001", request_id=single)).order
    await refused_as_reused(ana, "PlaceOrders", orders=[one, one], request_id=single)
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=batch)
    assert [result.placed.order for result in outcome.placed_batch.results] == [placed]
    assert await open_orders(ana) == {placed.order_id, other.order_id}
    repeated = await ana.call("PlaceOrders", orders=[one], request_id=batch)
    assert (repeated.results[0].placed.order, repeated.results[0].placed.replayed) == (placed, True)


async def test_the_id_of_a_batch_that_came_to_nothing_is_taken_too(floor: Floor) -> None:
    ana, batch = floor.ana, str(uuid.uuid4())
    resting = (await ana.place(price="40000")).order
    for _ in range(2):
        answer = await ana.call("CancelOrders", cancels=[{"order_id": "2-99999999"}], request_id=batch)
        assert answer.results[0].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    await refused_as_reused(ana, "CancelOrders", cancels=[{"order_id": resting.order_id}], request_id=batch)
    await refused_as_reused(ana, "CancelOrder", order_id=resting.order_id, request_id=batch)
    assert await open_orders(ana) == {resting.order_id}


async def test_a_hundred_orders_of_one_id_are_placed_once(floor: Floor) -> None:
    ana, batch = floor.ana, str(uuid.uuid4())
    orders = [order(ana.demo, price=str(40_000 + number)) for number in range(100)]
    first = await ana.call("PlaceOrders", orders=orders, request_id=batch)
    again = await ana.call("PlaceOrders", orders=orders, request_id=batch)
    assert [result.placed.order for result in again.results] == [result.placed.order for result in first.results]
    assert len(await open_orders(ana)) == 100


async def test_a_batch_that_only_one_environment_took_and_that_is_away_fails_as_a_whole(floor: Floor) -> None:
    ana = floor.ana
    live = (await ana.place(account_id=ana.live, price="40000")).order
    await floor.room.leaders[0].stop()
    refusal = await ana.refused("CancelOrders", cancels=[pb.CancelOrderRequest(order_id=live.order_id)])
    assert refusal.code == grpc.StatusCode.UNAVAILABLE


async def test_a_tag_is_kept_and_cancels_its_orders(floor: Floor) -> None:
    ana = floor.ana
    red, other = (await ana.place(price="40000", tag="red")).order, (await ana.place(price="40001", tag="blue")).order
    sold = (await ana.place(side=type_pb2.SIDE_SELL, price="60000", tag="red")).order
    assert (red.tag, other.tag) == ("red", "blue")
    answer = await ana.call("CancelAllOrders", account_id=ana.demo, tag="red", side=type_pb2.SIDE_SELL)
    assert [order.order_id for order in answer.orders] == [sold.order_id]
    answer = await ana.call("CancelAllOrders", account_id=ana.demo, tag="red")
    assert [(order.order_id, order.tag) for order in answer.orders] == [(red.order_id, "red")]
    stored = await ana.call("GetOrder", order_id=red.order_id, min_position=answer.position)
    assert (stored.order.tag, stored.order.status) == ("red", CANCELLED)
    assert (await ana.call("GetOrder", order_id=other.order_id)).order.status == OPEN


async def test_a_tag_has_a_dead_man_s_switch_of_its_own(floor: Floor) -> None:
    ana = floor.ana
    red, blue = (await ana.place(price="40000", tag="red")).order, (await ana.place(price="40001", tag="blue")).order
    armed = await ana.call("CancelAllAfter", account_id=ana.demo, timeout={"seconds": 1}, tag="red")
    assert armed.HasField("trigger_time")
    disarmed = await ana.call("CancelAllAfter", account_id=ana.demo, timeout={"seconds": 0})
    assert not disarmed.HasField("trigger_time")
    ended: list[order_pb2.Order] = []
    async for frame in ana.stub.StreamOrders(pb.StreamOrdersRequest(account_id=ana.demo), metadata=ana.metadata):
        snapshot = [order.order_id for order in frame.snapshot.orders]
        ended = [update.order for update in frame.event.updates if update.order.order_id == red.order_id]
        if ended or (frame.HasField("snapshot") and red.order_id not in snapshot):
            break
    assert [order.cancel_reason for order in ended] in ([order_pb2.CANCEL_REASON_LEASE_EXPIRED], [])
    assert (await ana.call("GetOrder", order_id=blue.order_id)).order.status == OPEN


def fields_of(request: pb.PlaceOrderRequest) -> dict[str, Any]:
    return {described.name: value for described, value in request.ListFields()}
