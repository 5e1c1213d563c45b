"""What a stream tells, frame by frame."""

import asyncio
from typing import Any

import grpc

from tests.unit.transport.conftest import Refusal, refusal_of


class Stream:
    """An open call of StreamOrders or Trade."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.seen: list[Any] = []

    async def next(self, *kinds: str) -> Any:
        """The next frame; of one of these kinds if some are given, others but heartbeats are a fault."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.call.read()
                assert frame is not grpc.aio.EOF, "the stream ended"
                self.seen.append(frame)
                kind = frame.WhichOneof("frame")
                if kind in kinds or not kinds:
                    return frame
                assert kind == "heartbeat", frame

    async def ended(self) -> bool:
        """Whether it ends here, and well."""
        async with asyncio.timeout(10):
            return await self.call.read() is grpc.aio.EOF and await self.call.code() == grpc.StatusCode.OK

    async def refused(self) -> Refusal:
        """The error it ends with."""
        try:
            async with asyncio.timeout(10):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
        raise AssertionError("no refusal")


def updates(frame: Any) -> list[tuple[str, int]]:
    """(order, status) of an event's updates."""
    return [(update.order.order_id, update.order.status) for update in frame.event.updates]
