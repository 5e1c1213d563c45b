"""One active collector a source: whoever has its lease works, all others wait for it.

The lease is a row with an epoch in Redis (db/feeds.py). Its holder prolongs it every second and stops before it runs out, by its
own monotonic clock; a write that comes too late all the same is refused there by its epoch.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog
from redis.asyncio import Redis

from db import feeds
from db.streams import BusError

log = structlog.get_logger()
TTL_S: Final = 5.0
RENEW_S: Final = 1.0
# What the clocks of two machines may drift apart meanwhile, and a step of the program may take.
MARGIN_S: Final = 1.0


class LeaseLostError(Exception):
    """Somebody else may work now."""


class Lease:
    """A lease by name, and who wants it."""

    def __init__(self, bus: Redis, name: str, holder: str, ttl_s: float = TTL_S) -> None:
        self.name = name
        self.epoch = 0
        self._bus, self._holder, self._ttl_s = bus, holder, ttl_s
        self._until = 0.0

    @property
    def held(self) -> bool:
        return time.monotonic() < self._until - MARGIN_S

    async def claim(self) -> bool:
        """Take it, or prolong it. Raises BusError."""
        asked = time.monotonic()
        self.epoch = await feeds.claim(self._bus, self.name, self._holder, int(self._ttl_s * 1000))
        self._until = asked + self._ttl_s if self.epoch else 0.0
        return self.epoch > 0

    async def work(self, deed: Callable[[], Awaitable[None]], renew_s: float = RENEW_S) -> None:
        """Do the deed whenever the lease is held, until cancelled. A lost lease or a bus away ends it for a while."""
        try:
            while True:
                try:
                    if await self.claim():
                        log.info("lease taken", lease=self.name, epoch=self.epoch)
                        async with asyncio.TaskGroup() as tasks:
                            tasks.create_task(self._keep(renew_s))
                            await deed()
                except* LeaseLostError:
                    log.warning("lease lost", lease=self.name)
                except* BusError as errors:
                    log.warning("bus away", lease=self.name, cause=str(errors.exceptions[0]))
                await asyncio.sleep(renew_s)
        finally:
            self._until = 0.0
            with suppress(BusError):
                await feeds.release(self._bus, self.name, self._holder)

    async def _keep(self, renew_s: float) -> None:
        while True:
            await asyncio.sleep(renew_s)
            epoch = self.epoch
            try:
                kept = await self.claim()
            except BusError:
                # It may come back in time.
                kept = self.held
            if not kept or self.epoch != epoch:
                raise LeaseLostError(self.name)
