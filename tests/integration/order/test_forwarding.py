"""An order server that leads nothing: every RPC is done by the leader, as if the caller had asked it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry

from servers.engine.client import Engines
from servers.engine.markets import Markets
from servers.engine.remote import RemoteEngine
from servers.engine.servicer import EngineServicer
from servers.engine.trading import RoutedEngine
from servers.order.servicer import OrderServicer
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import Server, build_server
from servers.transport.telemetry import Metrics
from tests.integration.order.conftest import HEARTBEAT_S, PARTITIONS, SERVICE, Floor, User, order
from tests.integration.order.test_stream import chained, stream
from tests.integration.order.test_trade import Desk, cancel, place
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

ENGINE = engine_pb2.DESCRIPTOR.services_by_name["EngineService"]


@dataclass
class Far:
    """The floor as seen from another process, and the server that the leaders are reached by."""

    floor: Floor
    ana: User
    ben: User
    leaders: Server


def guard(floor: Floor, limits: Limits) -> Guard:
    keys = floor.room.keys
    return Guard(TokenVerifier(keys.public, keys.revoked_ids), limits, Metrics(CollectorRegistry()))


@pytest.fixture
async def far(floor: Floor, database_url: str) -> AsyncIterator[Far]:
    room = floor.room
    inner = build_server([(ENGINE, EngineServicer(room.engines))], guard(floor, Limits()), internal=True)
    address = f"127.0.0.1:{inner.add_insecure_port('127.0.0.1:0')}"
    await inner.start()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE partitions SET address = %s", [address])
    remotes = {number: RemoteEngine(number, room.pool) for number in PARTITIONS}
    routes = Engines({int(kind): RoutedEngine(None, remotes[number]) for number, kind in PARTITIONS.items()})
    limits = Limits()
    servicer = OrderServicer(routes, room.past, Markets(room.pool), PageTokens(b"key"), limits, HEARTBEAT_S)
    outer = build_server([(SERVICE, servicer)], guard(floor, limits))
    port = outer.add_insecure_port("127.0.0.1:0")
    await outer.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: order_service_pb2_grpc.OrderServiceAsyncStub = order_service_pb2_grpc.OrderServiceStub(channel)
        users = [User(stub, u.user_id, u.metadata, u.demo, u.live) for u in (floor.ana, floor.ben)]
        yield Far(floor, users[0], users[1], inner)
    await outer.stop(0.2)
    for remote in remotes.values():
        await remote.close()
    await inner.stop(0.2)


async def test_calls_are_done_by_the_leader(far: Far) -> None:
    ana, request_id = far.ana, str(uuid.uuid4())
    placed = await ana.place(client_order_id="mine", request_id=request_id)
    again = await far.floor.ana.place(client_order_id="mine", request_id=request_id)
    assert (again.order, again.replayed) == (placed.order, True)
    order_id = placed.order.order_id
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=request_id)
    assert outcome.placed.order == placed.order
    amended = await ana.call("AmendOrder", order_id=order_id, quantity="0.005")
    replaced = await ana.call("ReplaceOrder", order_id=order_id, order=order(ana.demo, price="49000"))
    assert (amended.order.quantity, replaced.order.parent_order_id) == ("0.005", order_id)
    preview = await ana.call("PreviewOrder", order=order(ana.demo, price="48000"))
    assert preview.position
    got = await ana.call("GetOrder", order_id=replaced.order.order_id)
    assert got.order.price == "49000"
    batch = await ana.call("PlaceOrders", orders=[order(ana.demo), order(ana.live), order(ana.demo, symbol="NO-NO")])
    assert [result.WhichOneof("outcome") for result in batch.results] == ["placed", "placed", "error"]
    live = await ana.call("ListOrders", account_id=ana.live, min_position=batch.results[1].placed.position)
    assert [o.order_id for o in live.orders] == [batch.results[1].placed.order.order_id]
    armed = await ana.call("CancelAllAfter", account_id=ana.demo, timeout=Duration(seconds=60))
    assert armed.HasField("trigger_time")
    gone = await ana.cancel(replaced.order.order_id)
    assert gone.order.status == order_pb2.ORDER_STATUS_CANCELLED
    assert (await ana.refused("CancelOrder", order_id=gone.order.order_id)).info.reason == "ORDER_CLOSED"
    assert (await ana.refused("CancelOrder", order_id=placed.order.order_id + "9")).info.reason == "ORDER_NOT_FOUND"
    assert len((await ana.call("CancelAllOrders", account_id=ana.demo)).orders) == 1
    assert (await far.ben.refused("GetOrder", order_id=got.order.order_id)).info.reason == "ORDER_NOT_FOUND"


async def test_a_stream_follows_and_resumes(far: Far) -> None:
    ana, ben = far.ana, far.ben
    resting = await ana.place(quantity="0.3")
    first = stream(ana)
    await first.next("ready")
    assert [o.order_id for o in (await first.next("snapshot")).snapshot.orders] == [resting.order.order_id]
    await far.floor.ben.place(account_id=ben.demo, side=type_pb2.SIDE_SELL, quantity="0.1")
    (fill,) = (await first.next("event")).event.updates[0].fills
    assert fill.quantity == "0.1"
    left = first.seen[-1]
    first.call.cancel()
    await ana.cancel(resting.order.order_id)
    second = stream(ana, resume_after=left.position)
    assert (await second.next("ready")).ready.resumed
    assert (await second.next("event")).previous_sequence == left.sequence
    await ana.place(price="40000")
    await second.next("event")
    assert chained([left, *second.seen])
    # Its leader's server goes: the stream ends, and says from where to go on.
    await far.leaders.stop(0)
    goodbye = await second.next("goodbye")
    assert (goodbye.goodbye.reason, goodbye.goodbye.resume_after) == ("LEADER_CHANGED", second.seen[-2].position)
    assert await second.ended()
    assert (await ana.refused("PlaceOrder", **order_fields(ana))).code == grpc.StatusCode.UNAVAILABLE


def order_fields(user: User) -> dict[str, object]:
    made = order_service_pb2.PlaceOrderRequest()
    made.CopyFrom(order(user.demo))
    return {field.name: value for field, value in made.ListFields()}


async def test_a_session_keeps_its_order(far: Far) -> None:
    ana = far.ana
    desk = Desk(ana)
    await desk.start(ana.demo)
    for n in range(60):
        await desk.send(place(f"m{n}", ana.demo, price=str(40_000 + n)), cancel(f"c{n}", "2-999999999"))
    await desk.send(place("bad", ana.demo, quantity=""), place("good", ana.demo))
    answers = await desk.answers(122)
    assert [a.correlation_id for a in answers] == [
        *(mark for n in range(60) for mark in (f"m{n}", f"c{n}")),
        "bad",
        "good",
    ]
    assert {a.WhichOneof("answer") for a in answers[:120:2]} == {"placed"}
    assert {a.WhichOneof("answer") for a in answers[1:120:2]} == {"error"}
    assert [a.WhichOneof("answer") for a in answers[120:]] == ["error", "placed"]
    sequences = [a.placed.order.sequence for a in answers[:120:2]]
    assert sequences == sorted(sequences)
    assert chained(desk.seen)
    await desk.call.done_writing()
    async with asyncio.timeout(10):
        # Events of the last commands may come behind their answers.
        while await desk.call.read() is not grpc.aio.EOF:
            pass
    assert await desk.call.code() == grpc.StatusCode.OK


async def test_a_call_that_gives_up_does_not_cut_the_line_of_others(far: Far) -> None:
    ana = far.ana
    opened = stream(ana)
    await opened.next("snapshot", "ready")
    await opened.next("snapshot")

    async def hurried() -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await ana.stub.PlaceOrder(order(ana.demo, price="1"), metadata=ana.metadata, timeout=0.001)

    await asyncio.gather(*(hurried() for _ in range(20)))
    placed = await ana.place(price="41000")
    while (await opened.next("event")).sequence < placed.order.sequence:
        pass
    assert chained(opened.seen)
    opened.call.cancel()
