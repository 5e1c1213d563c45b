"""StreamAccount: a snapshot, every change after it, resumed without loss, with the bus or without."""

import asyncio
from typing import Any

import pytest

from db.streams import open_bus
from servers.engine import feed
from tests.integration.account.conftest import Frames, Start, User, Venue, refused, table
from tests.servers import free_port
from venue.account.v1 import account_pb2 as pb
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import type_pb2

BUY, SELL = type_pb2.SIDE_BUY, type_pb2.SIDE_SELL
OPENED = {
    "BTC": ("10", "0", "10"),
    "ETH": ("100", "0", "100"),
    "USD": ("100000", "0", "100000"),
}


async def opened(user: User) -> str:
    return (await user.open()).account.account_id


async def held(user: User, account_id: str, count: int) -> str:
    """Places resting orders, each of which holds funds; the position of the last."""
    position = ""
    for index in range(count):
        position = (await user.place(account_id, BUY, "1", str(1000 + index))).position
    return position


async def chained(frames: Frames, count: int, last: int) -> list[pb.StreamAccountResponse]:
    """So many events, each of which names the one before it."""
    found = []
    for _ in range(count):
        frame = await frames.next_of("event")
        assert frame.previous_sequence == last
        last = frame.sequence
        found.append(frame)
    return found


async def test_a_snapshot_then_every_change(venue: Venue) -> None:
    ada = venue.user("ada")
    account_id = await opened(ada)
    async with ada.stream(account_id) as frames:
        ready = await frames.next_of("ready")
        assert (ready.ready.heartbeat_interval.seconds, ready.ready.resumed) == (15, False)
        snapshot = await frames.next_of("snapshot")
        assert table(snapshot.snapshot.balances) == OPENED
        assert snapshot.stream_id == ready.stream_id
        position = await held(ada, account_id, 3)
        events = await chained(frames, 3, snapshot.sequence)
        assert events[-1].position == position
        assert table(events[-1].event.balances) == {"USD": (await ada.balances(account_id))["USD"]}


async def test_positions_come_with_the_trades_that_change_them_and_again_when_resumed(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, his = await opened(ada), await opened(bob)
    async with ada.stream(hers) as frames:
        await frames.next_of("ready")
        snapshot = await frames.next_of("snapshot")
        assert list(snapshot.snapshot.positions) == []
        await bob.place(his, SELL, "1", "50000")
        await ada.place(hers, BUY, "1", "50000")
        (event,) = await chained(frames, 1, snapshot.sequence)
    (position,) = event.event.positions
    told = (position.symbol, position.quantity, position.cost, position.valuation_price, position.sequence)
    assert told == ("ETH-USD", "1", "50000", "50000", event.sequence)
    async with ada.stream(hers, resume_after=snapshot.position) as frames:
        await frames.next_of("ready")
        (again,) = await chained(frames, 1, snapshot.sequence)
        assert again.event == event.event
    async with ada.stream(hers) as frames:
        await frames.next_of("ready")
        assert list((await frames.next_of("snapshot")).snapshot.positions) == [position]


@pytest.mark.parametrize("live", [True, False])
async def test_a_stream_resumes_without_loss(venue: Venue, live: bool) -> None:
    ada = venue.user("ada")
    account_id = await opened(ada)
    async with ada.stream(account_id) as frames:
        await frames.next_of("ready")
        snapshot = await frames.next_of("snapshot")
        await held(ada, account_id, 2)
        first = await chained(frames, 2, snapshot.sequence)
        if live:
            # While another stream of the account goes on.
            await held(ada, account_id, 3)
            await chained(frames, 3, first[1].sequence)
            await resumed(ada, account_id, first[0].position, first[0].sequence, 4)
    if not live:
        await held(ada, account_id, 3)
        await resumed(ada, account_id, first[0].position, first[0].sequence, 4)
        await resumed(ada, account_id, snapshot.position, snapshot.sequence, 5)


async def resumed(user: User, account_id: str, position: str, sequence: int, missed: int) -> None:
    async with user.stream(account_id, position) as frames:
        assert (await frames.next_of("ready")).ready.resumed
        events = await chained(frames, missed, sequence)
        await held(user, account_id, 1)
        await chained(frames, 1, events[-1].sequence)


async def test_what_is_not_kept_is_announced_and_followed_by_a_snapshot(venue: Venue, redis_url: str) -> None:
    ada = venue.user("ada")
    account_id = await opened(ada)
    position = await held(ada, account_id, 1)
    last = await held(ada, account_id, 3)
    await ada.entries(account_id, min_position=last)
    await venue.run("DELETE FROM account_events WHERE account_id = %s", account_id)
    async with open_bus(redis_url) as bus:
        await bus.flushall()
    async with ada.stream(account_id, position) as frames:
        await frames.next_of("ready")
        gap = (await frames.next_of("gap")).gap
        assert gap.from_sequence == int(position.split(".")[2])
        snapshot = await frames.next_of("snapshot")
        assert gap.to_sequence >= snapshot.sequence > gap.from_sequence
        assert table(snapshot.snapshot.balances) == await ada.balances(account_id)
        await held(ada, account_id, 1)
        await chained(frames, 1, snapshot.sequence)


@pytest.mark.parametrize("position", ["nonsense", "2.1.999999", "2.999.1", "1.1.1"])
async def test_a_position_that_was_never_given_is_refused(venue: Venue, position: str) -> None:
    ada = venue.user("ada")
    account_id = await opened(ada)
    async with ada.stream(account_id, position) as frames:
        assert await refused(frames.next()) == ("INVALID_ARGUMENT", "POSITION_INVALID")


async def test_without_a_bus_the_tables_tell(start_venue: Start) -> None:
    venue = await start_venue(bus_url=f"redis://127.0.0.1:{free_port()}")
    ada = venue.user("ada")
    account_id = await opened(ada)
    async with ada.stream(account_id) as frames:
        await frames.next_of("ready")
        snapshot = await frames.next_of("snapshot")
        await held(ada, account_id, 3)
        await chained(frames, 3, snapshot.sequence)


async def test_many_streams_of_many_accounts_get_their_own(venue: Venue) -> None:
    users = [venue.user(f"user-{index}") for index in range(4)]
    accounts = [await opened(user) for user in users]

    async def follow(user: User, account_id: str) -> list[Any]:
        async with user.stream(account_id) as frames:
            await frames.next_of("ready")
            snapshot = await frames.next_of("snapshot")
            ready.release()
            return await chained(frames, 5, snapshot.sequence)

    ready = asyncio.Semaphore(0)
    pairs = list(zip(users, accounts, strict=True)) * 3
    following = [asyncio.ensure_future(follow(user, account_id)) for user, account_id in pairs]
    for _ in pairs:
        await ready.acquire()
    await asyncio.gather(*(held(user, account_id, 5) for user, account_id in zip(users, accounts, strict=True)))
    found = await asyncio.gather(*following)
    for index in range(len(users)):
        sequences = [[event.sequence for event in found[n]] for n in range(index, len(pairs), len(users))]
        assert sequences[0] == sequences[1] == sequences[2]


async def test_a_silent_stream_says_that_it_lives_and_ends_with_a_goodbye(start_venue: Start) -> None:
    venue = await start_venue(silence_s=0.1)
    ada = venue.user("ada")
    account_id = await opened(ada)
    async with ada.stream(account_id) as frames:
        await frames.next_of("ready")
        snapshot = await frames.next_of("snapshot")
        for _ in range(2):
            assert (await frames.next_of("heartbeat")).position == snapshot.position
        stopping = asyncio.ensure_future(venue.account_server.stop(1.0))
        frame = await frames.next()
        while frame.WhichOneof("frame") == "heartbeat":
            frame = await frames.next()
        assert (frame.goodbye.reason, frame.goodbye.resume_after) == ("SHUTDOWN", snapshot.position)
        await stopping


async def test_a_reader_that_is_too_slow_is_told_so_and_can_resume(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FRAMES_MAX", 100)
    ada = venue.user("ada")
    account_id = await opened(ada)
    resting = wire.PlaceOrderRequest(
        account_id=account_id,
        symbol="ETH-USD",
        side=BUY,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity="0.0001",
        price="1000",
    )
    async with ada.stream(account_id) as frames:
        await frames.next_of("ready")
        last = await frames.next_of("snapshot")
        (follower,) = venue.feeds[2]._feed.followers[account_id]
        # Nobody reads: what lies on the way fills first, then the bound is met.
        for _ in range(200):
            if follower.slow:
                break
            await ada.orders.PlaceOrders(wire.PlaceOrdersRequest(orders=[resting] * 100), metadata=ada.metadata)
            everything = wire.CancelAllOrdersRequest(account_id=account_id)
            await ada.orders.CancelAllOrders(everything, metadata=ada.metadata)
        assert follower.slow
        while (frame := await frames.next()).WhichOneof("frame") == "event":
            assert frame.previous_sequence == last.sequence
            last = frame
        assert (frame.goodbye.reason, frame.goodbye.resume_after) == ("SLOW_CONSUMER", last.position)
    # What was over the bound may have been a single event.
    await ada.orders.PlaceOrders(wire.PlaceOrdersRequest(orders=[resting] * 60), metadata=ada.metadata)
    async with ada.stream(account_id, last.position) as frames:
        assert (await frames.next_of("ready")).ready.resumed
        await chained(frames, 50, last.sequence)
