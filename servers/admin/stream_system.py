"""The monitor: how the venue is, and every entry of the audit log as it is appended."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit
from servers.admin.messages import entry_message
from servers.admin.status import Status
from servers.domain.errors import PositionInvalid
from servers.transport.call import Call
from servers.transport.returning import goodbye
from servers.transport.streaming import lively
from venue.admin.v1 import admin_pb2 as pb
from venue.type.v1 import stream_pb2

STATUS_EVERY_S: Final = 2.0
ENTRIES_EVERY_S: Final = 0.5
ENTRIES_MAX: Final = 200


class Monitor:
    """One stream. The sequence of its frames is that of the audit log."""

    def __init__(self, engine: AsyncEngine, status: Status, resume_after: str, silence_s: float) -> None:
        self._engine = engine
        self._status = status
        self._resume_after = resume_after
        self._silence_s = silence_s
        self._stream_id = str(uuid.uuid4())
        self._seen = 0

    async def frames(self, call: Call) -> AsyncGenerator[pb.StreamSystemResponse, None]:
        """Raises PositionInvalid, PartUnavailable."""
        first = await self._status.look()
        resumed = await self._start(first.audit_sequence)
        lived = lively(
            self._told(first, resumed=resumed),
            call,
            heartbeat=lambda: self._frame(heartbeat=stream_pb2.Heartbeat()),
            goodbye=lambda reason: self._frame(goodbye=goodbye(call, reason, str(self._seen))),
            silence_s=self._silence_s,
        )
        async with aclosing(lived) as frames:
            async for frame in frames:
                yield frame

    async def _start(self, last: int) -> bool:
        """Where to begin; returns whether it goes on after an earlier stream."""
        if not self._resume_after:
            self._seen = last
            return False
        if not (self._resume_after.isascii() and self._resume_after.isdecimal()) or int(self._resume_after) > last:
            raise PositionInvalid("resume_after")
        self._seen = int(self._resume_after)
        return True

    async def _told(self, first: pb.SystemStatus, *, resumed: bool) -> AsyncIterator[pb.StreamSystemResponse]:
        silence = Duration()
        silence.FromNanoseconds(int(self._silence_s * 1e9))
        yield self._frame(ready=stream_pb2.Ready(heartbeat_interval=silence, resumed=resumed))
        yield self._frame(status=first)
        due = time.monotonic() + STATUS_EVERY_S
        while True:
            for row in await audit.list_after(self._engine, self._seen, limit=ENTRIES_MAX):
                previous, self._seen = self._seen, row.sequence
                yield self._frame(previous, entry=entry_message(row))
            if time.monotonic() >= due:
                due = time.monotonic() + STATUS_EVERY_S
                yield self._frame(status=await self._status.look())
            await asyncio.sleep(ENTRIES_EVERY_S)

    def _frame(self, previous: int | None = None, **parts: object) -> pb.StreamSystemResponse:
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        return pb.StreamSystemResponse(
            stream_id=self._stream_id,
            sequence=self._seen,
            previous_sequence=self._seen if previous is None else previous,
            position=str(self._seen),
            server_time=now,
            **parts,  # type: ignore[arg-type]
        )
