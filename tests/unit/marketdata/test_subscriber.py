"""Streams: what waits for a reader is bounded, what it loses is announced, and what the others get is not touched."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.fan_out import PHASE_STREAMS, FanOut
from servers.marketdata.frame_log import JOINED_BYTES_MAX, JOINED_SMALL_BYTES, Log
from servers.marketdata.open_candles import OpenCandles
from servers.marketdata.series import Bounds, Series
from servers.marketdata.source import Source, Sources
from servers.marketdata.subscriber import Subscriber, Wanted
from servers.marketdata.view import BOOK, STATUS, TRADES, View
from servers.transport.call import Call
from tests.unit.marketdata.markets import SYMBOL, level, opened, record, trade
from venue.marketdata.v1 import marketdata_pb2 as pb

DEMO = 2
BOUNDS = Bounds(conflate_frames=4, conflate_bytes=100_000, frames_max=8, bytes_max=200_000)


class Ending:
    """What a stream looks at of a call: whether it is to end, and how many others are."""

    def __init__(self) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.crowd = lambda: len(self.streams)
        self.streams: dict[str, Subscriber] = {}


class Feed:
    """A market, its fan-out without a window, and the sequence of its last record."""

    def __init__(self, silence_s: float = 15.0) -> None:
        self.view: View = opened()
        self.fan_out = FanOut(book_window_s=0.0, silence_s=silence_s, bounds=BOUNDS)
        self.source = Source(2, DEMO)
        self.fan_out.add(self.source, self.view)
        self.sequence = 10
        self.ending = Ending()
        self.ending.streams = self.fan_out.streams

    def open(self, *channels: int, joined: bool = False) -> tuple[Subscriber, AsyncGenerator[bytes, None]]:
        subscriber = self.fan_out.open(DEMO, 50, joined=joined)
        subscriber.change([Wanted(self.view, channel) for channel in channels], [])
        return subscriber, subscriber.frames(cast("Call", self.ending))

    def say(self, **parts: Any) -> None:
        self.view.apply(record(self.sequence + 1, self.sequence, **parts))
        self.sequence += 1
        self.fan_out.changed(DEMO, self.view)
        self.source.taken = self.sequence
        self.fan_out.settle(DEMO)

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


async def test_who_comes_later_shares_a_snapshot_and_reads_on_from_it() -> None:
    feed = Feed()
    feed.quote(10)
    _, first = feed.open(BOOK)
    before = await take(first, 2)
    feed.quote(11)
    _, second = feed.open(BOOK)
    after = await take(second, 3)
    assert [frame.sequence for frame in after] == [0, 11, 12]
    assert after[1].snapshot == before[1].snapshot
    assert after[2].event.book.bids[0].price == "11"


async def test_what_was_not_told_yet_goes_before_a_snapshot_that_holds_it() -> None:
    feed = Feed()
    feed.view.restore(pb.GetOrderBookResponse(symbol=SYMBOL), 10, trades_lost=False)
    _, first = feed.open(BOOK)
    await take(first, 2)
    feed.view.apply(record(11, 10, bids=[level("10", "1")]))
    other = feed.fan_out.open(DEMO, 1)
    other.change([Wanted(feed.view, BOOK)], [])
    frames = other.frames(cast("Call", feed.ending))
    snapshot = (await take(frames, 2))[1]
    assert (snapshot.sequence, [one.price for one in snapshot.snapshot.book.bids]) == (11, ["10"])
    assert [(frame.previous_sequence, frame.sequence) for frame in await take(first, 1)] == [(0, 11)]
    feed.sequence = 11
    feed.quote(12)
    (event,) = await take(frames, 1)
    assert (event.previous_sequence, event.sequence) == (11, 12)
    assert [(one.price, one.quantity) for one in event.event.book.bids] == [("12", "1"), ("10", "0")]


async def test_joined_frames_are_those_that_others_get_one_by_one() -> None:
    feed = Feed()
    _, single = feed.open(BOOK, TRADES)
    _, joined = feed.open(BOOK, TRADES, joined=True)
    await take(single, 3)
    await take(joined, 3)
    for price in (10, 11):
        feed.quote(price)
    feed.trade(1)
    apart = await take(single, 3)
    (message,) = await take(joined, 1)
    assert message.stream_id
    assert message.WhichOneof("frame") is None
    assert {frame.stream_id for frame in message.frames} == {""}
    for frame in apart:
        frame.ClearField("stream_id")
    texts = [sorted(frame.SerializeToString() for frame in frames) for frames in (message.frames, apart)]
    assert texts[0] == texts[1]


async def test_a_position_is_a_place_up_to_which_everything_was_sent() -> None:
    feed = Feed(silence_s=0.05)
    _, frames = feed.open(BOOK, TRADES)
    await take(frames, 3)
    feed.quote(10)
    feed.trade(1)
    # Each bears the place of before it: what was told with it may not be all.
    assert [frame.position for frame in await take(frames, 2)] == ["", "2.0.11"]
    (heartbeat,) = await take(frames, 1)
    assert (heartbeat.WhichOneof("frame"), heartbeat.position) == ("heartbeat", "2.0.12")


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
    assert gap.gap.reason == "CONFLATED"
    assert (snapshot.sequence, len(snapshot.snapshot.book.bids)) == (60, 50)
    feed.quote(150)
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
    assert (goodbye.goodbye.reason, goodbye.goodbye.resume_after) == ("SLOW_CONSUMER", "")
    assert subscriber.ended


async def told_beside(
    stopped: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[pb.SubscribeResponse], int, list[Series]]:
    """What a reader who reads is told while so many others have stopped, how many frames were made, and what of them is kept.

    One that has stopped is what a blocked write leaves of it: nobody asks it for its next message.
    """
    feed, made = Feed(), 0
    frame = Sources.frame

    def counted(self: Sources, *told: Any, **parts: Any) -> pb.SubscribeResponse:
        nonlocal made
        made += 1
        return frame(self, *told, **parts)

    reader, healthy = feed.open(BOOK, TRADES, joined=True)
    await take(healthy, 3)
    others = [feed.open(BOOK, TRADES, joined=number % 2 == 0) for number in range(stopped)]
    for _, frames in others:
        await take(frames, 3)
    monkeypatch.setattr(Sources, "frame", counted)
    heard = []
    for number in range(1, 60):
        # Neither waits for anybody: they are no coroutines.
        feed.quote(number)
        feed.trade(number)
        heard += await take(healthy, 1)
        reader.rhythm.trim()
    monkeypatch.undo()
    assert [stream.ended for stream, _ in others] == [True] * stopped
    for message in heard:
        message.ClearField("stream_id")
        for one in message.frames:
            one.ClearField("server_time")
    return heard, made, [cursor.series for cursor in reader.cursors.values()]


async def test_f30_others_who_stopped_reading_change_nothing_for_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same messages at the same changes, and no more work to make them: what a frame costs is not a matter of who reads."""
    alone, made_alone, _ = await told_beside(0, monkeypatch)
    beside, made_beside, series = await told_beside(200, monkeypatch)
    assert len(alone) == 59
    assert beside == alone
    assert made_beside == made_alone
    # Nothing is left of the others but the goodbye: they are in nobody's way, and their frames are nowhere.
    assert [len(one.cursors) for one in series] == [1, 1]
    assert [one.log.end - one.log.start for one in series] == [0, 0]


def test_f30_what_is_kept_for_readers_at_many_places_is_bounded() -> None:
    log = Log(frames_max=4096, bytes_max=4 * 1024 * 1024)
    for number in range(2_000):
        log.append(number, "", bytes(1_000))
    sizes = [len(log.joined(place)) for place in range(1_000, 2_000, 3)]
    assert log.joined_bytes <= JOINED_BYTES_MAX + (JOINED_SMALL_BYTES // 1_000) * JOINED_SMALL_BYTES
    assert sizes == [(2_000 - place) * 1_004 for place in range(1_000, 2_000, 3)]
    assert log.joined(1_990) is log.joined(1_990), "those who keep up share"
    log.append(2_000, "", b"")
    assert log.joined_bytes == 0


async def test_too_many_subscriptions_change_nothing() -> None:
    feed = Feed()
    subscriber, _ = feed.open(BOOK)
    others = []
    for index in range(50):
        view = opened()
        view.market.symbol = f"M{index}-USD"
        feed.fan_out.add(feed.source, view)
        others.append(Wanted(feed.fan_out.find(DEMO, view.symbol), BOOK))
    with pytest.raises(TooManySubscriptions):
        subscriber.change(others, [])
    assert list(subscriber.cursors) == [(SYMBOL, BOOK, 0)]
    subscriber.change(others, [(SYMBOL, BOOK, 0)])
    assert list(subscriber.cursors) == [one.key for one in others]


async def test_what_was_unsubscribed_is_not_sent_any_more() -> None:
    feed = Feed()
    subscriber, frames = feed.open(BOOK, TRADES)
    await take(frames, 3)
    feed.quote(10)
    feed.trade(1)
    subscriber.change([], [(SYMBOL, BOOK, 0)])
    (event,) = await take(frames, 1)
    assert event.event.WhichOneof("data") == "trades"


async def test_another_depth_begins_with_a_snapshot() -> None:
    feed = Feed()
    feed.quote(10)
    feed.quote(11)
    subscriber, frames = feed.open(BOOK)
    await take(frames, 2)
    subscriber.change([Wanted(feed.view, BOOK, 1)], [])
    (snapshot,) = await take(frames, 1)
    assert [one.price for one in snapshot.snapshot.book.bids] == ["11"]
    subscriber.change([Wanted(feed.view, BOOK, 1)], [])
    feed.quote(12)
    (event,) = await take(frames, 1)
    assert [(one.price, one.quantity) for one in event.event.book.bids] == [("12", "1"), ("11", "0")]


async def test_a_series_that_starts_over_says_so_to_its_readers() -> None:
    feed = Feed()
    _, frames = feed.open(TRADES)
    await take(frames, 2)
    feed.trade(1)
    await take(frames, 1)
    feed.view.begin([trade(900, "10", "1", 1_800_000_000)], feed.view.window, OpenCandles())
    feed.fan_out.restart(DEMO, feed.view, TRADES)
    gap, snapshot = await take(frames, 2)
    assert (gap.gap.from_sequence, gap.gap.to_sequence, gap.gap.reason) == (1, 900, "NOT_KEPT")
    assert [one.trade_id for one in snapshot.snapshot.trades.trades] == ["2-t900"]


async def test_many_streams_of_a_window_are_told_in_phases_and_each_once_a_window() -> None:
    feed = Feed()
    feed.fan_out = FanOut(book_window_s=0.1, silence_s=15.0, bounds=BOUNDS)
    feed.fan_out.add(feed.source, feed.view)
    opened_streams = [feed.open(BOOK) for _ in range(3 * PHASE_STREAMS)]
    phases = list(dict.fromkeys(stream.rhythm for stream, _ in opened_streams))
    assert [phase.streams for phase in phases] == [PHASE_STREAMS] * 3
    for _, frames in opened_streams:
        await take(frames, 2)
    feed.fan_out.tick(1000.0)
    told: list[tuple[int, int]] = []
    for millisecond in range(200):
        feed.quote(millisecond + 1)
        sizes = [max(cursor.series.log.end for cursor in stream.cursors.values()) for stream, _ in opened_streams[::64]]
        feed.fan_out.tick(1000.0 + millisecond / 1000 + 0.0005)
        for phase, (stream, _) in enumerate(opened_streams[::64]):
            (cursor,) = stream.cursors.values()
            if cursor.series.log.end > sizes[phase]:
                told.append((millisecond, phase))
    # Twice in 200 ms each, 20 ms apart.
    assert [phase for _, phase in told] == [0, 1, 2, 0, 1, 2]
    assert [later - earlier for (earlier, _), (later, _) in itertools.pairwise(told)] == [20, 20, 60, 20, 20]
    feed.fan_out.close(opened_streams[0][0])
    assert feed.fan_out.open(DEMO, 50).rhythm is phases[0]
