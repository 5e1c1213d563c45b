"""Streams: opening one, and changing what it is subscribed to, from beside it or through it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from db.session import Pool
from servers.domain.errors import FieldViolation, VenueError
from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.fan_out import FanOut
from servers.marketdata.frame_log import sized
from servers.marketdata.get_order_book import book_depth
from servers.marketdata.resume import resume
from servers.marketdata.subscriber import SUBSCRIPTIONS_MAX, Subscriber, Wanted, key_of
from servers.marketdata.tails import Tails
from servers.marketdata.view import CANDLES
from servers.transport.call import Call
from servers.transport.errors import to_status
from servers.transport.refusals import InvalidField
from venue.marketdata.v1 import marketdata_pb2 as pb

FRAME_TAG = b"\x0a"


async def subscribe(
    fan_out: FanOut, tails: Tails, pool: Pool, request: pb.SubscribeRequest, call: Call
) -> AsyncGenerator[bytes, None]:
    """Raises InvalidField, MarketNotFound, TooManySubscriptions, PositionInvalid, PartUnavailable."""
    if request.intervals and CANDLES not in request.channels:
        raise InvalidField([FieldViolation("intervals", "are for CHANNEL_CANDLES alone", "intervals.candles")])
    kinds = [pair for channel in request.channels for pair in _kinds(int(channel), request.intervals)]
    if len(request.symbols) * len(kinds) > SUBSCRIPTIONS_MAX:
        raise TooManySubscriptions(SUBSCRIPTIONS_MAX)
    views = [tails.view(symbol) for symbol in request.symbols]
    add = [Wanted(view, channel, interval=interval) for view in views for channel, interval in kinds]
    subscriber = _opened(fan_out, tails, request)
    try:
        subscriber.change(add, [])
        if request.resume_after:
            await resume(subscriber, tails, pool, request.resume_after)
        # Of an idle stream this would be a good part of what Python keeps of it.
        del request, views, add, kinds
        async with aclosing(subscriber.frames(call)) as frames:
            async for frame in frames:
                yield frame
    finally:
        fan_out.close(subscriber)


def update_subscriptions(
    tails: Tails, subscriber: Subscriber, add: Iterable[pb.Subscription], remove: Iterable[pb.Subscription]
) -> pb.UpdateSubscriptionsResponse:
    """Raises InvalidField, MarketNotFound, TooManySubscriptions; then nothing is changed."""
    add, remove = list(add), list(remove)
    wrong = [*_misplaced("add", add), *_misplaced("remove", remove)]
    if wrong:
        raise InvalidField(wrong)
    # The views first: an unknown market differs from one that this process does not know yet.
    gone = [key_of(tails.view(one.symbol).symbol, int(one.channel), int(one.interval)) for one in remove]
    subscriber.change([_wanted(tails, one) for one in add], gone)
    return pb.UpdateSubscriptionsResponse(subscriptions=subscriber.subscriptions)


async def session(
    fan_out: FanOut,
    tails: Tails,
    pool: Pool,
    first: pb.SessionRequest,
    requests: AsyncIterator[pb.SessionRequest],
    call: Call,
) -> AsyncGenerator[bytes, None]:
    """Frames of a session, and why messages after the first were refused.

    Raises InvalidField, MarketNotFound, TooManySubscriptions, PositionInvalid, PartUnavailable, of the first message only.
    """
    subscriber = _opened(fan_out, tails, first)
    refusals: asyncio.Queue[bytes] = asyncio.Queue(SUBSCRIPTIONS_MAX)
    reading = None
    try:
        update_subscriptions(tails, subscriber, first.add, first.remove)
        if first.resume_after:
            await resume(subscriber, tails, pool, first.resume_after)
        reading = asyncio.create_task(_read(tails, subscriber, requests, refusals, call))
        async with aclosing(subscriber.frames(call)) as frames:
            async for frame in frames:
                if frame:
                    yield sized(FRAME_TAG, frame)
                while not refusals.empty():
                    yield refusals.get_nowait()
    finally:
        fan_out.close(subscriber)
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(
    tails: Tails,
    subscriber: Subscriber,
    requests: AsyncIterator[pb.SessionRequest],
    refusals: "asyncio.Queue[bytes]",
    call: Call,
) -> None:
    try:
        async for request in requests:
            if request.depth:
                subscriber.depth = book_depth(request.depth)
            try:
                update_subscriptions(tails, subscriber, request.add, request.remove)
            except VenueError as error:
                refusal = pb.SessionResponse(error=to_status(error, call.request_id))
                # Waits where many are not read: whoever sends bad messages only is heard as slowly as he reads.
                await refusals.put(refusal.SerializeToString())
                subscriber.interrupt()
    except VenueError as error:
        # The message itself was none: what follows it may be anything.
        subscriber.fail(error)


def _opened(fan_out: FanOut, tails: Tails, request: pb.SubscribeRequest | pb.SessionRequest) -> Subscriber:
    window_s = _seconds(request.window) if request.HasField("window") else None
    return fan_out.open(tails.environment, book_depth(request.depth), window_s=window_s, joined=request.joined)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _wanted(tails: Tails, one: pb.Subscription) -> Wanted:
    return Wanted(
        tails.view(one.symbol), int(one.channel), book_depth(one.depth) if one.depth else 0, int(one.interval)
    )


def _misplaced(field: str, subscriptions: Iterable[pb.Subscription]) -> Iterator[FieldViolation]:
    for index, one in enumerate(subscriptions):
        if one.interval and one.channel != CANDLES:
            yield FieldViolation(f"{field}[{index}].interval", "is for CHANNEL_CANDLES alone", "interval.candles")


def _kinds(channel: int, intervals: Iterable[int]) -> list[tuple[int, int]]:
    """A channel as subscriptions of a market: one, or one for each interval of candles."""
    return [(channel, interval) for interval in (list(intervals) if channel == CANDLES else ()) or (0,)]
