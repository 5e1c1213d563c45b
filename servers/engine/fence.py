"""Reading what one just wrote: tables are behind the journal by the projector's lag, and a reader may wait for them."""

import asyncio
import time
from typing import Final

from db import projections
from db.session import Pool
from servers.domain.errors import PartUnavailable, PositionInvalid
from servers.domain.identifiers import positions
from servers.engine.client import Engine
from venue.engine.v1 import engine_pb2 as pb

POLL_S: Final = 0.004
# How long a reader who named no position waits for what was durable when it asked; then it gets what is there.
COURTESY_S: Final = 0.25
# How long a reader waits for a position it named. Less than the gateway gives a call: its own end of a call says less.
PATIENCE_S: Final = 4.0


class Fence:
    """Waits for the projector, one poll a partition however many wait."""

    def __init__(self, pool: Pool, courtesy_s: float = COURTESY_S) -> None:
        self._pool = pool
        self._courtesy_s = courtesy_s
        self._projected: dict[int, int] = {}
        self._polls: dict[int, asyncio.Task[None]] = {}

    async def pass_through(self, engine: Engine, min_position: str, timeout_s: float | None) -> None:
        """Wait until the tables are as new as `min_position`, or (empty) politely for what is durable now.

        Raises PositionInvalid, PartUnavailable: they are not in time.
        """
        named = positions(min_position)
        if named:
            deadline = time.monotonic() + min(timeout_s or PATIENCE_S, PATIENCE_S)
            for position in named:
                if position.partition != engine.partition and not self._projected.get(position.partition):
                    await self._poll(position.partition)
                    if position.partition not in self._projected:
                        raise PositionInvalid("min_position")
                if not await self.reach(position.partition, position.sequence, deadline):
                    raise PartUnavailable("a view as new as min_position")
            return
        now = await engine.query(pb.QueryRequest(sequence=pb.SequenceQuery()))
        await self.reach(engine.partition, now.sequence, time.monotonic() + self._courtesy_s)

    async def reach(self, partition: int, sequence: int, deadline: float) -> bool:
        """Wait until a sequence is projected, to a time on the monotonic clock; False if it is not by then."""
        while self._projected.get(partition, 0) < sequence:
            if time.monotonic() > deadline:
                return False
            poll = self._polls.get(partition)
            if poll is None or poll.done():
                poll = self._polls[partition] = asyncio.ensure_future(self._poll(partition))
            await asyncio.shield(poll)
        return True

    async def _poll(self, partition: int) -> None:
        async with self._pool.connection() as connection:
            found = await projections.find_projection(connection, partition, projections.TABLES)
        if found is not None:
            self._projected[partition] = max(found.sequence, self._projected.get(partition, 0))
        await asyncio.sleep(POLL_S)
