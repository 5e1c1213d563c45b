"""Streams: opening one, and changing what it is subscribed to, from beside it or through it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

from servers.domain.errors import VenueError
from servers.marketdata.errors import TooManySubscriptions
from servers.marketdata.fan_out import FanOut
from servers.marketdata.get_order_book import book_depth
from servers.marketdata.series import Series
from servers.marketdata.subscriber import SUBSCRIPTIONS_MAX, Subscriber
from servers.marketdata.tails import Tails
from servers.transport.call import Call
from venue.marketdata.v1 import marketdata_pb2 as pb


async def subscribe(
    fan_out: FanOut, tails: Tails, request: pb.SubscribeRequest, call: Call
) -> AsyncGenerator[bytes, None]:
    """Raises MarketNotFound, TooManySubscriptions, PartUnavailable."""
    if len(request.symbols) * len(request.channels) > SUBSCRIPTIONS_MAX:
        raise TooManySubscriptions(SUBSCRIPTIONS_MAX)
    wanted = [
        pb.Subscription(symbol=symbol, channel=channel) for symbol in request.symbols for channel in request.channels
    ]
    add = _series(fan_out, tails, wanted)
    subscriber = fan_out.open(tails.source, book_depth(request.depth))
    try:
        subscriber.change(add, [])
        async with aclosing(subscriber.frames(call)) as frames:
            async for frame in frames:
                yield frame
    finally:
        fan_out.close(subscriber)


def update_subscriptions(
    fan_out: FanOut,
    tails: Tails,
    subscriber: Subscriber,
    add: Iterable[pb.Subscription],
    remove: Iterable[pb.Subscription],
) -> pb.UpdateSubscriptionsResponse:
    """Raises MarketNotFound, TooManySubscriptions; then nothing is changed."""
    subscriber.change(_series(fan_out, tails, add), _series(fan_out, tails, remove))
    return pb.UpdateSubscriptionsResponse(
        subscriptions=[
            pb.Subscription(symbol=series.view.symbol, channel=series.channel)  # type: ignore[arg-type]
            for series in subscriber.subscriptions
        ]
    )


async def session(
    fan_out: FanOut, tails: Tails, first: pb.SessionRequest, requests: AsyncIterator[pb.SessionRequest], call: Call
) -> AsyncGenerator[bytes, None]:
    """Frames of a session. Raises MarketNotFound, TooManySubscriptions, PartUnavailable: the session ends."""
    subscriber = fan_out.open(tails.source, book_depth(first.depth))
    reading = None
    try:
        update_subscriptions(fan_out, tails, subscriber, first.add, first.remove)
        reading = asyncio.create_task(_read(fan_out, tails, subscriber, requests))
        async with aclosing(subscriber.frames(call)) as frames:
            async for frame in frames:
                yield _framed(frame)
    finally:
        fan_out.close(subscriber)
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(
    fan_out: FanOut, tails: Tails, subscriber: Subscriber, requests: AsyncIterator[pb.SessionRequest]
) -> None:
    try:
        async for request in requests:
            if request.depth:
                subscriber.depth = book_depth(request.depth)
            update_subscriptions(fan_out, tails, subscriber, request.add, request.remove)
    except VenueError as error:
        subscriber.fail(error)


def _framed(frame: bytes) -> bytes:
    """A SessionResponse: its one field is the frame."""
    length, prefix = len(frame), bytearray(b"\x0a")
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + frame


def _series(fan_out: FanOut, tails: Tails, wanted: Iterable[pb.Subscription]) -> list[Series]:
    # The view first: it tells an unknown market from one that this process does not know yet.
    return [fan_out.find(tails.source.environment, tails.view(one.symbol).symbol, one.channel) for one in wanted]
