"""The task that writes publications to the bus, one at a time, and notices what the bus forgot."""

import asyncio
from typing import Final

import structlog
from redis.asyncio import Redis

from db.cancellation import end_if_cancelled
from db.crash_points import passing
from db.streams import BusError, find_published, last_market_ids, publish
from servers.engine.publication import BusChanges, Publication

log = structlog.get_logger()
# Under load a publication is begun at most this often, after one of few commands sooner: books go out every 100 ms anyway.
PACE_S: Final = 0.025
PACE_A_COMMAND_S: Final = 0.0005
# How soon a bus that lost everything is noticed while nothing happens.
LOOK_S: Final = 1.0
BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


def pace_s(commands: int) -> float:
    """How long after a publication of so many commands the next one may begin."""
    return min(PACE_S, commands * PACE_A_COMMAND_S)


class BusWriter:
    """Publishes what changes. `sequence` is where the bus stands, 0 before that is known."""

    def __init__(self, bus: Redis, partition: int, changes: BusChanges) -> None:
        self.sequence = changes.sequence
        self._bus = bus
        self._partition = partition
        self._changes = changes
        self._started = False
        # Whether the bus was looked at since the last failure, and what it should say of itself.
        self._known = False
        self._stored: int | None = None
        # The markets' last entries.
        self._last: dict[str, int] = {}
        # Taken, and perhaps published.
        self._pending: Publication | None = None

    async def run(self) -> None:
        """Until cancelled."""
        attempt = 0
        while True:
            end_if_cancelled()
            try:
                await self._step()
                attempt = 0
            except (BusError, OSError) as error:
                log.warning("bus not written yet", partition=self._partition, attempt=attempt, cause=str(error))
                self._known = False
                await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                attempt += 1

    async def _step(self) -> None:
        """Publish what there is, or look after the bus when there is nothing for a while."""
        if self._pending is None and not self._changes.ready:
            try:
                # Not wait_for: where the wait ends as it is cancelled, that one goes on as if nobody had.
                async with asyncio.timeout(LOOK_S):
                    await self._changes.wait()
            except TimeoutError:
                self._known = False
        if not self._known:
            await self._look()
        if self._pending is None and self._changes.ready:
            self._pending = self._changes.take(self.sequence, self._last)
        if self._pending is not None:
            before = self.sequence
            await self._publish(self._pending)
            await asyncio.sleep(pace_s(self.sequence - before))

    async def _look(self) -> None:
        """Find the bus as it was left, with what was pending or without; else something is lost."""
        found = await find_published(self._bus, self._partition)
        if self._pending is not None and found == self._pending.sequence:
            self._done(self._pending)
        elif not self._started:
            rows = self._changes.sequence
            self._last = await last_market_ids(self._bus, self._partition, self._changes.markets)
            self._changes.lost |= found is None or found < self.sequence
            self._stand(max(found or 0, self.sequence))
            # Where the rows are still behind it is looked again once they are not: they may bring markets.
            self._started = rows >= self.sequence
        elif found != self._stored:
            await self._lose(found)
        self._stored = found
        self._known = self._started

    async def _publish(self, publication: Publication) -> None:
        passing("before-publish")
        found = await publish(self._bus, self._partition, self._stored, *publication)
        passing("after-publish")
        if found == self._stored:
            self._done(publication)
        else:
            await self._lose(found)
            self._stored = found

    def _done(self, publication: Publication) -> None:
        self.sequence = publication.sequence
        self._stored = publication.sequence
        self._pending = None

    async def _lose(self, found: int | None) -> None:
        """The bus is not where it was left: all markets are reset by the next publication, and what was pending is lost."""
        log.warning("bus lost entries", partition=self._partition, found=found, left=self._stored)
        self._pending = None
        self._changes.lost = True
        self._last = await last_market_ids(self._bus, self._partition, self._changes.markets)
        self._stand(found or 0)

    def _stand(self, sequence: int) -> None:
        """Go on behind a sequence and every market's last entry: streams take nothing before them.

        Tables are written apart from the bus, so that a projector that starts from them may first read rows that are on it.
        """
        self.sequence = max([sequence, *self._last.values()])
        self._changes.stand(self.sequence)
        if self._changes.sequence < self.sequence:
            log.info("bus is ahead", partition=self._partition, bus=self.sequence, rows=self._changes.sequence)
