"""Puts what sources tell into the table of raw ticks, a second behind them. Nothing waits for it."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import psycopg
import psycopg_pool
import structlog

from db.price_ticks import PriceTick, append_price_ticks
from db.session import Pool
from servers.feed.measures import FeedMeasures
from servers.feed.source import Observation

log = structlog.get_logger()
EVERY_S: Final = 1.0
# What waits while the database is away, some ten minutes of simulated sources; older ones are let go, and counted.
WAITING_MAX: Final = 10_000


class TickRecorder:
    """Of all sources of a process."""

    def __init__(self, pool: Pool, measures: FeedMeasures, waiting_max: int = WAITING_MAX) -> None:
        self._pool, self._measures = pool, measures
        self._waiting: deque[PriceTick] = deque()
        self._waiting_max = waiting_max

    def note(self, source: str, observations: Iterable[Observation]) -> None:
        """Never waits."""
        now_us = time.time_ns() // 1000
        for each in observations:
            if len(self._waiting) >= self._waiting_max:
                self._waiting.popleft()
                self._measures.ticks_lost.inc()
            self._waiting.append(PriceTick(each.pair, now_us, source, each.price, int(each.age_s * 1000)))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.write()
            except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
                log.warning("ticks not kept yet", waiting=len(self._waiting), cause=str(error))

    async def write(self) -> None:
        """Keep what waits. Raises psycopg.OperationalError, PoolTimeout; then it still waits."""
        ticks = list(self._waiting)
        if not ticks:
            return
        async with self._pool.connection() as connection:
            await append_price_ticks(connection, ticks)
        # What came meanwhile stands behind them, and may have pushed some of them out.
        written = set(ticks)
        while self._waiting and self._waiting[0] in written:
            self._waiting.popleft()
