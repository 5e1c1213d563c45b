"""Streams of the SDK where the other end does what a real one does only after long: silence, a break in the chain."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from venue.order.v1 import order_pb2
from venue.order.v1.order_service_pb2 import OrderEvent, OrderSnapshot, StreamOrdersResponse
from venue.type.v1.stream_pb2 import Gap, Goodbye, Ready
from venue_sdk.market import StreamBrokenError
from venue_sdk.orders import OpenOrders
from venue_sdk.retries import Patience
from venue_sdk.streams import SilentError, frames, resumed


class Script:
    """A call that says these frames, and then nothing more, or that it is over."""

    def __init__(self, *said: StreamOrdersResponse, ends: bool) -> None:
        self._said = list(said)
        self._ends = ends

    async def read(self) -> Any:
        if self._said:
            return self._said.pop(0)
        if self._ends:
            return grpc.aio.EOF
        return await asyncio.Future()

    def cancel(self) -> None:
        self._said = []


READY = StreamOrdersResponse(ready=Ready(heartbeat_interval=Duration(nanos=20_000_000)))


async def test_a_silence_of_two_heartbeats_is_an_end() -> None:
    silent = frames(Script(READY, ends=False))
    assert await anext(silent) == READY
    with pytest.raises(SilentError):
        await anext(silent)
    assert [frame async for frame in frames(Script(READY, ends=True))] == [READY]


async def test_f32_a_goodbye_says_how_long_the_next_stream_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is the server's, to the millisecond: nothing of the client's own is added or left out."""
    waits: list[float] = []

    async def slept(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("venue_sdk.streams.asyncio.sleep", slept)
    asked = [Duration(seconds=2, nanos=500_000_000), Duration(nanos=750_000_000), None]
    after: list[str] = []

    def open_(position: str, _headers: Any) -> Script:
        after.append(position)
        said = Goodbye(reason="SHUTDOWN", resume_after=f"p{len(after)}", retry_after=asked[len(after) - 1])
        return Script(READY, StreamOrdersResponse(goodbye=said), ends=True)

    told: Any = resumed(open_, None, None, Patience())  # type: ignore[arg-type]
    kinds = [(await anext(told)).WhichOneof("frame") for _ in range(6)]
    await told.aclose()
    assert kinds == ["ready", "goodbye"] * 3
    assert after == ["", "p1", "p2"]
    assert waits == [2.5, 0.75]


def order(order_id: str, status: "order_pb2.OrderStatus.ValueType") -> order_pb2.Order:
    return order_pb2.Order(order_id=order_id, status=status, quantity="1", fee="0")


def event(previous: int, sequence: int, *orders: order_pb2.Order) -> StreamOrdersResponse:
    frame = StreamOrdersResponse(
        sequence=sequence, previous_sequence=previous, position=f"p{sequence}", event=OrderEvent()
    )
    for each in orders:
        frame.event.updates.add(order=each)
    return frame


def test_open_orders_follow_their_stream() -> None:
    state = OpenOrders()
    opened, filled = order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_FILLED
    snapshot = OrderSnapshot(orders=[order("1-1", opened)])
    assert list(state.take(StreamOrdersResponse(sequence=5, position="p5", snapshot=snapshot))) == []
    changes = list(state.take(event(5, 8, order("1-1", filled), order("1-8", opened))))
    assert [(changed.order_id, changed.status) for changed, _ in changes] == [("1-1", "FILLED"), ("1-8", "OPEN")]
    assert (list(state.orders), state.position) == (["1-8"], "p8")
    # What comes again after a resumption is known.
    assert list(state.take(event(5, 8, order("1-1", filled)))) == []
    with pytest.raises(StreamBrokenError):
        list(state.take(event(9, 10)))
    list(state.take(StreamOrdersResponse(gap=Gap())))
    list(state.take(StreamOrdersResponse(sequence=20, snapshot=OrderSnapshot())))
    assert (state.orders, state.gaps) == ({}, 1)
