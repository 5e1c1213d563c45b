"""Every change of an account's orders, as envelopes: ready, a snapshot or what was missed, then live."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from servers.domain.identifiers import position_text
from servers.engine.messages import timestamp
from servers.engine.missed import GapError, Past
from servers.engine.ring import AccountFrame
from servers.engine.trading import Following, TradingEngine
from servers.order.account_events import SlowConsumerError, backlog, live, resume_sequence
from servers.transport.call import Call
from servers.transport.returning import SLOW_CONSUMER, goodbye
from servers.transport.streaming import lively
from venue.order.v1 import order_service_pb2 as pb
from venue.type.v1 import stream_pb2

Response = pb.StreamOrdersResponse


class OrderStream:
    """One StreamOrders call."""

    def __init__(self, engine: TradingEngine, past: Past, request: pb.StreamOrdersRequest, silence_s: float) -> None:
        self._engine = engine
        self._past = past
        self._request = request
        self._silence_s = silence_s
        self._stream_id = secrets.token_hex(16)
        self._epoch = 0
        self._last = 0

    async def frames(self, call: Call) -> AsyncGenerator[Response, None]:
        """Raises AccountNotFound, PositionInvalid."""
        following = await self._engine.follow(self._request.account_id, call.identity.user_id, snapshot=True)
        self._epoch = following.epoch
        try:
            after = resume_sequence(self._engine.partition, self._request.resume_after, following)
            self._last = following.sequence if after is None else after
            frames = lively(
                self._events(following, after, call),
                call,
                heartbeat=lambda: self._frame(heartbeat=stream_pb2.Heartbeat()),
                goodbye=lambda reason: self._goodbye(call, reason),
                silence_s=self._silence_s,
            )
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        finally:
            self._engine.unfollow(following)

    async def _events(self, following: Following, after: int | None, call: Call) -> AsyncIterator[Response]:
        silence = Duration(seconds=int(self._silence_s), nanos=int(self._silence_s % 1 * 1e9))
        yield self._frame(ready=stream_pb2.Ready(heartbeat_interval=silence, resumed=after is not None))
        if after is None:
            yield self._snapshot(following)
        else:
            try:
                async for frame in self._missed(following, after):
                    yield frame
            except GapError as gap:
                yield self._frame(
                    gap=stream_pb2.Gap(from_sequence=gap.after, to_sequence=following.sequence, reason="NOT_KEPT")
                )
                yield self._snapshot(following)
        try:
            async for account_frames in live(following):
                for account_frame in account_frames:
                    yield self._event(account_frame)
        except SlowConsumerError:
            yield self._goodbye(call, SLOW_CONSUMER)
            return
        yield self._goodbye(call, "LEADER_CHANGED")

    async def _missed(self, following: Following, after: int) -> AsyncIterator[Response]:
        async for account_frame in backlog(self._past, self._engine.partition, after, following):
            yield self._event(account_frame)

    def _snapshot(self, following: Following) -> Response:
        self._last = following.sequence
        return self._frame(
            snapshot=pb.OrderSnapshot(orders=following.orders),
            sequence=following.account_sequence,
        )

    def _event(self, frame: AccountFrame) -> Response:
        self._last = frame.sequence
        return self._frame(
            event=pb.OrderEvent(updates=frame.record.orders),
            sequence=frame.sequence,
            previous_sequence=frame.previous_sequence,
        )

    def _goodbye(self, call: Call, reason: str) -> Response:
        return self._frame(goodbye=goodbye(call, reason, self._position()))

    def _position(self) -> str:
        return position_text(self._engine.partition, self._epoch, self._last)

    def _frame(self, **parts: object) -> Response:
        return Response(
            stream_id=self._stream_id,
            position=self._position(),
            server_time=timestamp(time.time_ns() // 1000),
            **parts,  # type: ignore[arg-type]  # one of the envelope's frames, and its sequences
        )
