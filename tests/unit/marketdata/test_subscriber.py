"""Streams: what waits for a reader is bounded, what it loses is announced, and what the others get is not touched."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.fan_out import FanOut
from servers.marketdata.series import Source
from servers.marketdata.subscriber import Bounds, Subscriber
from servers.marketdata.view import BOOK, STATUS, TRADES, View
from servers.transport.call import Call
from tests.unit.marketdata.markets import SYMBOL, level, opened, record, trade
from venue.marketdata.v1 import marketdata_pb2 as pb

DEMO = 2
BOUNDS = Bounds(conflate_frames=4, conflate_bytes=100_000, frames_max=8, bytes_max=200_000)
SOURCE = Source(2, DEMO)


class Ending:
    """The one thing of a call that a stream looks at."""

    def __init__(self) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class Feed:
    """A market, its fan-out without a window, and the sequence of its last record."""

    def __init__(self, silence_s: float = 15.0) -> None:
        self.view: View = opened()
        self.fan_out = FanOut(book_window_s=0.0, silence_s=silence_s, bounds=BOUNDS)
        self.fan_out.add(SOURCE, self.view)
        self.sequence = 10
        self.ending = Ending()

    def open(self, *channels: int) -> tuple[Subscriber, AsyncGenerator[bytes, None]]:
        subscriber = self.fan_out.open(SOURCE, 50)
        subscriber.change([self.fan_out.find(DEMO, SYMBOL, channel) for channel in channels], [])
        return subscriber, subscriber.frames(cast("Call", self.ending))

    def say(self, **parts: Any) -> None:
        self.view.apply(record(self.sequence + 1, self.sequence, **parts))
        self.sequence += 1
        self.fan_out.changed(DEMO, self.view)

    def quote(self, price: int, quantity: str = "1") -> None:
        self.say(bids=[level(str(price), quantity)])

    def trade(self, number: int) -> None:
        self.say(trades=[trade(number, "10", "1", 1_800_000_000)])


async def take(frames: AsyncGenerator[bytes, None], count: int) -> list[pb.SubscribeResponse]:
    async with asyncio.timeout(5):
        return [pb.SubscribeResponse.FromString(await anext(frames)) for _ in range(count)]


def kinds(frames: list[pb.SubscribeResponse]) -> list[str]:
    return [frame.WhichOneof("frame") or "" for frame in frames]


async def test_ready_then_snapshots_then_a_chain_of_events() -> None:
    feed = Feed()
    feed.quote(10)
    subscriber, frames = feed.open(BOOK, TRADES, STATUS)
    assert kinds(await take(frames, 4)) == ["ready", "snapshot", "snapshot", "snapshot"]
    feed.quote(11)
    feed.quote(12)
    events = await take(frames, 2)
    assert [(frame.previous_sequence, frame.sequence) for frame in events] == [(11, 12), (12, 13)]
    assert {frame.stream_id for frame in events} == {subscriber.stream_id}
    assert [frame.event.book.bids[0].price for frame in events] == ["11", "12"]


async def test_a_snapshot_made_between_two_windows_goes_before_what_it_does_not_hold() -> None:
    feed = Feed()
    _, first = feed.open(BOOK)
    await take(first, 2)
    feed.view.apply(record(11, 10, bids=[level("10", "1")]))
    _, second = feed.open(BOOK)
    assert [frame.sequence for frame in await take(second, 2)] == [0, 11]
    feed.sequence = 11
    feed.quote(12)
    assert [(frame.previous_sequence, frame.sequence) for frame in await take(second, 1)] == [(11, 12)]
    assert [(frame.previous_sequence, frame.sequence) for frame in await take(first, 2)] == [(0, 11), (11, 12)]


async def test_a_quiet_stream_has_heartbeats_and_says_goodbye() -> None:
    feed = Feed(silence_s=0.02)
    _, frames = feed.open(BOOK)
    assert kinds(await take(frames, 4)) == ["ready", "snapshot", "heartbeat", "heartbeat"]
    feed.ending.end.set_result("SHUTDOWN")
    (goodbye,) = await take(frames, 1)
    assert goodbye.goodbye.reason == "SHUTDOWN"
    with pytest.raises(StopAsyncIteration):
        await anext(frames)


async def test_a_slow_reader_of_a_book_gets_a_gap_and_a_snapshot_and_then_goes_on() -> None:
    feed = Feed()
    _, slow = feed.open(BOOK)
    _, quick = feed.open(BOOK)
    await take(slow, 2)
    await take(quick, 2)
    for price in range(100, 150):
        feed.quote(price)
        await take(quick, 1)
    gap, snapshot = await take(slow, 2)
    assert (gap.WhichOneof("frame"), gap.gap.from_sequence, gap.gap.to_sequence) == ("gap", 0, 60)
    assert (snapshot.sequence, len(snapshot.snapshot.book.bids)) == (60, 50)
    feed.quote(99)
    assert [(frame.previous_sequence, frame.sequence) for frame in await take(slow, 1)] == [(60, 61)]


async def test_a_slow_reader_of_trades_is_cut_at_the_bound_and_the_others_go_on() -> None:
    feed = Feed()
    subscriber, slow = feed.open(TRADES)
    _, quick = feed.open(TRADES)
    await take(slow, 2)
    await take(quick, 2)
    for number in range(1, 10):
        feed.trade(number)
        (event,) = await take(quick, 1)
        assert event.event.trades.trades[0].trade_id == f"2-t{number}"
    (goodbye,) = await take(slow, 1)
    assert goodbye.goodbye.reason == "SLOW_CONSUMER"
    assert all(subscriber not in series.readers for series in subscriber.subscriptions)


async def test_too_many_subscriptions_change_nothing() -> None:
    feed = Feed()
    subscriber, _ = feed.open(BOOK)
    before = list(subscriber.subscriptions)
    others = []
    for index in range(50):
        view = opened()
        view.market.symbol = f"M{index}-USD"
        feed.fan_out.add(SOURCE, view)
        others.append(feed.fan_out.find(DEMO, view.symbol, BOOK))
    with pytest.raises(TooManySubscriptions):
        subscriber.change(others, [])
    assert list(subscriber.subscriptions) == before
    assert all(not series.readers for series in others)
    subscriber.change(others, before)
    assert list(subscriber.subscriptions) == others


async def test_what_was_unsubscribed_is_not_sent_any_more() -> None:
    feed = Feed()
    subscriber, frames = feed.open(BOOK, TRADES)
    await take(frames, 3)
    feed.quote(10)
    feed.trade(1)
    subscriber.change([], [feed.fan_out.find(DEMO, SYMBOL, BOOK)])
    (event,) = await take(frames, 1)
    assert event.event.WhichOneof("data") == "trades"


async def test_a_series_that_starts_over_says_so_to_its_readers() -> None:
    feed = Feed()
    _, frames = feed.open(TRADES)
    await take(frames, 2)
    feed.trade(1)
    await take(frames, 1)
    feed.view.begin([trade(900, "10", "1", 1_800_000_000)], feed.view.window, None)
    feed.fan_out.restart(DEMO, feed.view, TRADES)
    gap, snapshot = await take(frames, 2)
    assert (gap.gap.from_sequence, gap.gap.to_sequence) == (11, 900) or gap.gap.from_sequence == 1
    assert [one.trade_id for one in snapshot.snapshot.trades.trades] == ["2-t900"]
