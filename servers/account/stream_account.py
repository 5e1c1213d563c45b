"""Every change of an account's balances and positions, as envelopes: ready, a snapshot or what was missed, then live.

`_seen` is the sequence up to which the reader knows everything of the account. An event whose predecessor it does not know is
preceded by what is kept of the time between them, or by a gap and a new snapshot.
"""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from servers.account.bus_feed import BusFeed, Followed
from servers.account.views import balances_of
from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import position_text, positions
from servers.engine.client import Engine
from servers.engine.messages import timestamp
from servers.engine.missed import GapError, Past
from servers.engine.ring import AccountFrame
from servers.transport.call import Call
from servers.transport.returning import SLOW_CONSUMER, goodbye
from servers.transport.streaming import lively
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.type.v1 import stream_pb2

Response = pb.StreamAccountResponse


class AccountStream:
    """One StreamAccount call."""

    def __init__(
        self,
        engine: Engine,
        feed: BusFeed,
        past: Past,
        request: pb.StreamAccountRequest,
        silence_s: float,
    ) -> None:
        self._engine = engine
        self._feed = feed
        self._past = past
        self._account_id = request.account_id
        self._resume_after = request.resume_after
        self._silence_s = silence_s
        self._stream_id = secrets.token_hex(16)
        self._position = ""
        self._epoch = 0
        self._seen = 0

    async def frames(self, call: Call) -> AsyncGenerator[Response, None]:
        """Raises AccountNotFound, PositionInvalid, PartUnavailable."""
        start = await balances_of(self._engine, self._account_id, "", call)
        after = self._resumed(start)
        followed = self._feed.follow(self._account_id, start.account_sequence)
        try:
            frames = lively(
                self._events(start, after, followed, call),
                call,
                heartbeat=lambda: self._frame(heartbeat=stream_pb2.Heartbeat()),
                goodbye=lambda reason: self._goodbye(call, reason),
                silence_s=self._silence_s,
            )
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        finally:
            self._feed.leave(followed.follower)

    def _resumed(self, start: engine_pb2.QueryResponse) -> int | None:
        """The sequence to go on after, None for a fresh start. Raises PositionInvalid: another's, or of the future."""
        now = positions(start.position)[0]
        self._epoch, self._position = now.epoch, start.position
        named = positions(self._resume_after, "resume_after")
        if not named:
            return None
        mine = [position for position in named if position.partition == now.partition]
        if len(mine) != 1 or mine[0].sequence > now.sequence or mine[0].epoch > now.epoch:
            raise PositionInvalid("resume_after")
        self._position = position_text(*mine[0])
        return mine[0].sequence

    async def _events(
        self, start: engine_pb2.QueryResponse, after: int | None, followed: Followed, call: Call
    ) -> AsyncIterator[Response]:
        silence = Duration()
        silence.FromNanoseconds(int(self._silence_s * 1e9))
        yield self._frame(ready=stream_pb2.Ready(heartbeat_interval=silence, resumed=after is not None))
        if after is None:
            yield self._snapshot(start)
        else:
            self._seen = after
        # Others may have followed the account before us and been given more than we asked the engine for.
        async for frame in self._catch_up(max(start.account_sequence, followed.sequence), call):
            yield frame
        follower = followed.follower
        while not follower.slow:
            for account_frame in await follower.take():
                async for frame in self._catch_up(account_frame.previous_sequence, call):
                    yield frame
                if account_frame.sequence > self._seen:
                    yield self._event(account_frame)
        yield self._goodbye(call, SLOW_CONSUMER)

    async def _catch_up(self, until: int, call: Call) -> AsyncIterator[Response]:
        """What the reader does not know yet up to a sequence: events, or a gap and a snapshot."""
        between = self._feed.missed(self._past, self._account_id, self._seen, until)
        try:
            async for account_frame in between:
                yield self._event(account_frame)
        except GapError as gap:
            fresh = await balances_of(self._engine, self._account_id, "", call)
            yield self._frame(
                gap=stream_pb2.Gap(from_sequence=gap.after, to_sequence=fresh.sequence, reason="NOT_KEPT")
            )
            yield self._snapshot(fresh)

    def _snapshot(self, response: engine_pb2.QueryResponse) -> Response:
        self._position = response.position
        self._seen = response.account_sequence
        snapshot = pb.AccountSnapshot(balances=response.balances, positions=response.positions)
        return self._frame(snapshot=snapshot, sequence=response.account_sequence)

    def _event(self, frame: AccountFrame) -> Response:
        self._position = position_text(self._engine.partition, self._epoch, frame.sequence)
        self._seen = frame.sequence
        return self._frame(
            event=pb.AccountEvent(balances=frame.record.balances, positions=frame.record.positions),
            sequence=frame.sequence,
            previous_sequence=frame.previous_sequence,
        )

    def _goodbye(self, call: Call, reason: str) -> Response:
        return self._frame(goodbye=goodbye(call, reason, self._position))

    def _frame(self, **parts: object) -> Response:
        return Response(
            stream_id=self._stream_id,
            position=self._position,
            server_time=timestamp(time.time_ns() // 1000),
            **parts,  # type: ignore[arg-type]  # one of the envelope's frames, and its sequences
        )
