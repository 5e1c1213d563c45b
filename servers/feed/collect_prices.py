"""Keeps one source's prices in Redis while its lease is held here. A source that fails costs nothing but its own prices."""

import asyncio
import json
import random
import time
from contextlib import aclosing
from typing import Final

import structlog
from redis.asyncio import Redis

from db import feeds
from servers.feed.faults import SourceFault
from servers.feed.lease import Lease, LeaseLostError
from servers.feed.measures import FeedMeasures
from servers.feed.record_ticks import TickRecorder
from servers.feed.source import Observation, Source
from servers.transport.breaker import Breaker

log = structlog.get_logger()
REPORT_S: Final = 1.0


class Collector:
    """One source, behind its breaker and under its lease."""

    def __init__(
        self,
        source: Source,
        bus: Redis,
        holder: str,
        measures: FeedMeasures,
        ticks: TickRecorder,
        chance: random.Random | None = None,
    ) -> None:
        self.source = source
        self.lease = Lease(bus, source.name, holder)
        self.breaker = Breaker(chance or random.Random())
        self.told = 0
        self.faults = 0
        self.fault = ""
        self._bus, self._holder, self._measures, self._ticks = bus, holder, measures, ticks

    async def run(self) -> None:
        """Until cancelled."""
        await self.lease.work(self._work)

    async def _work(self) -> None:
        self._measures.leads.labels(self.source.name).set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._report())
                while True:
                    await asyncio.sleep(self.breaker.wait_s(time.monotonic()))
                    try:
                        await self._collect()
                    except SourceFault as fault:
                        self._failed(fault)
        finally:
            self._measures.leads.labels(self.source.name).set(0)

    async def _collect(self) -> None:
        """Raises SourceFault, LeaseLostError, BusError."""
        async with aclosing(self.source.read()) as reading:
            async for observations in reading:
                await self._keep(observations)

    async def _keep(self, observations: list[Observation]) -> None:
        quotes = [(each.pair, each.price, int(each.age_s * 1000)) for each in observations]
        if not self.lease.held or not await feeds.write_quotes(self._bus, self.source.name, self.lease.epoch, quotes):
            raise LeaseLostError(self.source.name)
        self._ticks.note(self.source.name, observations)
        self.told += len(quotes)
        self._measures.told(self.source.name, len(quotes))
        self.breaker.worked(time.monotonic())

    def _failed(self, fault: SourceFault) -> None:
        now = time.monotonic()
        self.breaker.failed(now, fault.retry_after_s)
        self.faults += 1
        self.fault = str(fault)
        self._measures.failed(self.source.name, fault.cause)
        log.warning("source failed", source=self.source.name, cause=fault.cause, detail=fault.detail)

    async def _report(self) -> None:
        while True:
            state = self.breaker.state(time.monotonic())
            self._measures.stands(self.source.name, state)
            said = {"breaker": state, "told": self.told, "faults": self.faults, "fault": self.fault}
            text = json.dumps({**said, "holder": self._holder})
            if not await feeds.write_state(self._bus, self.source.name, self.lease.epoch, text):
                raise LeaseLostError(self.source.name)
            await asyncio.sleep(REPORT_S)
