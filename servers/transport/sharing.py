"""Limits of callers that all servers of the venue count together.

Each server counts for itself too, so a limit holds where Redis is away, for each server apart. Of a limit that is wide a server
takes some calls at once and lets them through by itself: so an order waits for Redis once in thousands. What it took and did not
use is lost after a moment, so over any time a caller gets at most his limit, and what each server had taken just before.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import structlog

from db.shared_limits import LimitsAway, SharedLimits, Taken

# Limits below this many calls a second are asked for call by call, and so are exact; of others so much is taken at once.
EXACT_BELOW_S: Final = 100.0
TAKEN_S: Final = 0.05
# How long what was taken is good for.
KEPT_S: Final = 1.0
AWAY_S: Final = 1.0
log = structlog.get_logger()


@dataclass(slots=True)
class Share:
    """What a server has taken of a caller's limit: good for `left` calls `until` then; all of the limit is there at `full_at`."""

    left: int
    until: float
    full_at: float


class Store:
    """Redis, not asked for a moment after it did not answer. One a process."""

    def __init__(self, limits: SharedLimits) -> None:
        self._limits = limits
        self._away_until = 0.0

    async def take(self, key: str, each_s: float, whole_s: float, count: int, more: int) -> Taken | None:
        """As SharedLimits.take; None where nobody answers."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return await self._limits.take(key, each_s, whole_s, count, more)
        except LimitsAway as error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("limits are counted in this process alone", cause=type(error).__name__)
            return None


class Shares:
    """The shares of one limit, by caller."""

    def __init__(self, store: Store, name: str, interval_s: float, burst_s: float, callers_max: int) -> None:
        self._store = store
        self._name = name
        self._interval_s = interval_s
        self._burst_s = burst_s
        self._more = int(TAKEN_S / interval_s) if 1.0 / interval_s >= EXACT_BELOW_S else 0
        self._callers_max = callers_max
        self._shares: dict[str, Share] = {}
        # Of limits that are wide: who comes meanwhile waits for what is taken, as each taking more would leave nothing.
        self._asking: dict[str, asyncio.Task[Taken | None]] = {}

    async def take(self, caller: str, count: int) -> float:
        """Seconds to wait; 0.0 where the calls were taken, or nobody answered."""
        if not self._more:
            return waits(await self._ask(caller, count, 0))
        while not self._take_of_share(caller, count):
            asking = self._asking.get(caller)
            others = asking is not None
            if asking is None:
                asking = self._asking[caller] = asyncio.create_task(self._ask_for_all(caller, count))
            taken = await asyncio.shield(asking)
            if taken is None or not taken.calls or not others:
                return waits(taken)
        return 0.0

    def _take_of_share(self, caller: str, count: int) -> bool:
        share = self._shares.get(caller)
        if share is None or share.left < count or time.monotonic() >= share.until:
            return False
        share.left -= count
        return True

    async def look(self, caller: str) -> None:
        """Learn what others have used."""
        await self._ask(caller, 0, 0)

    def reset_s(self, caller: str) -> float:
        """Until all of the limit is there again, as far as this server knows; what it has taken and not used counts as there."""
        share = self._shares.get(caller)
        if share is None:
            return 0.0
        now = time.monotonic()
        unused = share.left if now < share.until else 0
        return max(0.0, share.full_at - now - unused * self._interval_s)

    async def _ask_for_all(self, caller: str, count: int) -> Taken | None:
        try:
            return await self._ask(caller, count, self._more)
        finally:
            # In the same step as it ends: whoever came between, and found all of it used, would wait for what is over for good.
            del self._asking[caller]

    async def _ask(self, caller: str, count: int, more: int) -> Taken | None:
        taken = await self._store.take(f"{self._name}:{caller}", self._interval_s, self._burst_s, count, more)
        if taken is None:
            return None
        now = time.monotonic()
        if len(self._shares) >= self._callers_max:
            self._shares = {name: each for name, each in self._shares.items() if each.full_at > now}
        share = self._shares.setdefault(caller, Share(0, 0.0, 0.0))
        if taken.calls:
            # Several may have asked at once; each adds what it got.
            share.left = (share.left if now < share.until else 0) + taken.calls - count
            share.until = now + KEPT_S
        share.full_at = now + taken.reset_s
        return taken


def waits(taken: Taken | None) -> float:
    """Seconds to wait; 0.0 where calls were taken, or nobody answered."""
    return 0.0 if taken is None or taken.calls else taken.wait_s
