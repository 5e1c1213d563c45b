"""StreamOrders: a snapshot or what was missed, then every change, chained by sequences."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import grpc
import pytest

from db.session import connect
from db.streams import open_bus
from servers.engine.ring import Ring
from tests.integration.engine.leading import until
from tests.integration.order.conftest import HEARTBEAT_S, Floor, User, order
from tests.integration.order.frames import Stream, updates
from tests.servers import free_port
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import type_pb2


def stream(user: User, account_id: str = "", resume_after: str = "") -> Stream:
    request = wire.StreamOrdersRequest(account_id=account_id or user.demo, resume_after=resume_after)
    return Stream(user.stub.StreamOrders(request, metadata=user.metadata))


def chained(frames: list[Any]) -> bool:
    """Whether each event names the one before it, from the snapshot or event that comes first on."""
    told = [frame for frame in frames if frame.WhichOneof("frame") in {"snapshot", "event"}]
    return all(later.previous_sequence == former.sequence for former, later in pairwise(told))


async def test_a_snapshot_and_then_every_change(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    resting = await ana.place(quantity="0.3")
    opened = stream(ana)
    ready = await opened.next("ready")
    assert (ready.ready.resumed, ready.ready.heartbeat_interval.ToTimedelta().total_seconds()) == (False, HEARTBEAT_S)
    snapshot = await opened.next("snapshot")
    assert [order.order_id for order in snapshot.snapshot.orders] == [resting.order.order_id]
    await ben.place(account_id=ben.demo, side=type_pb2.SIDE_SELL, quantity="0.1")
    event = await opened.next("event")
    assert updates(event) == [(resting.order.order_id, order_pb2.ORDER_STATUS_PARTIALLY_FILLED)]
    (fill,) = event.event.updates[0].fills
    assert (fill.quantity, fill.liquidity) == ("0.1", order_pb2.LIQUIDITY_MAKER)
    await ana.cancel(resting.order.order_id)
    assert updates(await opened.next("event")) == [(resting.order.order_id, order_pb2.ORDER_STATUS_CANCELLED)]
    await ana.place(price="0.001")
    assert updates(await opened.next("event"))[0][1] == order_pb2.ORDER_STATUS_REJECTED
    assert chained(opened.seen)
    assert len({frame.stream_id for frame in opened.seen}) == 1
    assert (await opened.next("heartbeat")).position == opened.seen[-2].position
    opened.call.cancel()


async def test_a_stream_resumes_where_it_was_left(floor: Floor) -> None:
    ana = floor.ana
    first = stream(ana)
    await first.next("ready")
    await first.next("snapshot")
    placed = [await ana.place(price=str(40_000 + n)) for n in range(3)]
    for _ in placed:
        await first.next("event")
    first.call.cancel()
    left_at = first.seen[-1].position
    missed = [await ana.place(price=str(41_000 + n)) for n in range(5)]
    again = stream(ana, resume_after=left_at)
    assert (await again.next("ready")).ready.resumed
    live = await ana.place(price="42000")
    events = [await again.next("event") for _ in range(6)]
    assert [updates(event)[0][0] for event in events] == [a.order.order_id for a in (*missed, live)]
    assert events[0].previous_sequence == first.seen[-1].sequence
    assert chained(again.seen)
    again.call.cancel()
    nothing_missed = stream(ana, resume_after=again.seen[-1].position)
    assert (await nothing_missed.next("ready")).ready.resumed
    assert (await nothing_missed.next("heartbeat")).position == again.seen[-1].position
    nothing_missed.call.cancel()


async def test_a_stream_under_load_misses_and_repeats_nothing(floor: Floor) -> None:
    ana = floor.ana
    stop = asyncio.Event()
    placed: list[str] = []

    async def trade() -> None:
        while not stop.is_set():
            placed.append((await ana.place()).order.order_id)

    traders = [asyncio.ensure_future(trade()) for _ in range(4)]
    position = ""
    seen: list[str] = []
    frames: list[Any] = []
    for _ in range(6):
        await asyncio.sleep(0.03)
        opened = stream(ana, resume_after=position)
        await opened.next("ready")
        if not position:
            seen = [order.order_id for order in (await opened.next("snapshot")).snapshot.orders]
        for _ in range(25):
            seen += [order_id for order_id, _ in updates(await opened.next("event"))]
        opened.call.cancel()
        position = opened.seen[-1].position
        frames += opened.seen
    stop.set()
    await asyncio.gather(*traders)
    assert chained(frames)
    assert seen == sorted(placed, key=lambda order_id: int(order_id.partition("-")[2]))[: len(seen)]
    assert len(seen) >= 150


@pytest.mark.parametrize("remembered", [True, False], ids=["from memory", "from the bus"])
async def test_a_stream_resumes_while_the_tables_stand_still(
    floor: Floor, database_url: str, *, remembered: bool
) -> None:
    ana = floor.ana
    first = stream(ana)
    await first.next("ready")
    await first.next("snapshot")
    first.call.cancel()
    sequencer = floor.room.engines[2].sequencer
    assert sequencer is not None
    await until(lambda: not sequencer.feed.followers)
    async with await connect(database_url, application_name="test") as database, database.transaction():
        await database.execute("LOCK TABLE account_events IN ACCESS EXCLUSIVE MODE")
        missed = [await ana.place(price=str(41_000 + n)) for n in range(5)]
        if not remembered:
            # As after a change of leaders.
            sequencer.feed.ring = Ring(time.monotonic)
        again = stream(ana, resume_after=first.seen[-1].position)
        assert (await again.next("ready")).ready.resumed
        events = [await again.next("event") for _ in missed]
    assert [updates(event)[0][0] for event in events] == [answer.order.order_id for answer in missed]
    live = await ana.place(price="42000")
    assert updates(await again.next("event"))[0][0] == live.order.order_id
    assert chained([first.seen[-1], *again.seen])
    again.call.cancel()


async def test_what_is_not_kept_any_more_is_a_gap_and_then_a_snapshot(floor: Floor, database_url: str) -> None:
    # By nobody: memory forgets it at once, the bus is away.
    floor.room.past.bus.connection_pool = open_bus(f"redis://127.0.0.1:{free_port()}").connection_pool
    ana = floor.ana
    opened = stream(ana)
    position = (await opened.next("ready")).position
    opened.call.cancel()
    placed = [await ana.place(price=str(40_000 + n)) for n in range(4)]
    await ana.call("ListOrders", account_id=ana.demo, min_position=placed[-1].position)
    async with await connect(database_url, application_name="retention") as connection:
        await connection.execute("SET venue.maintenance = 'on'")
        await connection.execute("DELETE FROM account_events WHERE sequence <= %s", [placed[1].order.sequence])
    floor.room.engines[2].sequencer.feed.ring = Ring(time.monotonic)  # type: ignore[union-attr]
    again = stream(ana, resume_after=position)
    await again.next("ready")
    gap = await again.next("gap")
    assert gap.gap.to_sequence >= placed[-1].order.sequence
    snapshot = await again.next("snapshot")
    assert [order.order_id for order in snapshot.snapshot.orders] == [answer.order.order_id for answer in placed]
    again.call.cancel()


async def test_where_a_stream_does_not_open(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    placed = await ana.place()
    partition, epoch, sequence = placed.position.split(".")
    refusals = {
        "theirs": await stream(ana, ben.demo).refused(),
        "nobody's": await stream(ana, "demo-nobody").refused(),
        "future": await stream(ana, resume_after=f"{partition}.{epoch}.{int(sequence) + 100}").refused(),
        "later epoch": await stream(ana, resume_after=f"{partition}.{int(epoch) + 1}.{sequence}").refused(),
        "elsewhere": await stream(ana, resume_after=f"1.{epoch}.1").refused(),
        "nonsense": await stream(ana, resume_after="nonsense").refused(),
    }
    assert {name: (refusal.code.name, refusal.info.reason) for name, refusal in refusals.items()} == {
        "theirs": ("NOT_FOUND", "ACCOUNT_NOT_FOUND"),
        "nobody's": ("NOT_FOUND", "ACCOUNT_NOT_FOUND"),
        **dict.fromkeys(["future", "later epoch", "elsewhere", "nonsense"], ("INVALID_ARGUMENT", "POSITION_INVALID")),
    }
    assert refusals["future"].fields == ["resume_after"]
    assert floor.room.engines[2].sequencer.feed.followers == {}  # type: ignore[union-attr]


async def test_a_stream_says_goodbye_and_where_to_go_on(floor: Floor) -> None:
    ana = floor.ana
    opened = stream(ana)
    await opened.next("ready")
    await opened.next("snapshot")
    placed = await ana.place()
    await opened.next("event")
    stopping = asyncio.ensure_future(floor.room.leaders[1].stop())
    goodbye = await opened.next("goodbye")
    assert (goodbye.goodbye.reason, goodbye.goodbye.resume_after) == ("LEADER_CHANGED", placed.position)
    assert await opened.ended()
    await stopping


@pytest.mark.parametrize("reason", ["SHUTDOWN", "SESSION_REVOKED"])
async def test_the_server_ends_a_stream_with_a_reason(floor: Floor, reason: str) -> None:
    opened = stream(floor.ana)
    await opened.next("ready")
    await opened.next("snapshot")
    if reason == "SHUTDOWN":
        stopping = asyncio.ensure_future(floor.server.stop(1))
    else:
        guard = floor.server._guard
        floor.room.keys.revoked.add("session-ana")
        guard.verifier._revoked_source = floor.room.keys.revoked_ids
        stopping = asyncio.ensure_future(guard.verifier.fetch_revoked())
    assert (await opened.next("goodbye")).goodbye.reason == reason
    assert await opened.ended()
    await stopping


async def test_a_reader_that_is_too_slow_is_told_so_and_can_resume(floor: Floor) -> None:
    ana = floor.ana
    opened = stream(ana)
    await opened.next("ready")
    await opened.next("snapshot")
    # Nobody reads: transport's buffers fill first, then the follower's bound is met.
    batch = [order(ana.demo, quantity="0.00001", price="1")] * 100
    feed = floor.room.engines[2].sequencer.feed  # type: ignore[union-attr]
    (follower,) = feed.followers[ana.demo]
    rounds = 0
    while not follower.slow:
        rounds += 1
        assert rounds < 200
        answer = await ana.call("PlaceOrders", orders=batch)
        assert not answer.results[0].HasField("error")
        if rounds % 5 == 0:
            await ana.call("CancelAllOrders", account_id=ana.demo)
    seen = 0
    async with asyncio.timeout(20):
        while (frame := await opened.next("event", "goodbye")).WhichOneof("frame") == "event":
            seen += 1
    assert frame.goodbye.reason == "SLOW_CONSUMER"
    assert seen > 0
    assert chained(opened.seen)
    assert frame.goodbye.resume_after == opened.seen[-2].position
    assert await opened.ended()
    again = stream(ana, resume_after=frame.goodbye.resume_after)
    await again.next("ready")
    event = await again.next("event")
    assert event.previous_sequence == opened.seen[-2].sequence
    again.call.cancel()


async def test_no_token_no_stream(floor: Floor) -> None:
    ana = floor.ana
    request = wire.StreamOrdersRequest(account_id=ana.demo)
    refusal = await Stream(ana.stub.StreamOrders(request)).refused()
    assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
