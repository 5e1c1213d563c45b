"""cancel_on_disconnect: what a lost session's orders come to, on the stream, in the tables, and over a change of leaders."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from db.session import connect
from servers.domain import sessions
from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.leadership import Leader
from tests.integration.engine.leading import until
from tests.integration.order.conftest import Floor, User
from tests.integration.order.test_forwarding import Far, far  # noqa: F401  # a fixture
from tests.integration.order.test_trade import Desk, cancel, place
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire

OPEN, CANCELLED = order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_CANCELLED
Grace = Callable[[float], None]


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> Grace:
    """Sets how long a lost session's orders stay."""
    return lambda seconds: monkeypatch.setattr(sessions, "GRACE_US", int(seconds * 1e6))


async def begin(user: User, session_id: str = "", resume_after: str = "") -> Desk:
    desk = Desk(user)
    start = wire.TradeStart(
        account_id=user.demo, cancel_on_disconnect=True, session_id=session_id, resume_after=resume_after
    )
    await desk.send(wire.TradeCommand(start=start))
    await desk.next("ready")
    return desk


async def trade(desk: Desk, *commands: wire.TradeCommand) -> list[wire.TradeAnswer]:
    await desk.send(*commands)
    return await desk.answers(len(commands))


def held(floor: Floor) -> dict[tuple[str, str], int]:
    """The sessions of the machine, and when their orders are cancelled."""
    sequencer = floor.room.engines[2].sequencer
    assert sequencer is not None
    return {key: session.cancel_time for key, session in sequencer.exchange.sessions.held.items()}


async def status(user: User, order_id: str) -> Any:
    return (await user.call("GetOrder", order_id=order_id)).order


async def test_a_dropped_connection_cancels_what_the_session_placed(floor: Floor, grace: Grace) -> None:
    grace(1)
    ana = floor.ana
    desk = await begin(ana)
    (mine,) = await trade(desk, place("1", ana.demo))
    other = await ana.place(price="49000")
    assert list(held(floor).values()) == [0]
    desk.call.cancel()
    await until(lambda: not held(floor))
    gone = await status(ana, mine.placed.order.order_id)
    assert (gone.status, gone.cancel_reason) == (CANCELLED, order_pb2.CANCEL_REASON_DISCONNECTED)
    assert (await status(ana, other.order.order_id)).status == OPEN


async def test_a_session_that_comes_back_keeps_its_orders(floor: Floor, grace: Grace) -> None:
    grace(1)
    ana = floor.ana
    first = await begin(ana)
    (mine,) = await trade(first, place("1", ana.demo))
    first.call.cancel()
    again = await begin(ana, first.seen[-1].stream_id, first.seen[-1].position)
    assert again.seen[0].stream_id == first.seen[0].stream_id
    await asyncio.sleep(1.5)
    (more,) = await trade(again, place("2", ana.demo))
    assert [(await status(ana, answer.placed.order.order_id)).status for answer in (mine, more)] == [OPEN, OPEN]
    again.call.cancel()
    await until(lambda: not held(floor))
    assert (await status(ana, mine.placed.order.order_id)).status == CANCELLED


async def test_half_closing_is_no_loss(floor: Floor, grace: Grace, database_url: str) -> None:
    grace(0)
    ana = floor.ana
    desk = await begin(ana, "my-desk")
    (mine,) = await trade(desk, place("1", ana.demo))
    async with await connect(database_url, application_name="test") as database:
        query = "SELECT session_id, cancel_time = 'epoch' FROM trading_sessions"
        await ana.call("ListOrders", account_id=ana.demo, min_position=mine.placed.position)
        assert await (await database.execute(query)).fetchall() == [("my-desk", True)]
        await desk.call.done_writing()
        while (frame := await desk.call.read()) is not grpc.aio.EOF:
            assert frame.WhichOneof("frame") in {"event", "heartbeat"}
        assert await desk.call.code() == grpc.StatusCode.OK
        assert held(floor) == {}
        after = await ana.place(price="1")
        await ana.call("ListOrders", account_id=ana.demo, min_position=after.position)
        assert await (await database.execute(query)).fetchall() == []
    assert (await status(ana, mine.placed.order.order_id)).status == OPEN


async def test_a_change_of_leaders_gives_time_to_come_back(floor: Floor, grace: Grace) -> None:
    grace(3)
    ana = floor.ana
    desks = [await begin(ana, name) for name in ("stays-away", "comes-back")]
    answers = [(await trade(desk, place("1", ana.demo)))[0].placed.order.order_id for desk in desks]
    room = floor.room
    leader, before = room.leaders[1], room.engines[2].sequencer
    await leader.stop()
    for desk in desks:
        while (await desk.next("goodbye", "event")).WhichOneof("frame") == "event":
            pass
    second = Leader(Environment.DEMO, room.engines[2], room.pool, leader._terms, missing)
    room.tasks.append(asyncio.create_task(second.run()))
    await until(lambda: room.engines[2].sequencer not in {None, before})
    assert {key[1] for key in held(floor)} == {"stays-away", "comes-back"}
    assert all(held(floor).values())
    back = await begin(ana, "comes-back")
    await until(lambda: len(held(floor)) == 1)
    assert [(await status(ana, order_id)).status for order_id in answers] == [CANCELLED, OPEN]
    back.call.cancel()


async def test_the_loss_of_a_server_that_forwards_is_noted_by_the_leader(far: Far, grace: Grace) -> None:  # noqa: F811
    grace(1)
    ana = far.ana
    desk = await begin(ana)
    (mine,) = await trade(desk, place("1", ana.demo))
    sequencer = far.floor.room.engines[2].sequencer
    assert sequencer is not None
    (follower,) = sequencer.feed.followers[ana.demo]
    assert list(held(far.floor).values()) == [0]
    # As if its process had died: the call that follows the account ends.
    follower.end()
    await until(lambda: not held(far.floor))
    assert (await status(ana, mine.placed.order.order_id)).status == CANCELLED
    desk.call.cancel()


async def test_answers_say_where_the_session_stands_and_what_is_final(floor: Floor) -> None:
    ana = floor.ana
    desk = await begin(ana)
    (mine,) = await trade(desk, place("1", ana.demo, client_order_id="mine"))
    order_id = mine.placed.order.order_id
    amend = wire.TradeCommand(correlation_id="4", amend=wire.AmendOrderRequest(order_id=order_id, price="1"))
    named = wire.CancelOrderRequest(account_id=ana.demo, client_order_id="mine")
    again = wire.TradeCommand(correlation_id="5", cancel=named)
    done, *errors = await trade(desk, cancel("2", order_id), cancel("3", order_id), amend, again, cancel("6", "2-1"))
    assert done.cancelled.order.status == CANCELLED
    assert [error.error.code for error in errors] == [9, 9, 9, 5]
    assert [b"ORDER_CLOSED" in error.SerializeToString() for error in errors] == [True, True, True, False]
    told = ""
    for frame in desk.seen:
        assert frame.position.startswith("2.")
        assert frame.position == told or frame.WhichOneof("frame") != "answers" or not told
        told = frame.position
    resumed = Desk(ana)
    assert (await resumed.start(ana.demo, desk.seen[-1].position)).ready.resumed
    for each in (desk, resumed):
        each.call.cancel()
