"""Events of an account that a stream of it has missed: from this process's memory, then the bus, then the tables, else a gap.

Each place gives what it has up to a known event without a gap, and the next place is asked for what comes before that. So
places may overlap, be behind or be away, and nothing is told twice or left out.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import psycopg
import structlog
from redis.asyncio import Redis

from db.events import list_events
from db.session import Pool
from db.streams import BusError, read_account
from servers.engine.fence import PATIENCE_S, Fence
from servers.engine.ring import AccountFrame, Ring, tail

log = structlog.get_logger()
PAGE: Final = 500
# How long the bus may take to answer, and how long it may be behind, before the tables are asked.
BUS_ANSWER_S: Final = 1.0
BUS_BEHIND_S: Final = 0.25
BUS_POLL_S: Final = 0.01


class GapError(Exception):
    """Events after a sequence are not kept any more, or not written in time."""

    def __init__(self, after: int) -> None:
        super().__init__(f"events after {after} are lost")
        self.after = after


@dataclass(frozen=True, slots=True)
class Past:
    """The places where events are kept beside memory. `patience_s`: how long the tables may be behind."""

    pool: Pool
    fence: Fence
    bus: Redis
    patience_s: float = PATIENCE_S

    async def missed(
        self, ring: Ring, partition: int, account_id: str, after: int, until: int
    ) -> AsyncIterator[AccountFrame]:
        """The events after a sequence up to that of a later event, in order. Raises GapError."""
        if until <= after:
            return
        remembered = ring.tail(account_id, after, until)
        until = remembered[0].previous_sequence if remembered else until
        told = await self._told(partition, account_id, after, until) if until > after else []
        until = told[0].previous_sequence if told else until
        if until > after:
            async for frame in self._written(partition, account_id, after, until):
                yield frame
        for frame in (*told, *remembered):
            yield frame

    async def _told(self, partition: int, account_id: str, after: int, until: int) -> list[AccountFrame]:
        """What the bus has; it is behind the journal by little, or away."""
        deadline = time.monotonic() + BUS_BEHIND_S
        while True:
            try:
                async with asyncio.timeout(BUS_ANSWER_S):
                    entries, published = await read_account(self.bus, partition, account_id, after, until)
            except (BusError, OSError) as error:
                # A time-out is an OSError too.
                log.warning("bus away; a stream resumes from the tables", partition=partition, cause=str(error))
                return []
            if (entries and entries[-1].sequence == until) or published >= until or time.monotonic() > deadline:
                break
            await asyncio.sleep(BUS_POLL_S)
        frames = [
            AccountFrame(entry.account_id, entry.sequence, entry.previous_sequence, entry.record) for entry in entries
        ]
        return tail(frames, after, until)

    async def _written(self, partition: int, account_id: str, after: int, until: int) -> AsyncIterator[AccountFrame]:
        """What the tables have, which must be all. Raises GapError."""
        last = after
        try:
            if not await self.fence.reach(partition, until, time.monotonic() + self.patience_s):
                raise GapError(after)
            while last < until:
                async with self.pool.connection() as connection:
                    rows = await list_events(
                        connection, partition, account_id, after_sequence=last, until_sequence=until, limit=PAGE
                    )
                if not rows or rows[0].previous_sequence > last:
                    raise GapError(last)
                for row in rows:
                    yield AccountFrame(account_id, row.sequence, row.previous_sequence, row.payload)
                    last = row.sequence
        except psycopg.OperationalError as error:
            log.warning("tables not readable; a stream has a gap", partition=partition, cause=str(error))
            raise GapError(last) from error
